package cms

import "crypto"

// PSS is RSASSA-PSS with a salt of that many bytes.
func PSS(digest crypto.Hash, salt int) Algorithm {
	return Algorithm{Scheme: RSAPSS, Digest: digest, salt: salt}
}

// Verify checks a bare signature value over a message, ECDSA values being DER.
// An error matches ErrSignature or ErrAlgorithm. Whether the digest is reliable
// is for the caller to judge.
func (a Algorithm) Verify(key crypto.PublicKey, message, value []byte) error {
	if a.Scheme == Ed25519 {
		return verifyDigest(key, a, nil, message, value)
	}
	return verifyValue(key, a, message, value)
}
