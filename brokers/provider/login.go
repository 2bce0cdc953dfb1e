package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
	"github.com/eidbridge/eidbridge/levels"
)

func levelWord(l levels.Level) string { return l.String() }

// showLogin shows the methods, or where the login is now.
func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request) {
	t, ok := p.ours(w, r)
	if !ok {
		return
	}
	if t.State != brokers.Choosing && t.State != brokers.Departed {
		seeOther(w, r, p.url("resume", t.ID))
		return
	}
	client, err := p.client(r.Context(), t.Request.ClientID)
	if err != nil {
		p.fault(w, r, "loading client", err, nil)
		return
	}
	language := p.language(r, t)
	view := pages.Choice{
		Language: language, Client: client.Name, Notice: notice(t.Outcome), Reference: t.Reference,
		Level: t.Request.Requirement.Least(), Action: p.url("login", t.ID),
		Switch: t.Outcome == brokers.OutcomeOtherPerson,
		Cancel: p.url("login", t.ID, "cancel"), Token: p.formToken(r, t),
	}
	var destinations []string
	offers := p.offers(client, &t.Request)
	view.Soon = p.soon(offers)
	failed, least := p.failed(t)
	for _, o := range offers {
		method := pages.Method{Value: o.value(), Name: o.method.Name, Level: o.method.Level}
		if limit := p.out(o.upstream, o.method.ID); limit != nil {
			method.Out, method.Planned, method.Until = true, limit.Planned, limit.Until
		}
		if failed != nil && !method.Out && o.method.Level >= least && (o.upstream.ID() != t.Upstream || o.method.ID != t.Method) {
			method.Instead, view.Failed = true, failed
		}
		view.Methods = append(view.Methods, method)
		if method.Out {
			continue
		}
		for _, to := range p.destinations(r, o) {
			if !slices.Contains(destinations, to) {
				destinations = append(destinations, to)
			}
		}
	}
	view.Out = disruptions(view.Methods)
	view.Onward = strings.Join(destinations, " ")
	w.Header().Set("Content-Security-Policy", policy(false, append(destinations, origin(t.Request.RedirectURI))...))
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.Choice(out, view) })
}

// disruptions tells of the methods that are out of order, each with those that work
// and reach its level.
func disruptions(list []pages.Method) []pages.Disruption {
	var found []pages.Disruption
	for _, m := range list {
		if !m.Out {
			continue
		}
		d := pages.Disruption{Name: m.Name, Planned: m.Planned, Until: m.Until}
		for _, other := range list {
			if !other.Out && other.Level >= m.Level {
				d.Instead = append(d.Instead, other.Name)
			}
		}
		found = append(found, d)
	}
	return found
}

// failed is the name and the level of the method that could not be reached at the
// last attempt, or nil.
func (p *Provider) failed(t *brokers.Transaction) (name map[string]string, level levels.Level) {
	upstream, ok := p.upstream[t.Upstream]
	if !ok || t.Outcome != brokers.OutcomeUnavailable {
		return nil, levels.None
	}
	for _, m := range upstream.Methods() {
		if m.ID == t.Method {
			return m.Name, m.Level
		}
	}
	return nil, levels.None
}

// notice is what the method page says of the last attempt.
func notice(o brokers.Outcome) pages.Kind {
	switch o {
	case brokers.OutcomeCancelled:
		return pages.Cancelled
	case brokers.OutcomeTooLow:
		return pages.TooLow
	case brokers.OutcomeRefused, brokers.OutcomeStale:
		return pages.Refused
	case brokers.OutcomeTimeout:
		return pages.Timeout
	case brokers.OutcomeUnavailable:
		return pages.Unavailable
	case brokers.OutcomeBlocked:
		return pages.Blocked
	case brokers.OutcomeNotRegistered:
		return pages.NotRegistered
	case brokers.OutcomeDevice:
		return pages.Device
	case brokers.OutcomeCard:
		return pages.Card
	case brokers.OutcomeOtherPerson:
		return pages.OtherPerson
	case brokers.OutcomeNone:
	}
	return ""
}

