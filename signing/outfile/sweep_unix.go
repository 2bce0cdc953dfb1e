//go:build unix

package outfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// claim says, as long as the file is open, that somebody writes it. Where that cannot
// be said nobody can ask either.
func claim(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// removeAbandoned removes a file that nobody claims.
func removeAbandoned(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && os.Remove(name) == nil
}
