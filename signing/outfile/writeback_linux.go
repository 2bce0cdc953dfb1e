package outfile

import "golang.org/x/sys/unix"

// Writeback lets the kernel begin to write a range of the file to the disk, so
// that there is less to wait for in Place. It is a hint: errors show up there.
func (f *File) Writeback(offset, length int64) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), offset, length, unix.SYNC_FILE_RANGE_WRITE)
	})
}
