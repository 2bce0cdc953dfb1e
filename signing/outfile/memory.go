package outfile

import (
	"math/bits"
	"sync"
)

// Memory lends buffers for the time that a file is written, so that a run of files
// takes them once: to touch a megabyte for the first time costs as much as hashing it.
// The zero value is ready for use, by several goroutines as well; a nil one has new
// buffers. It is as large as what was lent at the same time, up to kept buffers of
// each size.
type Memory struct {
	mu   sync.Mutex
	free [bits.UintSize + 1][][]byte // by the bits of their length
}

// kept is how many buffers of about one size wait for the next file.
const kept = 4

// Take returns a buffer of n bytes with any content.
func (m *Memory) Take(n int) []byte {
	if m == nil {
		return make([]byte, n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	free := &m.free[bits.Len(uint(n))]
	for i, b := range *free {
		if cap(b) >= n {
			last := len(*free) - 1
			(*free)[i], (*free)[last] = (*free)[last], nil
			*free = (*free)[:last]
			return b[:n]
		}
	}
	if last := len(*free) - 1; last >= 0 { // in whose place the new one comes
		(*free)[last] = nil
		*free = (*free)[:last]
	}
	return make([]byte, n)
}

// Return gives back a buffer that nobody looks at any more.
func (m *Memory) Return(b []byte) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	free := &m.free[bits.Len(uint(len(b)))]
	if len(*free) < kept {
		*free = append(*free, b)
		return
	}
	(*free)[0] = b // what comes next is more likely like this one
}
