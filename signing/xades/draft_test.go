package xades_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// long is content that is read and checked at the same time.
func long() string { return strings.Repeat("<line>some text &amp; more</line>\n", 60_000) }

// zeros make the same identifier each time.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestDraftEqualsSign: a large document is checked while it is written, which
// changes nothing about what is written.
func TestDraftEqualsSign(t *testing.T) {
	t.Parallel()
	cred := spaniard(t)
	for _, c := range []struct {
		name, document string
		options        xades.Options
	}{
		{"an element", "<a>" + long() + "</a>\n", xades.Options{}},
		{"canonical XML 1.1, key info, classic", "<a xmlns='urn:a'>" + long() + "</a>", xades.Options{Canonicalization: c14n.Inclusive11, SignKeyInfo: true, Classic: true}},
		{"manifest", "<a>" + long() + "</a>", xades.Options{Manifest: true}},
		{"parallel", "<a>" + long() + "</a>", xades.Options{Parallel: true}},
		{"a little after the element", "<a>" + long() + "</a>" + strings.Repeat("\n", 200<<10), xades.Options{}},
		{"much after the element", "<a>" + long() + "</a>" + strings.Repeat("\n", 2<<20), xades.Options{}},
		{"an empty element", strings.Repeat("<!-- before -->\n", 100_000) + "<a/>", xades.Options{}},
		{"an empty element, much after", "<a/>" + strings.Repeat("<!-- after -->\n", 100_000), xades.Options{}},
		{"part by id", "<a><b Id='b'>" + long() + "</b></a>", xades.Options{Elements: []string{"b"}}},
		{"enveloping", "<a>" + long() + "</a>", xades.Options{Packaging: xades.Enveloping}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Now() // of both, which an hour may begin between
			options := func() xades.Options {
				o := c.options
				o.Rand, o.SigningTime = zeros{}, now
				agreed := sha256.Sum256([]byte(c.document))
				o.SourceSHA256 = &agreed
				return o
			}
			var want bytes.Buffer
			if _, err := xades.Sign(context.Background(), strings.NewReader(c.document), int64(len(c.document)), &want, cred, options()); err != nil {
				t.Fatal(err)
			}
			in, out := filepath.Join(t.TempDir(), "in.xml"), filepath.Join(t.TempDir(), "out.xml")
			if err := os.WriteFile(in, []byte(c.document), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := xades.SignFile(context.Background(), in, out, cred, options())
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want.Bytes()) || r.Size != int64(len(got)) {
				t.Errorf("%d bytes, result says %d, Sign writes %d", len(got), r.Size, want.Len())
			}
			if before, after := sha256.Sum256([]byte(c.document)), sha256.Sum256(got); r.SourceSHA256 != before || r.SHA256 != after {
				t.Errorf("digests %x and %x, want %x and %x", r.SourceSHA256, r.SHA256, before, after)
			}
		})
	}
}

// signerFunc is a key that does something beside.
type signerFunc struct {
	crypto.Signer
	before func() error
}

func (s signerFunc) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := s.before(); err != nil {
		return nil, err
	}
	return s.Signer.Sign(random, digest, opts)
}

// TestDraftIsChecked: what happens to the output while the key signs is found.
func TestDraftIsChecked(t *testing.T) {
	t.Parallel()
	cred := spaniard(t)
	refused := errors.New("the person says no")
	document := "<a>" + long() + "</a>\n"
	for _, c := range []struct {
		name   string
		happen func(part *os.File) error
		want   error
	}{
		{"nothing", func(*os.File) error { return nil }, nil},
		{"a byte changes", func(f *os.File) error { _, err := f.WriteAt([]byte("X"), int64(len(document)-100)); return err }, signing.ErrCheck},
		{"the file is cut", func(f *os.File) error { return f.Truncate(int64(len(document)) / 2) }, signing.ErrOutput},
		{"no signature", func(*os.File) error { return refused }, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in.xml"), filepath.Join(dir, "out.xml")
			if err := os.WriteFile(in, []byte(document), 0o600); err != nil {
				t.Fatal(err)
			}
			key := signerFunc{cred.Signer, func() error {
				parts, err := filepath.Glob(filepath.Join(dir, ".out.xml.*.part"))
				if err != nil || len(parts) != 1 {
					t.Fatalf("%d outputs: %v", len(parts), err)
				}
				f, err := os.OpenFile(parts[0], os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				return errors.Join(c.happen(f), f.Close())
			}}
			_, err := xades.SignFile(context.Background(), in, out, signing.Credential{Signer: key, Certificate: cred.Certificate}, xades.Options{Overwrite: true})
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			left, globErr := filepath.Glob(filepath.Join(dir, "*.part"))
			hidden, globErr2 := filepath.Glob(filepath.Join(dir, ".*"))
			if len(left)+len(hidden) > 0 || globErr != nil || globErr2 != nil {
				t.Errorf("left behind: %v %v", left, hidden)
			}
			if _, statErr := os.Stat(out); (statErr == nil) != (c.want == nil) {
				t.Errorf("output: %v", statErr)
			}
		})
	}
}

// TestAnotherDocumentIsNotSigned: the key is not used for what nobody agreed to.
func TestAnotherDocumentIsNotSigned(t *testing.T) {
	t.Parallel()
	cred := spaniard(t)
	for name, document := range map[string]string{"small": "<a/>", "large": "<a>" + long() + "</a>"} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in.xml"), filepath.Join(dir, "out.xml")
		if err := os.WriteFile(in, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		key := signerFunc{cred.Signer, func() error { t.Errorf("%s: the key was used", name); return nil }}
		agreed := sha256.Sum256([]byte("<b/>"))
		_, err := xades.SignFile(context.Background(), in, out, signing.Credential{Signer: key, Certificate: cred.Certificate}, xades.Options{SourceSHA256: &agreed})
		if !errors.Is(err, signing.ErrSourceChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDraftKeepsEarlierSignatures: a second signature beside a first, in a large
// document, and one that would break it.
func TestDraftKeepsEarlierSignatures(t *testing.T) {
	t.Parallel()
	cred := spaniard(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("0"), []byte("<a>"+long()+"</a>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, o := range []xades.Options{{Parallel: true}, {Parallel: true}} {
		if _, err := xades.SignFile(context.Background(), path(string(rune('0'+i))), path(string(rune('1'+i))), cred, o); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path("2"))
	if err != nil {
		t.Fatal(err)
	}
	intact(t, raw, cred.Certificate.PublicKey, nil)
	if n := bytes.Count(raw, []byte("<ds:Signature ")); n != 2 {
		t.Errorf("%d signatures", n)
	}
	if _, err := xades.SignFile(context.Background(), path("0"), path("alone"), cred, xades.Options{}); err != nil {
		t.Fatal(err)
	}
	var refused *signing.RefusedError
	_, err = xades.SignFile(context.Background(), path("alone"), path("beside"), cred, xades.Options{Parallel: true})
	if !errors.As(err, &refused) || refused.Code != signing.RefusedEarlier {
		t.Errorf("a signature that breaks another: %v", err)
	}
}
