package authcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"

	"github.com/eidbridge/eidbridge/brokers"
)

// Scheme is how a signature value is made.
type Scheme int

// The schemes.
const (
	// ECDSA is r ‖ s, each as long as the order of the curve.
	ECDSA Scheme = iota
	// PKCS1 is RSASSA-PKCS1-v1_5.
	PKCS1
	// PSS is RSASSA-PSS with a salt as long as the hash and MGF1 by the same hash.
	PSS
)

// Verify verifies a signature over a digest.
func Verify(c *x509.Certificate, scheme Scheme, hash crypto.Hash, digest, signature []byte) error {
	invalid := refuse(ReasonSignature, brokers.CategoryProtocol, errors.New("signature does not fit key and content"))
	if len(digest) != hash.Size() {
		return invalid
	}
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		size := (key.Params().N.BitLen() + 7) / 8
		if scheme != ECDSA || len(signature) != 2*size {
			return invalid
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		if !ecdsa.Verify(key, digest, r, s) {
			return invalid
		}
		return nil
	case *rsa.PublicKey:
		var err error
		switch scheme {
		case PKCS1:
			err = rsa.VerifyPKCS1v15(key, hash, digest, signature)
		case PSS:
			err = rsa.VerifyPSS(key, hash, digest, signature, &rsa.PSSOptions{SaltLength: hash.Size()})
		case ECDSA:
			return invalid
		}
		if err != nil {
			return invalid
		}
		return nil
	}
	return invalid
}
