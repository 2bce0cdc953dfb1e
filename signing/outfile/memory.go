package outfile

import "sync"

// Memory lends buffers for the time that a file is written, so that a run of files
// takes them once. A nil one has new ones.
type Memory struct{ pool sync.Pool }

// Take returns a buffer of n bytes with any content.
func (m *Memory) Take(n int) []byte {
	if m != nil {
		if b, ok := m.pool.Get().(*[]byte); ok && cap(*b) >= n {
			return (*b)[:n]
		}
	}
	return make([]byte, n)
}

// Return gives back a buffer that nobody looks at any more.
func (m *Memory) Return(b []byte) {
	if m != nil {
		m.pool.Put(&b)
	}
}
