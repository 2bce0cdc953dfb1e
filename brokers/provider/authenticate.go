package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
)

// presented is what a request shows to say who makes it.
type presented struct {
	id     string
	method AuthMethod
	// secret is a secret or an assertion, as the method says.
	secret string
}

// assertionType is the client_assertion_type of RFC 7523 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// present reads what a request shows. More than one method is refused
// (RFC 6749 2.3). A certificate is no method here: it is always there.
func present(r *http.Request, params parameters) (presented, *oauthError) {
	shown := []presented{}
	if params["client_secret"] != "" {
		shown = append(shown, presented{params["client_id"], AuthPost, params["client_secret"]})
	}
	if params["client_assertion"] != "" || params["client_assertion_type"] != "" {
		if params["client_assertion_type"] != assertionType {
			return presented{}, invalidClient("assertion_type")
		}
		shown = append(shown, presented{params["client_id"], AuthPrivateKeyJWT, params["client_assertion"]})
	}
	header := r.Header.Values("Authorization")
	if len(shown)+len(header) > 1 {
		return presented{}, invalidRequest("two_methods", "more than one client authentication")
	}
	if len(header) == 1 {
		user, password, ok := r.BasicAuth()
		id, errID := url.QueryUnescape(user)
		secret, errSecret := url.QueryUnescape(password)
		if !ok || errID != nil || errSecret != nil || (params["client_id"] != "" && params["client_id"] != id) {
			return presented{}, invalidClient("basic")
		}
		return presented{id, AuthBasic, secret}, nil
	}
	if len(shown) == 0 {
		return presented{params["client_id"], AuthNone, ""}, nil
	}
	if shown[0].method == AuthPrivateKeyJWT && shown[0].id == "" {
		shown[0].id = claimedSubject(shown[0].secret)
	}
	return shown[0], nil
}

// claimedSubject reads who an assertion says to be, before anything is checked.
func claimedSubject(assertion string) string {
	parts := strings.Split(assertion, ".")
	if len(assertion) > maxJWT || len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || checkJSON(raw, maxJWTDepth) != nil {
		return ""
	}
	var claims registered
	if json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// authenticate finds out which client asks, by the one method of its
// registration, which find looks up.
func (p *Provider) authenticate(r *http.Request, params parameters, find func(context.Context, string) (*Client, error)) (*Client, *oauthError) {
	shown, problem := present(r, params)
	if problem != nil {
		return nil, problem
	}
	if shown.id == "" {
		return nil, invalidClient("client_missing")
	}
	if problem := p.mayTry(r, abuse.Secret, shown.id); problem != nil {
		return nil, problem
	}
	client, problem := p.identify(r, shown, find)
	if problem != nil && guessed(problem) {
		p.cfg.Guard.Failed(r.Context(), abuse.Secret, p.cfg.ClientAddress(r), shown.id)
	}
	return client, problem
}

// guessed reports whether a refused client may have guessed. Nobody comes upon a
// signature or the key of a certificate by trying, so a portal with a wrong clock or a
// forgotten key is told so each time, and not to wait.
func guessed(problem *oauthError) bool {
	return problem.code == "invalid_client" &&
		!strings.HasPrefix(problem.reason, "assertion_") && !strings.HasPrefix(problem.reason, "certificate_")
}

// identify checks what was shown.
func (p *Provider) identify(r *http.Request, shown presented, find func(context.Context, string) (*Client, error)) (*Client, *oauthError) {
	client, err := find(r.Context(), shown.id)
	if errors.Is(err, brokers.ErrNotFound) {
		client = &Client{Auth: AuthBasic} // compare all the same, against a hash of nothing known
	} else if err != nil {
		return nil, &oauthError{code: "temporarily_unavailable", description: "try again", reason: "registry"}
	}
	if shown.method == AuthNone && (client.Auth == AuthTLS || client.Auth == AuthSelfSignedTLS) {
		shown.method = client.Auth
	}
	matches := client.SecretHash.Matches(shown.secret)
	bySecret := shown.method == AuthBasic || shown.method == AuthPost
	switch {
	case client.ID == "":
		return nil, invalidClient("client_unknown")
	case client.Auth != shown.method && (!client.EitherSecret || !bySecret):
		return nil, invalidClient("wrong_method")
	}
	switch client.Auth {
	case AuthNone:
	case AuthBasic, AuthPost:
		if !matches {
			return nil, invalidClient("wrong_secret")
		}
	case AuthPrivateKeyJWT:
		return client, p.checkAssertion(r.Context(), client, shown.secret)
	case AuthTLS, AuthSelfSignedTLS:
		return client, p.checkCertificate(r, client)
	}
	return client, nil
}

// beforeEpoch reports what was signed before the store was put back from a backup,
// or may have been: it cannot be told whether it was used. After the longest life of
// such a thing all are of afterwards.
func (p *Provider) beforeEpoch(issued *numericClaim, life time.Duration) bool {
	if p.cfg.Since.IsZero() || p.cfg.Now().After(p.cfg.Since.Add(life)) {
		return false
	}
	return issued == nil || issued.Before(p.cfg.Since.Truncate(time.Second))
}

// checkAssertion checks a client's assertion (OpenID Connect Core 9, RFC 7523 3).
// It is meant for us alone, as a single string, so that no other server can have
// it made for us; and it is of use once.
func (p *Provider) checkAssertion(ctx context.Context, c *Client, text string) *oauthError {
	now := p.cfg.Now()
	s, err := parseStatement(text, c.algorithms(), "", "jwt", "client-authentication+jwt")
	if err != nil {
		return invalidClient("assertion_malformed")
	}
	if err := p.verifiedByClient(ctx, c, s); err != nil {
		return invalidClient("assertion_signature")
	}
	var claims registered
	if err := json.Unmarshal(s.payload, &claims); err != nil {
		return invalidClient("assertion_malformed")
	}
	ours := []string{p.cfg.Issuer}
	if c.LegacyAudience {
		ours = append(ours, p.url("token"))
	}
	switch {
	case claims.Issuer != c.ID || claims.Subject != c.ID:
		return invalidClient("assertion_issuer")
	case !claims.Audience.single || !slices.Contains(ours, claims.Audience.names[0]):
		return invalidClient("assertion_audience")
	case claims.Expiry == nil || claims.current(now) != nil || claims.Expiry.After(now.Add(assertionLife+clientSkew)):
		return invalidClient("assertion_time")
	case claims.ID == "" || len(claims.ID) > maxID:
		return invalidClient("assertion_id")
	case p.beforeEpoch(claims.IssuedAt, assertionLife+clientSkew):
		return invalidClient("assertion_epoch")
	}
	err = p.cfg.Store.UseAssertionID(ctx, "client:"+c.ID, claims.ID, claims.Expiry.Add(2*clientSkew))
	if errors.Is(err, brokers.ErrReplayed) {
		return invalidClient("assertion_replayed")
	}
	if err != nil {
		return p.storeProblem(ctx, "using assertion", err)
	}
	return nil
}
