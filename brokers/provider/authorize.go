package provider

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// authorize begins a login. The order of checks is: the form of the request,
// the client and its redirect URI (until here errors are pages), everything
// else, whether any method can meet the level, an earlier login, and only then
// anything is kept or shown.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	params, err := readParameters(w, r, maxParameters)
	if err != nil {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "authorization.refused", "parameters", nil, slog.String("detail", err.Error()))
		return
	}
	client, reason, err := p.knownClient(r, params)
	if err != nil {
		p.fault(w, r, "loading client", err, nil)
		return
	}
	if reason != "" {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "authorization.refused", reason, nil)
		return
	}
	raw := params
	inner, pushed, problem := p.resolve(r.Context(), client, params)
	if problem == nil {
		params = inner
	}
	if reason := checkRedirect(client, params); reason != "" {
		if problem != nil {
			reason = problem.reason
		}
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "authorization.refused", reason, nil)
		return
	}
	if problem != nil {
		p.deny(w, r, &brokers.AuthorizationRequest{ClientID: client.ID, RedirectURI: params["redirect_uri"], State: params["state"]}, problem)
		return
	}
	request, problem := p.parseRequest(client, params)
	if problem != nil {
		p.deny(w, r, request, problem)
		return
	}
	offers, problem := p.feasible(r.Context(), client, request, p.cfg.ClientAddress(r))
	if problem != nil {
		p.deny(w, r, request, problem)
		return
	}
	session := p.session(r)
	p.leaveStale(w, r, session)
	if p.reuse(w, r, client, request, session, pushed) {
		return
	}
	if request.Silent {
		p.deny(w, r, request, &oauthError{code: "login_required", description: "the citizen has to log in", reason: "silent"})
		return
	}
	if !p.mayStart(w, r, raw, request) {
		return
	}
	t := &brokers.Transaction{
		State: brokers.Choosing, Request: *request, Pushed: pushed,
		StepUp: session != nil && client.SingleSignOn && !request.Switch,
	}
	p.begin(w, r, client, t, propose(offers, request.Hint))
}

// knownClient finds the client. A reason means that nobody may be redirected
// anywhere.
func (p *Provider) knownClient(r *http.Request, params parameters) (client *Client, reason string, err error) {
	if params["client_id"] == "" {
		return nil, "client_id_missing", nil
	}
	client, err = p.client(r.Context(), params["client_id"])
	if errors.Is(err, brokers.ErrNotFound) {
		return nil, "client_unknown", nil
	}
	return client, "", err
}

// checkRedirect checks the redirect URI, byte by byte, and what is sent back
// there as it came.
func checkRedirect(c *Client, params parameters) (reason string) {
	switch {
	case params["redirect_uri"] == "":
		return "redirect_uri_missing"
	case !slices.Contains(c.RedirectURIs, params["redirect_uri"]):
		return "redirect_uri_unregistered"
	case len(params["state"]) > maxValue:
		return "state_too_long"
	}
	return ""
}

// parseRequest reads the rest. It always returns what is needed to tell the
// relying party of an error.
func (p *Provider) parseRequest(c *Client, params parameters) (*brokers.AuthorizationRequest, *oauthError) {
	request := &brokers.AuthorizationRequest{
		ClientID: c.ID, RedirectURI: params["redirect_uri"], State: params["state"],
		Nonce: params["nonce"], CodeChallenge: params["code_challenge"], ProofKey: params["dpop_jkt"],
	}
	if mode := params["response_mode"]; mode != "" && !slices.Contains(responseModes(), mode) {
		return request, invalidRequest("response_mode", "unknown response_mode")
	}
	request.ResponseMode = params["response_mode"]
	switch {
	case params["registration"] != "":
		return request, &oauthError{code: "registration_not_supported", description: "the parameter registration is not supported", reason: "registration_not_supported"}
	case params["response_type"] == "":
		return request, invalidRequest("response_type_missing", "response_type is missing")
	case params["response_type"] != "code":
		return request, &oauthError{code: "unsupported_response_type", description: "response_type must be code", reason: "response_type"}
	case c.Profile == NLGov && request.Nonce == "":
		return request, invalidRequest("nonce_missing", "nonce is required")
	case params["dpop_jkt"] != "" && !isChallenge(params["dpop_jkt"]):
		return request, invalidRequest("dpop_jkt", "dpop_jkt is not a thumbprint")
	case len(request.Nonce) > maxValue:
		return request, invalidRequest("nonce_too_long", "nonce is too long")
	case params["code_challenge"] == "" && params["code_challenge_method"] == "" && c.WithoutPKCE:
		// its code is for nobody but the authenticated client
	case params["code_challenge"] == "":
		return request, invalidRequest("pkce_missing", "code_challenge is required")
	case params["code_challenge_method"] != "S256":
		return request, invalidRequest("pkce_method", "code_challenge_method must be S256")
	case !isChallenge(params["code_challenge"]):
		return request, invalidRequest("pkce_challenge", "code_challenge is not a SHA-256 in base64url")
	}
	for _, parse := range []func(*Client, parameters, *brokers.AuthorizationRequest) *oauthError{
		p.parseScope, parseResources, parsePrompt, parseMaxAge, p.parseLevel, parseLocales, p.parseHints,
	} {
		if problem := parse(c, params, request); problem != nil {
			return request, problem
		}
	}
	return request, nil
}

