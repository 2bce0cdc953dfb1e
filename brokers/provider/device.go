package provider

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/pages"
	"github.com/eidbridge/eidbridge/levels"
)

// deviceGrant is the grant type of RFC 8628 3.4.
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// userCodeAlphabet has no vowels and nothing that looks like a digit (RFC 8628
// 6.1); userCodeLength of them make 20⁸ codes.
const (
	userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength   = 8
)

// deviceResponse is the answer of RFC 8628 3.2.
type deviceResponse struct {
	DeviceCode   string `json:"device_code"`
	UserCode     string `json:"user_code"`
	Verification string `json:"verification_uri"`
	Complete     string `json:"verification_uri_complete"`
	ExpiresIn    int    `json:"expires_in"`
	Interval     int    `json:"interval"`
}

// beginDevice gives a device its codes. Who can be talked into typing a code can
// be talked into more than a login of their own, so the level is capped (O-72).
func (p *Provider) beginDevice(call *clientCall) (*reply, *oauthError) {
	c := call.client
	if !c.DeviceFlow {
		return nil, &oauthError{code: "unauthorized_client", description: "this client is not registered for devices", reason: "device_not_allowed"}
	}
	request := &brokers.AuthorizationRequest{ClientID: c.ID, Device: true, Fresh: true, Switch: true}
	params := requestOnly(call.params)
	if params["scope"] == "" {
		params["scope"] = "openid"
	}
	for _, parse := range []func(*Client, parameters, *brokers.AuthorizationRequest) *oauthError{p.parseScope, parseResources, p.parseLevel, parseLocales} {
		if problem := parse(c, params, request); problem != nil {
			return nil, problem
		}
	}
	if _, problem := p.feasible(call.Context(), c, request, ""); problem != nil {
		return nil, problem
	}
	deviceCode, err := p.random(32)
	if err != nil {
		return nil, serverError("randomness")
	}
	now := p.cfg.Now()
	for range 3 { // codes that are taken are as good as none
		userCode, err := p.userCode()
		if err != nil {
			return nil, serverError("randomness")
		}
		err = p.cfg.Store.SaveDevice(call.Context(), &brokers.DeviceRequest{
			Code: brokers.HashOf(deviceCode), UserCode: brokers.HashOf(userCode), Request: *request,
			Place: p.cfg.ClientAddress(call.Request), CreatedAt: now, ExpiresAt: now.Add(p.cfg.Lifetimes.Device),
		})
		if errors.Is(err, brokers.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, p.storeProblem(call.Context(), "keeping device request", err)
		}
		shown := userCode[:userCodeLength/2] + "-" + userCode[userCodeLength/2:]
		p.record(call.Context(), "device.begun", "ok", slog.String("client", c.ID))
		return &reply{body: deviceResponse{
			DeviceCode: deviceCode, UserCode: shown, Verification: p.url("device"),
			Complete:  p.url("device") + "?" + url.Values{"user_code": {shown}}.Encode(),
			ExpiresIn: int(p.cfg.Lifetimes.Device.Seconds()), Interval: int(deviceInterval.Seconds()),
		}}, nil
	}
	return nil, serverError("user_code")
}

// userCode draws a code without preference for any letter.
func (p *Provider) userCode() (string, error) {
	const fair = 256 - 256%len(userCodeAlphabet)
	var code strings.Builder
	for b := make([]byte, 1); code.Len() < userCodeLength; {
		if _, err := io.ReadFull(p.cfg.Rand, b); err != nil {
			return "", err
		}
		if int(b[0]) < fair {
			code.WriteByte(userCodeAlphabet[int(b[0])%len(userCodeAlphabet)])
		}
	}
	return code.String(), nil
}

// plainUserCode takes a code as citizens type it: any case, with hyphens and
// blanks or without. Anything else gives an empty string.
func plainUserCode(text string) string {
	code := strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(text))
	if len(code) != userCodeLength || strings.Trim(code, userCodeAlphabet) != "" {
		return ""
	}
	return code
}

// showDevice asks for the code, and for a right one whether it was the citizen
// who began this.
func (p *Provider) showDevice(w http.ResponseWriter, r *http.Request) {
	params, err := readParameters(w, r, maxForm)
	if err != nil {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "device.refused", "parameters", nil)
		return
	}
	view := pages.UserCode{Language: p.pages.Language([]string{params["lang"]}, r.Header.Get("Accept-Language")), Action: p.url("device")}
	if params["user_code"] == "" {
		p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.UserCode(out, view) })
		return
	}
	request, ok := p.typedCode(w, r, view, params["user_code"])
	if !ok {
		return
	}
	client, err := p.client(r.Context(), request.Request.ClientID)
	if err != nil {
		p.fault(w, r, "loading client", err, nil)
		return
	}
	secret, err := p.random(32)
	if err != nil {
		p.fault(w, r, "asking about device", err, nil)
		return
	}
	p.setCookie(w, deviceCookie, secret, int(p.cfg.Lifetimes.Device.Seconds()))
	code := plainUserCode(params["user_code"])
	view.Client, view.Place, view.At = client.Name, request.Place, request.CreatedAt.UTC()
	view.Code, view.Token = code[:userCodeLength/2]+"-"+code[userCodeLength/2:], deviceToken(code, secret)
	view.Action = p.url("device", "confirm")
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.UserCode(out, view) })
}

