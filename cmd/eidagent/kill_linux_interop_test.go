//go:build interop

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// parts are the files that an interrupted output goes by.
func (d *desk) parts() []string {
	d.t.Helper()
	list, err := filepath.Glob(filepath.Join(d.dir, ".out.pdf.*.part"))
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// S-20: the agent is killed 300 times while it replaces an output. There is the former
// file or a whole new one, never anything else; what is left beside goes with the next
// signature.
func TestInteropKilledWhileSigning(t *testing.T) {
	d := newDesk(t)
	key := d.keyFile()
	var scan bytes.Buffer
	if err := pdfs.WriteScan(&scan, rand.NewChaCha8([32]byte{20}), 6<<20); err != nil {
		t.Fatal(err)
	}
	d.write("scan.pdf", scan.Bytes())
	args := []string{"--p12", key, "sign", "--pin-fd", "0", "--force", "--out", "out.pdf", "scan.pdf"}
	start := time.Now()
	d.run(0, strings.NewReader("secreto\n"), args...)
	whole := time.Since(start)
	previous := d.read("out.pdf")
	left, replaced := 0, 0
	for i := range 300 {
		c := d.command(args...)
		c.Stdin = strings.NewReader("secreto\n")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = c.Wait() // it is killed
			close(ended)
		}()
		if i%2 == 0 { // any time
			wait(ended, time.Duration(rand.Int64N(int64(whole*3/2))))
		} else { // while it writes
			for len(d.parts()) == 0 && !done(ended) {
				wait(ended, time.Millisecond)
			}
			wait(ended, time.Duration(rand.Int64N(int64(20*time.Millisecond))))
		}
		_ = c.Process.Signal(syscall.SIGKILL) // it may be gone
		<-ended
		left += len(d.parts())
		now := d.read("out.pdf")
		if bytes.Equal(now, previous) {
			continue
		}
		replaced++
		if !bytes.HasPrefix(now, scan.Bytes()) {
			t.Fatalf("S-20 after %d kills the output is neither the former nor a new one", i+1)
		}
		d.wants(d.run(exitIndeterminate, nil, "verify", "--without-revocation", "--json", "out.pdf"), `"integrity": "INTACT"`)
		previous = now
	}
	t.Logf("%d outputs were replaced, %d files were left beside", replaced, left)
	if left == 0 {
		t.Error("no kill hit an output under way")
	}
	d.run(0, strings.NewReader("secreto\n"), args...)
	if parts := d.parts(); len(parts) != 0 {
		t.Errorf("S-20 left after the next signature: %v", parts)
	}
	if !bytes.Equal(d.read("scan.pdf"), scan.Bytes()) {
		t.Error("S-20 the document itself was changed")
	}
}

// wait waits for an end, at most so long.
func wait(ended <-chan struct{}, most time.Duration) {
	select {
	case <-ended:
	case <-time.After(most):
	}
}

func done(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// mount makes a folder with a file system in memory.
func (d *desk) mount(name, options string) string {
	d.t.Helper()
	if os.Getuid() != 0 {
		d.t.Fatal("file systems are mounted for this test, which wants root")
	}
	place := filepath.Join(d.dir, name)
	if err := os.Mkdir(place, 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", place, "tmpfs", 0, options); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := syscall.Unmount(place, 0); err != nil {
			d.t.Error(err)
		}
	})
	return place
}

// remount changes the options of one.
func (d *desk) remount(place string, flags uintptr, options string) {
	d.t.Helper()
	if err := syscall.Mount("", place, "", syscall.MS_REMOUNT|flags, options); err != nil {
		d.t.Fatal(err)
	}
}

// S-22: places where an output cannot go. The answer says so, and the former file is as
// it was.
func TestInteropOutputThatCannotBeWritten(t *testing.T) {
	d := newDesk(t)
	key := d.keyFile()
	former := func(place string) string {
		t.Helper()
		out := filepath.Join(place, "out.pdf")
		if err := os.WriteFile(out, []byte("former"), 0o600); err != nil {
			t.Fatal(err)
		}
		return out
	}
	small := former(d.mount("small", "size=16k"))
	other := former(d.mount("other", "size=4m"))
	files := former(d.mount("inodes", "size=4m,nr_inodes=2"))
	readonly := d.mount("readonly", "size=4m")
	frozen := former(readonly)
	d.remount(readonly, syscall.MS_RDONLY, "")
	var scan bytes.Buffer
	if err := pdfs.WriteScan(&scan, rand.NewChaCha8([32]byte{22}), 64<<10); err != nil {
		t.Fatal(err)
	}
	d.write("scan.pdf", scan.Bytes())
	sign := func(code int, out string) string {
		return d.run(code, strings.NewReader("secreto\n"), "--p12", key, "sign", "--pin-fd", "0", "--force", "--out", out, "scan.pdf")
	}
	for name, c := range map[string]struct{ out, former string }{
		"S-22 no space (quota)":      {small, "former"},
		"S-22 no file left (quota)":  {files, "former"},
		"S-22 read-only":             {frozen, "former"},
		"S-22 a name too long":       {filepath.Join(d.dir, strings.Repeat("n", 300)+".pdf"), ""},
		"S-22 a path too long":       {filepath.Join(d.dir, strings.Repeat("n/", 3000), "out.pdf"), ""},
		"S-22 a folder that is none": {filepath.Join(d.dir, "scan.pdf", "out.pdf"), ""},
		"S-22 a name near the limit": {filepath.Join(d.dir, strings.Repeat("n", 251)+".pdf"), ""},
	} {
		code, want := exitOther, "cannot be written"
		if strings.HasPrefix(c.out, filepath.Join(d.dir, "scan.pdf")) {
			code, want = exitUsage, "is no folder"
		}
		d.wants(sign(code, c.out), want)
		if c.former == "" {
			if _, err := os.Lstat(c.out); err == nil {
				t.Errorf("%s: something is there", name)
			}
			continue
		}
		if now, err := os.ReadFile(c.out); err != nil || string(now) != c.former {
			t.Errorf("%s: the former file is %q, %v", name, now, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(c.out)); err != nil || len(entries) != 1 {
			t.Errorf("%s: left are %v, %v", name, entries, err)
		}
	}
	// Another file system than that of the document is none of these.
	sign(0, other)
	d.wants(d.run(exitIndeterminate, nil, "verify", "--without-revocation", "--json", other), `"integrity": "INTACT"`)
}
