package host

import (
	"errors"

	"golang.org/x/sys/unix"
)

// withoutCore keeps the PIN from a core file after a crash of the module, and from
// other programs of the same user, which could read this one's memory.
func withoutCore() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
}