// typedCode finds the request of a code. Wrong codes are counted by address
// (O-73), and all look alike.
func (p *Provider) typedCode(w http.ResponseWriter, r *http.Request, view pages.UserCode, text string) (*brokers.DeviceRequest, bool) {
	now := p.cfg.Now()
	address := p.cfg.ClientAddress(r)
	switch wait, err := p.cfg.Guard.Try(r.Context(), abuse.UserCode, address, ""); {
	case err != nil:
		p.fault(w, r, "counting user codes", err, nil)
		return nil, false
	case wait > 0:
		p.busy(w, r, wait, "device.refused", "rate")
		return nil, false
	}
	code, err := plainUserCode(text), brokers.ErrNotFound
	var request *brokers.DeviceRequest
	if code != "" {
		request, err = p.cfg.Store.Device(r.Context(), brokers.HashOf(code), now)
	}
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		p.record(r.Context(), "device.refused", "user_code")
		p.cfg.Guard.Missed(r.Context(), abuse.UserCode, address)
		view.Wrong = true
		p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.UserCode(out, view) })
		return nil, false
	case err != nil:
		p.fault(w, r, "loading device request", err, nil)
		return nil, false
	}
	if err := p.cfg.Guard.Pardon(r.Context(), abuse.UserCode, address, ""); err != nil {
		p.fault(w, r, "counting user codes", err, nil)
		return nil, false
	}
	return request, true
}

// deviceToken is what the form of the question carries.
func deviceToken(code, secret string) string {
	return brokers.HashOf("device\x00" + code + "\x00" + secret).String()
}

// confirmDevice takes the citizen's answer, and begins the login.
func (p *Provider) confirmDevice(w http.ResponseWriter, r *http.Request) {
	params, err := readParameters(w, r, maxForm)
	site := r.Header.Get("Sec-Fetch-Site")
	if err != nil || site != "" && site != "same-origin" {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "device.refused", "form", nil)
		return
	}
	code := plainUserCode(params["user_code"])
	secret, ok := p.cookie(r, deviceCookie)
	if code == "" || !ok || !brokers.HashOf(deviceToken(code, secret)).Matches(params["token"]) {
		p.problem(w, r, http.StatusForbidden, pages.BadRequest, "device.refused", "form_token", nil)
		return
	}
	request, err := p.cfg.Store.TakeDevice(r.Context(), brokers.HashOf(code), p.cfg.Now())
	if errors.Is(err, brokers.ErrNotFound) {
		p.problem(w, r, http.StatusConflict, pages.Finished, "device.refused", "taken", nil)
		return
	}
	if err != nil {
		p.fault(w, r, "taking up device request", err, nil)
		return
	}
	p.setCookie(w, deviceCookie, "", -1)
	if params["answer"] != "yes" {
		p.endDevice(w, r, request.Code, &oauthError{code: "access_denied", reason: "declined"})
		return
	}
	client, err := p.client(r.Context(), request.Request.ClientID)
	if err != nil {
		p.fault(w, r, "loading client", err, nil)
		return
	}
	offers, problem := p.feasible(r.Context(), client, &request.Request, p.cfg.ClientAddress(r))
	if problem != nil {
		p.endDevice(w, r, request.Code, problem)
		return
	}
	t := &brokers.Transaction{State: brokers.Choosing, Request: request.Request, Device: request.Code}
	p.begin(w, r, client, t, offers)
}

// endDevice tells device and citizen that it comes to nothing.
func (p *Provider) endDevice(w http.ResponseWriter, r *http.Request, code brokers.Hash, e *oauthError) {
	p.record(r.Context(), "device.denied", e.reason)
	if err := p.cfg.Store.DenyDevice(r.Context(), code); err != nil {
		p.fault(w, r, "denying device", err, nil)
		return
	}
	view := pages.UserCode{Language: p.language(r, nil), Denied: true}
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.UserCode(out, view) })
}

// deviceDone tells the citizen to go back to the device.
func (p *Provider) deviceDone(w http.ResponseWriter, r *http.Request, t *brokers.Transaction) {
	view := pages.UserCode{Language: p.language(r, t), Done: true}
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.UserCode(out, view) })
}

// redeemDevice gives a device its tokens, once the citizen has logged in
// (RFC 8628 3.4, 3.5).
func (p *Provider) redeemDevice(call *clientCall) (*tokenResponse, *oauthError) {
	switch {
	case !call.client.DeviceFlow:
		return nil, &oauthError{code: "unsupported_grant_type", description: "grant_type is not supported", reason: "device_not_allowed"}
	case call.params["device_code"] == "":
		return nil, invalidRequest("device_code_missing", "device_code is missing")
	}
	ctx, now, code := call.Context(), p.cfg.Now(), brokers.HashOf(call.params["device_code"])
	poll, err := p.cfg.Store.PollDevice(ctx, code, now, deviceInterval)
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		return nil, invalidGrant("device_code_unknown")
	case err != nil:
		return nil, p.storeProblem(ctx, "polling device", err)
	case poll.ClientID != call.client.ID:
		return nil, invalidGrant("device_code_of_other_client")
	case poll.TooFast:
		return nil, &oauthError{code: "slow_down", description: "ask less often", reason: "device_too_fast"}
	case poll.Denied:
		return nil, &oauthError{code: "access_denied", description: "the citizen did not log in", reason: "device_denied"}
	}
	response, problem := p.exchange(call, code, ofDevice, now)
	if problem != nil && problem.reason == "code_unknown" {
		if poll.Expired {
			return nil, &oauthError{code: "expired_token", description: "the time is over", reason: "device_expired"}
		}
		return nil, &oauthError{code: "authorization_pending", description: "the citizen has not logged in yet", reason: "device_pending"}
	}
	return response, problem
}

// capDevice bounds the level of a device's login.
func capDevice(e *brokers.AuthenticationEvent) {
	e.Assessment = e.Assessment.Lower(levels.Ceiling{Source: "device", Max: levels.Substantial})
}
