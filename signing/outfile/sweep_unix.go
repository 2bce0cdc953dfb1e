//go:build unix

package outfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// claims tells whether a file that somebody writes can be told from an abandoned one.
const claims = true

// Claim says, as long as the file is open, that somebody writes it, and tells whether
// nobody else does. Where that cannot be said nobody can ask either.
func Claim(f *os.File) bool {
	return !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// claimNew claims a file that was just made. Who sweeps may have taken it for an
// abandoned one before.
func claimNew(f *os.File) bool {
	var info unix.Stat_t
	return Claim(f) && (unix.Fstat(int(f.Fd()), &info) != nil || info.Nlink > 0)
}

// removeAbandoned removes a file that nobody claims.
func removeAbandoned(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && os.Remove(name) == nil
}
