package hardening_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/eidbridge/eidbridge/desktop/hardening"
)

// C-45: core size 0 and process not dumpable.
func TestProcessLeavesNoCoreBehind(t *testing.T) {
	if err := hardening.Process(); err != nil {
		t.Fatal(err)
	}
	limits, err := os.ReadFile("/proc/thread-self/limits")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if fields := strings.Fields(rest); fields[0] != "0" || fields[1] != "0" {
				t.Errorf("core limits are %v, want 0", fields)
			}
		}
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d (%v), want 0", dumpable, err)
	}
}
