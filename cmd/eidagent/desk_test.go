//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// desk is a folder to work in, with an environment, and everything that programs
// printed in it.
type desk struct {
	t   *testing.T
	dir string
	env []string

	mu      sync.Mutex
	printed bytes.Buffer
}

func newDesk(t *testing.T, env ...string) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	d.env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(d.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(d.dir, "config"), "LANG=en_GB.UTF-8", "DISPLAY=", "WAYLAND_DISPLAY=")
	d.env = append(d.env, env...)
	d.write("contract.pdf", pdfs.Classic())
	return d
}

func (d *desk) write(name string, data []byte) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// Write keeps what programs print.
func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.printed.Write(p)
}

// command prepares a run of the program.
func (d *desk) command(args ...string) *exec.Cmd {
	c := exec.Command("eidagent", args...)
	c.Dir, c.Env = d.dir, d.env
	return c
}

// run runs the program and wants an exit code, -1 being any; it returns what was
// printed.
func (d *desk) run(code int, stdin io.Reader, args ...string) string {
	d.t.Helper()
	c := d.command(args...)
	c.Stdin = stdin
	out, err := c.CombinedOutput()
	_, _ = d.Write(out)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		d.t.Fatal(err)
	}
	if code >= 0 && got != code {
		d.t.Errorf("eidagent %v: exit code %d, want %d\n%s", args, got, code, out)
	}
	return string(out)
}

func (d *desk) wants(out string, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			d.t.Errorf("output lacks %q:\n%s", text, out)
		}
	}
}

// hides searches everything printed and every file for a secret (I-5). Files of
// the given extensions may hold it: a signed PDF holds the certificate and with it
// the personal number.
func (d *desk) hides(secret string, except ...string) {
	d.t.Helper()
	d.mu.Lock()
	found := map[string][]byte{"output": bytes.Clone(d.printed.Bytes())}
	d.mu.Unlock()
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || slices.Contains(except, filepath.Ext(path)) {
			return err
		}
		found[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	packed := secret
	if len(packed)%2 == 1 {
		packed += "f"
	}
	bcd, err := hex.DecodeString(packed)
	if err != nil {
		d.t.Fatal(err)
	}
	var escaped strings.Builder
	for _, b := range []byte(secret) {
		escaped.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	for form, needle := range map[string][]byte{
		"plain": []byte(secret), "hexadecimal": []byte(hex.EncodeToString([]byte(secret))),
		"base64": []byte(base64.RawStdEncoding.EncodeToString([]byte(secret))[:len(secret)]),
		"URL":    []byte(escaped.String()), "BCD": bcd[:len(secret)/2], "BCD in hexadecimal": []byte(hex.EncodeToString(bcd)),
	} {
		for where, text := range found {
			if bytes.Contains(text, needle) {
				d.t.Errorf("%s holds %s (%s)", where, secret, form)
			}
		}
	}
}

// emulated puts a card behind an address without pcscd.
func emulated(t *testing.T, tries *cards.Tries) string {
	t.Helper()
	spec, err := cardSpec(0, tries)
	if err != nil {
		t.Fatal(err)
	}
	card, err := spec.New()
	if err != nil {
		t.Fatal(err)
	}
	return listen(t.Cleanup, t.Fatalf, card)
}

func (d *desk) nothing(names ...string) {
	d.t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(d.dir, name)); err == nil {
			d.t.Errorf("%s was left behind", name)
		}
	}
	left, _ := filepath.Glob(filepath.Join(d.dir, ".*.part"))
	if len(left) > 0 {
		d.t.Errorf("temporary files are left: %v", left)
	}
}
