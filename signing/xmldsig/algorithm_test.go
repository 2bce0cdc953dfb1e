package xmldsig_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// signedBy is a document whose signature has a method, and a value made of its
// canonical ds:SignedInfo.
func signedBy(t *testing.T, method string, value func(message []byte) []byte) *xmldsig.Signature {
	t.Helper()
	doc := strings.Replace(document("#a", ""), `<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>`, method, 1)
	open := func() *xmldsig.Signature {
		d, err := xmldsig.Open(context.Background(), strings.NewReader(doc), int64(len(doc)), xmldsig.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d.Signatures[0]
	}
	message, err := open().SignedInfo()
	if err != nil {
		t.Fatal(err)
	}
	doc = strings.Replace(doc, ">AA==<", ">"+base64.StdEncoding.EncodeToString(value(message))+"<", 1)
	return open()
}

func method(uri string) string { return `<ds:SignatureMethod Algorithm="` + uri + `"/>` }

func sum(h crypto.Hash, message []byte) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}

// TestECDSAValues: r and s as long as the field, for every curve; nothing
// else but DER, which is told.
func TestECDSAValues(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256} {
			uri := fmt.Sprintf("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha%d", 8*hash.Size())
			if hash == crypto.SHA3_256 {
				uri = "http://www.w3.org/2021/04/xmldsig-more#ecdsa-sha3-256"
			}
			width := (curve.Params().BitSize + 7) / 8
			var der []byte
			check := func(name string, value func(message []byte) []byte, want error, deviations int) {
				t.Helper()
				s := signedBy(t, method(uri), value)
				if err := s.VerifyValue(&key.PublicKey); !errors.Is(err, want) || len(s.Deviations) != deviations {
					t.Errorf("%s, %s, %s: %v, %q", curve.Params().Name, hash, name, err, s.Deviations)
				}
			}
			good := func(message []byte) []byte {
				if der, err = ecdsa.SignASN1(rand.Reader, key, sum(hash, message)); err != nil {
					t.Fatal(err)
				}
				raw, err := xmldsig.RawECDSA(curve, der)
				if err != nil || len(raw) != 2*width {
					t.Fatalf("%d bytes, %v", len(raw), err)
				}
				return raw
			}
			check("r and s", good, nil, 0)
			check("DER", func(m []byte) []byte { good(m); return der }, nil, 1)
			check("zeros", func([]byte) []byte { return make([]byte, 2*width) }, xmldsig.ErrValue, 0)
			if curve == elliptic.P521() { // with others leading zeros are rare
				check("leading zeros left out", func(m []byte) []byte {
					raw := good(m)
					for raw[0]|raw[width] != 0 { // three of four have none
						raw = good(m)
					}
					return append(raw[1:width:width], raw[width+1:]...)
				}, nil, 1)
			}
			check("half cut off", func(m []byte) []byte { return good(m)[:width] }, xmldsig.ErrValue, 0)
			check("a byte too many", func(m []byte) []byte { return append(good(m), 0) }, xmldsig.ErrValue, 0)
			check("r beyond the order", func(m []byte) []byte {
				raw := good(m)
				copy(raw, bytes.Repeat([]byte{0xff}, width))
				return raw
			}, xmldsig.ErrValue, 0)
		}
		if _, err := xmldsig.RawECDSA(curve, []byte{0x30, 0}); err == nil {
			t.Error("an empty sequence is taken for a value")
		}
	}
}

