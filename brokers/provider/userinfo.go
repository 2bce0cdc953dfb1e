package provider

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// userinfo gives the claims that client and request allow, to whoever brings a
// live access token in the header (RFC 6750 2.1); never in query or body.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	token, reason := bearer(r)
	if reason != "" {
		challenge := "Bearer"
		status := http.StatusUnauthorized
		if reason != "token_missing" {
			challenge, status = `Bearer error="invalid_request"`, http.StatusBadRequest
		}
		p.challenge(w, r, status, challenge, reason)
		return
	}
	g, kept, err := p.cfg.Store.AccessToken(r.Context(), brokers.HashOf(token), p.cfg.Now())
	if errors.Is(err, brokers.ErrNotFound) {
		p.challenge(w, r, http.StatusUnauthorized, `Bearer error="invalid_token"`, "token_unknown")
		return
	}
	var client *Client
	if err == nil {
		client, err = p.cfg.Clients.Client(r.Context(), g.Request.ClientID)
	}
	switch {
	case errors.Is(err, brokers.ErrNotFound): // the client was removed meanwhile
		p.challenge(w, r, http.StatusUnauthorized, `Bearer error="invalid_token"`, "client_unknown")
	case err != nil:
		p.cfg.Log.ErrorContext(r.Context(), "userinfo was not served", "error", err)
		w.Header().Set("Retry-After", "2")
		p.json(w, http.StatusServiceUnavailable, errorResponse{Error: "temporarily_unavailable"})
	default:
		scopes := kept.Scopes
		if scopes == nil {
			scopes = g.Request.Scopes
		}
		claims := released(client, &g.Event.Subject, scopes, g.Request.Claims.UserInfo)
		claims["sub"] = g.Subject
		p.json(w, http.StatusOK, claims)
	}
}

func (p *Provider) challenge(w http.ResponseWriter, r *http.Request, status int, challenge, reason string) {
	p.record(r.Context(), "userinfo.refused", reason, slog.Int("status", status))
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(status)
}

// bearer reads the access token from the header. The scheme's name has no case
// (RFC 9110 11.1).
func bearer(r *http.Request) (token, reason string) {
	if r.URL.RawQuery != "" {
		return "", "parameters_in_query"
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return "", "token_missing"
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", "authorization_malformed"
	}
	return token, ""
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
