package oidcup

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeys bounds the keys that are kept, maxTries those that are tried on one
	// signature.
	maxKeys  = 64
	maxTries = 8
)

// keySet is the upstream's keys, as go-oidc wants them. A token with a key that is
// not known makes it ask anew, once a minute at most (O-33); what it knew stays
// usable for a day when the upstream has nothing better to say (O-32).
type keySet struct {
	client *http.Client
	clock  func() time.Time

	mu      sync.Mutex
	address string
	keys    []jose.JSONWebKey
	read    time.Time
	tried   time.Time
}

// use sets where the keys are. Another address makes what is known old.
func (k *keySet) use(address string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.address != address {
		k.address, k.tried = address, time.Time{}
		k.read = time.Time{}
	}
}

var errNoKey = errors.New("token is signed by none of the upstream's keys")

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	token, err := jose.ParseSignedCompact(jwt, allAlgorithms())
	if err != nil {
		return nil, errors.New("token is no JWS of an accepted algorithm")
	}
	header := token.Signatures[0].Header
	for range 2 {
		for _, key := range k.matching(header.KeyID) {
			if !suits(key, header.Algorithm) {
				continue
			}
			if payload, err := token.Verify(key.Key); err == nil {
				return payload, nil
			}
		}
		if !k.refresh(ctx) {
			break
		}
	}
	return nil, errNoKey
}

func allAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// matching lists the keys to be tried: those of the ID, or all if there is none.
func (k *keySet) matching(id string) []jose.JSONWebKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock()
	if k.read.IsZero() || now.Sub(k.read) >= stale || now.Sub(k.read) >= fresh && now.Sub(k.tried) >= again {
		return nil
	}
	var list []jose.JSONWebKey
	for _, key := range k.keys {
		if (id == "" || key.KeyID == id) && len(list) < maxTries {
			list = append(list, key)
		}
	}
	return list
}

// suits reports whether a key is for that algorithm, whatever the token says of
// itself (O-23).
func suits(key jose.JSONWebKey, algorithm string) bool {
	if key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= 2048 && slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, algorithm)
	case *ecdsa.PublicKey:
		return map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[algorithm] == public.Curve.Params().BitSize
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// refresh asks for the keys and reports whether there are new ones to be tried.
func (k *keySet) refresh(ctx context.Context) bool {
	k.mu.Lock()
	now, address := k.clock(), k.address
	if address == "" || !k.tried.IsZero() && now.Sub(k.tried) < again {
		k.mu.Unlock()
		return false
	}
	k.tried = now
	k.mu.Unlock()
	keys, err := k.fetch(ctx, address)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil && address == k.address {
		k.keys, k.read = keys, now
	}
	return true // even if it failed: what was kept may be used now
}

func (k *keySet) fetch(ctx context.Context, address string) ([]jose.JSONWebKey, error) {
	text, err := get(ctx, k.client, address, maxKeySet)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("key set cannot be read")
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var key jose.JSONWebKey
		// Keys of kinds that we do not know are no concern of ours.
		if key.UnmarshalJSON(raw) == nil && key.IsPublic() && key.Valid() && key.Use != "enc" {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("key set has no usable key")
	}
	return keys, nil
}
