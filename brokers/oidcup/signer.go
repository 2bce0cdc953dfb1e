package oidcup

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// algorithmOf is how a key signs assertions: the modern way of its kind.
func algorithmOf(public crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return jose.PS256, nil
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize == 256 {
			return jose.ES256, nil
		}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	}
	return "", errors.New("key for client assertions is not RSA, P-256 or Ed25519")
}

// opaque lets go-jose sign with any crypto.Signer, as one in an HSM.
type opaque struct {
	signer    crypto.Signer
	algorithm jose.SignatureAlgorithm
	id        string
}

// Public implements jose.OpaqueSigner.
func (o opaque) Public() *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: o.signer.Public(), KeyID: o.id, Algorithm: string(o.algorithm), Use: "sig"}
}

// Algs implements jose.OpaqueSigner.
func (o opaque) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{o.algorithm} }

// SignPayload implements jose.OpaqueSigner.
func (o opaque) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	if o.algorithm == jose.EdDSA {
		return o.signer.Sign(rand.Reader, payload, crypto.Hash(0))
	}
	h := crypto.SHA256.New()
	h.Write(payload)
	digest := h.Sum(nil)
	if o.algorithm == jose.PS256 {
		return o.signer.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	der, err := o.signer.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	// JWS wants r ‖ s (RFC 7518 3.4).
	var inner cryptobyte.String
	var r, s big.Int
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) {
		return nil, errors.New("signature of the key cannot be read")
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
}
