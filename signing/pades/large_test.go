package pades

import (
	"context"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// sparse makes a document of about the given size that takes no room on the disk.
func sparse(t *testing.T, size int64, table bool) (*os.File, int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := pdfs.WriteSparse(f, size, table); err != nil {
		t.Skipf("this file system has no sparse files of %d bytes: %v", size, err) // none of Linux
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, info.Size()
}

// TestOffsetsBeyondTenDigits lays revisions out behind sparse documents, without
// passing over them; make interop signs one. Cross-reference streams hold any
// offset, tables ten digits (ISO 32000-2 7.5.4).
func TestOffsetsBeyondTenDigits(t *testing.T) {
	for _, row := range []struct {
		name    string
		size    int64
		table   bool
		digits  int
		refused bool
	}{
		{"stream, 4 GB and a little", 4<<30 + 5, false, 10, false},
		{"stream, 11 GB", 11_000_000_000, false, 13, false},
		{"stream, 5 TB", 5_000_000_000_000, false, 13, true},
		{"table, 9.5 GB", 9_500_000_000, true, 13, false},
		{"table, 10 GB", 10_000_000_000, true, 13, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			src, size := sparse(t, row.size, row.table)
			l, err := newLayout(context.Background(), src, size, signers.NewKeys(t).Credential(t, signers.P256, nil), Options{})
			if row.refused {
				var limit *pdf.LimitError
				var refused *RefusedError
				if !errors.As(err, &limit) && !errors.As(err, &refused) {
					t.Errorf("not refused: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := l.plan()
			if err := p.digest(crypto.SHA256.New()); err != nil {
				t.Fatal(err)
			}
			// The value is wrong, for nobody digested the document; places are right.
			doc, err := pdf.Open(context.Background(), appended{src, size, p.Tail}, size+int64(len(p.Tail)), pdf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			form, err := doc.Form()
			if err != nil || len(form.Fields) != 1 {
				t.Fatalf("%d fields, %v", len(form.Fields), err)
			}
			dict, err := doc.Resolve(form.Fields[0].Value)
			if err != nil {
				t.Fatal(err)
			}
			var numbers []int64
			for _, item := range dict.Get("ByteRange").Items() {
				n, _ := item.Int()
				numbers = append(numbers, n)
			}
			want := []int64{0, size + int64(p.HoleStart), size + int64(p.HoleEnd), int64(len(p.Tail) - p.HoleEnd)}
			if len(numbers) != 4 || numbers[0] != want[0] || numbers[1] != want[1] || numbers[2] != want[2] || numbers[3] != want[3] {
				t.Errorf("ByteRange %v, want %v", numbers, want)
			}
			if width := len(dict.Get("ByteRange").Raw()); width > len("[0   ]")+3*row.digits {
				t.Errorf("ByteRange of %d bytes", width)
			}
			if !l.doc.Sound() || dict.Get("Contents").Offset() != want[1] {
				t.Errorf("/Contents at %d, want %d", dict.Get("Contents").Offset(), want[1])
			}
		})
	}
}
