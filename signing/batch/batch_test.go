package batch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/batch"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

func write(t testing.TB, data []byte, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func naming() batch.Naming { return batch.Naming{Ending: ".pdf", Suffix: "-signed"} }

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"b.pdf", "a.PDF", "note.txt", ".hidden.pdf", "b-signed.pdf", "lonely-signed.pdf", "sub/c.pdf", "sub/.git/d.pdf",
	} {
		write(t, nil, dir, name)
	}
	if err := os.Symlink("b.pdf", filepath.Join(dir, "link.pdf")); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	recursive := naming()
	recursive.Recursive, recursive.Dir = true, at("out")
	elsewhere := naming()
	elsewhere.Dir = at("out")
	for _, row := range []struct {
		name   string
		paths  []string
		naming batch.Naming
		want   string
		err    error
	}{
		{"folder", []string{dir}, naming(), "a.PDF>a-signed.PDF b.pdf>b-signed.pdf lonely-signed.pdf>lonely-signed-signed.pdf", nil},
		{"recursive, elsewhere", []string{dir}, recursive, "a.PDF>out/a-signed.PDF b.pdf>out/b-signed.pdf lonely-signed.pdf>out/lonely-signed-signed.pdf sub/c.pdf>out/sub/c-signed.pdf", nil},
		{"files", []string{at("sub/c.pdf"), at("b.pdf")}, naming(), "sub/c.pdf>sub/c-signed.pdf b.pdf>b-signed.pdf", nil},
		{"the same twice", []string{at("b.pdf"), at("./b.pdf"), at("sub")}, naming(), "b.pdf>b-signed.pdf sub/c.pdf>sub/c-signed.pdf", nil},
		{"a name without the ending", []string{at("note.txt")}, naming(), "note.txt>note.txt-signed.pdf", nil},
		{"one output for two", []string{write(t, nil, t.TempDir(), "c.pdf"), at("sub/c.pdf")}, elsewhere, "", batch.ErrTwice},
		{"nothing", []string{at("sub/.git/../.git/..//.git")}, naming(), "sub/.git/d.pdf>sub/.git/d-signed.pdf", nil},
		{"empty", []string{t.TempDir()}, naming(), "", batch.ErrNothing},
		{"missing", []string{at("missing")}, naming(), "", os.ErrNotExist},
	} {
		t.Run(row.name, func(t *testing.T) {
			items, err := batch.Collect(row.paths, row.naming)
			if !errors.Is(err, row.err) {
				t.Fatalf("%v, want %v", err, row.err)
			}
			var got []string
			for _, i := range items {
				in, _ := filepath.Rel(dir, i.In)
				out, _ := filepath.Rel(dir, i.Out)
				got = append(got, filepath.ToSlash(in)+">"+filepath.ToSlash(out))
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("%s\nwant %s", strings.Join(got, " "), row.want)
			}
		})
	}
}

func credential(t testing.TB) signing.Credential {
	t.Helper()
	return signers.NewKeys(t).Credential(t, signers.P256, nil)
}

