package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Keys are the keys that sign ID tokens: one that signs, and others that are
// only published, because they will sign next or signed lately.
type Keys struct {
	signer jose.Signer
	keyID  string
	set    jose.JSONWebKeySet
	json   []byte
}

// NewKeys makes the set from P-256 keys (ES256). The published ones need their
// public half only.
func NewKeys(active *ecdsa.PrivateKey, published ...*ecdsa.PublicKey) (*Keys, error) {
	if active == nil || active.Curve != elliptic.P256() {
		return nil, errors.New("provider: the signing key is an EC key on P-256")
	}
	k := &Keys{}
	for _, public := range append([]*ecdsa.PublicKey{&active.PublicKey}, published...) {
		if public.Curve != elliptic.P256() {
			return nil, errors.New("provider: a published key is not on P-256")
		}
		jwk := jose.JSONWebKey{Key: public, Algorithm: string(jose.ES256), Use: "sig"}
		print, err := jwk.Thumbprint(crypto.SHA256) // RFC 7638
		if err != nil {
			return nil, fmt.Errorf("provider: key id: %w", err)
		}
		jwk.KeyID = base64.RawURLEncoding.EncodeToString(print)
		k.set.Keys = append(k.set.Keys, jwk)
	}
	k.keyID = k.set.Keys[0].KeyID
	var err error
	k.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: active, KeyID: k.keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("provider: signer: %w", err)
	}
	k.json, err = json.Marshal(k.set)
	return k, err
}

// sign makes a compact JWS.
func (k *Keys) sign(claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	jws, err := k.signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return jws.CompactSerialize()
}

// numericDate is a JWT time, in seconds.
func numericDate(t time.Time) int64 { return t.Unix() }
