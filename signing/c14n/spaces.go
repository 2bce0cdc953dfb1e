package c14n

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// spaces is what the nearest element of the output above a place has in
// effect, by prefix: the namespace nodes it has in the node-set (inclusive),
// or what was last written where the prefix was visibly used (exclusive).
type spaces struct {
	stack []effect
	tops  []int32 // by slot of the prefix: index in stack plus one, or 0
}

type effect struct {
	uri    []byte // empty: in scope, but nothing was written
	depth  int
	slot   int
	hidden int32 // what tops had before
}

func (s *spaces) current(slot int) []byte {
	if slot >= len(s.tops) || s.tops[slot] == 0 {
		return nil
	}
	return s.stack[s.tops[slot]-1].uri
}

func (s *spaces) set(depth, slot int, uri []byte) {
	for len(s.tops) <= slot {
		s.tops = append(s.tops, 0)
	}
	s.stack = append(s.stack, effect{uri: uri, depth: depth, slot: slot, hidden: s.tops[slot]})
	s.tops[slot] = int32(len(s.stack))
}

func (s *spaces) leave(depth int) {
	n := len(s.stack)
	for n > 0 && s.stack[n-1].depth == depth {
		n--
		s.tops[s.stack[n].slot] = s.stack[n].hidden
	}
	s.stack = s.stack[:n]
}

// namespaces writes the declarations of an element, by prefix.
func (f *form) namespaces(c *Canonicalizer, t *xmltext.Token) error {
	shown := f.shown[t.Depth]
	f.axis = f.axis[:0]
	if shown {
		for i := range t.Namespaces {
			if relative(t.Namespaces[i].URI) {
				return fmt.Errorf("%w %q", ErrRelativeNamespace, t.Namespaces[i].URI)
			}
		}
	}
	if !f.exclusive || len(f.out.Prefixes) > 0 {
		switch {
		case f.out.Filter != nil:
			f.filtered(c, t)
		case f.shown[t.Depth-1]:
			for i := range t.Namespaces {
				f.consider(t.Depth, t.Namespaces[i])
			}
		default:
			for n := range c.reader.InScope() {
				f.consider(t.Depth, n)
			}
		}
	}
	if shown && f.exclusive {
		f.utilized(c, t, &t.Name)
		for _, a := range f.attrs {
			if a.Name.Slot > xmltext.XMLSlot {
				f.utilized(c, t, &a.Name)
			}
		}
	}
	if len(f.axis) > 1 {
		slices.SortFunc(f.axis, func(a, b xmltext.Namespace) int { return bytes.Compare(a.Prefix, b.Prefix) })
	}
	for i := range f.axis {
		if relative(f.axis[i].URI) {
			return fmt.Errorf("%w %q", ErrRelativeNamespace, f.axis[i].URI)
		}
		f.w.declaration(f.axis[i].Prefix, f.axis[i].URI)
	}
	return nil
}

// inclusive says whether a prefix is treated as in inclusive canonicalization.
func (f *form) inclusive(prefix []byte) bool {
	return !f.exclusive || len(f.listed) > 0 && f.listed[string(prefix)]
}

// consider writes a declaration in scope unless it is in effect already. The
// element is in the node-set with all its namespaces.
func (f *form) consider(depth int, n xmltext.Namespace) {
	// A declaration of the prefix xml says nothing and is never written (Canonical
	// XML 1.0 section 2.3).
	if n.Slot == xmltext.XMLSlot || !f.inclusive(n.Prefix) || bytes.Equal(f.current(n.Slot), n.URI) {
		return
	}
	f.set(depth, n.Slot, n.URI)
	f.axis = append(f.axis, n)
}

// filtered is what Canonical XML 1.0 section 2.3 says of namespace nodes when
// each may be in the node-set or not, and their element too.
func (f *form) filtered(c *Canonicalizer, t *xmltext.Token) {
	shown, hasDefault := f.shown[t.Depth], false
	for n := range c.reader.InScope() {
		if !f.inclusive(n.Prefix) {
			continue
		}
		current := f.current(n.Slot)
		switch {
		case f.out.Filter(Node{Kind: NamespaceNode, Depth: t.Depth, Element: t, Namespace: n}):
			hasDefault = hasDefault || n.Slot == xmltext.DefaultSlot
			if bytes.Equal(current, n.URI) {
				continue
			}
			f.axis = append(f.axis, n)
			if shown {
				f.set(t.Depth, n.Slot, n.URI)
			}
		case shown && len(current) > 0 && n.Slot != xmltext.DefaultSlot:
			f.set(t.Depth, n.Slot, nil)
		}
	}
	if shown && !hasDefault && f.inclusive(nil) {
		f.consider(t.Depth, xmltext.Namespace{Slot: xmltext.DefaultSlot})
	}
}

// utilized writes the declaration of the prefix of a name that an element of the
// node-set visibly utilizes, Exclusive XML Canonicalization section 3.
func (f *form) utilized(c *Canonicalizer, t *xmltext.Token, name *xmltext.Name) {
	slot := name.Slot
	if f.out.Filter == nil && bytes.Equal(f.current(slot), name.Space) {
		return // in effect already, as for nearly every element
	}
	n := c.reader.Lookup(slot)
	if slot == xmltext.XMLSlot || f.inclusive(n.Prefix) {
		return
	}
	if f.out.Filter != nil && !f.out.Filter(Node{Kind: NamespaceNode, Depth: t.Depth, Element: t, Namespace: n}) {
		n.URI = nil
	}
	if bytes.Equal(f.current(slot), n.URI) {
		return
	}
	f.set(t.Depth, slot, n.URI)
	if len(n.URI) > 0 || slot == xmltext.DefaultSlot {
		f.axis = append(f.axis, n)
	}
}

// relative says whether a namespace name is a relative URI reference: not
// empty and without a scheme.
func relative(uri []byte) bool {
	for i, c := range uri {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		switch {
		case c == ':':
			return i == 0
		case letter, i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return true
		}
	}
	return len(uri) > 0
}
