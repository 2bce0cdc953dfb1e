package outfile

import "golang.org/x/sys/unix"

// Writeback lets the kernel begin to write a range of the file to the disk, so
// that there is less to wait for in Place. Length 0 is up to the end. It is a hint:
// errors show up there.
func (f *File) Writeback(offset, length int64) {
	_ = f.syncRange(offset, length, unix.SYNC_FILE_RANGE_WRITE)
}

// wait returns when the disk has all pages of the file. What says where they are is
// not yet durable.
func (f *File) wait() bool {
	return f.syncRange(0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER) == nil
}

func (f *File) syncRange(offset, length int64, flags int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = unix.SyncFileRange(int(fd), offset, length, flags) }); err != nil {
		return err
	}
	return result
}
