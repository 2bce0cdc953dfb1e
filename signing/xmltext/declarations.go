package xmltext

import (
	"bytes"
	"unicode/utf8"
)

// declarations parses a document type declaration, XML 1.0 sections 2.8 and
// 3.2 to 4.7. Content models and notations are skipped, since nothing here is
// validated.
type declarations struct {
	b      []byte
	i      int
	limits Limits
	subset *subset
}

// doctype parses from behind <!DOCTYPE to the end.
func (d *declarations) doctype() error {
	if err := d.space(); err != nil {
		return err
	}
	if _, err := d.name(); err != nil {
		return err
	}
	d.i = skipSpace(d.b, d.i)
	if d.has("SYSTEM") || d.has("PUBLIC") {
		if _, err := d.externalID(); err != nil {
			return err
		}
		d.i = skipSpace(d.b, d.i)
	}
	if d.take("[") {
		if err := d.internal(); err != nil {
			return err
		}
		d.i = skipSpace(d.b, d.i)
	}
	return d.expect(">")
}

// internal parses the internal subset with the bracket that ends it.
func (d *declarations) internal() error {
	for {
		d.i = skipSpace(d.b, d.i)
		if d.subset.count++; d.subset.count > maxDeclarations {
			return excess(d.i, "declarations", maxDeclarations)
		}
		var err error
		switch {
		case d.take("]"):
			return nil
		case d.take("<!--"):
			err = d.comment()
		case d.take("<?"):
			err = d.instruction()
		case d.take("<!ATTLIST"):
			err = d.attributeList()
		case d.take("<!ENTITY"):
			err = d.entity()
		case d.take("<!ELEMENT"), d.take("<!NOTATION"):
			err = d.skip()
		case d.has("%"):
			return &fault{at: d.i, reason: ErrEntity, problem: "parameter entities are not read"}
		case len(d.b)-d.i < len("<!NOTATION"):
			return errMore
		default:
			return syntax(d.i, "no declaration begins like this")
		}
		if err != nil {
			return err
		}
	}
}

func (d *declarations) has(s string) bool { return hasPrefix(d.b[d.i:], s) }

func (d *declarations) take(s string) bool {
	if !d.has(s) {
		return false
	}
	d.i += len(s)
	return true
}

func (d *declarations) expect(s string) error {
	if d.take(s) {
		return nil
	}
	if len(d.b)-d.i < len(s) {
		return errMore
	}
	return syntax(d.i, s+" expected")
}

func (d *declarations) space() error {
	at := skipSpace(d.b, d.i)
	if at == len(d.b) {
		return errMore
	}
	if at == d.i {
		return syntax(d.i, "white space expected")
	}
	d.i = at
	return nil
}

func (d *declarations) name() ([]byte, error) {
	end, _, err := scanQName(d.b, d.i)
	if err != nil {
		return nil, err
	}
	name := d.b[d.i:end]
	if len(name) > d.limits.Name {
		return nil, excess(d.i, "bytes of a name", int64(d.limits.Name))
	}
	d.i = end
	return name, nil
}

// through skips to behind the mark.
func (d *declarations) through(mark string) error {
	at := bytes.Index(d.b[d.i:], []byte(mark))
	if at < 0 {
		return errMore
	}
	d.i += at + len(mark)
	return nil
}

func (d *declarations) comment() error {
	if err := d.through("--"); err != nil {
		return err
	}
	return d.expect(">")
}

func (d *declarations) instruction() error {
	n, err := scanInstruction(d.b, d.i-2, d.limits)
	if err != nil {
		return err
	}
	d.i = n.end
	return nil
}

// skip passes over a declaration whose content does not matter.
func (d *declarations) skip() error {
	if err := d.space(); err != nil {
		return err
	}
	for d.i < len(d.b) {
		switch c := d.b[d.i]; c {
		case '>':
			d.i++
			return nil
		case '<', '[', ']', '&', '%':
			return syntax(d.i, "unexpected character in a declaration")
		case '"', '\'':
			if _, err := d.literal(); err != nil {
				return err
			}
		default:
			d.i++
		}
	}
	return errMore
}

