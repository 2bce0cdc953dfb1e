package xmltext

import (
	"bytes"
	"slices"
)

// Subset accepts a document type declaration and applies its internal subset.
type Subset struct {
	// External is the text of external entities by system identifier, UTF-8
	// without markup. Others that a document refers to are an error.
	External map[string][]byte
}

// subset is what a document type declaration declares.
type subset struct {
	external   map[string][]byte
	attributes map[string]attributeTypes // by qualified name of the element
	entities   map[string]entity
	count      int // of declarations
	spent      int // bytes taken in place of references and as defaults
}

// spend counts bytes that a document takes from its subset.
func (s *subset) spend(at, n int) error {
	if s.spent += n; s.spent > maxExpansion {
		return excess(at, "bytes of entities and defaults", maxExpansion)
	}
	return nil
}

// attributeTypes are the declared attributes of an element, in order.
type attributeTypes []attributeType

type attributeType struct {
	name   []byte
	tokens bool // of a type other than CDATA
	id     bool
	preset bool // value is the default
	value  []byte
}

// entity is a declared general entity.
type entity struct {
	text     []byte // of an internal entity, with character references replaced
	marked   bool   // the text holds markup or references
	system   string // of an external one
	internal bool
	unparsed bool
}

// apply gives an attribute the value that its declared type makes of it.
func (d attributeTypes) apply(a *Attribute, name []byte) {
	for i := range d {
		if !bytes.Equal(d[i].name, name) {
			continue
		}
		a.ID = d[i].id
		if d[i].tokens {
			a.Value = collapse(a.Value)
		}
		return
	}
}

// collapse drops blanks at the ends and all but one in a row, XML 1.0 section
// 3.3.3.
func collapse(value []byte) []byte {
	var out []byte
	for _, word := range bytes.Split(value, []byte(" ")) {
		if len(word) == 0 {
			continue
		}
		if len(out) > 0 {
			out = append(out, ' ')
		}
		out = append(out, word...)
	}
	return out
}

// supply adds the defaults of attributes that the tag does not have.
func (r *Reader) supply(b []byte, declared attributeTypes, mark int) error {
	for i := range declared {
		d := &declared[i]
		if !d.preset || slices.ContainsFunc(r.raw, func(a rawAttribute) bool { return bytes.Equal(b[a.name:a.nameEnd], d.name) }) {
			continue
		}
		if len(r.attrs)+len(r.declared) >= r.limits.Attributes {
			return excess(0, "attributes", int64(r.limits.Attributes))
		}
		if err := r.subset.spend(0, len(d.name)+len(d.value)); err != nil {
			return err
		}
		attr := Attribute{Value: d.value, Plain: plainValue(d.value), ID: d.id, Default: true}
		if err := r.attribute(0, d.name, bytes.IndexByte(d.name, ':'), attr, mark); err != nil {
			return err
		}
	}
	return nil
}

// expand gives the text that a reference to an entity stands for.
func (s *subset) expand(at int, name string, external bool) ([]byte, error) {
	e, ok := s.entities[name]
	refused := func(why string) error {
		return &fault{at: at, reason: ErrEntity, problem: "entity " + quoted([]byte(name)) + " " + why}
	}
	switch {
	case !ok:
		return nil, syntax(at, "reference to entity "+quoted([]byte(name))+", which is not declared")
	case e.unparsed:
		return nil, syntax(at, "reference to an unparsed entity")
	case e.internal:
		if e.marked {
			return nil, refused("holds markup or references")
		}
		return e.text, s.spend(at, len(e.text))
	case !external:
		return nil, syntax(at, "reference to an external entity in an attribute value")
	}
	text, ok := s.external[e.system]
	if !ok {
		return nil, refused("is external and not at hand")
	}
	if len(text) > maxEntity {
		return nil, excess(at, "bytes of an entity", maxEntity)
	}
	if _, err := checkData(text, 0, len(text)); err != nil || marked(text) {
		return nil, refused("is not plain text")
	}
	text = appendLines(nil, text)
	return text, s.spend(at, len(text))
}

// marked says whether text holds markup or references.
func marked(text []byte) bool {
	return bytes.IndexByte(text, '<') >= 0 || bytes.IndexByte(text, '&') >= 0
}

// doctype reads a document type declaration.
func (r *Reader) doctype(b []byte) (int, error) {
	if r.accept == nil {
		return 0, &fault{reason: ErrDoctype, problem: "the document has a DOCTYPE"}
	}
	if r.stage != inProlog || r.subset != nil {
		return 0, syntax(0, "a DOCTYPE in the wrong place")
	}
	d := declarations{b: b, i: len("<!DOCTYPE"), limits: r.limits, subset: &subset{
		external:   r.accept.External,
		attributes: make(map[string]attributeTypes),
		entities:   make(map[string]entity),
	}}
	if err := d.doctype(); err != nil {
		return 0, err
	}
	if d.i > r.limits.Markup {
		return 0, excess(0, "bytes of markup", int64(r.limits.Markup))
	}
	if _, err := checkData(b, 0, d.i); err != nil {
		return 0, err
	}
	r.subset = d.subset
	r.set(Doctype)
	return d.i, nil
}
