package provider

import (
	"context"
	"errors"
	"log/slog"
	"mime"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// introspection is the answer of RFC 7662 2.2. For a token that is not live, or
// none of the caller's business, it has no other member.
type introspection struct {
	Active       bool          `json:"active"`
	Issuer       string        `json:"iss,omitempty"`
	ClientID     string        `json:"client_id,omitempty"`
	Subject      string        `json:"sub,omitempty"`
	Audience     any           `json:"aud,omitempty"`
	Scope        string        `json:"scope,omitempty"`
	TokenType    string        `json:"token_type,omitempty"`
	Expiry       int64         `json:"exp,omitempty"`
	IssuedAt     int64         `json:"iat,omitempty"`
	AuthTime     int64         `json:"auth_time,omitempty"`
	ACR          string        `json:"acr,omitempty"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

// confirmation names the key to which a token is bound (RFC 7800).
type confirmation struct {
	JKT        string `json:"jkt,omitempty"`
	Thumbprint string `json:"x5t#S256,omitempty"`
}

func confirms(binding string) *confirmation {
	if print, ok := strings.CutPrefix(binding, boundByProof); ok {
		return &confirmation{JKT: print}
	}
	if print, ok := strings.CutPrefix(binding, boundByCertificate); ok {
		return &confirmation{Thumbprint: print}
	}
	return nil
}

// find loads a token of the calling client, of either kind. One that belongs to
// another client is not found.
func (p *Provider) find(ctx context.Context, c *Client, text string) (*brokers.Grant, *brokers.Token, error) {
	now, hash := p.cfg.Now(), p.broughtHash(text)
	g, token, err := p.cfg.Store.AccessToken(ctx, hash, now)
	if errors.Is(err, brokers.ErrNotFound) {
		g, token, err = p.cfg.Store.RefreshToken(ctx, hash, now)
	}
	if err == nil && (g.Request.ClientID != c.ID || token.Used) {
		err = brokers.ErrNotFound
	}
	return g, token, err
}

// introspect tells a client about its own tokens, and a service about those that are
// meant for it (RFC 7662). A public client cannot prove that they are its own.
func (p *Provider) introspect(call *clientCall) (*reply, *oauthError) {
	switch {
	case call.client.Auth == AuthNone:
		return nil, invalidClient("public_client")
	case call.params["token"] == "":
		return nil, invalidRequest("token_missing", "token is missing")
	}
	client := call.client
	var g *brokers.Grant
	var token *brokers.Token
	var err error
	if len(client.audiences) > 0 {
		g, token, client, err = p.findFor(call.Context(), client, call.params["token"])
	} else {
		g, token, err = p.find(call.Context(), client, call.params["token"])
	}
	if errors.Is(err, brokers.ErrNotFound) {
		return p.introspected(call, introspection{})
	}
	if err != nil {
		return nil, p.storeProblem(call.Context(), "loading token", err)
	}
	acr, err := p.acr(client, g.Level)
	if err != nil {
		return nil, serverError("acr")
	}
	scopes := token.Scopes
	if scopes == nil {
		scopes = g.Request.Scopes
	}
	return p.introspected(call, introspection{
		Active: true, Issuer: p.cfg.Issuer, ClientID: client.ID, Subject: g.Subject, Audience: audienceClaim(p.audienceOf(client, g, token)),
		Scope: strings.Join(scopes, " "), TokenType: tokenType(token.Binding), ACR: acr, AuthTime: numericDate(g.Event.AuthTime),
		Expiry: numericDate(token.ExpiresAt), IssuedAt: numericDate(token.IssuedAt), Confirmation: confirms(token.Binding),
	})
}

// signedIntrospection are the claims of RFC 9701 5. There is no sub or exp beside
// them, so that nothing takes it for an access token.
type signedIntrospection struct {
	Issuer   string        `json:"iss"`
	Audience string        `json:"aud"`
	IssuedAt int64         `json:"iat"`
	Content  introspection `json:"token_introspection"`
}

// introspected answers in JSON, or in a signed JWT where the caller says that it
// takes one (RFC 9701 4).
func (p *Provider) introspected(call *clientCall, content introspection) (*reply, *oauthError) {
	const mediaType = "application/" + typeIntrospection
	if !accepts(call.Header.Values("Accept"), mediaType) {
		return &reply{body: content}, nil
	}
	now := p.cfg.Now()
	jwt, err := p.cfg.Keys.sign(call.client.SigningAlgorithm, typeIntrospection, signedIntrospection{p.cfg.Issuer, call.client.ID, numericDate(now), content}, now)
	if err != nil {
		p.cfg.Log.ErrorContext(call.Context(), "introspection was not signed", "error", err)
		return nil, serverError("introspection")
	}
	return &reply{jwt: jwt, mediaType: mediaType}, nil
}

// accepts reports whether one of the headers names a media type, as it is.
func accepts(headers []string, mediaType string) bool {
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			kind, _, err := mime.ParseMediaType(part)
			if err == nil && kind == mediaType {
				return true
			}
		}
	}
	return false
}

// revoke ends the grant of a token (RFC 7009): all its tokens, whichever is
// named. A token that is not the caller's is as good as revoked and stays.
func (p *Provider) revoke(call *clientCall) (*reply, *oauthError) {
	if call.params["token"] == "" {
		return nil, invalidRequest("token_missing", "token is missing")
	}
	g, _, err := p.find(call.Context(), call.client, call.params["token"])
	if errors.Is(err, brokers.ErrNotFound) {
		return &reply{}, nil
	}
	if err == nil {
		err = p.cfg.Store.RevokeByToken(call.Context(), p.broughtHash(call.params["token"]), p.cfg.Now())
	}
	if err != nil {
		return nil, p.storeProblem(call.Context(), "revoking token", err)
	}
	p.record(call.Context(), "token.revoked", "ok", slog.String("grant", g.ID), slog.String("client", call.client.ID))
	return &reply{}, nil
}
