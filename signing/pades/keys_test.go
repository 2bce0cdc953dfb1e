package pades_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
)

// signedAt is the claimed time of every signature in these tests.
var signedAt = time.Date(2026, 3, 4, 10, 20, 30, 0, time.FixedZone("EET", 2*3600))

// countingSigner counts its calls.
type countingSigner struct {
	crypto.Signer
	calls int
}

func (s *countingSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.calls++
	return s.Signer.Sign(r, digest, o)
}

// testCA issues the certificates of a test.
type testCA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

var sharedCA = sync.OnceValue(func() *testCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Lab Root", Country: []string{"EE"}},
		NotBefore: signedAt.AddDate(-5, 0, 0), NotAfter: signedAt.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	root, err := x509.ParseCertificate(raw)
	if err != nil {
		panic(err)
	}
	return &testCA{root: root, key: key}
})

func (ca *testCA) issue(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) signing.Credential {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711),
		Subject: pkix.Name{
			CommonName: "PROOVIJA,PILLE,60001019906", SerialNumber: "PNOEE-60001019906", Country: []string{"EE"},
			ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{2, 5, 4, 42}, Value: "PILLE"},
				{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: "PROOVIJA"},
			},
		},
		NotBefore: signedAt.AddDate(-1, 0, 0), NotAfter: signedAt.AddDate(4, 0, 0),
		KeyUsage: x509.KeyUsageContentCommitment,
	}
	if change != nil {
		change(template)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, ca.root, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signing.Credential{Signer: key, Certificate: c, Chain: []*x509.Certificate{ca.root}}
}

var sharedRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newECDSA(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// citizen is a P-384 credential, the kind an Estonian card holds.
func citizen(t testing.TB) signing.Credential {
	t.Helper()
	return sharedCA().issue(t, newECDSA(t, elliptic.P384()), nil)
}
