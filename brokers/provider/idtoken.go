package provider

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
)

// idTokenClaims are the claims of OpenID Connect Core 2. Claims about the person
// come beside them and can never replace one.
type idTokenClaims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        string   `json:"aud"`
	Expiry          int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	NotBefore       int64    `json:"nbf,omitempty"`
	ID              string   `json:"jti"`
	Nonce           string   `json:"nonce,omitempty"`
	AuthTime        int64    `json:"auth_time"`
	ACR             string   `json:"acr"`
	AMR             []string `json:"amr,omitempty"`
	AccessTokenHash string   `json:"at_hash"`
	SessionID       string   `json:"sid,omitempty"`
	// Represents is the party for which the person acts (OpenID NLGov).
	Represents *represents `json:"represents,omitempty"`
	// Receipt is the ID under which the level receipt of the login is found.
	Receipt string `json:"event_id,omitempty"`
}

// idToken states the login to one client.
func (p *Provider) idToken(ctx context.Context, c *Client, g *brokers.Grant, accessToken string, now time.Time) (string, error) {
	acr, err := p.acr(c, g.Level)
	if err != nil {
		return "", err
	}
	id, err := p.random(16)
	if err != nil {
		return "", err
	}
	claims := idTokenClaims{
		Issuer: p.cfg.Issuer, Subject: g.Subject, Audience: c.ID, ID: id,
		Expiry: numericDate(now.Add(p.cfg.Lifetimes.IDToken)), IssuedAt: numericDate(now),
		Nonce: g.Request.Nonce, AuthTime: numericDate(g.Event.AuthTime), ACR: acr,
		AccessTokenHash: leftHalf(c.SigningAlgorithm, accessToken), SessionID: g.SessionID,
	}
	if c.Profile == NLGov {
		claims.NotBefore = claims.IssuedAt
	}
	claims.Represents = p.represents(c, &g.Event.Subject)
	if c.LevelReceipts {
		claims.Receipt = p.receiptID(c, &g.Event)
	}
	if !c.HideAMR {
		claims.AMR = g.Event.AMR
	}
	// Claims about the person go into the ID token only if asked for by name;
	// those of scopes are at userinfo (OpenID Connect Core 5.4).
	person := p.released(c, &g.Event.Subject, nil, g.Request.Claims.IDToken, now)
	if verified := p.verified(c, g, g.Request.Claims.VerifiedIDToken, now); verified != nil {
		person["verified_claims"] = verified
	}
	var body any = claims
	if len(person) > 0 {
		body = beside(claims, person)
	}
	signed, err := p.cfg.Keys.sign(c.SigningAlgorithm, typeJWT, body, now)
	if err != nil {
		return "", err
	}
	return p.seal(ctx, c, c.IDTokenEncryption, signed, true)
}

// leftHalf is the at_hash of a token: the left half of its hash, by the hash of
// the algorithm that signs (OpenID Connect Core 3.1.3.6; for Ed25519 SHA-512).
func leftHalf(algorithm jose.SignatureAlgorithm, token string) string {
	var sum []byte
	switch algorithm {
	case jose.ES384:
		h := sha512.Sum384([]byte(token))
		sum = h[:]
	case jose.EdDSA:
		h := sha512.Sum512([]byte(token))
		sum = h[:]
	default:
		h := sha256.Sum256([]byte(token))
		sum = h[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
