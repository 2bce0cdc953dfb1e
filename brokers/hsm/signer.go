package hsm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

// signer is one key.
type signer struct {
	token  *Token
	index  int
	public crypto.PublicKey
}

// Public is the key's public half.
func (s *signer) Public() crypto.PublicKey { return s.public }

// check refuses keys that sign no tokens.
func (s *signer) check() error {
	switch key := s.public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
	case *rsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("%w: %s: it is neither EC on P-256 or P-384, RSA, nor Ed25519", ErrKey, s.token.settings.Keys[s.index])
}

// Sign implements crypto.Signer; RSA signs by SHA-256. It waits for a token that is
// away, but not for long.
func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	r, err := s.request(digest, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), signPatience)
	defer cancel()
	raw, err := s.token.sign(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.verified(r, digest, raw)
}

// request says how the token has to sign.
func (s *signer) request(digest []byte, opts crypto.SignerOpts) (wire.Request, error) {
	r := wire.Request{Key: s.index, Input: digest}
	switch s.public.(type) {
	case ed25519.PublicKey:
		if opts.HashFunc() != 0 {
			return r, fmt.Errorf("%w: Ed25519 signs messages", ErrRefused)
		}
		r.Mechanism = wire.EdDSA
		return r, nil
	case *ecdsa.PublicKey:
		r.Mechanism = wire.ECDSA
		if len(digest) != opts.HashFunc().Size() {
			return r, fmt.Errorf("%w: the digest has another length", ErrRefused)
		}
		return r, nil
	}
	if opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return r, fmt.Errorf("%w: RSA signs by SHA-256", ErrRefused)
	}
	if pss, ok := opts.(*rsa.PSSOptions); ok {
		// Whatever says "auto": RFC 7518 3.5 wants a salt of the digest's length.
		if n := pss.SaltLength; n != rsa.PSSSaltLengthAuto && n != rsa.PSSSaltLengthEqualsHash && n != sha256.Size {
			return r, fmt.Errorf("%w: the salt is as long as the digest", ErrRefused)
		}
		r.Mechanism = wire.PSSSHA256
		return r, nil
	}
	r.Mechanism, r.Input = wire.RSA, digestInfo(digest)
	return r, nil
}

// digestInfo is what PKCS #1 pads (RFC 8017 9.2, note 1: SHA-256).
func digestInfo(digest []byte) []byte {
	return append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, digest...)
}

// trial is a signature that only shows that the key can be used: of a text that
// begins no token.
func (s *signer) trial() wire.Request {
	text := []byte("eidbridge asks whether this key is there")
	digest := sha256.Sum256(text)
	switch s.public.(type) {
	case ed25519.PublicKey:
		return wire.Request{Key: s.index, Mechanism: wire.EdDSA, Input: text}
	case *ecdsa.PublicKey:
		return wire.Request{Key: s.index, Mechanism: wire.ECDSA, Input: digest[:]}
	}
	return wire.Request{Key: s.index, Mechanism: wire.RSA, Input: digestInfo(digest[:])}
}

var errForged = fmt.Errorf("%w: what it gave is no signature by the key", ErrGone)

// verified brings a signature into Go's form, if it is one. A token that computes
// wrongly could otherwise give its key away.
func (s *signer) verified(r wire.Request, digest, raw []byte) ([]byte, error) {
	var err error
	switch key := s.public.(type) {
	case ed25519.PublicKey:
		if !ed25519.Verify(key, digest, raw) {
			err = errForged
		}
	case *ecdsa.PublicKey:
		if raw, err = joined(raw, (key.Params().BitSize+7)/8); err == nil && !ecdsa.VerifyASN1(key, digest, raw) {
			err = errForged
		}
	case *rsa.PublicKey:
		if r.Mechanism == wire.PSSSHA256 {
			err = rsa.VerifyPSS(key, crypto.SHA256, digest, raw, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			err = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, raw)
		}
		if err != nil {
			err = errors.Join(errForged, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return raw, nil
}

// joined makes the DER form of r and s, which CKM_ECDSA puts side by side.
func joined(raw []byte, size int) ([]byte, error) {
	if len(raw) != 2*size {
		return nil, errForged
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:size]), new(big.Int).SetBytes(raw[size:])})
}
