//go:build unix

package pin

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate maps whole pages, since locks and dump marks work by page. A refused
// lock (RLIMIT_MEMLOCK) is no reason to refuse the signature: the memory is
// still wiped and not on the heap.
func allocate(n int) ([]byte, error) {
	page := os.Getpagesize()
	size := (n + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	_ = unix.Mlock(memory)
	protect(memory)
	return memory, nil
}

func release(memory []byte) {
	clear(memory)
	_ = unix.Munlock(memory)
	_ = unix.Munmap(memory)
}
