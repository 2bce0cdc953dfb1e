package provider

import (
	"encoding/json"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// accessTokenClaims are the claims of RFC 9068 2.2.
type accessTokenClaims struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	Audience     any           `json:"aud"`
	ClientID     string        `json:"client_id"`
	Expiry       int64         `json:"exp"`
	IssuedAt     int64         `json:"iat"`
	ID           string        `json:"jti"`
	AuthTime     int64         `json:"auth_time"`
	ACR          string        `json:"acr"`
	AMR          []string      `json:"amr,omitempty"`
	Scope        string        `json:"scope"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

// accessHash is under what an access token is kept: an opaque one by itself, a JWT
// by its ID, which alone is no token.
func accessHash(c *Client, secret string) brokers.Hash {
	if !c.AccessTokenJWT {
		return brokers.HashOf(secret)
	}
	return jwtHash(secret)
}

func jwtHash(id string) brokers.Hash { return brokers.HashOf("access token\x00" + id) }

// broughtHash is under what a token that somebody brings is kept. What looks like a
// JWT counts as such only if we signed it as an access token.
func (p *Provider) broughtHash(text string) brokers.Hash {
	if strings.Count(text, ".") != 2 {
		return brokers.HashOf(text)
	}
	s, err := parseStatement(text, signatureAlgorithms(), typeAccessToken)
	if err != nil || s.verify(p.cfg.Keys.published(p.cfg.Now()).Keys) != nil {
		return brokers.HashOf(text)
	}
	var claims registered
	if json.Unmarshal(s.payload, &claims) != nil || claims.Issuer != p.cfg.Issuer || claims.ID == "" {
		return brokers.HashOf(text)
	}
	return jwtHash(claims.ID)
}

// accessTokenText is what the client gets for a secret that is kept: the secret, or a
// JWT of which it is the ID.
func (p *Provider) accessTokenText(c *Client, g *brokers.Grant, scopes []string, token *brokers.Token, secret string) (string, error) {
	if !c.AccessTokenJWT {
		return secret, nil
	}
	acr, err := p.acr(c, g.Level)
	if err != nil {
		return "", err
	}
	claims := accessTokenClaims{
		Issuer: p.cfg.Issuer, Subject: g.Subject, Audience: audienceClaim(p.audienceOf(c, g, token)), ClientID: c.ID, ID: secret,
		Expiry: numericDate(token.ExpiresAt), IssuedAt: numericDate(token.IssuedAt), AuthTime: numericDate(g.Event.AuthTime),
		ACR: acr, Scope: strings.Join(scopes, " "), Confirmation: confirms(token.Binding),
	}
	if !c.HideAMR {
		claims.AMR = g.Event.AMR
	}
	return p.cfg.Keys.sign(c.SigningAlgorithm, typeAccessToken, claims, token.IssuedAt)
}