// literal gives what is between quotes.
func (d *declarations) literal() ([]byte, error) {
	if d.i >= len(d.b) {
		return nil, errMore
	}
	quote := d.b[d.i]
	if quote != '"' && quote != '\'' {
		return nil, syntax(d.i, "quote expected")
	}
	from := d.i + 1
	n := bytes.IndexByte(d.b[from:], quote)
	if n < 0 {
		return nil, errMore
	}
	d.i = from + n + 1
	return d.b[from : from+n], nil
}

// externalID parses SYSTEM "…" or PUBLIC "…" "…" and gives the system
// identifier.
func (d *declarations) externalID() (system []byte, err error) {
	literals := 1
	if !d.take("SYSTEM") {
		if err := d.expect("PUBLIC"); err != nil {
			return nil, err
		}
		literals = 2
	}
	for range literals {
		if err := d.space(); err != nil {
			return nil, err
		}
		if system, err = d.literal(); err != nil {
			return nil, err
		}
	}
	return system, nil
}

// entity parses an entity declaration. The first of a name counts; those of
// the predefined entities say nothing new.
func (d *declarations) entity() error {
	if err := d.space(); err != nil {
		return err
	}
	if d.has("%") {
		return &fault{at: d.i, reason: ErrEntity, problem: "parameter entities are not read"}
	}
	name, err := d.name()
	if err != nil {
		return err
	}
	if bytes.IndexByte(name, ':') >= 0 {
		return misused(d.i, "an entity name with a colon")
	}
	if err := d.space(); err != nil {
		return err
	}
	var e entity
	if d.b[d.i] == '"' || d.b[d.i] == '\'' {
		e.internal = true
		if e.text, err = d.entityValue(); err != nil {
			return err
		}
		e.marked = marked(e.text)
	} else {
		system, err := d.externalID()
		if err != nil {
			return err
		}
		e.system = string(system)
		if at := skipSpace(d.b, d.i); at > d.i && hasPrefix(d.b[at:], "NDATA") {
			d.i = at + len("NDATA")
			e.unparsed = true
			if err := d.space(); err != nil {
				return err
			}
			if _, err := d.name(); err != nil {
				return err
			}
		}
	}
	d.i = skipSpace(d.b, d.i)
	if _, ok := d.subset.entities[string(name)]; !ok && predefined(name) == 0 {
		d.subset.entities[string(name)] = e
	}
	return d.expect(">")
}

// entityValue gives the replacement text of an internal entity, XML 1.0
// section 4.5: character references are replaced, others stay.
func (d *declarations) entityValue() ([]byte, error) {
	at := d.i + 1
	value, err := d.literal()
	if err != nil {
		return nil, err
	}
	if len(value) > maxEntity {
		return nil, excess(at, "bytes of an entity", maxEntity)
	}
	if bytes.IndexByte(value, '%') >= 0 {
		return nil, &fault{at: at, reason: ErrEntity, problem: "parameter entities are not read"}
	}
	value = append(appendLines(nil, value), 0) // a stop for the scanners
	var text []byte
	for i := 0; i < len(value)-1; {
		if value[i] != '&' {
			text = append(text, value[i])
			i++
			continue
		}
		if value[i+1] == '#' {
			c, end, err := characterReference(value, i)
			if err != nil {
				return nil, syntax(at, "malformed character reference")
			}
			text = utf8.AppendRune(text, c)
			i = end
			continue
		}
		end, err := scanNCName(value, i+1)
		if err != nil || value[end] != ';' {
			return nil, syntax(at, "malformed reference")
		}
		text = append(text, value[i:end+1]...)
		i = end + 1
	}
	return text, nil
}
