package provider

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// clientCall is a request that a client makes by itself, after it proved who it
// is.
type clientCall struct {
	*http.Request
	params parameters
	client *Client
	// binding names the key that the caller proved to hold beside, as
	// brokers.Token does; empty is none.
	binding string
}

// reply is a success: 200 if no status is given, no body if it is nil. A body may be
// a JWT instead, of a media type.
type reply struct {
	status         int
	body           any
	jwt, mediaType string
}

// errorResponse is the failure of RFC 6749 5.2.
type errorResponse struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
	// Nearest is what could be asked for instead (only at the push endpoint).
	Nearest *alternative `json:"nearest,omitempty"`
}

// forClients is what all endpoints for clients have in common: reading the form,
// client authentication, the answer, and the audit event of a refusal.
func (p *Provider) forClients(name string, serve func(*clientCall) (*reply, *oauthError)) http.HandlerFunc {
	return p.forParties(name, p.client, serve)
}

// forParties is the same for whoever find knows.
func (p *Provider) forParties(name string, find func(context.Context, string) (*Client, error), serve func(*clientCall) (*reply, *oauthError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		call := &clientCall{Request: r}
		var success *reply
		problem := p.receive(r.Context(), w, call, find)
		if problem == nil {
			success, problem = serve(call)
		}
		if problem != nil {
			p.refuseCall(r.Context(), w, call, name, problem)
			return
		}
		if call.client.ProofNonce {
			w.Header().Set("DPoP-Nonce", p.proofNonceAt(p.cfg.Now()))
		}
		status := success.status
		if status == 0 {
			status = http.StatusOK
		}
		if success.jwt != "" {
			w.Header().Set("Content-Type", success.mediaType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, success.jwt) // a JWT of ours, and its type says so; the reader may be gone
			return
		}
		if success.body == nil {
			w.WriteHeader(status)
			return
		}
		p.json(w, status, success.body)
	}
}

// receive reads the form and finds out who calls.
func (p *Provider) receive(ctx context.Context, w http.ResponseWriter, call *clientCall, find func(context.Context, string) (*Client, error)) (problem *oauthError) {
	params, err := readParameters(w, call.Request, maxTokenBody)
	if err != nil {
		return invalidRequest("parameters", "malformed request")
	}
	call.params = params
	call.client, problem = p.authenticate(call.Request, params, find)
	if problem != nil {
		return problem
	}
	if retry, ok := p.cfg.Guard.Client(ctx, call.client.ID); !ok {
		return slowDown(retry, "rate")
	}
	return nil
}

func (p *Provider) refuseCall(ctx context.Context, w http.ResponseWriter, call *clientCall, name string, problem *oauthError) {
	client := ""
	if call.client != nil {
		client = call.client.ID
	}
	p.record(ctx, name+".refused", problem.reason, slog.String("client", client), slog.String("code", problem.code))
	switch {
	case problem.code == "use_dpop_nonce":
		w.Header().Set("DPoP-Nonce", p.proofNonceAt(p.cfg.Now()))
	case problem.code == "invalid_client" && call.Header.Get("Authorization") != "":
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
	case problem.retry > 0:
		w.Header().Set("Retry-After", seconds(problem.retry))
	case problem.status() == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "2")
	}
	p.json(w, problem.status(), errorResponse{problem.code, problem.description, problem.nearest})
}

// storeProblem is a store that failed: the caller may try again.
func (p *Provider) storeProblem(ctx context.Context, doing string, err error) *oauthError {
	p.cfg.Log.ErrorContext(ctx, "store failed", "doing", doing, "error", err)
	return &oauthError{code: "temporarily_unavailable", description: "try again", reason: "store"}
}

// tokenType is how a token with this binding is brought: a proof for every use
// (RFC 9449), or as a bearer token, also over the client's own certificate.
func tokenType(binding string) string {
	if strings.HasPrefix(binding, boundByProof) {
		return "DPoP"
	}
	return "Bearer"
}
