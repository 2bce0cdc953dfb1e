package provider

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// tokenResponse is the success of RFC 6749 5.1 and OpenID Connect Core 3.1.3.3.
type tokenResponse struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	IDToken     string `json:"id_token"`
	Scope       string `json:"scope"`
}

// errorResponse is the failure of RFC 6749 5.2.
type errorResponse struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

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

// token redeems a code.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	response, client, problem := p.exchange(w, r)
	if problem == nil {
		p.json(w, http.StatusOK, response)
		return
	}
	p.record(r.Context(), "token.refused", problem.reason, slog.String("client", client), slog.String("code", problem.code))
	if problem.code == "invalid_client" && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
	}
	p.json(w, problem.status(), errorResponse{problem.code, problem.description})
}

// exchange returns the client's name for the audit log as soon as it is known.
func (p *Provider) exchange(w http.ResponseWriter, r *http.Request) (*tokenResponse, string, *oauthError) {
	params, err := readParameters(w, r, maxTokenBody)
	if err != nil {
		return nil, "", invalidRequest("parameters", "malformed request")
	}
	client, problem := p.authenticate(r, params)
	if problem != nil {
		return nil, "", problem
	}
	switch {
	case params["grant_type"] == "":
		return nil, client.ID, invalidRequest("grant_type_missing", "grant_type is missing")
	case params["grant_type"] != "authorization_code":
		return nil, client.ID, &oauthError{"unsupported_grant_type", "grant_type must be authorization_code", "grant_type"}
	case params["code"] == "":
		return nil, client.ID, invalidRequest("code_missing", "code is missing")
	}
	response, problem := p.redeem(r.Context(), client, params)
	return response, client.ID, problem
}

// redeem uses the code up first and checks afterwards, so that a code that was
// brought by the wrong party is dead.
func (p *Provider) redeem(ctx context.Context, c *Client, params parameters) (*tokenResponse, *oauthError) {
	now := p.cfg.Now()
	accessToken, err := p.random(32)
	if err != nil {
		return nil, serverError("randomness")
	}
	expiry := now.Add(p.cfg.Lifetimes.AccessToken)
	g, err := p.cfg.Store.RedeemCode(ctx, brokers.HashOf(params["code"]), brokers.HashOf(accessToken), expiry, now)
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		return nil, invalidGrant("code_unknown")
	case errors.Is(err, brokers.ErrReplayed):
		p.record(ctx, "code.replayed", "revoked", slog.String("grant", g.ID), slog.String("client", g.Request.ClientID))
		return nil, invalidGrant("code_replayed")
	case err != nil:
		p.cfg.Log.ErrorContext(ctx, "code was not redeemed", "error", err)
		return nil, &oauthError{"temporarily_unavailable", "try again", "store"}
	case g.Request.ClientID != c.ID:
		return nil, invalidGrant("code_of_other_client")
	case g.Request.RedirectURI != params["redirect_uri"]:
		return nil, invalidGrant("redirect_uri")
	case !verifies(g.Request.CodeChallenge, params["code_verifier"]):
		return nil, invalidGrant("code_verifier")
	}
	idToken, err := p.idToken(c, g, accessToken, now)
	if err != nil {
		p.cfg.Log.ErrorContext(ctx, "ID token was not made", "error", err)
		return nil, serverError("id_token")
	}
	p.record(ctx, "token.issued", "ok", slog.String("grant", g.ID), slog.String("client", c.ID))
	return &tokenResponse{
		AccessToken: accessToken, TokenType: "Bearer", ExpiresIn: int(p.cfg.Lifetimes.AccessToken.Seconds()),
		IDToken: idToken, Scope: strings.Join(g.Request.Scopes, " "),
	}, nil
}

// verifies checks a PKCE verifier (RFC 7636 4.1, 4.6) in constant time.
func verifies(challenge, verifier string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	foreign := func(c rune) bool { return !strings.ContainsRune(alphabet, c) }
	if len(verifier) < 43 || len(verifier) > 128 || strings.ContainsFunc(verifier, foreign) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	computed := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(computed), []byte(challenge)) == 1
}

// authenticate finds out which client asks, by the one method of its
// registration (RFC 6749 2.3).
func (p *Provider) authenticate(r *http.Request, params parameters) (*Client, *oauthError) {
	id, secret, method := params["client_id"], params["client_secret"], AuthNone
	if secret != "" {
		method = AuthPost
	}
	if header := r.Header.Values("Authorization"); len(header) > 0 {
		if len(header) > 1 || method == AuthPost {
			return nil, invalidRequest("two_methods", "more than one client authentication")
		}
		user, password, ok := r.BasicAuth()
		basicID, errID := url.QueryUnescape(user)
		basicSecret, errSecret := url.QueryUnescape(password)
		if !ok || errID != nil || errSecret != nil || (id != "" && id != basicID) {
			return nil, invalidClient("basic")
		}
		id, secret, method = basicID, basicSecret, AuthBasic
	}
	if id == "" {
		return nil, invalidClient("client_missing")
	}
	client, err := p.cfg.Clients.Client(r.Context(), id)
	if errors.Is(err, brokers.ErrNotFound) {
		client = &Client{Auth: AuthBasic} // compare all the same, against a hash of nothing known
	} else if err != nil {
		return nil, &oauthError{"temporarily_unavailable", "try again", "registry"}
	}
	matches := client.SecretHash.Matches(secret)
	switch {
	case client.ID == "":
		return nil, invalidClient("client_unknown")
	case client.Auth != method:
		return nil, invalidClient("wrong_method")
	case client.Auth != AuthNone && !matches:
		return nil, invalidClient("wrong_secret")
	}
	return client, nil
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
