//go:build unix && !linux

package host

import "golang.org/x/sys/unix"

// withoutCore keeps the PIN from a core file after a crash of the module.
func withoutCore() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
