package outfile

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// openUnnamed makes a file without a name in a folder: nobody sees it, and nothing is
// left of it when the program or the computer stops. It returns nil where that is not
// to be had, for whatever reason.
func openUnnamed(folder string) *os.File {
	fd, err := unix.Open(folder, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), filepath.Join(folder, "unnamed")) // what errors call it
	// It gets its name by this detour, which wants /proc.
	if _, err := os.Lstat(procName(f)); err != nil {
		f.Close()
		return nil
	}
	return f
}

// linkUnnamed gives such a file its name, which must be free.
func linkUnnamed(f *os.File, out string) error {
	if err := unix.Linkat(unix.AT_FDCWD, procName(f), unix.AT_FDCWD, out, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: "unnamed file", New: out, Err: err}
	}
	return nil
}

func procName(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
