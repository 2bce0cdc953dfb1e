//go:build interop

package saml

import (
	"crypto/ecdsa"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/fixtures/idps/samlwire"
	"github.com/eidbridge/eidbridge/fixtures/santuario"
)

// TestInteropSantuarioAgreesOnKeys: what Apache Santuario encrypts by ECDH-ES opens
// here, and it opens what the lab's node encrypts, which this package opens in other
// tests.
func TestInteropSantuarioAgreesOnKeys(t *testing.T) {
	k := keysOnce()
	const more = "http://www.w3.org/2001/04/xmldsig-more#"
	for _, row := range []struct {
		name   string
		to     *testKey
		manner santuario.Manner
	}{
		{"P-256 SHA-256 kw-aes128 AES-128-GCM", k.p256, santuario.Manner{ContentBits: 128, WrapBits: 128, Digest: sha256URI}},
		{"P-384 SHA-384 kw-aes256 AES-256-GCM", k.p384, santuario.Manner{ContentBits: 256, WrapBits: 256, Digest: more + "sha384"}},
		{"P-521 SHA-512 kw-aes256 AES-256-GCM", k.p521, santuario.Manner{ContentBits: 256, WrapBits: 256, Digest: "http://www.w3.org/2001/04/xmlenc#sha512"}},
	} {
		t.Run("Santuario encrypts "+row.name, func(t *testing.T) {
			a, e := goodAnswer(), goodExpectation()
			e.Decryption = ours(row.to)
			e.Decryption.Required = true
			data := santuario.Encrypt(t, row.to.cert, row.manner, []byte(a.signedAssertion()))
			a.signR = nil
			message := func(data string) string {
				before, rest, _ := strings.Cut(a.post(), "<saml:Assertion ")
				_, after, _ := strings.Cut(rest, "</saml:Assertion>")
				text := before + `<saml:EncryptedAssertion xmlns:saml="` + assertionNS + `">` + data + `</saml:EncryptedAssertion>` + after
				// What Santuario writes is not in canonical form, which xmlsec1 does not mind.
				return xmlsecSigned(t, k.idp, rsaSHA256, sha256URI, "", text, "_response1", "urn:oasis:names:tc:SAML:2.0:protocol:Response")
			}
			got, err := ValidateResponse([]byte(message(string(data))), e)
			checkVerdict(t, got, err, accepted)
			before, after, _ := strings.Cut(string(data), "CipherValue>") // of the wrapped key
			first := "A"
			if strings.HasPrefix(after, first) {
				first = "B"
			}
			got, err = ValidateResponse([]byte(message(before+"CipherValue>"+first+after[1:])), e)
			checkVerdict(t, got, err, ReasonDecryption)
		})
	}
	for name, to := range map[string]*testKey{"P-256": k.p256, "P-384": k.p384, "P-521": k.p521} {
		t.Run("Santuario decrypts "+name, func(t *testing.T) {
			document := etree.NewDocument()
			if err := document.ReadFromString(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a"><saml:Issuer>` + idpID + `</saml:Issuer></saml:Assertion>`); err != nil {
				t.Fatal(err)
			}
			want, err := exclusive(document.Root())
			if err != nil {
				t.Fatal(err)
			}
			hidden, err := samlwire.Encrypt(document.Root(), samlwire.Sealing{To: to.cert, Recipient: spID})
			if err != nil {
				t.Fatal(err)
			}
			hidden.CreateAttr("xmlns:saml", assertionNS)
			text, err := serialize(hidden)
			if err != nil {
				t.Fatal(err)
			}
			opened := etree.NewDocument()
			if err := opened.ReadFromBytes(santuario.Decrypt(t, to.key.(*ecdsa.PrivateKey), text)); err != nil {
				t.Fatal(err)
			}
			assertion := opened.Root().ChildElements()[0].Copy()
			assertion.CreateAttr("xmlns:saml", assertionNS) // declared by the parent before
			got, err := exclusive(assertion)
			if err != nil || string(got) != string(want) {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}
