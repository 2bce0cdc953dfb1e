package xades_test

import (
	"bytes"
	"context"
	"crypto"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

func citizen(t testing.TB) signing.Credential {
	t.Helper()
	country, err := pki.New(pki.Options{Seed: []byte("xades")})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := country.EstonianCitizen(pki.Persons()[0])
	if err != nil {
		t.Fatal(err)
	}
	return signing.Credential{Signer: keys.Signature.Key, Certificate: keys.Signature.Certificate, Chain: country.Issuers()[:1]}
}

// letter is a document with a part that has an identifier.
const letter = `<?xml version="1.0"?>
<letter xmlns="urn:example:letter"><!-- a comment --><body Id="body">text &amp; more</body></letter>
`

// packagings are the ways to sign a document.
func packagings() map[string]xades.Options {
	return map[string]xades.Options{
		"enveloped":          {},
		"enveloping":         {Packaging: xades.Enveloping},
		"detached, internal": {Packaging: xades.Detached},
		"parallel":           {Parallel: true},
		"part by id":         {Elements: []string{"body"}},
		"manifest":           {Manifest: true},
		"key info, classic":  {SignKeyInfo: true, Classic: true, Canonicalization: c14n.Inclusive10},
		"canonical XML 1.1":  {Canonicalization: c14n.Inclusive11},
	}
}

func TestSignInEveryPackaging(t *testing.T) {
	t.Parallel()
	cred := citizen(t)
	for name, o := range packagings() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			r, err := xades.Sign(context.Background(), bytes.NewReader([]byte(letter)), int64(len(letter)), &out, cred, o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Size != int64(out.Len()) || r.Baseline != signing.BaselineB {
				t.Errorf("result %+v for %d bytes", r, out.Len())
			}
			intact(t, out.Bytes(), cred.Certificate.PublicKey, nil)
		})
	}
}

// intact checks references and value of the signatures in a document.
func intact(t testing.TB, raw []byte, key crypto.PublicKey, resolver xmldsig.Resolver) {
	t.Helper()
	ctx := context.Background()
	d, err := xmldsig.Open(ctx, bytes.NewReader(raw), int64(len(raw)), xmldsig.Options{Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Signatures) == 0 {
		t.Error("no signature")
	}
	for _, s := range d.Signatures {
		if err := s.VerifyValue(key); err != nil {
			t.Error(err)
		}
		outcomes, err := d.Digest(ctx, s, s.References)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outcomes {
			if o.Err != nil || !bytes.Equal(o.Digest, s.References[i].Value) {
				t.Errorf("reference %q: %+v", s.References[i].URI, o)
			}
		}
	}
}

func TestSignObjects(t *testing.T) {
	t.Parallel()
	cred := citizen(t)
	hash, err := xades.DefaultDigest(cred.Certificate.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	objects := []xades.Object{{URI: "hello.txt", MimeType: "text/plain"}, {URI: "empty.bin"}}
	files := files{"hello.txt": "hello", "empty.bin": ""}
	for i := range objects {
		h := hash.New()
		h.Write([]byte(files[objects[i].URI]))
		objects[i].Digest = h.Sum(nil)
	}
	for _, container := range []bool{false, true} {
		var out bytes.Buffer
		if _, err := xades.SignObjects(context.Background(), objects, &out, cred, files, xades.Options{Container: container, Canonicalization: c14n.Inclusive11}); err != nil {
			t.Fatal(err)
		}
		intact(t, out.Bytes(), cred.Certificate.PublicKey, files)
	}
}

// spaniard is a citizen with an RSA key.
func spaniard(t testing.TB) signing.Credential {
	t.Helper()
	country, err := pki.New(pki.Options{Seed: []byte("xades")})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := country.SpanishCitizen(pki.Persons()[3])
	if err != nil {
		t.Fatal(err)
	}
	return signing.Credential{Signer: keys.Signature.Key, Certificate: keys.Signature.Certificate, Chain: keys.Issuers[:1]}
}
