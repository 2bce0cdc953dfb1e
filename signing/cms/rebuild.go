package cms

import (
	"crypto"
	"errors"
	"fmt"
)

// Rebuild makes a template from what a prepared signature keeps of it: the
// certificates in DER, the signing one first, and the algorithm, whose digest is
// SHA-256, SHA-384 or SHA-512.
func Rebuild(certificates [][]byte, digest string, pss bool) (*Template, error) {
	t := new(Template)
	for i, raw := range certificates {
		c, err := ParseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("certificate in the plan: %w", err)
		}
		if i == 0 {
			t.Certificate = c
		} else {
			t.Chain = append(t.Chain, c)
		}
	}
	hash := SigningDigest(digest)
	if t.Certificate == nil || hash == 0 {
		return nil, errors.New("plan without certificate or digest algorithm")
	}
	var err error
	t.Algorithm, err = AlgorithmFor(t.Certificate.PublicKey, hash, pss)
	return t, err
}

// SigningDigest returns the digest of a name such as "SHA-256", 0 for one that
// signatures are not made with.
func SigningDigest(name string) crypto.Hash {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if h.String() == name {
			return h
		}
	}
	return 0
}
