package pin

import "golang.org/x/sys/unix"

// protect keeps the pages out of core dumps and out of child processes.
func protect(memory []byte) {
	_ = unix.Madvise(memory, unix.MADV_DONTDUMP)
	_ = unix.Madvise(memory, unix.MADV_WIPEONFORK)
}
