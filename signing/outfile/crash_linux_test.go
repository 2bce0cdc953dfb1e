//go:build crash

package outfile_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// TestCrash pulls the plug: on a file system in an image it puts files in place, and
// looks for them on a copy of what the disk has at that moment. It wants root, loop
// devices, xfsprogs and btrfs-progs, so nobody runs it but who changes this package:
//
//	go test -tags crash -run TestCrash ./signing/outfile
//
// That a copy does lose what nobody waited for is shown by the first row.
func TestCrash(t *testing.T) {
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
		for _, kind := range []string{"ext4", "xfs", "btrfs"} {
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

// crash puts files on a new file system and counts those that are not whole on a copy
// of its disk.
func crash(t *testing.T, kind string, content []byte, put func(*testing.T, string, []byte) []string) (lost int) {
	t.Helper()
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	folder := t.TempDir()
	disk, mounted := filepath.Join(folder, "disk"), filepath.Join(folder, "mounted")
	if err := os.Mkdir(mounted, 0o700); err != nil {
		t.Fatal(err)
	}
	run("truncate", "-s", "512M", disk)
	if kind == "ext4" {
		run("mkfs.ext4", "-q", "-F", disk)
	} else {
		run("mkfs."+kind, disk)
	}
	run("mount", "-o", "loop", disk, mounted)
	names := put(t, mounted, content)
	run("cp", "--sparse=always", disk, disk+".crashed")
	run("umount", mounted)
	run("mount", "-o", "loop", disk+".crashed", mounted)
	defer run("umount", mounted)
	for _, name := range names {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
			lost++
		}
	}
	return lost
}
