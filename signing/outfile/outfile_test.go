package outfile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// begin makes an output with some content.
func begin(t *testing.T, out, content string, overwrite bool) *outfile.File {
	t.Helper()
	f, err := outfile.Create(out, 0o640, overwrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Discard)
	if _, err := f.Writer().Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

// holds demands that a folder holds these files, as NAME=CONTENT, and nothing else.
func holds(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Name()+"="+string(content))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPlace(t *testing.T) {
	for _, overwrite := range []bool{false, true} {
		folder := t.TempDir()
		out := filepath.Join(folder, "out")
		f := begin(t, out, "new", overwrite)
		if err := f.Place(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Discard()
		holds(t, folder, "out=new")
		info, err := os.Stat(out)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
}

func TestPlaceReplaces(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	write(t, out, "old")
	f := begin(t, out, "new", true)
	if old, err := os.ReadFile(out); err != nil || string(old) != "old" {
		t.Errorf("replaced before it is finished: %q, %v", old, err)
	}
	if err := f.Place(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, folder, "out=new")
}

func TestCreateRefuses(t *testing.T) {
	folder := t.TempDir()
	taken := filepath.Join(folder, "taken")
	write(t, taken, "old")
	info, err := os.Stat(taken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outfile.Create(taken, 0o600, false); !errors.Is(err, signing.ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := outfile.Create(taken, 0o600, true, info); !errors.Is(err, signing.ErrOutput) {
		t.Errorf("the source itself: %v", err)
	}
	if _, err := outfile.Create(folder, 0o600, true); !errors.Is(err, signing.ErrOutput) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := outfile.Create(filepath.Join(folder, "none", "out"), 0o600, false); !errors.Is(err, signing.ErrOutput) {
		t.Errorf("a folder that does not exist: %v", err)
	}
	holds(t, folder, "taken=old")
}

// TestNothingIsLeft: whatever is not put in place is gone, and what came meanwhile
// stays.
func TestNothingIsLeft(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, overwrite := range []bool{false, true} {
		folder := t.TempDir()
		out := filepath.Join(folder, "out")
		begin(t, out, "new", overwrite).Discard()
		holds(t, folder)
		f := begin(t, out, "new", overwrite)
		if err := f.Place(done); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
		f.Discard()
		holds(t, folder)
	}
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	f := begin(t, out, "new", false)
	write(t, out, "late")
	if err := f.Place(t.Context()); !errors.Is(err, signing.ErrExists) {
		t.Errorf("somebody was faster: %v", err)
	}
	f.Discard()
	holds(t, folder, "out=late")
}

// TestGroup: files of a group have no names until they are synced together, and one
// that fails takes none of the others along.
func TestGroup(t *testing.T) {
	folder, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(folder, "old"), "old")
	var g outfile.Group
	defer g.Discard()
	hand := func(out, content string, overwrite bool) {
		f := begin(t, out, content, overwrite)
		if err := f.PlaceIn(t.Context(), &g); err != nil {
			t.Fatal(err)
		}
		f.Discard() // as its maker does in the end
	}
	hand(filepath.Join(folder, "a"), "1", false)
	hand(filepath.Join(folder, "b"), "2", false)
	hand(filepath.Join(folder, "old"), "new", true)
	hand(filepath.Join(other, "c"), "3", false)
	if _, err := os.Stat(filepath.Join(folder, "a")); !errors.Is(err, os.ErrNotExist) || g.Len() != 4 {
		t.Errorf("before it is synced: %v, %d files", err, g.Len())
	}
	write(t, filepath.Join(folder, "b"), "late")
	failed := g.Sync(t.Context())
	if len(failed) != 1 || !errors.Is(failed[filepath.Join(folder, "b")], signing.ErrExists) {
		t.Errorf("failed: %v", failed)
	}
	holds(t, folder, "a=1", "b=late", "old=new")
	holds(t, other, "c=3")
	if failed := g.Sync(t.Context()); len(failed) != 0 || g.Len() != 0 {
		t.Errorf("an empty group: %v", failed)
	}
}

func TestGroupEndsWithItsContext(t *testing.T) {
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var g outfile.Group
	for i := range 3 * 16 {
		if err := begin(t, filepath.Join(folder, strconv.Itoa(i)), "x", i%2 == 0).PlaceIn(ctx, &g); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	failed := g.Sync(ctx)
	if len(failed) != 3*16 || !errors.Is(failed[filepath.Join(folder, "7")], context.Canceled) {
		t.Errorf("failed: %v", failed)
	}
	holds(t, folder)

	if err := begin(t, filepath.Join(folder, "a"), "x", true).PlaceIn(t.Context(), &g); err != nil {
		t.Fatal(err)
	}
	g.Discard()
	holds(t, folder)
}

func TestPlaceInNoGroup(t *testing.T) {
	folder := t.TempDir()
	if err := begin(t, filepath.Join(folder, "a"), "x", false).PlaceIn(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	holds(t, folder, "a=x")
}

// What a killed program left goes, what somebody still writes stays, and so does what
// only looks alike.
func TestSweep(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	write(t, filepath.Join(folder, ".out.123.part"), "left")
	write(t, filepath.Join(folder, ".out.part"), "")
	write(t, filepath.Join(folder, ".out.x1.part"), "")
	write(t, filepath.Join(folder, ".other.123.part"), "")
	f := begin(t, out, "", true)
	n, err := outfile.Sweep(out)
	if err != nil || n != 1 {
		t.Errorf("%d were swept, %v", n, err)
	}
	if err := f.Place(t.Context()); err != nil {
		t.Errorf("the one under way: %v", err)
	}
	holds(t, folder, ".other.123.part=", ".out.part=", ".out.x1.part=", "out=")
	if n, err := outfile.Sweep(filepath.Join(folder, "none", "out")); n != 0 || err != nil {
		t.Errorf("no folder: %d, %v", n, err)
	}
}

// A small file is replaced as a whole, and what was left of an earlier time goes.
func TestReplace(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	write(t, filepath.Join(folder, ".out.7.part"), "left")
	for _, content := range []string{"one", "two"} {
		if err := outfile.Replace(out, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		holds(t, folder, "out="+content)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := outfile.Replace(folder, nil, 0o600); !errors.Is(err, signing.ErrOutput) {
		t.Errorf("a folder: %v", err)
	}
}

// TestErrorsNameTheFolder: what cannot be written tells in which folder, although the
// file has another name there, or none.
func TestErrorsNameTheFolder(t *testing.T) {
	folder := t.TempDir()
	f, err := outfile.Create(filepath.Join(folder, "out.pdf"), 0o600, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Discard()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = f.Writer().Write([]byte("x"))
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok || filepath.Dir(failed.Path) != folder || !errors.Is(err, signing.ErrOutput) {
		t.Errorf("got %v", err)
	}
}
