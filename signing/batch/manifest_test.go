package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/batch"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

func openManifest(t *testing.T, name string) *batch.Manifest {
	t.Helper()
	m, err := batch.OpenManifest(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// folderOf makes a folder of documents, and lists them.
func folderOf(t *testing.T, documents int) (string, []batch.Item) {
	t.Helper()
	dir := t.TempDir()
	for i := range documents {
		write(t, pdfs.Classic(), dir, fmt.Sprintf("%03d.pdf", i))
	}
	items, err := batch.Collect([]string{dir}, naming())
	if err != nil {
		t.Fatal(err)
	}
	return dir, items
}

// What a manifest runs is in it when it is told of, with several workers as well, and
// is done for whoever opens it next.
func TestManifestRuns(t *testing.T) {
	dir, items := folderOf(t, 80)
	name := filepath.Join(dir, batch.ManifestName)
	m := openManifest(t, name)
	told := 0
	if err := m.Run(t.Context(), items, 2, batch.PDF(credential(t), pades.Options{}), func(outcomes []batch.Outcome) {
		written, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		for _, r := range placed(t, outcomes, nil) {
			told++
			if !bytes.Contains(written, []byte(r.SHA256)) {
				t.Errorf("%s is told of and not in the manifest", r.Out)
			}
		}
	}); err != nil || told != 80 {
		t.Fatalf("%v, %d are told of", err, told)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	again := openManifest(t, name)
	for _, item := range items {
		if _, done := again.Done(item); !done {
			t.Errorf("%s is not done", item.In)
		}
	}
}

// A manifest that cannot be written ends the batch, and nothing is there that it does
// not have.
func TestManifestThatCannotBeWrittenEndsTheBatch(t *testing.T) {
	dir, items := folderOf(t, 100)
	m := openManifest(t, filepath.Join(dir, batch.ManifestName))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	sign := batch.PDF(credential(t), pades.Options{})
	asked, refused := 0, 0
	err := m.Run(t.Context(), items, 1, func(ctx context.Context, i batch.Item, g *outfile.Group) (batch.Record, error) {
		asked++
		return sign(ctx, i, g)
	}, func(outcomes []batch.Outcome) {
		for _, o := range outcomes {
			if errors.Is(o.Err, os.ErrClosed) {
				refused++
			}
			if o.Err == nil {
				t.Errorf("%s is called signed", o.In)
			}
		}
	})
	if !errors.Is(err, os.ErrClosed) || refused == 0 || asked > refused+2 {
		t.Errorf("%v: %d were refused, %d were signed", err, refused, asked)
	}
	if outputs, err := filepath.Glob(filepath.Join(dir, "*-signed.pdf")); err != nil || len(outputs) != 0 {
		t.Errorf("%v, %v", outputs, err)
	}
}

// A later line, of an output that never came to be, does not hide the one that did.
func TestManifestKeepsEachLine(t *testing.T) {
	dir, items := folderOf(t, 1)
	item := items[0]
	write(t, []byte("signed"), item.Out)
	source, err1 := batch.Digest(item.In)
	signed, err2 := batch.Digest(item.Out)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, batch.ManifestName)
	m := openManifest(t, name)
	if err := m.Append(
		batch.Record{Item: item, SourceSHA256: source, SHA256: signed, Shortfall: "this one"},
		batch.Record{Item: item, SourceSHA256: source, SHA256: source},
	); err != nil {
		t.Fatal(err)
	}
	if _, done := m.Done(item); done {
		t.Error("what it was told of after it was opened is not for its own run")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if r, done := openManifest(t, name).Done(item); !done || r.Shortfall != "this one" {
		t.Errorf("%+v, %v", r, done)
	}
}
