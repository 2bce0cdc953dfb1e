package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/demo"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

func TestMain(m *testing.M) {
	pcscd.Child()
	os.Exit(m.Run())
}

// build makes the three programs as `make build` does.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "../eidagent", "../eidbroker", ".")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

func eidlab(t *testing.T, dir string, args ...string) (stdout string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(dir, "eidlab"), args...)
	var out, errors bytes.Buffer
	c.Stdout, c.Stderr = &out, &errors
	err := c.Run()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	if errors.Len() > 0 {
		t.Logf("standard error: %s", errors.String())
	}
	return out.String(), c.ProcessState.ExitCode()
}

func TestDemoWalksTheWholeJourney(t *testing.T) {
	programs := build(t)
	for name, test := range map[string]struct {
		args []string
		card string
	}{
		"card in a real pcscd": {nil, "in a real pcscd"},
		"card without a pcscd": {[]string{"--in-process-card"}, "without pcscd (as asked for)"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			args := append([]string{"demo", "--once", "--free-ports", "--out", out}, test.args...)
			stdout, code := eidlab(t, programs, args...)
			if code != 0 || !strings.Contains(stdout, "All 10 steps are ok.") {
				t.Fatalf("exit code %d:\n%s", code, stdout)
			}
			if !strings.Contains(stdout, test.card) {
				t.Errorf("the card is not %s:\n%s", test.card, stdout)
			}
			for _, file := range []string{"contract-signed.pdf", "report.txt", "report.json", "eidagent.log", "eidbroker.log"} {
				if info, err := os.Stat(filepath.Join(out, file)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v, or empty", file, err)
				}
			}
			for _, file := range []string{"eidagent.log", "eidbroker.log", "report.json"} {
				if content, err := os.ReadFile(filepath.Join(out, file)); err != nil || holdsPIN(content) {
					t.Errorf("%s holds the PIN, or cannot be read: %v", file, err)
				}
			}
		})
	}
}

// holdsPIN looks for the PIN of the lab's card. Within a longer number it is none: five
// digits are among the nine of a time, and in a fingerprint, now and then.
func holdsPIN(content []byte) bool {
	return regexp.MustCompile(`(^|[^0-9a-f])` + demo.PIN2 + `($|[^0-9a-f])`).Match(content)
}

func TestThePINIsFoundInALog(t *testing.T) {
	for text, want := range map[string]bool{
		"12345": true, `{"pin":"12345"}`: true, "D 12345\n": true, "pin=12345&x": true, "PIN12345.": true,
		`{"time":"2026-11-29T08:27:29.151234597Z"}`: false, "sha256 9f12345c": false, "localhost:31234": false,
	} {
		if got := holdsPIN([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestDemoFailsWithoutItsPrograms(t *testing.T) {
	var out, errors bytes.Buffer
	t.Setenv("PATH", t.TempDir())
	code := run(t.Context(), []string{"demo", "--once", "--out", t.TempDir()}, streams{strings.NewReader(""), &out, &errors})
	if code != 1 || !strings.Contains(errors.String(), "make build") {
		t.Errorf("exit code %d, %q does not say what to do", code, errors.String())
	}
}

func TestDemoEndsWithOneWhenAProgramDoesNotStart(t *testing.T) {
	var out, errors bytes.Buffer
	args := []string{"demo", "--once", "--free-ports", "--in-process-card", "--out", t.TempDir(), "--broker", "/bin/false", "--agent", "/bin/false"}
	code := run(t.Context(), args, streams{strings.NewReader(""), &out, &errors})
	if code != 1 || !strings.Contains(errors.String(), "eidbroker") || !strings.Contains(errors.String(), "eidbroker.log") {
		t.Errorf("exit code %d, %q does not name the program and its log", code, errors.String())
	}
}

func TestWrongUse(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no command", nil, 2, "--help"},
		{"unknown kind", []string{"card", "--kind", "fineid"}, 2, "esteid"},
		{"nobody", []string{"card", "--person", "1"}, 1, "60001019906"},
		{"no virtual reader", []string{"card", "--vpcd", "127.0.0.1:1"}, 1, "--own-pcscd"},
		{"nobody's key", []string{"country", "--listen", "127.0.0.1:0", "--person", "1", "--key", filepath.Join(t.TempDir(), "k")}, 1, "eidlab card persons"},
		{"no script", []string{"pinentry", "/nonexistent"}, 1, "/nonexistent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errors bytes.Buffer
			code := run(t.Context(), test.args, streams{strings.NewReader(""), &out, &errors})
			if code != test.code || !strings.Contains(errors.String(), test.says) {
				t.Errorf("exit code %d, want %d; %q does not say %q", code, test.code, errors.String(), test.says)
			}
		})
	}
}

func TestCardStaysUntilInterrupted(t *testing.T) {
	for name, args := range map[string][]string{
		"own pcscd": {"card", "--kind", "esteid", "--own-pcscd", "--pki", t.TempDir()},
		"no pcscd":  {"card", "--listen", "127.0.0.1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			t.Setenv("EIDLAB_CARD", filepath.Join(t.TempDir(), "c"))
			out, errors := &signalWriter{seen: stop}, bytes.Buffer{}
			code := run(ctx, args, streams{strings.NewReader(""), out, &errors})
			if code != 0 || errors.Len() > 0 {
				t.Errorf("exit code %d: %s", code, errors.String())
			}
		})
	}
}

// signalWriter calls seen at the first write.
type signalWriter struct {
	seen func()
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.seen()
	return len(p), nil
}
