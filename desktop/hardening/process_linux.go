package hardening

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Process forbids core dumps (RLIMIT_CORE 0) and makes the process non-dumpable
// (prctl(2), PR_SET_DUMPABLE 0), which also keeps ptrace and /proc/PID/mem from
// other processes of the same user. Children inherit the limit only.
func Process() error {
	var errs []error
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		errs = append(errs, fmt.Errorf("forbid core dumps: %w", err))
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		errs = append(errs, fmt.Errorf("make process non-dumpable: %w", err))
	}
	return errors.Join(errs...)
}
