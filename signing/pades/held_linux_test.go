package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// open lists the files of a folder that this process has open, removed ones as well.
func open(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// One that was closed meanwhile, as that of this listing, has no name any more.
		name, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && strings.HasPrefix(name, folder+string(filepath.Separator)) {
			names = append(names, name)
		}
	}
	return names
}

// TestSignFileFailsCompletely: of a document that is held and of one that is not, at
// whatever step it fails, nothing stays behind: no file, no open file, and no goroutine,
// which synctest finds. What is wrong with the output is told as that and not as a
// matter of copying (P-48, I-4).
func TestSignFileFailsCompletely(t *testing.T) {
	cred := citizen(t)
	type step struct {
		d      *desk
		cred   *signing.Credential
		o      *pades.Options
		cancel context.CancelFunc
	}
	signer := func(s step, sign func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error)) {
		s.cred.Signer = trickySigner{cred.Signer, sign}
	}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, s step)
		want    error
		text    string // that the error begins with
	}{
		{"output exists", func(*testing.T, step) {}, pades.ErrExists, "output exists already: "},
		{"folder is missing", func(_ *testing.T, s step) {
			s.d.out = filepath.Join(s.d.folder, "no", "out.pdf")
		}, pades.ErrOutput, "output cannot be written: "},
		{"output is the input", func(_ *testing.T, s step) {
			s.d.out, s.o.Overwrite = s.d.in, true
		}, pades.ErrOutput, "output cannot be written: output and input are the same file"},
		{"another document", func(_ *testing.T, s step) {
			s.o.Overwrite, s.o.SourceSHA256 = true, new([32]byte)
		}, pades.ErrSourceChanged, "copying the document: "},
		{"no key", func(_ *testing.T, s step) { s.o.Overwrite, s.cred.Signer = true, nil }, pades.ErrRefused, "signing refused: "},
		{"refused", func(_ *testing.T, s step) { s.o.Overwrite, s.o.FieldName = true, "a..b" }, pades.ErrRefused, "signing refused: "},
		{"cancelled", func(_ *testing.T, s step) { s.o.Overwrite = true; s.cancel() }, context.Canceled, ""},
		{"card pulled out", func(_ *testing.T, s step) {
			s.o.Overwrite = true
			signer(s, func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errCardGone })
		}, errCardGone, "making the signature value: "},
		{"wrong value", func(_ *testing.T, s step) {
			s.o.Overwrite = true
			signer(s, func(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
				digest[0] ^= 1
				return cred.Signer.Sign(r, digest, o)
			})
		}, pades.ErrWrongSignature, ""},
		{"cancelled while the card signs", func(_ *testing.T, s step) {
			s.o.Overwrite = true
			signer(s, func(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
				s.cancel()
				return cred.Signer.Sign(r, digest, o)
			})
		}, context.Canceled, ""},
	} {
		for name, file := range map[string][]byte{"held": pdfs.Contract(), "not held": documentOf(t, limitOfHeld+1)} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				d := newDesk(t, file)
				earlier := []byte("an earlier output")
				if err := os.WriteFile(d.out, earlier, 0o600); err != nil {
					t.Fatal(err)
				}
				before := d
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					mine := cred
					o := pades.Options{SigningTime: signedAt, Memory: new(outfile.Memory)}
					c.prepare(t, step{&d, &mine, &o, cancel})
					_, err := pades.SignFile(ctx, d.in, d.out, mine, o)
					if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), c.text) {
						t.Errorf("got %v", err)
					}
				})
				before.untouched(t, earlier)
				if left := open(t, d.folder); left != nil {
					t.Errorf("still open: %v", left)
				}
			})
		}
	}
}

// TestExtendFileTellsOfTheOutputFirst: that the output is in the way is said before a
// document, which may be large, is verified.
func TestExtendFileTellsOfTheOutputFirst(t *testing.T) {
	s := newState(t)
	for name, file := range map[string][]byte{"unsigned": pdfs.Classic(), "no PDF": []byte("text"), "empty": nil, "large": bytes.Repeat([]byte("text"), limitOfHeld)} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, file)
			earlier := []byte("an earlier output")
			if err := os.WriteFile(d.out, earlier, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := pades.ExtendFile(t.Context(), d.in, d.out, signing.BaselineLTA, s.services, false)
			if !errors.Is(err, pades.ErrExists) || !strings.HasPrefix(err.Error(), "output exists already: ") {
				t.Errorf("got %v", err)
			}
			if _, err := pades.ExtendFile(t.Context(), d.in, d.out, signing.BaselineLTA, s.services, true); err == nil || errors.Is(err, pades.ErrExists) {
				t.Errorf("replacing: %v", err)
			}
			d.untouched(t, earlier)
			if left := open(t, d.folder); left != nil {
				t.Errorf("still open: %v", left)
			}
		})
	}
}
