package xades_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/beevik/etree"
	goxmldsig "github.com/russellhaering/goxmldsig"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// countingSigner counts its calls.
type countingSigner struct {
	crypto.Signer
	calls int
}

func (s *countingSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.calls++
	return s.Signer.Sign(r, digest, o)
}

// selfSigned is a credential that is its own root.
func selfSigned(t testing.TB, key crypto.Signer) signing.Credential {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(42), Subject: pkix.Name{CommonName: "Signer", Country: []string{"EE"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageContentCommitment,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signing.Credential{Signer: &countingSigner{Signer: key}, Certificate: c}
}

func generate(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if curve == nil {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeysAndAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		curve    elliptic.Curve
		options  xades.Options
		want     string
		wantText string
	}{
		{nil, xades.Options{}, "RSA with SHA-256", "xmldsig-more#rsa-sha256"},
		{nil, xades.Options{Digest: crypto.SHA512}, "RSA with SHA-512", "xmldsig-more#rsa-sha512"},
		{nil, xades.Options{PSS: true}, "RSA-PSS with SHA-256", "sha256-rsa-MGF1"},
		{nil, xades.Options{PSS: true, Digest: crypto.SHA384}, "RSA-PSS with SHA-384", "sha384-rsa-MGF1"},
		{elliptic.P256(), xades.Options{}, "ECDSA with SHA-256", "ecdsa-sha256"},
		{elliptic.P384(), xades.Options{}, "ECDSA with SHA-384", "ecdsa-sha384"},
		{elliptic.P521(), xades.Options{}, "ECDSA with SHA-512", "ecdsa-sha512"},
	} {
		t.Run(c.want, func(t *testing.T) {
			cred := selfSigned(t, generate(t, c.curve))
			var out bytes.Buffer
			r, err := xades.Sign(context.Background(), strings.NewReader(letter), int64(len(letter)), &out, cred, c.options)
			if err != nil {
				t.Fatal(err)
			}
			if r.SignatureAlgorithm != c.want || !strings.Contains(out.String(), c.wantText) {
				t.Errorf("%+v", r)
			}
			if calls := cred.Signer.(*countingSigner).calls; calls != 1 {
				t.Errorf("the key was used %d times", calls)
			}
			report := judge(t, out.Bytes(), xades.VerifyOptions{VerifyOptions: signing.VerifyOptions{Roots: []*x509.Certificate{cred.Certificate}, WithoutRevocation: true}})
			if !report.Passed() || report.Signatures[0].SignatureAlgorithm != c.want || report.Signatures[0].Baseline != signing.BaselineB {
				t.Errorf("%+v", report.Signatures[0])
			}
		})
	}
}

// TestEncodings signs documents in every encoding that is read; the bytes that were
// there stay.
func TestEncodings(t *testing.T) {
	t.Parallel()
	cred := selfSigned(t, generate(t, elliptic.P256()))
	text := `<?xml version="1.0" encoding="ENC"?><a xmlns="urn:a"><b Id="b">señor</b></a>`
	wide := func(order func(unit uint16) []byte) string {
		out := order(0xFEFF)
		for _, unit := range utf16.Encode([]rune(strings.Replace(text, "ENC", "UTF-16", 1))) {
			out = append(out, order(unit)...)
		}
		return string(out)
	}
	for name, doc := range map[string]string{
		"UTF-8":                        strings.Replace(text, "ENC", "UTF-8", 1),
		"UTF-8 with a mark":            "\ufeff" + strings.Replace(text, "ENC", "UTF-8", 1),
		"ISO-8859-1":                   strings.Replace(strings.Replace(text, "ENC", "ISO-8859-1", 1), "ñ", "\xf1", 1),
		"ISO-8859-2":                   strings.Replace(strings.Replace(text, "ENC", "ISO-8859-2", 1), "ñ", "\xf2", 1),
		"ISO-8859-15":                  strings.Replace(strings.Replace(text, "ENC", "iso-8859-15", 1), "ñ", "\xa4", 1),
		"windows-1252":                 strings.Replace(strings.Replace(text, "ENC", "windows-1252", 1), "ñ", "\x80", 1),
		"UTF-16 LE":                    wide(func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} }),
		"UTF-16 BE":                    wide(func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} }),
		"an empty element":             `<a xmlns="urn:a"/>`,
		"an empty element with blanks": "<a\n  x='1' />\n<!-- after -->",
		"instructions around":          "<?a b?>\n<a>\r\n</a><?c?>",
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range []xades.Options{
				{Claims: signing.Claims{Roles: []string{"señora"}, Place: signing.Place{Locality: "A Coruña"}}},
				{Canonicalization: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", SignKeyInfo: true},
				{Packaging: xades.Enveloping},
			} {
				var out bytes.Buffer
				if _, err := xades.Sign(context.Background(), strings.NewReader(doc), int64(len(doc)), &out, cred, o); err != nil {
					t.Fatal(err)
				}
				report := judge(t, out.Bytes(), xades.VerifyOptions{VerifyOptions: signing.VerifyOptions{Roots: []*x509.Certificate{cred.Certificate}, WithoutRevocation: true}})
				if !report.Passed() || len(o.Claims.Roles) > 0 && report.Signatures[0].Roles[0] != "señora" {
					t.Errorf("%+v", report.Signatures)
				}
				if o.Packaging == "" && !strings.Contains(doc, "/>") {
					untouched(t, []byte(doc), out.Bytes())
				}
				// Countersignatures and further properties are spliced in likewise.
				var countered bytes.Buffer
				if _, err := xades.Countersign(context.Background(), bytes.NewReader(out.Bytes()), int64(out.Len()), &countered, "", cred, xades.Options{}); err != nil {
					t.Fatal(err)
				}
				untouched(t, out.Bytes(), countered.Bytes())
				if r := judge(t, countered.Bytes(), xades.VerifyOptions{}); len(r.Signatures) != 2 || !r.Intact() {
					t.Errorf("countersigned: %+v", r.Signatures)
				}
			}
		})
	}
}

