package main

import (
	"golang.org/x/sys/unix"
)

// harden turns off core dumps and keeps other processes of the same user from looking
// into the memory of this one.
func harden() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // coresAllowed tells
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)     // the same
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // nothing is run from here
}

func coresAllowed() bool {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return true
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return limit.Cur > 0 && (err != nil || dumpable != 0)
}
