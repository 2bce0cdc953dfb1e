package desktop_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// signerFunc is a key that does what a test wants before it signs.
type signerFunc struct {
	key
	before func() error
	spoil  bool
}

func (s signerFunc) Public() crypto.PublicKey { return s.private.Public() }

func (s signerFunc) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if s.before != nil {
		if err := s.before(); err != nil {
			return nil, err
		}
	}
	signature, err := s.private.Sign(r, digest, o)
	if s.spoil {
		signature[len(signature)-1] ^= 1
	}
	return signature, err
}

func credential(s signerFunc) signing.Credential {
	return signing.Credential{Signer: s, Certificate: s.certificate}
}

func output() desktop.Output {
	return desktop.Output{Format: signing.PAdES, Baseline: signing.BaselineB}
}

// folder is a place with one document; it tells what else is in it.
func folder(t *testing.T) (in, out string, others func() []string) {
	t.Helper()
	dir := t.TempDir()
	in, out = filepath.Join(dir, "a.pdf"), filepath.Join(dir, "a-signed.pdf")
	if err := os.WriteFile(in, pdfs.Classic(), 0o600); err != nil {
		t.Fatal(err)
	}
	return in, out, func() []string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			if e.Name() != "a.pdf" {
				names = append(names, e.Name())
			}
		}
		return names
	}
}

func TestPDFFileIsSignedBesideTheOriginal(t *testing.T) {
	in, out, _ := folder(t)
	k := newKey(t, time.Now().AddDate(1, 0, 0))
	d := desktop.PDFFile(in, out, desktop.FileOptions{})
	shown, err := d.Describe(t.Context())
	if err != nil || shown.Name != "a.pdf" || shown.SHA256 != sha256.Sum256(pdfs.Classic()) {
		t.Fatalf("%+v, %v", shown, err)
	}
	signed, err := d.Sign(t.Context(), shown, credential(signerFunc{key: k}), output())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil || signed.Path != out || signed.SHA256 != sha256.Sum256(data) || !bytes.HasPrefix(data, pdfs.Classic()) {
		t.Errorf("%+v, %v", signed, err)
	}
	if _, err := d.Describe(t.Context()); !errors.Is(err, pades.ErrExists) {
		t.Errorf("describe over an existing output: %v", err)
	}
}

// I-4, P-49, P-52: whatever goes wrong, the original is unchanged and nothing
// else is there.
func TestFailedSignatureLeavesNoFile(t *testing.T) {
	for _, row := range []struct {
		name  string
		want  error
		after []byte // content of the original afterwards
		key   func(t *testing.T, in string, k key) signerFunc
	}{
		{"signer fails", desktop.ErrDeclined, pdfs.Classic(), func(_ *testing.T, _ string, k key) signerFunc {
			return signerFunc{key: k, before: func() error { return desktop.ErrDeclined }}
		}},
		{"wrong signature value (P-52)", pades.ErrWrongSignature, pdfs.Classic(), func(_ *testing.T, _ string, k key) signerFunc {
			return signerFunc{key: k, spoil: true}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			in, out, others := folder(t)
			d := desktop.PDFFile(in, out, desktop.FileOptions{})
			shown, err := d.Describe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			k := newKey(t, time.Now().AddDate(1, 0, 0))
			if _, err := d.Sign(t.Context(), shown, credential(row.key(t, in, k)), output()); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if names := others(); names != nil {
				t.Errorf("left behind: %v", names)
			}
			if data, _ := os.ReadFile(in); !bytes.Equal(data, row.after) {
				t.Error("the original changed")
			}
		})
	}
}

// P-49: a document that was exchanged after it was shown is not signed.
func TestExchangedDocumentIsNotSigned(t *testing.T) {
	in, out, others := folder(t)
	d := desktop.PDFFile(in, out, desktop.FileOptions{})
	shown, err := d.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, pdfs.Form(), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKey(t, time.Now().AddDate(1, 0, 0))
	used := func() error { t.Error("the key was used"); return nil }
	if _, err := d.Sign(t.Context(), shown, credential(signerFunc{key: k, before: used}), output()); !errors.Is(err, pades.ErrSourceChanged) {
		t.Errorf("got %v", err)
	}
	if names := others(); names != nil {
		t.Errorf("left behind: %v", names)
	}
}

func TestDocumentsThatCannotBeSignedAreToldFirst(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		name string
		data []byte
		want error
	}{
		{"not a PDF", []byte("hello"), pdf.ErrNotPDF},
		{"empty", nil, pdf.ErrNotPDF},
	} {
		if _, err := desktop.PDFBytes("a.pdf", row.data).Describe(t.Context()); !errors.Is(err, row.want) {
			t.Errorf("%s in memory: %v", row.name, err)
		}
		path := filepath.Join(dir, "x.pdf")
		if err := os.WriteFile(path, row.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := desktop.PDFFile(path, path+".out", desktop.FileOptions{}).Describe(t.Context()); !errors.Is(err, row.want) {
			t.Errorf("%s on disk: %v", row.name, err)
		}
	}
	if _, err := desktop.PDFFile(dir, dir+".out", desktop.FileOptions{}).Describe(t.Context()); !errors.Is(err, desktop.ErrInvalid) {
		t.Errorf("a folder: %v", err)
	}
	// One byte over the ceiling.
	if _, err := desktop.PDFBytes("a.pdf", make([]byte, desktop.MaxDocument+1)).Describe(t.Context()); !errors.Is(err, desktop.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := desktop.PDFBytes("a.pdf", pdfs.Classic()).Describe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPDFBytesStayInMemory(t *testing.T) {
	d := desktop.PDFBytes("a.pdf", pdfs.FormCompressed())
	shown, err := d.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := newKey(t, time.Now().AddDate(1, 0, 0))
	signed, err := d.Sign(t.Context(), shown, credential(signerFunc{key: k}), output())
	if err != nil {
		t.Fatal(err)
	}
	report, err := pades.Verify(t.Context(), bytes.NewReader(signed.Data), int64(len(signed.Data)), pades.VerifyOptions{})
	if err != nil || !report.Intact() || signed.Path != "" || signed.SHA256 != sha256.Sum256(signed.Data) {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := d.Sign(t.Context(), shown, credential(signerFunc{key: k, spoil: true}), output()); !errors.Is(err, pades.ErrWrongSignature) {
		t.Errorf("spoiled: %v", err)
	}
}