// A batch that was broken off goes on: what is signed, and still what was written
// down, is not signed again.
func TestBatchGoesOnWhereItEnded(t *testing.T) {
	dir := t.TempDir()
	const documents = 100 // more than are put in place at once
	for i := range documents {
		write(t, pdfs.Classic(), dir, fmt.Sprintf("%02d.pdf", i))
	}
	write(t, []byte("no PDF"), dir, "bad.pdf")
	items, err := batch.Collect([]string{dir}, naming())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, batch.ManifestName)
	m, err := batch.OpenManifest(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	sign := batch.PDF(credential(t), pades.Options{})
	signed := 0
	err = batch.Run(ctx, items, 1, sign, func(outcomes []batch.Outcome) {
		records := placed(t, outcomes, nil)
		if err := m.Append(records...); err != nil {
			t.Error(err)
		}
		// On a slow machine a group is one document; three of them are looked at below.
		if signed += len(records); signed >= 3 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || signed < 3 || signed == documents {
		t.Fatalf("%v after %d", err, signed)
	}
	if outputs, err := filepath.Glob(filepath.Join(dir, "*-signed.pdf")); err != nil || len(outputs) != signed {
		t.Errorf("%d outputs, %d are known (%v)", len(outputs), signed, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// The computer stopped in the middle of a line.
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"file":"99.pdf","output":"99-si`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	// One output was changed, one input too, and one output is gone.
	write(t, []byte("changed"), items[0].Out)
	write(t, pdfs.Form(), items[1].In)
	if err := os.Remove(items[2].Out); err != nil {
		t.Fatal(err)
	}
	if items, err = batch.Collect([]string{dir}, naming()); err != nil {
		t.Fatal(err)
	}
	if m, err = batch.OpenManifest(name); err != nil {
		t.Fatal(err)
	}
	var left []batch.Item
	for _, item := range items {
		r, done := m.Done(item)
		if !done {
			left = append(left, item)
		} else if r.Baseline != signing.BaselineB || r.In != item.In {
			t.Errorf("record %+v", r)
		}
	}
	if want := documents + 1 - signed + 3; len(left) != want {
		t.Errorf("%d are left, want %d", len(left), want)
	}
	failed := map[string]error{}
	if err := batch.Run(t.Context(), left, 4, sign, func(outcomes []batch.Outcome) {
		if err := m.Append(placed(t, outcomes, failed)...); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if len(failed) != 3 || !errors.Is(failed["00.pdf"], pades.ErrExists) || !errors.Is(failed["01.pdf"], pades.ErrExists) || failed["bad.pdf"] == nil {
		t.Errorf("failed: %v", failed)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = batch.OpenManifest(name); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if _, done := m.Done(items[documents-1]); !done {
		t.Error("the line after the broken one is lost")
	}
}

// placed returns the records of documents that are signed, which must be in place by
// then with the digests that are told, and adds the failures.
func placed(t *testing.T, outcomes []batch.Outcome, failed map[string]error) []batch.Record {
	t.Helper()
	var records []batch.Record
	for _, o := range outcomes {
		if o.Err != nil {
			if failed != nil {
				failed[filepath.Base(o.In)] = o.Err
			}
			continue
		}
		source, err1 := batch.Digest(o.In)
		signed, err2 := batch.Digest(o.Out)
		if err1 != nil || err2 != nil || source != o.SourceSHA256 || signed != o.SHA256 {
			t.Errorf("%s is not what was told of: %v %v", o.Out, err1, err2)
		}
		records = append(records, o.Record)
	}
	return records
}

// A file that takes the name of an output while its group waits fails that document
// alone, and stays.
func TestBatchIsOvertaken(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		write(t, pdfs.Classic(), dir, fmt.Sprintf("%d.pdf", i))
	}
	items, err := batch.Collect([]string{dir}, naming())
	if err != nil {
		t.Fatal(err)
	}
	sign := batch.PDF(credential(t), pades.Options{})
	failed := map[string]error{}
	var records []batch.Record
	if err := batch.Run(t.Context(), items, 1, func(ctx context.Context, i batch.Item, g *outfile.Group) (batch.Record, error) {
		r, err := sign(ctx, i, g)
		if i == items[1] {
			write(t, []byte("late"), i.Out)
		}
		return r, err
	}, func(outcomes []batch.Outcome) { records = append(records, placed(t, outcomes, failed)...) }); err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 || len(failed) != 1 || !errors.Is(failed["1.pdf"], pades.ErrExists) {
		t.Errorf("records %v, failed %v", records, failed)
	}
	if got, err := os.ReadFile(items[1].Out); err != nil || string(got) != "late" {
		t.Errorf("what came meanwhile: %q, %v", got, err)
	}
}

// The manifest moves with its folder.
func TestManifestIsRelative(t *testing.T) {
	dir := t.TempDir()
	first := filepath.Join(dir, "first")
	in := write(t, []byte("a"), first, "a.pdf")
	out := write(t, []byte("b"), first, "a-signed.pdf")
	m, err := batch.OpenManifest(filepath.Join(first, batch.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	source, _ := batch.Digest(in)
	signed, _ := batch.Digest(out)
	if err := m.Append(batch.Record{Item: batch.Item{In: in, Out: out}, SourceSHA256: source, SHA256: signed}); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(dir, "second")
	if err := os.Rename(first, second); err != nil {
		t.Fatal(err)
	}
	if m, err = batch.OpenManifest(filepath.Join(second, batch.ManifestName)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if _, done := m.Done(batch.Item{In: filepath.Join(second, "a.pdf"), Out: filepath.Join(second, "a-signed.pdf")}); !done {
		t.Error("not found after the move")
	}
}

func TestManifestIsAFile(t *testing.T) {
	dir := t.TempDir()
	target := write(t, []byte("precious"), dir, "target")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, dir} {
		if _, err := batch.OpenManifest(name); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"file":"a.pdf","output":"b.pdf","source_sha256":"","sha256":"","baseline":"B-B","time":"2026-01-01T00:00:00Z"}` + "\n{"))
	f.Add([]byte("\n\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := batch.OpenManifest(name)
		if err != nil {
			return
		}
		defer func() { _ = m.Close() }()
		if _, done := m.Done(batch.Item{In: "a.pdf", Out: "b.pdf"}); done {
			t.Error("files that do not exist are done")
		}
	})
}

// BenchmarkBatch is documents of 100 kB, with as many workers as there are
// processors.
func BenchmarkBatch(b *testing.B) {
	c := credential(b)
	file := pdfs.Large(100_000)
	dir := b.TempDir()
	var items []batch.Item
	for i := range b.N {
		items = append(items, batch.Item{In: write(b, file, dir, fmt.Sprintf("%d.pdf", i)), Out: filepath.Join(dir, fmt.Sprintf("%d-signed.pdf", i))})
	}
	b.ResetTimer()
	if err := batch.Run(b.Context(), items, 2, batch.PDF(c, pades.Options{}), func(outcomes []batch.Outcome) {
		for _, o := range outcomes {
			if o.Err != nil {
				b.Error(o.Err)
			}
		}
	}); err != nil {
		b.Fatal(err)
	}
}
