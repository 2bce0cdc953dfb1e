//go:build vectors

package xmldsig_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// beside gives the files beside a vector, wherever its URI says they are.
type beside struct{ dir string }

func (b beside) Open(_ context.Context, uri string) (io.ReadCloser, error) {
	if uri == "" {
		return nil, xmldsig.ErrNotFound
	}
	for _, dir := range []string{b.dir, filepath.Join(b.dir, "..", "external-data"), filepath.Join(b.dir, "..", "samples")} {
		for _, ending := range []string{"", "-2005", "-2018"} {
			name, end, _ := strings.Cut(filepath.Base(uri), ".")
			if end != "" {
				end = "." + end
			}
			file := filepath.Join(dir, name+ending+end)
			raw, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			if strings.HasSuffix(file, "phaos-xmldsig-three/document.xml") && !bytes.Contains(raw, []byte("\r")) {
				raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")) // as it was signed, before a repository changed it
			}
			return io.NopCloser(bytes.NewReader(raw)), nil
		}
	}
	return nil, xmldsig.ErrNotFound
}

// TestVectors reads every XML signature below the folder that EIDBRIDGE_VECTORS
// names (the interoperability vectors of W3C and IETF, as the tests of xmlsec and
// Santuario carry them) and computes its references: each must match, or be
// refused for one of the reasons in the table. Values are checked where the
// signature carries its key.
//
//	EIDBRIDGE_VECTORS=xmlsec/tests go test -tags vectors -run Vectors -v ./signing/xmldsig
//	EIDBRIDGE_VECTORS=santuario-xml-security-java/src/test/resources go test …
func TestVectors(t *testing.T) {
	root := os.Getenv("EIDBRIDGE_VECTORS")
	if root == "" {
		t.Fatal("EIDBRIDGE_VECTORS names no folder")
	}
	var files, matched, values int
	why := make([]int, len(refusals()))
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
				if deliberate(name) {
					continue
				}
				if o.Err == nil && bytes.Equal(o.Digest, references[i].Value) {
					matched++
				} else if reason := refusal(o.Err); reason >= 0 {
					why[reason]++
				} else {
					t.Errorf("%s: reference %d %q: %v", name, i+1, references[i].URI, o.Err)
				}
			}
			key := keyOf(s, raw)
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
	refused := 0
	for i, n := range why {
		refused += n
		if r := refusals()[i]; n > 0 {
			t.Logf("%4d refused: %s (%s)", n, r.why, r.says)
		}
	}
	t.Logf("%d documents: %d references match, %d are refused, %d values verify", files, matched, refused, values)
}

// refusals are the reasons for which a reference of a vector may be refused, each
// with what the error says.
func refusals() []struct {
	err       error
	says, why string
} {
	return []struct {
		err       error
		says, why string
	}{
		{xmldsig.ErrTransform, "xslt-19991116", "X-40: a stylesheet makes the signed octets out of anything, and runs"},
		{xmldsig.ErrTransform, "XPath ", "X-41: an expression decides what is signed; only those that take signatures away are known word by word"},
		{xmldsig.ErrTransform, "2002/04/xmldsig-filter2", "a draft of XPath Filter 2, whose recommendation has another name"},
		{xmldsig.ErrTransform, "xmldsig-more/xptr", "X-47: an XPointer transform, which RFC 6931 advises against"},
		{xmldsig.ErrTransform, "RelationshipTransform", "ISO/IEC 29500-2: of Office packages, where the reader sorts and completes what is signed"},
		{xmldsig.ErrTransform, "two transforms to octets", "X-42: a canonical form of octets, read again as a document"},
		{xmldsig.ErrFormat, "document type declaration not accepted", "X-24: a file beside the signature that has a document type"},
		{xmldsig.ErrAlgorithm, "xmldsig-more#md5", "X-66: MD5"},
		{xmldsig.ErrAlgorithm, "xmlenc#ripemd160", "X-66: RIPEMD-160"},
		{xmldsig.ErrAlgorithm, "gostr34", "GOST R 34.11, which no list of TS 119 312 has"},
		{xmldsig.ErrLimit, "more than 5 transforms", "X-48: a chain of six or more transforms"},
		{xmldsig.ErrNotFound, "xpointer(", "X-47: an XPointer other than #xpointer(/) and #xpointer(id('…'))"},
		{xmldsig.ErrNotFound, "occurs more than once", "X-50: an identifier of two elements"},
		{xmldsig.ErrNotFound, "", "X-46: what is on the web, or an identifier that nothing has or that a schema would have to declare"},
	}
}

// refusal finds the reason of a refusal in the table, -1 if it is none of those.
func refusal(err error) int {
	for i, r := range refusals() {
		if errors.Is(err, r.err) && strings.Contains(err.Error(), r.says) {
			return i
		}
	}
	return -1
}

// deliberate tells vectors that are wrong on purpose, are still to be signed, or
// whose octets were on the web and have changed since.
func deliberate(name string) bool {
	base := filepath.Base(name)
	if filepath.Base(filepath.Dir(name)) == "dsig" && strings.HasPrefix(base, "signature") && len(base) == len("signature1.xml") {
		return true // attacks by stylesheets, with no value that fits
	}
	for _, word := range []string{"bad-", "java-bug", "_padded", "two-keynames", "-template", "invalid-", "keysstore"} {
		if strings.Contains(base, word) {
			return true
		}
	}
	return false
}

// keyOf takes the key that a vector carries, which nothing but a test may do.
func keyOf(s *xmldsig.Signature, document []byte) crypto.PublicKey {
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
	return curveKey(document)
}

// curveKey finds a dsig11:ECKeyValue, whose vocabulary package xmldsig does not read.
func curveKey(document []byte) crypto.PublicKey {
	value := regexp.MustCompile(`(?s)ECKeyValue.*NamedCurve URI="urn:oid:([0-9.]+)".*PublicKey[^>]*>([^<]+)<`).FindSubmatch(document)
	if value == nil {
		return nil
	}
	curve := map[string]elliptic.Curve{"1.2.840.10045.3.1.7": elliptic.P256(), "1.3.132.0.34": elliptic.P384(), "1.3.132.0.35": elliptic.P521()}[string(value[1])]
	point, err := xmldsig.Base64(string(value[2]))
	if curve == nil || err != nil {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil
	}
	return key
}
