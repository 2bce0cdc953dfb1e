package xmltext

import (
	"bytes"
	"hash/maphash"
)

// few is how many attributes are compared with each other without a table.
const few = 8

// nameSet is a hash table of the attributes of one element. Slots of other
// elements have another round and count as free.
type nameSet struct {
	slots []nameSlot
	round uint32
}

type nameSlot struct {
	round uint32
	index int32
}

// distinct checks that no two attributes of the element have the same name or
// the same expanded name, in time that grows with their number and not with
// its square.
func (r *Reader) distinct() error {
	if len(r.attrs) <= few {
		for i := range r.attrs {
			for j := range r.attrs[:i] {
				if r.same(i, j) {
					return r.twice(i)
				}
			}
		}
		return nil
	}
	s := &r.seen
	if need := 2 * len(r.attrs); need > len(s.slots) {
		size := 64
		for size < need {
			size *= 2
		}
		s.slots, s.round = make([]nameSlot, size), 0
	}
	if s.round++; s.round == 0 {
		clear(s.slots)
		s.round = 1
	}
	mask := uint64(len(s.slots) - 1)
	for i := range r.attrs {
		name := &r.attrs[i].Name
		h := maphash.Bytes(r.scope.seed, name.Local())
		if name.Slot >= 0 {
			h ^= r.scope.bindings[r.scope.slots[name.Slot].top].hash
		}
		for h &= mask; s.slots[h].round == s.round; h = (h + 1) & mask {
			if r.same(i, int(s.slots[h].index)) {
				return r.twice(i)
			}
		}
		s.slots[h] = nameSlot{round: s.round, index: int32(i)}
	}
	return nil
}

func (r *Reader) same(i, j int) bool { return r.attrs[i].Name.Equal(&r.attrs[j].Name) }

func (r *Reader) twice(i int) error {
	name := &r.attrs[i].Name
	for j := range r.attrs[:i] {
		if bytes.Equal(r.attrs[j].Name.Qualified, name.Qualified) {
			return syntax(0, "attribute "+quoted(name.Qualified)+" twice")
		}
	}
	return misused(0, "two attributes named "+quoted(name.Local())+" in the same namespace")
}