// TestPSSParameters: the identifiers of RFC 6931 with their digest, and rsa-pss
// with parameters.
func TestPSSParameters(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const more = "http://www.w3.org/2007/05/xmldsig-more#"
	with := func(inner string) string {
		return `<ds:SignatureMethod Algorithm="` + more + `rsa-pss"><p:RSAPSSParams xmlns:p="` + more + `">` + inner + `</p:RSAPSSParams></ds:SignatureMethod>`
	}
	digest := func(uri string) string { return `<ds:DigestMethod Algorithm="` + uri + `"/>` }
	const sha512, sha256 = "http://www.w3.org/2001/04/xmlenc#sha512", "http://www.w3.org/2001/04/xmlenc#sha256"
	for _, c := range []struct {
		name, method string
		hash         crypto.Hash
		salt         int
		want         error
	}{
		{"SHA-256", method(more + "sha256-rsa-MGF1"), crypto.SHA256, 32, nil},
		{"SHA-384", method(more + "sha384-rsa-MGF1"), crypto.SHA384, 48, nil},
		{"SHA-512", method(more + "sha512-rsa-MGF1"), crypto.SHA512, 64, nil},
		{"SHA3-256", method(more + "sha3-256-rsa-MGF1"), crypto.SHA3_256, 32, nil},
		{"without parameters", method(more + "rsa-pss"), crypto.SHA256, 32, nil},
		{"a digest", with(digest(sha512)), crypto.SHA512, 64, nil},
		{"all parameters", with(digest(sha512) + `<p:MaskGenerationFunction Algorithm="` + more + `MGF1">` + digest(sha512) + `</p:MaskGenerationFunction><p:SaltLength>20</p:SaltLength><p:TrailerField>1</p:TrailerField>`), crypto.SHA512, 20, nil},
		{"X-67 another salt than said", with(digest(sha512)), crypto.SHA512, 20, xmldsig.ErrValue},
		{"X-67 two digests", with(digest(sha512) + `<p:MaskGenerationFunction>` + digest(sha256) + `</p:MaskGenerationFunction>`), crypto.SHA512, 64, xmldsig.ErrAlgorithm},
		{"X-67 another trailer", with(`<p:TrailerField>2</p:TrailerField>`), crypto.SHA256, 32, xmldsig.ErrAlgorithm},
		{"X-67 an unknown parameter", with(`<p:Other/>`), crypto.SHA256, 32, xmldsig.ErrFormat},
		{"X-67 a negative salt", with(`<p:SaltLength>-1</p:SaltLength>`), crypto.SHA256, 32, xmldsig.ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedBy(t, c.method, func(message []byte) []byte {
				value, err := rsa.SignPSS(rand.Reader, key, c.hash, sum(c.hash, message), &rsa.PSSOptions{SaltLength: c.salt})
				if err != nil {
					t.Fatal(err)
				}
				return value
			})
			if err := s.VerifyValue(&key.PublicKey); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	// A value under a key of another kind.
	s := signedBy(t, method("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), func([]byte) []byte { return []byte{1} })
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.VerifyValue(&other.PublicKey); !errors.Is(err, xmldsig.ErrValue) && !errors.Is(err, xmldsig.ErrAlgorithm) {
		t.Errorf("an EC key for an RSA value: %v", err)
	}
}

// TestReferences follows references of every kind.
func TestReferences(t *testing.T) {
	const (
		enveloped = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`
		decoded   = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"/>`
		comments  = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#WithComments"/>`
		exclusive = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`
	)
	for _, c := range []struct {
		name, uri, transforms, want string
		err                         error
	}{
		{"an element", "#a", "", `<c xmlns:b="urn:b" Id="a" b:d="e">YWJj</c>`, nil},
		{"an element in exclusive form", "#a", exclusive, `<c xmlns:b="urn:b" Id="a" b:d="e">YWJj</c>`, nil},
		{"an element decoded", "#a", decoded, "abc", nil},
		{"the document without the signature", "", enveloped + exclusive, `<a><c xmlns:b="urn:b" Id="a" b:d="e">YWJj</c></a>`, nil},
		{"an escaped identifier", "#%61", exclusive, `<c xmlns:b="urn:b" Id="a" b:d="e">YWJj</c>`, nil},
		{"XPointer to the document", "#xpointer(/)", enveloped + comments, `<a><c xmlns:b="urn:b" Id="a" b:d="e">YWJj</c></a>`, nil},
		{"XPointer to an element", "#xpointer(id('a'))", comments, `<c xmlns:b="urn:b" Id="a" b:d="e">YWJj</c>`, nil},
		{"another XPointer", "#xpointer(//c)", exclusive, "", xmldsig.ErrNotFound},
		{"no such element", "#z", exclusive, "", xmldsig.ErrNotFound},
		{"a file", "file", "", "<x>YQ==</x>", nil},
		{"a file in canonical form", "file", comments, "<x>YQ==</x>", nil},
		{"a file that is no base64", "file", decoded, "", xmldsig.ErrFormat},
		{"a file without its signature", "file", enveloped, "", xmldsig.ErrTransform},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := document(c.uri, c.transforms)
			d, err := xmldsig.Open(t.Context(), strings.NewReader(doc), int64(len(doc)), xmldsig.Options{XPointer: true, Resolver: fixed("<x>YQ==</x>")})
			if err != nil {
				t.Fatal(err)
			}
			s := d.Signatures[0]
			outcomes, err := d.Digest(t.Context(), s, s.References)
			if err != nil {
				t.Fatal(err)
			}
			if c.err != nil {
				if !errors.Is(outcomes[0].Err, c.err) {
					t.Errorf("got %v, want %v", outcomes[0].Err, c.err)
				}
				return
			}
			var out bytes.Buffer
			if err := d.Octets(t.Context(), s, &s.References[0], &out); err != nil || out.String() != c.want {
				t.Errorf("%q, %v, want %q", out.String(), err, c.want)
			}
			if !bytes.Equal(outcomes[0].Digest, sum(crypto.SHA256, []byte(c.want))) {
				t.Error("the digest is not that of the octets")
			}
		})
	}
}

// TestEmptyIsNothing: a form without octets is no data.
func TestEmptyIsNothing(t *testing.T) {
	for _, doc := range []string{
		strings.Replace(document("#a", `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"/>`), "YWJj", "", 1),
		strings.Replace(document("#a", ""), `xmlns:b="urn:b"`, `xmlns:b="relative"`, 1),
	} {
		d, err := xmldsig.Open(t.Context(), strings.NewReader(doc), int64(len(doc)), xmldsig.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := d.Signatures[0]
		outcomes, err := d.Digest(t.Context(), s, s.References)
		if err != nil || outcomes[0].Err == nil {
			t.Errorf("%+v, %v", outcomes, err)
		}
	}
}
