package pdf

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// counted counts what is read.
type counted struct {
	*bytes.Reader
	reads int
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	c.reads++
	return c.Reader.ReadAt(p, at)
}

// TestSmallObjectsAreReadOnce: what was read shortly before is not read again, and a
// view of the file has no object that lies behind its end.
func TestSmallObjectsAreReadOnce(t *testing.T) {
	long := "<< /Text (" + strings.Repeat("x", recentBytes) + ") >>"
	file := pdfs.Revise(pdfs.Classic(), map[int]string{4: "<< /Type /Font >>", 5: long}, 1)
	src := &counted{Reader: bytes.NewReader(file)}
	d, err := Open(context.Background(), src, int64(len(file)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	read := func(number uint32) (Indirect, int) {
		t.Helper()
		d.src.windows = windows{}
		before := src.reads
		object, err := d.Object(Ref{Number: number})
		if err != nil {
			t.Fatal(err)
		}
		return object, src.reads - before
	}
	first, reads := read(4)
	if reads == 0 {
		t.Fatal("the first time it was not read")
	}
	again, reads := read(4)
	if reads != 0 || !bytes.Equal(again.Value.Raw(), first.Value.Raw()) || string(first.Value.Raw()) != "<< /Type /Font >>" || again.end != first.end {
		t.Errorf("the second time %d reads and %q, the first time %q", reads, again.Value.Raw(), first.Value.Raw())
	}
	read(5)
	if _, reads := read(5); reads == 0 {
		t.Error("a long object was kept")
	}
	if _, err := d.At(0).indirectAt(first.Offset()); err == nil {
		t.Error("the first revision has an object of the second one")
	}
	for number := range uint32(len(d.src.recent.kept)) { // others take its place
		d.src.recent.keep(-2-int64(number), nil, Indirect{end: 1})
	}
	if _, reads := read(4); reads == 0 {
		t.Error("more is kept than there is room for")
	}
}
