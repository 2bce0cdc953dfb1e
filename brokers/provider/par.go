package provider

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/eidbridge/eidbridge/brokers"
)

// pushResponse is the answer of RFC 9126 2.2. Methods are the login methods that
// can meet the request now.
type pushResponse struct {
	RequestURI string   `json:"request_uri"`
	ExpiresIn  int      `json:"expires_in"`
	Methods    []string `json:"login_methods"`
}

// push takes an authorization request from a client itself and checks all of it
// at once. The browser then brings only its name.
func (p *Provider) push(call *clientCall) (*reply, *oauthError) {
	if call.params["request_uri"] != "" {
		return nil, invalidRequest("request_uri_pushed", "a pushed request has no request_uri")
	}
	params, problem := p.unwrap(call.Context(), call.client, call.params, true)
	if problem != nil {
		return nil, problem
	}
	params = requestOnly(params)
	params["client_id"] = call.client.ID
	if len(call.Header.Values("DPoP")) > 0 {
		key, problem := p.proof(call.Request, "", call.client.ProofNonce)
		if problem != nil {
			return nil, problem
		}
		if params["dpop_jkt"] != "" && params["dpop_jkt"] != key {
			return nil, &oauthError{code: "invalid_dpop_proof", description: "dpop_jkt is not the key of the proof", reason: "proof_other_key"}
		}
		params["dpop_jkt"] = key
	}
	if reason := checkRedirect(call.client, params); reason != "" {
		return nil, invalidRequest(reason, "redirect_uri is missing or not registered, or state is too long")
	}
	request, problem := p.parseRequest(call.client, params)
	if problem != nil {
		return nil, problem
	}
	offers, problem := p.feasible(call.Context(), call.client, request, "")
	if problem != nil {
		return nil, problem
	}
	handle, err := p.random(32)
	if err != nil {
		return nil, serverError("randomness")
	}
	now := p.cfg.Now()
	pushed := &brokers.PushedRequest{ClientID: call.client.ID, Parameters: params, ExpiresAt: now.Add(p.cfg.Lifetimes.Pushed)}
	if err := p.cfg.Store.Push(call.Context(), brokers.HashOf(requestURI+handle), pushed); err != nil {
		return nil, p.storeProblem(call.Context(), "keeping pushed request", err)
	}
	response := pushResponse{RequestURI: requestURI + handle, ExpiresIn: int(p.cfg.Lifetimes.Pushed.Seconds())}
	for _, o := range offers {
		response.Methods = append(response.Methods, o.method.ID)
	}
	p.record(call.Context(), "request.pushed", "ok", slog.String("client", call.client.ID))
	return &reply{status: http.StatusCreated, body: response}, nil
}

// requestOnly leaves out what proves the client: secrets are not kept.
func requestOnly(params parameters) parameters {
	request := parameters{}
	for name, value := range params {
		if !slices.Contains([]string{"client_secret", "client_assertion", "client_assertion_type", "request"}, name) {
			request[name] = value
		}
	}
	return request
}