// form reads one of our own forms: from the right browser, from our own page.
func (p *Provider) form(w http.ResponseWriter, r *http.Request) (*brokers.Transaction, parameters, bool) {
	return p.formOf(w, r, maxForm)
}

func (p *Provider) formOf(w http.ResponseWriter, r *http.Request, most int64) (*brokers.Transaction, parameters, bool) {
	params, err := readParameters(w, r, most)
	if err != nil {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "login.refused", "parameters", nil, slog.String("detail", err.Error()))
		return nil, nil, false
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		p.problem(w, r, http.StatusForbidden, pages.BadRequest, "login.refused", "cross_site_form", nil)
		return nil, nil, false
	}
	t, ok := p.ours(w, r)
	if !ok {
		return nil, nil, false
	}
	if !brokers.HashOf(p.formToken(r, t)).Matches(params["token"]) {
		p.problem(w, r, http.StatusForbidden, pages.BadRequest, "login.refused", "form_token", nil, slog.String("login", t.ID))
		return nil, nil, false
	}
	return t, params, true
}

// depart takes the citizen's choice and sends the browser to the upstream. A
// citizen who came back with the back button may choose again; the answer to
// the earlier departure is then no longer awaited.
func (p *Provider) depart(w http.ResponseWriter, r *http.Request) {
	t, params, ok := p.form(w, r)
	if !ok {
		return
	}
	client, err := p.client(r.Context(), t.Request.ClientID)
	if err != nil {
		p.fault(w, r, "loading client", err, nil)
		return
	}
	offers := p.working(p.offers(client, &t.Request))
	chosen := slices.IndexFunc(offers, func(o offer) bool { return o.value() == params["method"] })
	if chosen < 0 {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "login.refused", "method_not_offered", t, slog.String("login", t.ID))
		return
	}
	if !t.State.CanBecome(brokers.Departed) {
		seeOther(w, r, p.url("resume", t.ID))
		return
	}
	if t.Attempts >= maxAttempts {
		p.problem(w, r, http.StatusTooManyRequests, pages.Busy, "login.refused", "attempts", t, slog.String("login", t.ID))
		return
	}
	from := t.State
	if params["switch"] != "" && t.Outcome == brokers.OutcomeOtherPerson {
		t.StepUp = false
	}
	if err := p.send(r, t, offers[chosen], p.pages.Language([]string{params["lang"]}, "")); err != nil {
		if t.State != from {
			p.broken(w, r, "starting upstream", err, nil)
			return
		}
		t.Departure, t.UpdatedAt = nil, p.cfg.Now() // an earlier one is given up
		p.notBegun(w, r, t, offers[chosen], err, from)
		return
	}
	if err := p.cfg.Store.Advance(r.Context(), t, from); err != nil {
		p.fault(w, r, "keeping departure", err, t)
		return
	}
	// The field only says which origins the page named in its policy, so a forged
	// one hurts nobody but its forger.
	named := strings.Fields(params["onward"])
	p.onward(w, r, t, slices.Contains(named, origin(t.Departure.Location)))
}

// destinations lists the origins to which a method leads. An upstream that has
// not read its metadata yet learns them by beginning a login that nobody takes.
func (p *Provider) destinations(r *http.Request, o offer) []string {
	destined, ok := o.upstream.(brokers.Destined)
	if !ok {
		return nil
	}
	found := destined.Destinations()
	if len(found) == 0 {
		ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
		defer cancel()
		probe := brokers.AuthenticationRequest{Method: o.method.ID, Level: o.method.Level, Locale: "en", RelayState: "probe"}
		if _, err := p.start(r.WithContext(ctx), o.upstream, probe); err != nil {
			p.cfg.Log.WarnContext(ctx, "upstream cannot begin a login", "upstream", o.upstream.ID(), "error", err)
		}
		found = destined.Destinations()
	}
	var origins []string
	for _, to := range found {
		if o := origin(to); o != "" {
			origins = append(origins, o)
		}
	}
	return origins
}

