package saml

import "strings"

// element is a node of a parsed document. It is never changed after parsing, so
// what was checked is what is canonicalized.
type element struct {
	prefix, local, ns string
	attributes        []attribute
	declarations      []declaration
	parent            *element
	children          []node
}

// node is a child: an element, or a run of character data if element is nil, or a
// comment, which is there for canonicalization alone.
type node struct {
	element *element
	text    string
	comment bool
}

type attribute struct {
	prefix, local, ns, value string
}

// declaration binds a prefix ("" for the default) to a namespace name.
type declaration struct {
	prefix, ns string
}

func (e *element) is(ns, local string) bool {
	return e != nil && e.local == local && e.ns == ns
}

// attribute returns an attribute that is in no namespace. The parser lets no
// local name occur twice, so a prefixed namesake cannot stand beside it.
func (e *element) attribute(local string) (value string, present bool) {
	for i := range e.attributes {
		if a := &e.attributes[i]; a.local == local && a.ns == "" {
			return a.value, true
		}
	}
	return "", false
}

func (e *element) value(local string) string {
	v, _ := e.attribute(local)
	return v
}

// elements returns the child elements in order.
func (e *element) elements() []*element {
	var found []*element
	for _, c := range e.children {
		if c.element != nil {
			found = append(found, c.element)
		}
	}
	return found
}

// all returns the child elements of one name.
func (e *element) all(ns, local string) []*element {
	var found []*element
	for _, c := range e.children {
		if c.element.is(ns, local) {
			found = append(found, c.element)
		}
	}
	return found
}

// child returns the first child element of a name, or nil. Shape checks see to
// it that there is no second one where it would matter.
func (e *element) child(ns, local string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.element.is(ns, local) {
			return c.element
		}
	}
	return nil
}

// text is the whole character data of an element that has no child elements.
func (e *element) text() (string, bool) {
	switch {
	case len(e.children) == 0:
		return "", true
	case len(e.children) == 1 && !e.children[0].comment:
		return e.children[0].text, e.children[0].element == nil
	}
	var b strings.Builder
	for _, c := range e.children {
		if c.element != nil {
			return "", false
		}
		if !c.comment {
			b.WriteString(c.text)
		}
	}
	return b.String(), true
}

// inScope lists the namespace bindings that hold at e, nearest first winning.
func (e *element) inScope() []declaration {
	var scope []declaration
	for at := e; at != nil; at = at.parent {
	next:
		for _, d := range at.declarations {
			for _, have := range scope {
				if have.prefix == d.prefix {
					continue next
				}
			}
			scope = append(scope, d)
		}
	}
	return scope
}

// path is the local names from the root, for the operator: names of this
// package's own table only, since the parser refuses others before a path is
// printed.
func (e *element) path() string {
	if e.parent == nil {
		return e.local
	}
	return e.parent.path() + "/" + e.local
}

// allOf is all for an element that may be absent.
func (e *element) allOf(ns, local string) []*element {
	if e == nil {
		return nil
	}
	return e.all(ns, local)
}
