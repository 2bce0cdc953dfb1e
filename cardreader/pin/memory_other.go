//go:build !unix

package pin

// allocate falls back to the heap where x/sys offers no locked pages in a
// portable way.
func allocate(n int) ([]byte, error) { return make([]byte, n), nil }

func release(memory []byte) { clear(memory) }