// isChallenge reports whether s is an S256 challenge: 32 bytes in base64url.
func isChallenge(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == 32
}

// parseScope keeps the scopes we know and ignores others (OpenID Connect Core
// 3.1.2.1); one that the registration does not have is an error.
func (p *Provider) parseScope(c *Client, params parameters, request *brokers.AuthorizationRequest) *oauthError {
	scopes, err := params.list("scope")
	if err != nil {
		return &oauthError{code: "invalid_scope", description: "too many scopes", reason: "scope_flood"}
	}
	if !slices.Contains(scopes, "openid") {
		return &oauthError{code: "invalid_scope", description: "scope must contain openid", reason: "scope_openid"}
	}
	request.Scopes = []string{"openid"}
	for _, scope := range scopes {
		if scope == offlineAccess && c.RefreshTokens && !slices.Contains(request.Scopes, scope) {
			request.Scopes = append(request.Scopes, scope)
			continue
		}
		if !gives(p.claims, scope) || slices.Contains(request.Scopes, scope) {
			continue
		}
		if !slices.Contains(c.Scopes, scope) {
			return &oauthError{code: "invalid_scope", description: "this client may not ask for the scope " + scope, reason: "scope_not_registered"}
		}
		request.Scopes = append(request.Scopes, scope)
	}
	return nil
}

func parsePrompt(_ *Client, params parameters, request *brokers.AuthorizationRequest) *oauthError {
	prompts, err := params.list("prompt")
	if err != nil {
		return invalidRequest("prompt", "prompt has too many values")
	}
	for _, prompt := range prompts {
		switch prompt {
		case "none":
			request.Silent = true
		case "login", "select_account":
			// The upstream alone knows accounts; to choose another is to log in. Who
			// has to log in anew may be the next person at the same computer.
			request.Fresh, request.Switch = true, true
		case "consent":
			// Methods are chosen and levels shown on every login; there is no
			// consent page that could be skipped.
		default:
			return invalidRequest("prompt", "unknown prompt value")
		}
	}
	if request.Silent && len(prompts) > 1 {
		return invalidRequest("prompt_none", "prompt=none cannot be combined")
	}
	return nil
}

