package provider

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// The parameters that the page of a challenge adds to the request.
const (
	challengeTicket   = "challenge_ticket"
	challengeSolution = "challenge_solution"
	// maxChallenged bounds a request that goes on from there, in bytes: it is in a
	// header now.
	maxChallenged = 8 << 10
)

// GuardKey is the key for Config.Guard, the same on every replica.
func GuardKey(pairwise []byte) []byte { return keyed(pairwise, "", "", "", "abuse key") }

// mayStart asks the guard before a login costs anything. Otherwise it answers: by
// a page that works or waits and comes back, or by a refusal.
func (p *Provider) mayStart(w http.ResponseWriter, r *http.Request, params parameters, request *brokers.AuthorizationRequest) bool {
	ruling := p.cfg.Guard.Start(r.Context(), p.cfg.ClientAddress(r), params[challengeTicket], params[challengeSolution])
	if ruling.OK {
		return true
	}
	if ruling.Challenge == nil {
		p.busy(w, r, ruling.Retry, "authorization.refused", ruling.Reason)
		return false
	}
	again := url.Values{}
	for name, value := range params {
		if name != challengeSolution {
			again.Set(name, value)
		}
	}
	again.Set(challengeTicket, ruling.Challenge.Ticket)
	encoded := again.Encode()
	if len(encoded) > maxChallenged {
		p.busy(w, r, time.Minute, "authorization.refused", "challenge_too_long")
		return false
	}
	view := pages.Challenge{
		Language: p.pages.Language(request.UILocales, r.Header.Get("Accept-Language")),
		Location: p.url("authorize") + "?" + encoded,
		Seed:     ruling.Challenge.Seed, Bits: ruling.Challenge.Bits, Seconds: int(ruling.Challenge.Wait.Seconds()) + 1,
	}
	w.Header().Set("Content-Security-Policy", policy(true))
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.Challenge(out, view) })
	return false
}

// busy refuses for a while.
func (p *Provider) busy(w http.ResponseWriter, r *http.Request, retry time.Duration, event, reason string, attributes ...slog.Attr) {
	w.Header().Set("Retry-After", seconds(retry))
	p.problem(w, r, http.StatusTooManyRequests, pages.Busy, event, reason, nil, attributes...)
}

// seconds rounds up, as Retry-After wants it.
func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// slowDown refuses the call of a client for a while.
func slowDown(retry time.Duration, reason string) *oauthError {
	return &oauthError{code: "temporarily_unavailable", description: "too many requests; try again later", reason: reason, retry: retry}
}

// mayTry refuses who was wrong too often; it is nil for others.
func (p *Provider) mayTry(r *http.Request, kind abuse.Kind, account string) *oauthError {
	if wait := p.cfg.Guard.Wait(r.Context(), kind, p.cfg.ClientAddress(r), account); wait > 0 {
		return slowDown(wait, "delayed")
	}
	return nil
}

// byClients reports whether clients call a path by themselves: many citizens stand
// behind each, so what counts is who they are and not their address.
func (p *Provider) byClients(path string) bool {
	switch path, _ = strings.CutPrefix(path, p.issuer.Path); path {
	case "/token", "/par", "/device_authorization", "/introspect", "/revoke", "/userinfo":
		return true
	}
	return false
}
