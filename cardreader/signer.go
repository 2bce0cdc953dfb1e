package cardreader

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// ErrDigest is a digest that the key is not asked to sign: hash and length do
// not belong together, or the hash is none that a national card signs.
var ErrDigest = errors.New("digest cannot be signed")

// PINSource asks the holder for a PIN: a window, a terminal, a file descriptor.
type PINSource interface {
	// PIN returns what was entered, or an error when the holder refused. It is
	// called without any card connection held, at most once a signature, and
	// never for a blocked PIN. With one try left (r.Status.TriesLeft == 1) it
	// must get an explicit yes first. The caller wipes the PIN.
	PIN(ctx context.Context, r PINRequest) (*pin.PIN, error)
}

// PINRequest is what an entry is asked for.
type PINRequest struct {
	Card   Info
	Reader string
	// Purpose is what the PIN releases; empty is a signature.
	Purpose PINPurpose
	// Credential is empty for PurposePersonalData.
	Credential Credential
	Status     PINStatus
}

// PINPurpose is what a PIN releases.
type PINPurpose string

// The purposes.
const (
	PurposeSign         PINPurpose = ""
	PurposeAgree        PINPurpose = "agree"
	PurposePersonalData PINPurpose = "personal-data"
)

// Signer is a key on a card as a crypto.Signer. Each Sign is one operation of
// the holder's: one PIN entry, one VERIFY, one signature, in this order:
//
//	connect, same card? tries left?      PINBlocked, PINMustChange
//	disconnect, ask for the PIN          the source's error
//	check length and characters          PINFormat
//	connect, same card? tries unchanged? ErrCardChanged, ErrCardBusy
//	VERIFY, signature                    PINWrong, PINBlocked
//	disconnect with reset, wipe the PIN
//	verify the value                     ErrCardProtocol
//
// Nothing after VERIFY is ever repeated. The first connection is left out when
// Cards has a clock and the card was read within the last seconds.
type Signer struct {
	// A crypto.Signer has no context parameter, so the operation's own is kept.
	ctx    context.Context
	cards  *Cards
	found  *Found
	source PINSource
}

// Signer returns the key of a credential. ctx bounds and cancels its signatures,
// the time at the PIN prompt included.
func (c *Cards) Signer(ctx context.Context, f *Found, src PINSource) *Signer {
	return &Signer{ctx: ctx, cards: c, found: f, source: src}
}

// Public is the key of the certificate.
func (s *Signer) Public() crypto.PublicKey { return s.found.Credential.Certificate.PublicKey }

// Sign signs a digest of SHA-256, SHA-384 or SHA-512: ECDSA as ASN.1 DER, RSA as
// PKCS #1 v1.5, or as PSS for a key that makes nothing else (Credential.PSS).
// The randomness is the card's own; the argument is not used. Errors are those
// of this package and the PIN source's; a PIN that was not taken is a *PINError.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash, err := digestHash(digest, opts, s.found.Credential.PSS)
	if err != nil {
		return nil, err
	}
	if weakKey(s.Public()) {
		return nil, fmt.Errorf("%w: key of the certificate is too weak", ErrDigest)
	}
	var signature []byte
	u := use{
		operation: s.found.operation(s.cards), found: s.found, source: s.source, purpose: PurposeSign,
		work: func(ctx context.Context, card Card, p *pin.PIN) (err error) {
			signature, err = card.Sign(ctx, s.found.Credential, p, hash, digest)
			return err
		},
		pad: func(ctx context.Context, card PadSigner, pad PINPad) (err error) {
			signature, err = card.SignAtPad(ctx, s.found.Credential, pad, hash, digest)
			return err
		},
	}
	if err := u.do(s.ctx); err != nil {
		return nil, err
	}
	if !verifies(s.Public(), hash, digest, signature, s.found.Credential.PSS) {
		return nil, fmt.Errorf("%w: signature does not belong to the certificate", ErrCardProtocol)
	}
	return signature, nil
}

// Agree computes ECDH between the key of f and peer, with the same care as a
// signature. ErrNotOffered is a card that has no such function.
func (c *Cards) Agree(ctx context.Context, f *Found, src PINSource, peer *ecdh.PublicKey) ([]byte, error) {
	var shared []byte
	u := use{
		operation: f.operation(c), found: f, source: src, purpose: PurposeAgree,
		offers: func(card Card) bool { _, ok := card.(Agreer); return ok },
		work: func(ctx context.Context, card Card, p *pin.PIN) (err error) {
			agreer, ok := card.(Agreer)
			if !ok {
				return ErrNotOffered
			}
			shared, err = agreer.Agree(ctx, f.Credential, p, peer)
			return err
		},
	}
	if err := u.do(ctx); err != nil {
		clear(shared)
		return nil, err
	}
	return shared, nil
}

// digestHash is the hash of a digest that the key can sign.
func digestHash(digest []byte, opts crypto.SignerOpts, pss bool) (crypto.Hash, error) {
	if opts == nil {
		return 0, fmt.Errorf("%w: no hash named", ErrDigest)
	}
	if o, wanted := opts.(*rsa.PSSOptions); wanted != pss {
		return 0, fmt.Errorf("%w: key and request differ in RSA-PSS", ErrDigest)
	} else if wanted && o.SaltLength != rsa.PSSSaltLengthEqualsHash && o.SaltLength != o.HashFunc().Size() {
		return 0, fmt.Errorf("%w: RSA-PSS with another salt than the hash's length", ErrDigest)
	}
	hash := opts.HashFunc()
	switch hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return 0, fmt.Errorf("%w: hash %v", ErrDigest, hash)
	}
	if len(digest) != hash.Size() {
		return 0, fmt.Errorf("%w: %d bytes for %v", ErrDigest, len(digest), hash)
	}
	return hash, nil
}

// verifies checks the card's work with the key that everybody else will use.
func verifies(key crypto.PublicKey, hash crypto.Hash, digest, signature []byte, pss bool) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, signature)
	case *rsa.PublicKey:
		if pss {
			return rsa.VerifyPSS(key, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
	default:
		return false
	}
}

// weakKey tells an RSA key that a signature would not protect: out of the
// bounds of size and exponent, or made by the library whose primes can be
// guessed from the modulus (CVE-2017-15361, threat C-36).
func weakKey(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return false
	}
	return k.N.BitLen() < minRSABits || k.N.BitLen() > maxRSABits || k.E < minRSAExponent || k.E%2 == 0 || guessable(k.N)
}

// guessable tests the fingerprint of CVE-2017-15361 (Nemec and others, "The
// Return of Coppersmith's Attack", ACM CCS 2017, section 2): primes of the form
// k·M + 65537^a mod M leave moduli that are powers of 65537 for every small
// prime. Another key passes all of them by chance once in 2^27 or so.
func guessable(n *big.Int) bool {
	remainder := new(big.Int)
	for _, prime := range []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
		109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		want := remainder.Mod(n, big.NewInt(prime)).Int64()
		power, inGroup := int64(1), false
		for range prime {
			inGroup = inGroup || power == want
			power = power * 65537 % prime
		}
		if !inGroup {
			return false
		}
	}
	return true
}