func parseMaxAge(c *Client, params parameters, request *brokers.AuthorizationRequest) *oauthError {
	text := params["max_age"]
	if text == "" {
		request.MaxAge = c.DefaultMaxAge
		request.Fresh = request.Fresh || c.DefaultMaxAge != nil && *c.DefaultMaxAge == 0
		return nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 || seconds > maxSeconds || strconv.Itoa(seconds) != text {
		return invalidRequest("max_age", "max_age is not a number of seconds")
	}
	request.MaxAge = &seconds
	if seconds == 0 {
		request.Fresh = true
	}
	return nil
}

func (p *Provider) parseLevel(c *Client, params parameters, request *brokers.AuthorizationRequest) *oauthError {
	acrValues, err := params.list("acr_values")
	if err != nil {
		return invalidRequest("acr_values", "acr_values has too many values")
	}
	if len(acrValues) == 0 {
		acrValues = c.DefaultACR
	}
	claims, acr, err := parseClaims(params["claims"])
	if err != nil {
		return invalidRequest("claims", "claims is malformed")
	}
	request.Claims = claims
	var problem *oauthError
	request.Requirement, request.Preferred, problem = p.require(c, acrValues, acr)
	return problem
}

// parseLocales keeps what may be a language tag. A language that we do not speak
// is no error.
func parseLocales(_ *Client, params parameters, request *brokers.AuthorizationRequest) *oauthError {
	locales, err := params.list("ui_locales")
	if err != nil {
		return invalidRequest("ui_locales", "ui_locales has too many values")
	}
	for _, tag := range locales {
		if len(tag) <= 35 { // RFC 5646 4.4.1
			request.UILocales = append(request.UILocales, tag)
		}
	}
	return nil
}

// parseHints reads who is expected, and by which method.
func (p *Provider) parseHints(c *Client, params parameters, request *brokers.AuthorizationRequest) *oauthError {
	if len(params["login_hint"]) <= maxValue {
		request.Hint = params["login_hint"]
	}
	if params["id_token_hint"] == "" {
		return nil
	}
	hint, err := p.readHint(params["id_token_hint"])
	if err != nil || hint.Audience.names[0] != c.ID {
		return invalidRequest("id_token_hint", "id_token_hint is no ID token of ours for this client")
	}
	request.Person = hint.Subject
	return nil
}

// begin keeps the request, binds it to the browser, and shows the methods; a
// single one is not shown but taken.
func (p *Provider) begin(w http.ResponseWriter, r *http.Request, c *Client, t *brokers.Transaction, offers []offer) {
	now := p.cfg.Now()
	id, err := p.name(now)
	if err != nil {
		p.broken(w, r, "beginning login", err, nil)
		return
	}
	t.ID, t.Unkept, t.CreatedAt, t.UpdatedAt, t.ExpiresAt = id, true, now, now, now.Add(p.cfg.Lifetimes.Login)
	if err := p.bindBrowser(w, r, t); err != nil {
		p.broken(w, r, "beginning login", err, nil)
		return
	}
	p.note(r.Context(), t, "login.begun", "ok", slog.String("client", c.ID),
		slog.String("least", levelWord(t.Request.Requirement.Least())))
	if !p.evident(c, &t.Request, offers) {
		if err := p.keep(r.Context(), t, ""); err != nil {
			p.fault(w, r, "keeping login", err, nil)
			return
		}
		seeOther(w, r, p.url("login", t.ID))
		return
	}
	if p.atOnce(w, r, t, offers[0]) {
		return
	}
	if err := p.send(r, t, offers[0], p.language(r, t)); err != nil {
		if t.State != brokers.Choosing {
			p.broken(w, r, "starting upstream", err, nil)
			return
		}
		p.notBegun(w, r, t, offers[0], err, "")
		return
	}
	if err := p.keep(r.Context(), t, ""); err != nil {
		p.fault(w, r, "keeping login", err, nil)
		return
	}
	// After a form of the relying party its policy may forbid to be led elsewhere.
	p.onward(w, r, t, r.Method == http.MethodGet || origin(t.Departure.Location) == origin(p.cfg.Issuer))
}

// atOnce asks an upstream that may know at once who is there. It reports whether
// it has answered: by the code, without a row for the login, or by what an answer
// that is not enough leads to.
func (p *Provider) atOnce(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, o offer) bool {
	upstream, ok := o.upstream.(brokers.Immediate)
	if !ok || t.Request.Device {
		return false
	}
	leave, err := p.enter(o.upstream)
	if err != nil {
		return false // and told of where the login would begin
	}
	defer leave()
	event, err := upstream.Recognize(r, brokers.AuthenticationRequest{
		Method: o.method.ID, Level: ask(&t.Request, o.method), ForceAuthn: t.Request.ForceAuthn(),
		Locale: p.language(r, t), LoginHint: t.Request.Hint,
	})
	if event == nil && err == nil {
		return false
	}
	t.Upstream, t.Method = o.upstream.ID(), o.method.ID
	t.Attempts++
	for _, state := range []brokers.State{brokers.Departed, brokers.Returning} { // and back, on the spot
		if _, err := t.Step(state, p.cfg.Now()); err != nil {
			p.fault(w, r, "recognizing citizen", err, nil)
			return true
		}
	}
	p.conclude(w, r, o.upstream, t, event, err, true)
	return true
}
