package c14n

import (
	"fmt"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// maxInherited bounds the attributes of open elements that are kept because
// descendants may inherit them, bytes.
const maxInherited = 1 << 20

// inherited holds the attributes in the XML namespace of the open elements,
// outermost first.
type inherited struct {
	attrs []xmlAttribute
	bytes []byte // their names and values, in their order
}

type xmlAttribute struct {
	depth int // of its element; 0 for those of a Context
	attr  xmltext.Attribute
}

func (x *inherited) enter(t *xmltext.Token) error {
	for i := range t.Attributes {
		if t.Attributes[i].Name.Slot != xmltext.XMLSlot {
			continue
		}
		if err := x.push(t.Depth, t.Attributes[i]); err != nil {
			return err
		}
	}
	return nil
}

// push keeps an attribute, with bytes of its own.
func (x *inherited) push(depth int, a xmltext.Attribute) error {
	start, middle := len(x.bytes), len(x.bytes)+len(a.Name.Qualified)
	if middle+len(a.Value) > maxInherited {
		return fmt.Errorf("%w: attributes of the XML namespace", ErrLimit)
	}
	x.bytes = append(append(x.bytes, a.Name.Qualified...), a.Value...)
	a.Name.Qualified, a.Value = x.bytes[start:middle:middle], x.bytes[middle:len(x.bytes):len(x.bytes)]
	x.attrs = append(x.attrs, xmlAttribute{depth: depth, attr: a})
	return nil
}

// leave drops what the element at that depth has.
func (x *inherited) leave(depth int) {
	n := len(x.attrs)
	for n > 0 && x.attrs[n-1].depth == depth {
		n--
		a := &x.attrs[n].attr
		x.bytes = x.bytes[:len(x.bytes)-len(a.Name.Qualified)-len(a.Value)]
	}
	x.attrs = x.attrs[:n]
}

// copy gives the same attributes, independent of x, as those of a Context.
func (x *inherited) copy() inherited {
	var c inherited
	for i := range x.attrs {
		a := x.attrs[i].attr
		a.Name.Space = []byte(xmltext.XMLNamespace)
		_ = c.push(0, a) // within the limit, as it was
	}
	return c
}

// xmlAttr makes an attribute xml:local.
func xmlAttr(local string, value []byte) xmltext.Attribute {
	return xmltext.Attribute{Name: xmltext.NewName("xml", local, xmltext.XMLNamespace, xmltext.XMLSlot), Value: value}
}

// inheritable says that an attribute of an element in the node-set is written
// whether or not the attribute is in it. Canonical XML 1.1 does not say so of
// xml:lang, xml:space and xml:base, but its test suite does
// (xmldsig2ed-tests, c14n11/xmlbase-c14n11spec3-102), and so do libxml2 and
// Santuario.
func (f *form) inheritable(a *xmltext.Attribute) bool {
	if a.Name.Slot != xmltext.XMLSlot || !f.out.Method.version11() {
		return false
	}
	local := string(a.Name.Local())
	return local == "base" || local == "lang" || local == "space"
}

// inherit adds to the attributes of an element whose parent is not in the
// node-set what it inherits, Canonical XML 1.0 and 1.1 section 2.4. In 1.1 only
// ancestors deeper than nearest count, the nearest that is in the node-set.
func (f *form) inherit(x *inherited, t *xmltext.Token, nearest int) {
	version11 := f.out.Method.version11()
	var bases []string
	for i := len(x.attrs) - 1; i >= 0; i-- {
		a := &x.attrs[i]
		local := string(a.attr.Name.Local())
		if version11 {
			if a.depth <= nearest {
				break
			}
			if local == "base" {
				bases = append(bases, string(a.attr.Value))
				continue
			}
			if local != "lang" && local != "space" {
				continue
			}
		}
		if _, own := t.Attr(xmltext.XMLNamespace, local); !own && !f.has(&a.attr.Name) {
			f.attrs = append(f.attrs, &a.attr)
		}
	}
	if len(bases) > 0 {
		f.rebase(t, bases)
	}
}

func (f *form) has(n *xmltext.Name) bool {
	for _, a := range f.attrs {
		if a.Name.Equal(n) {
			return true
		}
	}
	return false
}

// rebase gives the element the xml:base that its own and those of the omitted
// ancestors, innermost first, amount to; none if that is empty.
func (f *form) rebase(t *xmltext.Token, bases []string) {
	joined := ""
	if own, ok := t.Attr(xmltext.XMLNamespace, "base"); ok {
		joined = string(own)
	} else {
		joined, bases = bases[0], bases[1:]
	}
	for _, b := range bases {
		joined = joinReferences(b, joined)
	}
	kept := f.attrs[:0]
	for _, a := range f.attrs {
		if !a.Name.Is(xmltext.XMLNamespace, "base") {
			kept = append(kept, a)
		}
	}
	f.attrs = kept
	if joined != "" {
		a := xmlAttr("base", []byte(joined))
		f.attrs = append(f.attrs, &a)
	}
}
