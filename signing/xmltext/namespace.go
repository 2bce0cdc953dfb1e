package xmltext

import (
	"bytes"
	"hash/maphash"
	"iter"
)

// scope holds the declarations in scope as a stack. A prefix is found through
// a hash with a secret seed, so that looking one up costs the same however
// many are in scope; leaving an element undoes its declarations.
type scope struct {
	seed     maphash.Seed
	bindings []binding
	slots    []slot
	free     []int32 // slots nobody uses
	buckets  [256]int32
	bytes    []byte // prefixes and names of the bindings, in their order
}

type binding struct {
	prefix, uri []byte
	hash        uint64 // of uri
	slot        int32
	hidden      int32 // the binding of the same prefix it hides, or -1
	bytes       int32 // where its bytes start
}

type slot struct {
	prefix []byte
	top    int32 // the binding in effect
	next   int32 // in its bucket, -1 at the end
	bucket uint8
}

const none = -1

func newScope() scope {
	s := scope{seed: maphash.MakeSeed()}
	for i := range s.buckets {
		s.buckets[i] = none
	}
	s.bind(nil, nil)
	s.bind([]byte("xml"), []byte(XMLNamespace))
	return s
}

func (s *scope) bucket(prefix []byte) uint8 { return uint8(maphash.Bytes(s.seed, prefix)) }

// find gives the slot of a prefix, or none.
func (s *scope) find(prefix []byte) int32 {
	if len(prefix) == 0 && len(s.slots) > 0 {
		return DefaultSlot
	}
	for at := s.buckets[s.bucket(prefix)]; at != none; at = s.slots[at].next {
		if bytes.Equal(s.slots[at].prefix, prefix) {
			return at
		}
	}
	return none
}

// bind declares a prefix and gives the index of the binding.
func (s *scope) bind(prefix, uri []byte) int32 {
	at := int32(len(s.bindings))
	b := binding{hash: maphash.Bytes(s.seed, uri), hidden: none, bytes: int32(len(s.bytes)), slot: s.find(prefix)}
	s.bytes = append(append(s.bytes, prefix...), uri...)
	kept := s.bytes[b.bytes:len(s.bytes):len(s.bytes)]
	b.prefix, b.uri = kept[:len(prefix):len(prefix)], kept[len(prefix):]
	if b.slot == none {
		b.slot = s.newSlot(b.prefix)
	} else {
		b.hidden = s.slots[b.slot].top
	}
	s.slots[b.slot].top = at
	s.bindings = append(s.bindings, b)
	return at
}

func (s *scope) newSlot(prefix []byte) int32 {
	at := int32(len(s.slots))
	if n := len(s.free); n > 0 {
		at, s.free = s.free[n-1], s.free[:n-1]
	} else {
		s.slots = append(s.slots, slot{})
	}
	bucket := s.bucket(prefix)
	s.slots[at] = slot{prefix: prefix, next: s.buckets[bucket], bucket: bucket}
	s.buckets[bucket] = at
	return at
}

// release undoes all bindings from the mark on.
func (s *scope) release(mark int) {
	for at := len(s.bindings) - 1; at >= mark; at-- {
		b := &s.bindings[at]
		if b.hidden != none {
			s.slots[b.slot].top = b.hidden
			// The name of the slot lies with the binding that made it, which
			// is further down and still there.
		} else {
			s.drop(b.slot)
		}
		s.bytes = s.bytes[:b.bytes]
	}
	s.bindings = s.bindings[:mark]
}

func (s *scope) drop(at int32) {
	link := &s.buckets[s.slots[at].bucket]
	for *link != at {
		link = &s.slots[*link].next
	}
	*link = s.slots[at].next
	s.slots[at].top = none
	s.free = append(s.free, at)
}

// InScope yields the declarations in effect at the token that was last read:
// at a start-tag its own are among them, at an end-tag still. Prefix xml is
// left out, and so is a default namespace that is none.
func (r *Reader) InScope() iter.Seq[Namespace] {
	return func(yield func(Namespace) bool) {
		for at := range r.scope.slots {
			top := r.scope.slots[at].top
			if top == none || at == XMLSlot || len(r.scope.bindings[top].uri) == 0 {
				continue
			}
			b := &r.scope.bindings[top]
			if !yield(Namespace{Prefix: b.prefix, URI: b.uri, Slot: at}) {
				return
			}
		}
	}
}

// Lookup gives what is in scope for a slot at the token that was last read. The
// namespace name is empty where the default namespace is none.
func (r *Reader) Lookup(slot int) Namespace {
	b := &r.scope.bindings[r.scope.slots[slot].top]
	return Namespace{Prefix: b.prefix, URI: b.uri, Slot: slot}
}

// declare checks a namespace declaration of the element being opened and puts
// it in scope. Declarations of the same element start at the mark.
func (r *Reader) declare(at int, prefix, uri []byte, mark int) error {
	switch {
	case string(prefix) == "xmlns":
		return misused(at, "prefix xmlns declared")
	case string(prefix) == "xml" != (string(uri) == XMLNamespace):
		return misused(at, "prefix xml and its namespace belong together")
	case string(uri) == xmlnsNamespace:
		return misused(at, "the namespace of xmlns declared")
	case len(prefix) > 0 && len(uri) == 0:
		return misused(at, "a prefix cannot be undeclared")
	case len(uri) > r.limits.Name:
		return excess(at, "bytes of a namespace name", int64(r.limits.Name))
	case len(r.scope.bindings)-2 >= r.limits.Namespaces:
		return excess(at, "namespace declarations in scope", int64(r.limits.Namespaces))
	}
	if found := r.scope.find(prefix); found != none && r.scope.slots[found].top >= int32(mark) {
		return syntax(at, "a prefix declared twice in one element")
	}
	b := &r.scope.bindings[r.scope.bind(prefix, uri)]
	r.declared = append(r.declared, Namespace{Prefix: b.prefix, URI: b.uri, Slot: int(b.slot)})
	return nil
}
