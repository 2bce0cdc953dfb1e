package pades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
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
// file that does not hold the document is found out.
func TestCopyingReadsBackWhatItWrote(t *testing.T) {
	for _, size := range []int{0, 1, pieceSize, 2*pieceSize + 17, 12*pieceSize + 5, small, small + 1, ahead + 3*pieceSize + 17} {
		document := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		sum, second := sha512.Sum384(document), sha256.Sum256(document)
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
				f := &file{File: out, w: out.Writer()}
				if row.bad != nil {
					row.bad.w = f.w
					f.w = row.bad
				}
				copying, err := f.copySource(context.Background(), crypto.SHA384, bytes.NewReader(document), int64(size))
				if err != nil {
					t.Fatal(err)
				}
				defer copying.stop()
				h, err := copying.wait(crypto.SHA384)
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
				again, from := f.copied.digest(crypto.SHA384, int64(size))
				if from != int64(size) || !bytes.Equal(again.Sum(nil), sum[:]) {
					t.Error("the remembered digest is not that of the document")
				}
				if again, from := f.copied.digest(crypto.SHA256, int64(size)); from != int64(size) || !bytes.Equal(again.Sum(nil), second[:]) {
					t.Error("the second digest is not that of the document")
				}
				if _, from := f.copied.digest(crypto.SHA512, int64(size)); from != 0 {
					t.Error("a digest of another algorithm was given out")
				}
				if _, from := f.copied.digest(crypto.SHA384, int64(size)-1); from != 0 {
					t.Error("a digest of too much was given out")
				}
			})
		}
	}
}

// TestCopyingStops: whoever gives up waits for no more than a piece, and nothing is
// written afterwards.
func TestCopyingStops(t *testing.T) {
	out, err := outfile.Create(filepath.Join(t.TempDir(), "out"), 0o600, false)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Discard()
	f := &file{File: out, w: out.Writer()}
	copying, err := f.copySource(t.Context(), crypto.SHA256, endless{}, 1<<50)
	if err != nil {
		t.Fatal(err)
	}
	copying.stop()
	if _, err := copying.wait(crypto.SHA384); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if f.copied != nil {
		t.Error("half a document passes for a whole one")
	}
}

// endless is a document without end.
type endless struct{}

func (endless) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }
