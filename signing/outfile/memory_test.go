package outfile

import "testing"

// TestMemoryLendsWhatFits: two that write at a time have a buffer each, also without
// any to lend, and one that is too small is no substitute.
func TestMemoryLendsWhatFits(t *testing.T) {
	var none *Memory
	for name, m := range map[string]*Memory{"lent": new(Memory), "none": none, "of no group": (*Group)(nil).Memory(), "of a group": new(Group).Memory()} {
		m.Return(make([]byte, 10))
		for _, n := range []int{20, 5, 0, 10} {
			a, b := m.Take(n), m.Take(n)
			if len(a) != n || len(b) != n {
				t.Fatalf("%s: buffers of %d and %d bytes, not %d", name, len(a), len(b), n)
			}
			if n > 0 && &a[0] == &b[0] {
				t.Fatalf("%s: two have the same buffer", name)
			}
			m.Return(a)
			m.Return(b)
		}
	}
}

// TestMemoryKeepsNoMoreThanWasLent: a run of files that grow leaves the last buffer, not
// one of each size.
func TestMemoryKeepsNoMoreThanWasLent(t *testing.T) {
	m := new(Memory)
	var small [][]byte
	for n := 9; n < 16; n++ { // as many bits each
		b := m.Take(n)
		m.Return(b)
		small = append(small, b)
	}
	kept := small[len(small)-1]
	if b := m.Take(9); &b[0] != &kept[0] {
		t.Error("the buffer that was lent last is not kept")
	}
	for range kept {
		b := m.Take(9)
		for _, s := range small {
			if &b[0] == &s[0] {
				t.Fatal("a second buffer is kept although one was lent at a time")
			}
		}
	}
}
