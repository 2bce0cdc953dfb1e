package provider

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// userinfo gives the claims that client and request allow, to whoever brings a
// live access token in the header (RFC 6750 2.1) or in a form (2.2); never in the
// query. A bound token needs its key beside (RFC 9449 7, RFC 8705 3).
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	scheme, token, reason := broughtToken(w, r)
	if reason != "" {
		problem := invalidRequest(reason, "the access token is not where it belongs")
		if reason == "token_missing" {
			problem = &oauthError{code: "", description: "", reason: reason}
		}
		p.challenge(w, r, scheme, problem)
		return
	}
	g, kept, err := p.cfg.Store.AccessToken(r.Context(), p.broughtHash(token), p.cfg.Now())
	var client *Client
	if err == nil {
		client, err = p.client(r.Context(), g.Request.ClientID) // it may have been removed
	}
	if errors.Is(err, brokers.ErrNotFound) {
		p.challenge(w, r, scheme, &oauthError{code: "invalid_token", description: "", reason: "token_unknown"})
		return
	}
	if err != nil {
		problem := p.storeProblem(r.Context(), "loading access token", err)
		w.Header().Set("Retry-After", "2")
		p.json(w, problem.status(), errorResponse{Error: problem.code})
		return
	}
	if !p.reaches(g, kept) {
		p.challenge(w, r, scheme, &oauthError{code: "invalid_token", description: "", reason: "token_audience"})
		return
	}
	if problem := p.holds(r, scheme, token, kept.Binding, client.ProofNonce); problem != nil {
		p.challenge(w, r, scheme, problem)
		return
	}
	scopes := kept.Scopes
	if scopes == nil {
		scopes = g.Request.Scopes
	}
	claims := p.released(client, &g.Event.Subject, scopes, g.Request.Claims.UserInfo, p.cfg.Now())
	if verified := p.verified(client, g, g.Request.Claims.VerifiedUserInfo, p.cfg.Now()); verified != nil {
		claims["verified_claims"] = verified
	}
	if party := p.represents(client, &g.Event.Subject); party != nil {
		claims["represents"] = party
	}
	claims["sub"] = g.Subject
	p.giveUserinfo(w, r, client, claims)
}

// giveUserinfo writes the claims as the client registered: as JSON, as a signed
// JWT, encrypted, or both (OpenID Connect Core 5.3.2).
func (p *Provider) giveUserinfo(w http.ResponseWriter, r *http.Request, c *Client, claims map[string]any) {
	if !c.UserInfoSigned && c.UserInfoEncryption == (Encryption{}) {
		p.json(w, http.StatusOK, claims)
		return
	}
	text, err := "", error(nil)
	if c.UserInfoSigned {
		claims["iss"], claims["aud"] = p.cfg.Issuer, c.ID
		text, err = p.cfg.Keys.sign(c.SigningAlgorithm, typeJWT, claims, p.cfg.Now())
	} else {
		var data []byte
		data, err = json.Marshal(claims)
		text = string(data)
	}
	if err == nil {
		text, err = p.seal(r.Context(), c, c.UserInfoEncryption, text, c.UserInfoSigned)
	}
	if err != nil {
		p.cfg.Log.ErrorContext(r.Context(), "userinfo was not made", "error", err)
		p.json(w, http.StatusInternalServerError, errorResponse{Error: "server_error"})
		return
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = io.WriteString(w, text) // a JWT of ours, and its type says so; the reader may be gone
}

// challenge refuses a request for a resource (RFC 6750 3, RFC 9449 7.1).
func (p *Provider) challenge(w http.ResponseWriter, r *http.Request, scheme string, problem *oauthError) {
	status := http.StatusUnauthorized
	if problem.code == "invalid_request" {
		status = http.StatusBadRequest
	}
	challenge := "Bearer"
	if strings.EqualFold(scheme, "DPoP") {
		challenge = "DPoP"
	}
	separator := " "
	if problem.code != "" {
		challenge, separator = challenge+separator+`error="`+problem.code+`"`, ", "
	}
	if strings.HasPrefix(challenge, "DPoP") {
		var names []string
		for _, a := range modernAlgorithms() {
			names = append(names, string(a))
		}
		challenge += separator + `algs="` + strings.Join(names, " ") + `"`
	}
	if problem.code == "use_dpop_nonce" {
		w.Header().Set("DPoP-Nonce", p.proofNonceAt(p.cfg.Now()))
	}
	p.record(r.Context(), "userinfo.refused", problem.reason, slog.Int("status", status))
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(status)
}

// broughtToken reads the access token of a request. The scheme's name has no
// case (RFC 9110 11.1).
func broughtToken(w http.ResponseWriter, r *http.Request) (scheme, token, reason string) {
	if r.URL.RawQuery != "" {
		return "", "", "parameters_in_query"
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 && r.Method == http.MethodPost && r.ContentLength != 0 {
		params, err := readParameters(w, r, maxTokenBody)
		if err != nil {
			return "", "", "parameters"
		}
		if token = params["access_token"]; token != "" {
			return "Bearer", token, ""
		}
	}
	if len(headers) == 0 {
		return "", "", "token_missing"
	}
	scheme, token, _ = strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP") || token == "" {
		return "", "", "authorization_malformed"
	}
	return scheme, token, ""
}

// beside joins the claims of the protocol with claims about the person. The
// protocol's win, though no claim about the person has such a name.
func beside(protocol any, person map[string]any) any {
	data, err := json.Marshal(protocol)
	if err != nil {
		return protocol
	}
	if err := json.Unmarshal(data, &person); err != nil { // overwrites
		return protocol
	}
	return person
}
