package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// S-48: what is unsafe around the process is told at start.
func TestSurroundingsAreDoubted(t *testing.T) {
	sound := surroundings{uid: 990, program: 0o755, folder: 0o755, data: 0o700}
	if list := sound.doubts(); len(list) != 0 {
		t.Errorf("a sound one: %q", list)
	}
	for name, c := range map[string]struct {
		change func(*surroundings)
		want   string
	}{
		"S-48 root":                   {func(s *surroundings) { s.uid = 0 }, "root"},
		"S-48 a writable program":     {func(s *surroundings) { s.program = 0o775 }, "replace the program"},
		"S-48 a writable folder":      {func(s *surroundings) { s.folder = 0o777 }, "replace the program"},
		"S-48 an open folder of keys": {func(s *surroundings) { s.data = 0o755 }, "755"},
		"S-48 core dumps":             {func(s *surroundings) { s.cores = true }, "core dumps"},
	} {
		s := sound
		c.change(&s)
		if list := s.doubts(); len(list) != 1 || !strings.Contains(list[0], c.want) {
			t.Errorf("%s: %q", name, list)
		}
	}
	sticky := sound
	sticky.folder = 0o777 | fs.ModeSticky
	if list := sticky.doubts(); len(list) != 0 {
		t.Errorf("a folder where nobody replaces files of others: %q", list)
	}
}

// S-48: the process writes no core dump and cannot be looked into, and the unit file
// has the sandbox.
func TestProcessIsHardened(t *testing.T) {
	const variable = "EIDBROKER_TEST_HARDEN"
	if os.Getenv(variable) != "" {
		harden()
		if coresAllowed() {
			os.Exit(3)
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1") {
			os.Exit(4)
		}
		os.Exit(0)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -c unlimited 2>/dev/null; exec "$0" -test.run '^TestProcessIsHardened$'`, program)
	inside.Env = append(os.Environ(), variable+"=yes")
	if out, err := inside.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	unit, err := os.ReadFile(filepath.Join("eidbroker.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{
		"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "MemoryDenyWriteExecute=yes", "SystemCallFilter=", "LimitCORE=0",
		"CapabilityBoundingSet=\n", "RestrictAddressFamilies=", "PrivateTmp=yes", "ProtectHome=yes",
	} {
		if !strings.Contains(string(unit), setting) {
			t.Errorf("S-48 the unit file lacks %s", setting)
		}
	}
}

// S-44: a broker in a namespace without any network but itself starts, serves and
// ends as everywhere: it asks nobody in the world for anything.
func TestNoHiddenNetworkUse(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside := exec.CommandContext(t.Context(), "unshare", "--map-root-user", "--net", "sh", "-c",
		`ip link set lo up && test -z "$(ip route show default)" && exec "$0" -test.v -test.run '^(TestServeStartsFromAnEmptyDirectory|TestDefaultKeysLogIn|TestBackupAndRestore|TestOutagesSwitchWhileRunning)$'`, program)
	out, err := inside.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: Test") < 4 {
		t.Errorf("S-44 %v: %s", err, out)
	}
}
