package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Key is a key for tokens, with the time table of its life: published at once,
// signing from Use on until a key of the same algorithm with a later Use takes
// over, published still, and gone at Until.
type Key struct {
	// Public is the key's public half: ECDSA on P-256 or P-384, RSA of 2048 bits
	// or more, or Ed25519.
	Public crypto.PublicKey
	// Signer signs; nil for a key that is only published.
	Signer crypto.Signer
	// Algorithm is ES256, ES384, EdDSA, PS256 or RS256. Empty is the one of the
	// key's type, for RSA PS256.
	Algorithm jose.SignatureAlgorithm
	// Use is when the key begins to sign, the zero time at once. Relying parties
	// keep a key set for a day: a new key is published at least that long before.
	Use time.Time
	// Until is when the key is no longer published, the zero time never.
	Until time.Time
}

// Keys are the keys that sign tokens. They may be replaced while in use.
type Keys struct {
	current atomic.Pointer[[]*readyKey]
}

type readyKey struct {
	Key
	jwk jose.JSONWebKey
	// headers has the one of each type of token.
	headers map[string]string
}

// The types of the tokens that we sign (RFC 8725 3.11).
const (
	typeJWT     = "JWT"
	typeLogout  = "logout+jwt"
	typeReceipt = "level-receipt+jwt"
	// RFC 9068 2.1 and RFC 9701 5.
	typeAccessToken   = "at+jwt"
	typeIntrospection = "token-introspection+jwt"
)

func signedTypes() []string {
	return []string{typeJWT, typeLogout, typeReceipt, typeAccessToken, typeIntrospection}
}

// NewKeys makes the set. Of all that may sign at one time, the one with the
// latest Use signs.
func NewKeys(keys ...Key) (*Keys, error) {
	k := &Keys{}
	return k, k.Replace(keys...)
}

// Replace changes the set as a whole.
func (k *Keys) Replace(keys ...Key) error {
	var ready []*readyKey
	for _, key := range keys {
		r, err := key.ready()
		if err != nil {
			return fmt.Errorf("provider: key: %w", err)
		}
		ready = append(ready, &r)
	}
	if !slices.ContainsFunc(ready, func(r *readyKey) bool { return r.Signer != nil }) {
		return errors.New("provider: no key signs")
	}
	k.current.Store(&ready)
	return nil
}

func (key Key) ready() (readyKey, error) {
	if key.Signer != nil {
		key.Public = key.Signer.Public()
	}
	algorithms, err := algorithmsOf(key.Public)
	if err != nil {
		return readyKey{}, err
	}
	if key.Algorithm == "" {
		key.Algorithm = algorithms[0]
	}
	if !slices.Contains(algorithms, key.Algorithm) {
		return readyKey{}, fmt.Errorf("a %T does not sign by %s", key.Public, key.Algorithm)
	}
	r := readyKey{Key: key, jwk: jose.JSONWebKey{Key: key.Public, Algorithm: string(key.Algorithm), Use: "sig"}, headers: map[string]string{}}
	print, err := r.jwk.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return readyKey{}, err
	}
	r.jwk.KeyID = base64.RawURLEncoding.EncodeToString(print)
	if key.Algorithm == jose.RS256 { // the same key may sign by PS256 under its own name
		r.jwk.KeyID += "-rs256"
	}
	if key.Signer == nil {
		return r, nil
	}
	for _, kind := range signedTypes() {
		r.headers[kind] = jwsHeader(key.Algorithm, r.jwk.KeyID, kind)
	}
	return r, nil
}

// algorithmsOf lists by which algorithms a key signs, the usual one first.
func algorithmsOf(public crypto.PublicKey) ([]jose.SignatureAlgorithm, error) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}, nil
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}, nil
		}
		return nil, errors.New("an EC key is on P-256 or P-384")
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 {
			return nil, errors.New("an RSA key has 2048 to 8192 bits")
		}
		return []jose.SignatureAlgorithm{jose.PS256, jose.RS256}, nil
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}, nil
	}
	return nil, fmt.Errorf("a key is EC, RSA or Ed25519, not %T", public)
}

// live are the keys that are published at a time.
func (k *Keys) live(now time.Time) iter.Seq[*readyKey] {
	return func(yield func(*readyKey) bool) {
		for _, key := range *k.current.Load() {
			if (key.Until.IsZero() || now.Before(key.Until)) && !yield(key) {
				return
			}
		}
	}
}

// signer finds the key that signs by an algorithm at a time, or nil.
func (k *Keys) signer(algorithm jose.SignatureAlgorithm, now time.Time) *readyKey {
	var best *readyKey
	for key := range k.live(now) {
		if key.Signer != nil && key.Algorithm == algorithm && !key.Use.After(now) && (best == nil || key.Use.After(best.Use)) {
			best = key
		}
	}
	return best
}

// Algorithms lists by what the set signs at a time.
func (k *Keys) Algorithms(now time.Time) []jose.SignatureAlgorithm {
	var list []jose.SignatureAlgorithm
	for _, a := range signatureAlgorithms() {
		if k.signer(a, now) != nil {
			list = append(list, a)
		}
	}
	return list
}

// published is the JWKS.
func (k *Keys) published(now time.Time) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for key := range k.live(now) {
		set.Keys = append(set.Keys, key.jwk)
	}
	return set
}

// sign makes a compact JWS of a type.
func (k *Keys) sign(algorithm jose.SignatureAlgorithm, kind string, claims any, now time.Time) (string, error) {
	key := k.signer(algorithm, now)
	if key == nil {
		return "", fmt.Errorf("there is no key for %s", algorithm)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	token, err := key.compact(kind, payload)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return token, nil
}

// numericDate is a JWT time, in seconds.
func numericDate(t time.Time) int64 { return t.Unix() }
