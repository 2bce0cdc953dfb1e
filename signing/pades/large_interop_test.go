//go:build interop

package pades_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// TestInteropElevenGigabytes signs a sparse document of more than 10 GB and checks
// the output, in a process of its own. It takes the machine a while, so it is no
// test of everyday.
func TestInteropElevenGigabytes(t *testing.T) {
	b := newBench(t)
	name := filepath.Join(b.dir, "sparse.pdf")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pdfs.WriteSparse(f, 11_000_000_000, false); err != nil {
		t.Fatal(err)
	}
	b.files = []string{name}
	took := b.run(t, "sparse")
	t.Logf("11 GB prepared, completed and checked in %.1f s with %.1f MB of memory", took.Seconds, took.PeakKB/1024)
	if took.PeakKB > 32<<10 {
		t.Errorf("11 GB take %.1f MB of memory", took.PeakKB/1024)
	}
}
