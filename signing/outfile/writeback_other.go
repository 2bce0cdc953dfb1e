//go:build !linux

package outfile

// Writeback would begin to write a range to the disk; this system has no call for
// that.
func (f *File) Writeback(offset, length int64) {}

// wait would return when the disk has all pages of the file.
func (f *File) wait() bool { return false }
