package saml

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing/brainpool"
)

// opensslKey is a key with a certificate of its own, in files.
func opensslKey(t *testing.T, curve string) (keyFile, certFile string) {
	t.Helper()
	dir := t.TempDir()
	keyFile, certFile = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	for _, args := range [][]string{
		{"ecparam", "-genkey", "-noout", "-name", curve, "-out", keyFile},
		{"req", "-x509", "-sha256", "-key", keyFile, "-subj", "/CN=lab node", "-days", "2", "-out", certFile},
	} {
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", args[0], err, out)
		}
	}
	return keyFile, certFile
}

// fromMetadata is what the metadata of a node gives for a certificate.
func fromMetadata(t *testing.T, certFile string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	body := strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "").Replace(string(text))
	metadata := `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + idpID + `"><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
		`<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` + body + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>` +
		`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>`
	entities, err := ParseMetadata([]byte(metadata), MetadataTrust{AsGiven: true, Now: testNow})
	if err != nil || len(entities[idpID].Signing) != 1 {
		t.Fatalf("metadata with this key: %v", err)
	}
	certificate := entities[idpID].Signing[0]
	// OpenSSL 3.0 dates certificates from today; the messages are of another day.
	certificate.NotBefore, certificate.NotAfter = testNow.Add(-time.Hour), testNow.Add(time.Hour)
	return certificate
}

// TestNodesSignOnBrainpoolCurves: keys and certificates are OpenSSL's, signatures
// those of xmlsec1, and trust comes from metadata.
func TestNodesSignOnBrainpoolCurves(t *testing.T) {
	const more = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha"
	for curve, bits := range map[string]string{"brainpoolP256r1": "256", "brainpoolP384r1": "384", "brainpoolP512r1": "512"} {
		t.Run(curve, func(t *testing.T) {
			keyFile, certFile := opensslKey(t, curve)
			a, e := goodAnswer(), goodExpectation()
			a.signA, a.signR = nil, nil
			e.Signed = Coverage{Assertion: true}
			e.Certificates = []*x509.Certificate{keysOnce().p256.cert, fromMetadata(t, certFile)}
			message := xmlsecSignedBy(t, keyFile, certFile, more+bits, sha256URI, "", a.post(), "_assertion1", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion")
			got, err := ValidateResponse([]byte(message), e)
			checkVerdict(t, got, err, accepted)
			got, err = ValidateResponse([]byte(strings.Replace(message, "900029365", "999990019", 1)), e)
			checkVerdict(t, got, err, ReasonSignatureInvalid)
			_, other := opensslKey(t, curve)
			e.Certificates[1] = fromMetadata(t, other)
			e.Lenient.ForeignKeyInfo = true // the certificate of the first key is in KeyInfo
			got, err = ValidateResponse([]byte(message), e)
			checkVerdict(t, got, err, ReasonSignatureInvalid)
		})
	}
}

// TestCurvesThatAreTooShort: OpenSSL makes certificates for them, and neither
// kind counts as a key.
func TestCurvesThatAreTooShort(t *testing.T) {
	method, _ := findSignatureMethod("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", Leniency{})
	if method.usable(&x509.Certificate{PublicKey: &mustEC(elliptic.P224()).PublicKey}, Leniency{}) {
		t.Error("P-224 is used")
	}
	for _, curve := range []string{"brainpoolP224r1", "prime192v1", "brainpoolP256t1"} {
		_, certFile := opensslKey(t, curve)
		text, err := os.ReadFile(certFile)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := brainpool.ParseCertificate(pemBlock(t, text)); err == nil {
			t.Errorf("%s is read: %v", curve, c.PublicKey.(*ecdsa.PublicKey).Curve.Params().Name)
		}
	}
}

func pemBlock(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}
