//go:build crash

package outfile_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// TestCrash pulls the plug (S-21): on a file system in an image it puts files in place,
// shuts the file system down as it is, and looks for them when it is mounted again. It
// wants root, loop devices, and what makes ext4, xfs or btrfs, of which it takes those
// that this kernel mounts; nobody runs it but who changes this package:
//
//	go test -tags crash -run TestCrash ./signing/outfile
//
// That files are lost for which nobody waited is shown by the first row. The states in
// between are gone through by the tests of cmd/eidagent with fixtures/powerloss.
func TestCrash(t *testing.T) {
	kinds := mountable(t)
	for _, row := range []struct {
		name string
		lost bool
		put  func(t *testing.T, folder string, content []byte) []string
	}{
		{"nobody waits", true, func(t *testing.T, folder string, content []byte) []string {
			name := filepath.Join(folder, "new")
			write(t, name, string(content))
			return []string{name}
		}},
		{"new name", false, func(t *testing.T, folder string, content []byte) []string {
			name := filepath.Join(folder, "new")
			if err := begin(t, name, string(content), false).Place(t.Context()); err != nil {
				t.Fatal(err)
			}
			return []string{name}
		}},
		{"name that is replaced", false, func(t *testing.T, folder string, content []byte) []string {
			name := filepath.Join(folder, "old")
			write(t, name, "old")
			if err := begin(t, name, string(content), true).Place(t.Context()); err != nil {
				t.Fatal(err)
			}
			return []string{name}
		}},
		{"group", false, func(t *testing.T, folder string, content []byte) []string {
			var g outfile.Group
			var names []string
			for i := range 20 {
				name := filepath.Join(folder, strconv.Itoa(i))
				if err := begin(t, name, string(content), i%2 == 0).PlaceIn(t.Context(), &g); err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
			if failed := g.Sync(t.Context()); len(failed) > 0 {
				t.Fatal(failed)
			}
			return names
		}},
	} {
		for _, kind := range kinds {
			t.Run(kind+", "+row.name, func(t *testing.T) {
				for _, size := range []int{1, 100_000, 5_000_000} {
					content := make([]byte, size)
					_, _ = rand.Read(content)
					if lost := crash(t, kind, content, row.put); (lost > 0) != row.lost {
						t.Errorf("%d files of %d bytes were lost", lost, size)
					}
				}
			})
		}
	}
}

// mountable are the file systems that can be made here and mounted.
func mountable(t *testing.T) (kinds []string) {
	t.Helper()
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		i, err := newImage(t, kind)
		if err == nil {
			err = i.mount()
		}
		if err != nil {
			t.Logf("no %s: %v", kind, err)
			continue
		}
		i.unmount(t)
		kinds = append(kinds, kind)
	}
	if len(kinds) == 0 {
		t.Fatal("none of the file systems can be mounted")
	}
	return kinds
}

// image is a file system in a file.
type image struct{ disk, mounted string }

func newImage(t *testing.T, kind string) (*image, error) {
	t.Helper()
	folder := t.TempDir()
	i := &image{filepath.Join(folder, "disk"), filepath.Join(folder, "mounted")}
	if err := os.Mkdir(i.mounted, 0o700); err != nil {
		return nil, err
	}
	make := exec.Command("mkfs."+kind, i.disk)
	if kind == "ext4" {
		make = exec.Command("mkfs.ext4", "-q", "-F", "-O", "has_journal", i.disk)
	}
	return i, errors.Join(run(exec.Command("truncate", "-s", "512M", i.disk)), run(make))
}

func run(c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", c.Args, err, out)
	}
	return nil
}

func (i *image) mount() error { return run(exec.Command("mount", "-o", "loop", i.disk, i.mounted)) }

func (i *image) unmount(t *testing.T) {
	t.Helper()
	if err := run(exec.Command("umount", i.mounted)); err != nil {
		t.Fatal(err)
	}
}

// The call that stops a file system at once, without so much as its log (Linux,
// include/uapi/linux/fs.h: FS_IOC_SHUTDOWN, formerly XFS_IOC_GOINGDOWN and
// EXT4_IOC_SHUTDOWN).
const (
	shutdown   = 0x8004587d
	noLogFlush = 2
)

// cutPower stops the file system. Those that have no call for that are copied while
// they work; a copy that was taken in the middle of a writing may be none that a disk
// could hold, and is taken again.
func (i *image) cutPower(t *testing.T) {
	t.Helper()
	folder, err := os.Open(i.mounted)
	if err != nil {
		t.Fatal(err)
	}
	err = unix.IoctlSetPointerInt(int(folder.Fd()), shutdown, noLogFlush)
	folder.Close()
	if err == nil {
		i.unmount(t)
		if err := i.mount(); err != nil {
			t.Fatal(err)
		}
		return
	}
	const copies = 5
	var names []string
	for n := range copies {
		name := fmt.Sprint(i.disk, n)
		if err := run(exec.Command("cp", "--sparse=always", i.disk, name)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	i.unmount(t)
	for _, i.disk = range names {
		if err = i.mount(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// crash puts files on a new file system and counts those that are not whole after the
// power was cut.
func crash(t *testing.T, kind string, content []byte, put func(*testing.T, string, []byte) []string) (lost int) {
	t.Helper()
	i, err := newImage(t, kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.mount(); err != nil {
		t.Fatal(err)
	}
	names := put(t, i.mounted, content)
	i.cutPower(t)
	defer i.unmount(t)
	for _, name := range names {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
			lost++
		}
	}
	return lost
}
