package pades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// faulty changes one byte on its way to the disk, or writes less than it says.
type faulty struct {
	w     io.Writer
	at    int
	short bool
}

func (f *faulty) Write(p []byte) (int, error) {
	q := bytes.Clone(p)
	if f.at < len(q) && f.at >= 0 {
		if f.short {
			q = q[:f.at]
		} else {
			q[f.at] ^= 1
		}
	}
	f.at -= len(p)
	_, err := f.w.Write(q)
	return len(p), err
}

// TestCopyingReadsBackWhatItWrote: the digest is of what is in the file, and a
// file that does not hold the document is found out. Both ways of copying are
// tried: in turn, and side by side.
func TestCopyingReadsBackWhatItWrote(t *testing.T) {
	for _, size := range []int{0, 1, copyBuffer, 2*copyBuffer + 17, besideFrom + 5} {
		document := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		sum := sha256.Sum256(document)
		for _, row := range []struct {
			name string
			bad  *faulty
		}{
			{"whole", nil},
			{"first byte changed", &faulty{at: 0}},
			{"last byte changed", &faulty{at: size - 1}},
			{"end missing", &faulty{at: size - 1, short: true}},
		} {
			if row.bad != nil && size == 0 {
				continue
			}
			t.Run(row.name, func(t *testing.T) {
				out, err := outfile.Create(filepath.Join(t.TempDir(), "out"), 0o600, false)
				if err != nil {
					t.Fatal(err)
				}
				defer out.Discard()
				f := &file{File: out, w: out.Writer(), also: []crypto.Hash{crypto.SHA384, crypto.SHA256}}
				if row.bad != nil {
					row.bad.w = f.w
					f.w = row.bad
				}
				h, err := f.copySource(context.Background(), crypto.SHA256, bytes.NewReader(document), int64(size))
				if row.bad != nil {
					if !errors.Is(err, ErrCheck) && !errors.Is(err, ErrOutput) {
						t.Errorf("%d bytes: %v", size, err)
					}
					return
				}
				if err != nil || !bytes.Equal(h.Sum(nil), sum[:]) {
					t.Fatalf("%d bytes: digest %x, %v", size, h.Sum(nil), err)
				}
				// What follows the copy does not reach the remembered state.
				h.Write([]byte("more"))
				again, from := f.copied.digest(crypto.SHA256, int64(size))
				if from != int64(size) || !bytes.Equal(again.Sum(nil), sum[:]) {
					t.Error("the remembered digest is not that of the document")
				}
				if _, from := f.copied.digest(crypto.SHA384, int64(size)); from != int64(size) {
					t.Error("the second digest was not remembered")
				}
				if _, from := f.copied.digest(crypto.SHA512, int64(size)); from != 0 {
					t.Error("a digest of another algorithm was given out")
				}
				if _, from := f.copied.digest(crypto.SHA256, int64(size)-1); from != 0 {
					t.Error("a digest of too much was given out")
				}
			})
		}
	}
}
