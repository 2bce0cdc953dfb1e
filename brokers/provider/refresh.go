package provider

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// offlineAccess is the scope that asks for a refresh token (OpenID Connect Core
// 11). It means something to clients that are registered for refresh tokens.
const offlineAccess = "offline_access"

// firstRefreshToken begins a family of refresh tokens.
func (p *Provider) firstRefreshToken(call *clientCall, code brokers.Hash, g *brokers.Grant, now time.Time) (string, *oauthError) {
	secret, err := p.random(32)
	if err != nil {
		return "", serverError("randomness")
	}
	err = p.cfg.Store.SaveRefreshToken(call.Context(), code, brokers.HashOf(secret), p.refreshRecord(call, g, now))
	if errors.Is(err, brokers.ErrNotFound) { // revoked meanwhile
		return "", invalidGrant("code_replayed")
	}
	if err != nil {
		return "", p.storeProblem(call.Context(), "keeping refresh token", err)
	}
	return secret, nil
}

// refreshRecord is what is kept of a refresh token. It ends with idleness, and
// in any case with the grant, counted from the login.
func (p *Provider) refreshRecord(call *clientCall, g *brokers.Grant, now time.Time) brokers.Token {
	end, idle := g.IssuedAt.Add(p.cfg.Lifetimes.RefreshToken), now.Add(p.cfg.Lifetimes.RefreshIdle)
	if idle.Before(end) {
		end = idle
	}
	return brokers.Token{Binding: call.binding, Credential: call.client.credential(), IssuedAt: now, ExpiresAt: end}
}

// refresh gives new tokens for a refresh token. Level, time of authentication
// and subject stay those of the login.
//
// A token that a bearer could use is replaced at every use, and the use of one
// that was replaced ends the whole family: either party may be the thief. The
// tokens of a confidential client that are bound to its key stay (FAPI 2.0
// 5.3.2.1).
func (p *Provider) refresh(call *clientCall) (*tokenResponse, *oauthError) {
	old := call.params["refresh_token"]
	if old == "" {
		return nil, invalidRequest("refresh_token_missing", "refresh_token is missing")
	}
	ctx, now, hash := call.Context(), p.cfg.Now(), brokers.HashOf(old)
	g, kept, err := p.cfg.Store.RefreshToken(ctx, hash, now)
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		return nil, invalidGrant("refresh_token_unknown")
	case err != nil:
		return nil, p.storeProblem(ctx, "loading refresh token", err)
	case g.Request.ClientID != call.client.ID:
		return nil, invalidGrant("refresh_token_of_other_client")
	case !call.client.RefreshTokens:
		return nil, invalidGrant("refresh_token_not_allowed")
	case kept.Credential != call.client.credential():
		return nil, invalidGrant("client_secret_changed")
	case call.client.Auth == AuthNone && kept.Binding != call.binding:
		return nil, invalidGrant("refresh_token_key")
	}
	scopes, problem := narrower(g.Request.Scopes, call.params)
	if problem != nil {
		return nil, problem
	}
	resources, problem := call.params.resources()
	if problem == nil {
		problem = p.mayReach(call.client, g, resources)
	}
	if problem != nil {
		return nil, problem
	}
	access, next := p.successors(old)
	r := brokers.Refreshing{
		Old: hash, Access: accessHash(call.client, access), Grace: refreshGrace, Now: now,
		Caller: brokers.HashOf(call.client.ID + "\x00" + call.binding + "\x00" + p.cfg.ClientAddress(call.Request)),
		AccessToken: brokers.Token{
			Binding: call.binding, Scopes: scopes, Resources: resources, IssuedAt: now, ExpiresAt: now.Add(p.cfg.Lifetimes.AccessToken),
		},
		Next: brokers.HashOf(next), NextToken: p.refreshRecord(call, g, now),
	}
	if call.client.Auth != AuthNone && kept.Binding != "" {
		if access, err = p.random(32); err != nil {
			return nil, serverError("randomness")
		}
		next, r.Next, r.Access = old, brokers.Hash{}, accessHash(call.client, access)
	}
	switch err := p.cfg.Store.Refresh(ctx, r); {
	case errors.Is(err, brokers.ErrReplayed):
		p.record(ctx, "refresh_token.replayed", "revoked", slog.String("grant", g.ID), slog.String("client", call.client.ID))
		return nil, invalidGrant("refresh_token_replayed")
	case errors.Is(err, brokers.ErrNotFound):
		return nil, invalidGrant("refresh_token_unknown")
	case err != nil:
		return nil, p.storeProblem(ctx, "refreshing", err)
	}
	again := *g
	again.Request.Nonce = "" // OpenID Connect Core 12.2
	return p.respond(call, &again, scopes, &r.AccessToken, access, next)
}

// successors are the tokens that take the place of a refresh token. They are
// derived from it, so that a retry gets the same ones although only hashes are
// kept; without our key nobody gets from one to the next.
func (p *Provider) successors(old string) (access, refresh string) {
	text := func(purpose string) string {
		return base64.RawURLEncoding.EncodeToString(keyed(p.tokenKey, purpose, brokers.HashOf(old).String()))
	}
	return text("access"), text("refresh")
}

// narrower reads the scope of a refresh request, which asks for no more than was
// granted (RFC 6749 6).
func narrower(granted []string, params parameters) ([]string, *oauthError) {
	if params["scope"] == "" {
		return granted, nil
	}
	asked, err := params.list("scope")
	if err != nil {
		return nil, &oauthError{code: "invalid_scope", description: "too many scopes", reason: "scope_flood"}
	}
	var scopes []string
	for _, scope := range granted {
		if slices.Contains(asked, scope) {
			scopes = append(scopes, scope)
		}
	}
	for _, scope := range asked {
		if !slices.Contains(granted, scope) {
			return nil, &oauthError{code: "invalid_scope", description: "the scope was not granted", reason: "scope_not_granted"}
		}
	}
	return scopes, nil
}

// credential is a fingerprint of what a client with a secret proves itself by.
func (c *Client) credential() string {
	if c.Auth != AuthBasic && c.Auth != AuthPost {
		return ""
	}
	return brokers.HashOf("credential\x00" + c.SecretHash.String()).String()[:22]
}
