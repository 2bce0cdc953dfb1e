package cardtest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
)

// SizedCertificate is a DER certificate of exactly size bytes, to stand for one that a
// recording leaves out. The signer's values all have the same length, as those of RSA
// do.
func SizedCertificate(t testing.TB, public crypto.PublicKey, signer crypto.Signer, size int) []byte {
	t.Helper()
	padding := max(0, size-900)
	for range 10 { // the lengths in front of it grow with it
		template := &x509.Certificate{
			SerialNumber:    big.NewInt(1),
			ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, padding)}},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		if len(der) == size {
			return der
		}
		padding = max(0, padding+size-len(der))
	}
	t.Fatalf("no certificate of %d bytes", size)
	return nil
}
