package certpath_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// mint makes certificates. All have the same key, so that a signature fits under
// whichever of them a test calls its issuer.
type mint struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	serial int64
}

func newMint(t *testing.T) *mint {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &mint{t: t, key: key}
}

// issue makes the certificate of an authority, valid for an hour before and after
// now, below a parent or, without one, below itself. Change may alter what will be
// signed; nil leaves it.
func (m *mint) issue(subject pkix.Name, parent *x509.Certificate, change func(*x509.Certificate)) *x509.Certificate {
	m.t.Helper()
	m.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(m.serial), Subject: subject, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	if parent == nil {
		parent = template
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, m.key.Public(), m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}
