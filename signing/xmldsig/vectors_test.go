//go:build vectors

package xmldsig_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// beside gives the files beside a vector, wherever its URI says they are.
type beside struct{ dir string }

func (b beside) Open(_ context.Context, uri string) (io.ReadCloser, error) {
	for _, dir := range []string{b.dir, filepath.Join(b.dir, "..", "external-data")} {
		for _, ending := range []string{"", "-2005", "-2018"} {
			name, end, _ := strings.Cut(filepath.Base(uri), ".")
			if end != "" {
				end = "." + end
			}
			if f, err := os.Open(filepath.Join(dir, name+ending+end)); err == nil {
				return f, nil
			}
		}
	}
	return nil, xmldsig.ErrNotFound
}

// TestVectors reads every XML signature below the folder that EIDBRIDGE_VECTORS
// names (the interoperability vectors of W3C and IETF, as the tests of xmlsec and
// Santuario carry them) and computes its references: each must match, or be
// refused for a transform or algorithm that is not in the list. Values are
// checked where the signature carries its key.
//
//	EIDBRIDGE_VECTORS=xmlsec/tests go test -tags vectors -run Vectors -v ./signing/xmldsig
func TestVectors(t *testing.T) {
	root := os.Getenv("EIDBRIDGE_VECTORS")
	if root == "" {
		t.Fatal("EIDBRIDGE_VECTORS names no folder")
	}
	var files, matched, refused, values int
	why := make(map[string]int)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".xml") || strings.Contains(name, "xmlenc") {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(raw, []byte("SignedInfo")) {
			return err
		}
		d, err := xmldsig.Open(t.Context(), bytes.NewReader(raw), int64(len(raw)), xmldsig.Options{
			XPointer: true, Resolver: beside{filepath.Dir(name)}, Subset: &xmltext.Subset{}, IDAttributes: []string{"attr", "URI", "theId"},
		})
		if err != nil {
			t.Logf("%s: %v", name, err)
			return nil
		}
		files++
		for _, s := range d.Signatures {
			references := s.References
			s.Element.Walk(func(e *xmldsig.Element) {
				if e.Is(xmldsig.Namespace, "Manifest") {
					if more, err := xmldsig.ReadManifest(e); err == nil {
						references = append(references, more...)
					}
				}
			})
			outcomes, err := d.Digest(t.Context(), s, references)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for i, o := range outcomes {
				switch {
				case deliberate(name):
				case o.Err == nil && bytes.Equal(o.Digest, references[i].Value):
					matched++
				case errors.Is(o.Err, xmldsig.ErrTransform), errors.Is(o.Err, xmldsig.ErrAlgorithm), errors.Is(o.Err, xmldsig.ErrNotFound), errors.Is(o.Err, xmldsig.ErrLimit):
					refused++
					why[fmt.Sprintf("%.110s", o.Err)]++
				default:
					t.Errorf("%s: reference %d %q: %v", name, i+1, references[i].URI, o.Err)
				}
			}
			key := keyOf(s)
			if key == nil || s.Err != nil || deliberate(name) {
				continue
			}
			if err := s.VerifyValue(key); err != nil && !errors.Is(err, xmldsig.ErrAlgorithm) {
				t.Errorf("%s: value: %v", name, err)
			} else if err == nil {
				values++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d documents: %d references match, %d are refused, %d values verify", files, matched, refused, values)
	for reason, n := range why {
		t.Logf("%4d %s", n, reason)
	}
}

// deliberate tells vectors that are wrong on purpose, or whose octets were on the
// web and have changed since.
func deliberate(name string) bool {
	base := filepath.Base(name)
	for _, word := range []string{"bad-", "java-bug", "_padded", "two-keynames"} {
		if strings.Contains(base, word) {
			return true
		}
	}
	return false
}

// keyOf takes the key that a vector carries, which nothing but a test may do.
func keyOf(s *xmldsig.Signature) crypto.PublicKey {
	for _, raw := range s.Certificates {
		if c, err := x509.ParseCertificate(raw); err == nil {
			return c.PublicKey
		}
	}
	number := func(e *xmldsig.Element) *big.Int {
		raw, _ := xmldsig.Base64(e.Text)
		return new(big.Int).SetBytes(raw)
	}
	value := s.Element.Find(xmldsig.Namespace, "KeyInfo", "KeyValue")
	if value == nil {
		return nil
	}
	if e := value.Child(xmldsig.Namespace, "RSAKeyValue"); e != nil {
		return &rsa.PublicKey{N: number(e.Child(xmldsig.Namespace, "Modulus")), E: int(number(e.Child(xmldsig.Namespace, "Exponent")).Int64())}
	}
	return nil
}