// TestRefusals: before the key is used.
func TestRefusals(t *testing.T) {
	t.Parallel()
	cred := selfSigned(t, generate(t, elliptic.P256()))
	ended := selfSigned(t, generate(t, elliptic.P256()))
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, doc string
		cred      signing.Credential
		options   xades.Options
		want      signing.RefusalCode
	}{
		{"X-22 instructions in what is signed", "<a><?x y?></a>", cred, xades.Options{}, signing.RefusedInstructions},
		{"no such part", letter, cred, xades.Options{Elements: []string{"z"}}, signing.RefusedOption},
		{"a part twice", `<a><b Id="x"/><b Id="x"/></a>`, cred, xades.Options{Elements: []string{"x"}}, signing.RefusedOption},
		{"an unknown packaging", letter, cred, xades.Options{Packaging: "folded"}, signing.RefusedOption},
		{"an unknown form", letter, cred, xades.Options{Canonicalization: "urn:x"}, signing.RefusedOption},
		{"a level without services", letter, cred, xades.Options{Level: signing.BaselineT}, signing.RefusedOption},
		{"a weak key", letter, selfSigned(t, weak), xades.Options{}, signing.RefusedKey},
		{"a certificate that has ended", letter, ended, xades.Options{SigningTime: time.Now().AddDate(2, 0, 0)}, signing.RefusedCertificate},
		{"a policy without a digest", letter, cred, xades.Options{Claims: signing.Claims{Policy: &signing.Policy{OID: "1.2.3"}}}, signing.RefusedOption},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := xades.Sign(context.Background(), strings.NewReader(c.doc), int64(len(c.doc)), io.Discard, c.cred, c.options)
			var refused *signing.RefusedError
			if !errors.As(err, &refused) || refused.Code != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if c.cred.Signer.(*countingSigner).calls > 0 {
				t.Error("the key was used")
			}
		})
	}
}

// TestTimeStampsOfAnotherSignature: the level is no higher than what is
// proven.
func TestTimeStampsOfAnotherSignature(t *testing.T) {
	t.Parallel()
	s := newState(t)
	one, _ := s.sign(t, letter, xades.Options{Level: signing.BaselineLTA})
	two, _ := s.sign(t, letter, xades.Options{Level: signing.BaselineLTA})
	for _, c := range []struct {
		property string
		want     signing.Baseline
	}{
		{`<xades:SignatureTimeStamp.*?</xades:SignatureTimeStamp>`, signing.BaselineB},
		{`<xades141:ArchiveTimeStamp.*?</xades141:ArchiveTimeStamp>`, signing.BaselineLT},
		{`<xades:RevocationValues.*?</xades:RevocationValues>`, signing.BaselineT},
	} {
		property := regexp.MustCompile(c.property)
		changed := property.ReplaceAllLiteral(one, property.Find(two))
		if strings.Contains(c.property, "Revocation") {
			changed = property.ReplaceAllLiteral(one, nil)
		}
		got := s.verify(t, changed).Signatures[0]
		if got.Baseline != c.want || got.Integrity != signing.Intact {
			t.Errorf("%s: level %s, want %s; %v", c.property, got.Baseline, c.want, got.Findings)
		}
	}
}

// TestGoxmldsigAgrees: another implementation verifies what we sign, and we what
// it signs, where it can: RSA, one enveloped reference, exclusive form.
func TestGoxmldsigAgrees(t *testing.T) {
	t.Parallel()
	key := generate(t, nil).(*rsa.PrivateKey)
	cred := selfSigned(t, key)
	var out bytes.Buffer
	if _, err := xades.Sign(context.Background(), strings.NewReader(letter), int64(len(letter)), &out, cred, xades.Options{}); err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	context1 := goxmldsig.NewDefaultValidationContext(&goxmldsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cred.Certificate}})
	if _, err := context1.Validate(doc.Root()); err != nil {
		t.Errorf("goxmldsig on ours: %v", err)
	}
	signer, err := goxmldsig.NewSigningContext(key, [][]byte{cred.Certificate.Raw})
	if err != nil {
		t.Fatal(err)
	}
	signer.Canonicalizer = goxmldsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	plain := etree.NewDocument()
	if err := plain.ReadFromString(`<letter xmlns="urn:example:letter" ID="x"><body>text</body></letter>`); err != nil {
		t.Fatal(err)
	}
	signed, err := signer.SignEnveloped(plain.Root())
	if err != nil {
		t.Fatal(err)
	}
	plain.SetRoot(signed)
	raw, err := plain.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	if got := judge(t, raw, xades.VerifyOptions{}).Signatures[0]; got.Integrity != signing.Intact {
		t.Errorf("ours on goxmldsig's: %+v", got)
	}
}
