package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// tokenResponse is the success of RFC 6749 5.1 and OpenID Connect Core 3.1.3.3.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token"`
	Scope        string `json:"scope"`
}

// grantTypes are the ways to tokens.
func (p *Provider) grantTypes() map[string]func(*clientCall) (*tokenResponse, *oauthError) {
	return map[string]func(*clientCall) (*tokenResponse, *oauthError){
		"authorization_code": p.redeem,
		"refresh_token":      p.refresh,
		deviceGrant:          p.redeemDevice,
	}
}

// token gives tokens for a grant.
func (p *Provider) token(call *clientCall) (*reply, *oauthError) {
	kind := call.params["grant_type"]
	serve, known := p.grantTypes()[kind]
	switch {
	case kind == "":
		return nil, invalidRequest("grant_type_missing", "grant_type is missing")
	case !known:
		return nil, &oauthError{code: "unsupported_grant_type", description: "grant_type is not supported", reason: "grant_type"}
	}
	if problem := p.bind(call); problem != nil {
		return nil, problem
	}
	response, problem := serve(call)
	return &reply{body: response}, problem
}

// redeem gives tokens for a code.
func (p *Provider) redeem(call *clientCall) (*tokenResponse, *oauthError) {
	if call.params["code"] == "" {
		return nil, invalidRequest("code_missing", "code is missing")
	}
	return p.exchange(call, brokers.HashOf(call.params["code"]), ofBrowser, p.cfg.Now())
}

// exchange uses a code up first and checks afterwards, so that a code that was
// brought by the wrong party is dead.
func (p *Provider) exchange(call *clientCall, code brokers.Hash, check func(*brokers.Grant, *clientCall) *oauthError, now time.Time) (*tokenResponse, *oauthError) {
	ctx := call.Context()
	accessToken, err := p.random(32)
	if err != nil {
		return nil, serverError("randomness")
	}
	resources, problem := call.params.resources()
	if problem != nil {
		return nil, problem
	}
	token := brokers.Token{Binding: call.binding, Resources: resources, IssuedAt: now, ExpiresAt: now.Add(p.cfg.Lifetimes.AccessToken)}
	g, err := p.cfg.Store.RedeemCode(ctx, code, accessHash(call.client, accessToken), token, now)
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		return nil, invalidGrant("code_unknown")
	case errors.Is(err, brokers.ErrReplayed):
		p.record(ctx, "code.replayed", "revoked", slog.String("grant", g.ID), slog.String("client", g.Request.ClientID))
		return nil, invalidGrant("code_replayed")
	case err != nil:
		return nil, p.storeProblem(ctx, "redeeming code", err)
	case g.Request.ClientID != call.client.ID:
		return nil, invalidGrant("code_of_other_client")
	}
	if problem := check(g, call); problem != nil {
		return nil, problem
	}
	if problem := p.mayReach(call.client, g, resources); problem != nil {
		return nil, problem
	}
	refreshToken := ""
	if slices.Contains(g.Request.Scopes, offlineAccess) {
		var problem *oauthError
		if refreshToken, problem = p.firstRefreshToken(call, code, g, now); problem != nil {
			return nil, problem
		}
	}
	return p.respond(call, g, g.Request.Scopes, &token, accessToken, refreshToken)
}

// ofBrowser checks what binds a code to its request.
func ofBrowser(g *brokers.Grant, call *clientCall) *oauthError {
	switch {
	case g.Request.Device:
		return invalidGrant("device_code")
	case g.Request.RedirectURI != call.params["redirect_uri"]:
		return invalidGrant("redirect_uri")
	case g.Request.ProofKey != "" && call.binding != boundByProof+g.Request.ProofKey:
		return &oauthError{code: "invalid_dpop_proof", description: "the code is for the holder of another key", reason: "proof_other_key"}
	case !verifies(g.Request.CodeChallenge, call.params["code_verifier"]):
		return invalidGrant("code_verifier")
	}
	return nil
}

// ofDevice checks that a code is a device's.
func ofDevice(g *brokers.Grant, _ *clientCall) *oauthError {
	if !g.Request.Device {
		return invalidGrant("code_of_browser")
	}
	return nil
}

// respond makes the one answer that all grants share.
func (p *Provider) respond(call *clientCall, g *brokers.Grant, scopes []string, token *brokers.Token, accessSecret, refreshToken string) (*tokenResponse, *oauthError) {
	accessToken, err := p.accessTokenText(call.client, g, scopes, token, accessSecret)
	if err != nil {
		p.cfg.Log.ErrorContext(call.Context(), "access token was not made", "error", err)
		return nil, serverError("access_token")
	}
	idToken, err := p.idToken(call.Context(), call.client, g, accessToken, token.IssuedAt)
	if err != nil {
		p.cfg.Log.ErrorContext(call.Context(), "ID token was not made", "error", err)
		return nil, serverError("id_token")
	}
	p.record(call.Context(), "token.issued", "ok", slog.String("grant", g.ID), slog.String("client", call.client.ID))
	return &tokenResponse{
		AccessToken: accessToken, TokenType: tokenType(call.binding), ExpiresIn: int(p.cfg.Lifetimes.AccessToken.Seconds()),
		RefreshToken: refreshToken, IDToken: idToken, Scope: strings.Join(scopes, " "),
	}, nil
}

// verifies checks a PKCE verifier (RFC 7636 4.1, 4.6) in constant time. Where
// there was no challenge there must be no verifier either: somebody may have
// taken the challenge away (RFC 9700 2.1.1).
func verifies(challenge, verifier string) bool {
	if challenge == "" {
		return verifier == ""
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	foreign := func(c rune) bool { return !strings.ContainsRune(alphabet, c) }
	if len(verifier) < 43 || len(verifier) > 128 || strings.ContainsFunc(verifier, foreign) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	computed := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(computed), []byte(challenge)) == 1
}
