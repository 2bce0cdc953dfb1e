package xmltext

import (
	"bytes"
	"slices"
)

// attributeList parses an attribute-list declaration, XML 1.0 section 3.3. The
// first declaration of an attribute counts.
func (d *declarations) attributeList() error {
	if err := d.space(); err != nil {
		return err
	}
	element, err := d.name()
	if err != nil {
		return err
	}
	for {
		at := skipSpace(d.b, d.i)
		if at == len(d.b) {
			return errMore
		}
		if d.b[at] == '>' {
			d.i = at + 1
			return nil
		}
		if err := d.space(); err != nil {
			return err
		}
		declared, err := d.attribute()
		if err != nil {
			return err
		}
		known := d.subset.attributes[string(element)]
		if len(known) >= d.limits.Attributes {
			return excess(d.i, "declared attributes", int64(d.limits.Attributes))
		}
		if !slices.ContainsFunc(known, func(k attributeType) bool { return bytes.Equal(k.name, declared.name) }) {
			d.subset.attributes[string(element)] = append(known, declared)
		}
	}
}

// attribute parses name, type and default of one attribute.
func (d *declarations) attribute() (attributeType, error) {
	var a attributeType
	name, err := d.name()
	if err != nil {
		return a, err
	}
	a.name = bytes.Clone(name)
	if err := d.space(); err != nil {
		return a, err
	}
	if err := d.attributeType(&a); err != nil {
		return a, err
	}
	if err := d.space(); err != nil {
		return a, err
	}
	switch {
	case d.take("#REQUIRED"), d.take("#IMPLIED"):
		return a, nil
	case d.take("#FIXED"):
		if err := d.space(); err != nil {
			return a, err
		}
	}
	a.preset = true
	a.value, err = d.defaultValue()
	if a.tokens {
		a.value = collapse(a.value)
	}
	return a, err
}

func (d *declarations) attributeType(a *attributeType) error {
	a.tokens = true
	switch {
	case d.take("CDATA"):
		a.tokens = false
	case d.take("NMTOKENS"), d.take("NMTOKEN"), d.take("ENTITIES"), d.take("ENTITY"), d.take("IDREFS"), d.take("IDREF"):
	case d.take("ID"):
		a.id = true
	case d.take("NOTATION"):
		if err := d.space(); err != nil {
			return err
		}
		return d.enumeration()
	case len(d.b)-d.i < len("NOTATION"):
		return errMore
	default:
		return d.enumeration()
	}
	return nil
}

// enumeration skips ( a | b ).
func (d *declarations) enumeration() error {
	if err := d.expect("("); err != nil {
		return err
	}
	for d.i < len(d.b) {
		c := d.b[d.i]
		if c < 0x80 && classes[c]&(nameChar|spaceChar) == 0 && c != '|' && c != ':' && c != ')' {
			return syntax(d.i, "unexpected character in an enumeration")
		}
		d.i++
		if c == ')' {
			return nil
		}
	}
	return errMore
}

// defaultValue reads an attribute value with the entities declared so far.
func (d *declarations) defaultValue() ([]byte, error) {
	at := d.i + 1
	value, err := d.literal()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(value, '<') >= 0 {
		return nil, syntax(at, "< in an attribute value")
	}
	r := Reader{subset: d.subset}
	value, _, err = r.normalise(d.b[:at+len(value)+1], at, at+len(value))
	if err == nil && len(value) > maxEntity {
		return nil, excess(at, "bytes of a default", maxEntity)
	}
	return value, err
}
