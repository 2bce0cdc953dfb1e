package pin

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// The secret's pages are really locked and left out of dumps.
func TestMemoryIsLockedAndNotDumped(t *testing.T) {
	p, err := New([]byte("1234"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Wipe()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	address := uintptr(unsafe.Pointer(&p.memory[0]))
	inside := false
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			inside = from <= address && address < to
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); inside && ok {
			if !strings.Contains(flags, " dd ") {
				t.Errorf("flags are %q: not excluded from dumps", flags)
			}
			if !strings.Contains(flags, " lo ") {
				t.Logf("flags are %q: memory is not locked (RLIMIT_MEMLOCK?)", flags)
			}
			return
		}
	}
	t.Error("memory of the PIN is no mapping of its own")
}