// send starts the upstream and moves the transaction, in memory only.
func (p *Provider) send(r *http.Request, t *brokers.Transaction, o offer, language string) error {
	secret, err := p.random(16)
	if err != nil {
		return err
	}
	relayState := t.NewRelayState(secret)
	request := brokers.AuthenticationRequest{
		Method: o.method.ID, Level: ask(&t.Request, o.method), ForceAuthn: t.Request.ForceAuthn(),
		Locale: language, LoginHint: t.Request.Hint, RelayState: relayState,
	}
	departure, err := p.start(r, o.upstream, request)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", o.upstream.ID(), err)
	}
	_, converses := o.upstream.(brokers.Conversing)
	stays := converses && departure.Location == "" && departure.Form == nil
	if origin(departure.Location) == "" && !stays || departure.Request.RelayState != relayState {
		return fmt.Errorf("upstream %s: departure has no location or another relay state", o.upstream.ID())
	}
	if _, err := t.Step(brokers.Departed, p.cfg.Now()); err != nil {
		return err
	}
	t.Upstream, t.Method, t.Departure = o.upstream.ID(), o.method.ID, departure
	t.Outcome, t.Reference = brokers.OutcomeNone, ""
	t.Attempts++
	p.note(r.Context(), t, "login.departed", "ok", slog.String("upstream", t.Upstream),
		slog.String("method", t.Method), slog.String("asked", levelWord(request.Level)))
	return nil
}

// onward sends the browser to the upstream: by redirection where the browser
// will follow it, otherwise by a page; or to our own pages for a conversation.
func (p *Provider) onward(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, mayRedirect bool) {
	d := t.Departure
	if d.Location == "" {
		seeOther(w, r, p.url("login", t.ID, "dialog"))
		return
	}
	if d.Form == nil && mayRedirect {
		seeOther(w, r, d.Location)
		return
	}
	w.Header().Set("Content-Security-Policy", policy(d.Form != nil, origin(d.Location)))
	view := pages.Onward{Language: d.Request.Locale, Location: d.Location, Fields: d.Form, Leaving: t.State == brokers.Leaving}
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.Onward(out, view) })
}

// cancel ends the login by the citizen's wish.
func (p *Provider) cancel(w http.ResponseWriter, r *http.Request) {
	t, _, ok := p.form(w, r)
	if !ok {
		return
	}
	if t.State.Final() {
		seeOther(w, r, p.url("resume", t.ID))
		return
	}
	p.abandon(w, r, t, giveUp(t.Outcome))
}

// giveUp is what a relying party is told when the citizen gives up after this
// outcome.
func giveUp(o brokers.Outcome) *oauthError {
	if o == brokers.OutcomeTooLow {
		return unmet(string(o), "the login did not reach the required level")
	}
	reason := string(o)
	if o == brokers.OutcomeNone {
		reason = "given_up"
	}
	return &oauthError{code: "access_denied", description: "the citizen did not log in", reason: reason}
}

func (p *Provider) abandon(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, e *oauthError) {
	from, err := t.Step(brokers.Abandoned, p.cfg.Now())
	if err == nil {
		err = p.keep(r.Context(), t, from)
	}
	if errors.Is(err, brokers.ErrConflict) {
		seeOther(w, r, p.url("resume", t.ID))
		return
	}
	if err != nil {
		p.fault(w, r, "ending login", err, t)
		return
	}
	p.setCookie(w, loginCookie+t.ID, "", -1)
	if t.Request.Device {
		p.endDevice(w, r, t.Device, e)
		return
	}
	p.deny(w, r, &t.Request, e)
}
