package host

import (
	"testing"

	"golang.org/x/sys/unix"
)

// S-48: the program that holds the token's PIN writes no core file, and no other
// program of its user reads its memory.
func TestProgramLeavesNoCoreBehind(t *testing.T) {
	if err := withoutCore(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("core limits are %+v (%v), want 0", limit, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d (%v), want 0", dumpable, err)
	}
}
