package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

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
	ID              string   `json:"jti"`
	Nonce           string   `json:"nonce,omitempty"`
	AuthTime        int64    `json:"auth_time"`
	ACR             string   `json:"acr"`
	AMR             []string `json:"amr,omitempty"`
	AccessTokenHash string   `json:"at_hash"`
	SessionID       string   `json:"sid,omitempty"`
}

// idToken states the login to one client.
func (p *Provider) idToken(c *Client, g *brokers.Grant, accessToken string, now time.Time) (string, error) {
	acr, err := p.acr(c, g.Level)
	if err != nil {
		return "", err
	}
	id, err := p.random(16)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(accessToken))
	claims := idTokenClaims{
		Issuer: p.cfg.Issuer, Subject: g.Subject, Audience: c.ID, ID: id,
		Expiry: numericDate(now.Add(p.cfg.Lifetimes.IDToken)), IssuedAt: numericDate(now),
		Nonce: g.Request.Nonce, AuthTime: numericDate(g.Event.AuthTime), ACR: acr,
		AccessTokenHash: base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]), SessionID: g.SessionID,
	}
	if !c.HideAMR {
		claims.AMR = g.Event.AMR
	}
	// Claims about the person go into the ID token only if asked for by name;
	// those of scopes are at userinfo (OpenID Connect Core 5.4).
	person := released(c, &g.Event.Subject, nil, g.Request.Claims.IDToken)
	if len(person) == 0 {
		return p.cfg.Keys.sign(claims)
	}
	return p.cfg.Keys.sign(beside(claims, person))
}
