package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/pages"
	"github.com/eidbridge/eidbridge/levels"
)

// callback takes an upstream's answer. A GET brings the browser's cookie and is
// checked against it before anything happens; such a login ends here. A POST from another site does not
// (SameSite=Lax), so its answer is checked and kept, and the cookie is asked for
// on the page it is then sent to.
func (p *Provider) callback(w http.ResponseWriter, r *http.Request) {
	upstream, ok := p.upstream[r.PathValue("upstream")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxCallbackBody)
	if len(r.URL.RawQuery) > maxCallbackBody {
		p.refuse(w, r, upstream, http.StatusRequestEntityTooLarge, "too_large", nil)
		return
	}
	relayState, reason, err := correlate(r, upstream)
	if reason != "" {
		p.misdelivered(w, r, upstream, reason, err)
		return
	}
	leave, err := p.enter(upstream)
	if err != nil {
		p.crowded(w, r, upstream, nil)
		return
	}
	defer leave()
	t, reason, err := p.takeUp(r, upstream, relayState)
	switch {
	case errors.Is(err, brokers.ErrConflict):
		// The same answer twice at once: the other request checks it.
		seeOther(w, r, p.url("resume", brokers.RelayedID(relayState)))
	case err != nil:
		p.fault(w, r, "taking up answer", err, nil)
	case reason != "":
		p.refuse(w, r, upstream, http.StatusBadRequest, reason, nil)
	default:
		p.finish(w, r, upstream, t)
	}
}

// misdelivered refuses an answer that no login awaits; err says how it came, if that was
// wrong.
func (p *Provider) misdelivered(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, reason string, err error) {
	status := http.StatusBadRequest
	var tooLarge *http.MaxBytesError
	var method *brokers.MethodError
	switch {
	case errors.As(err, &tooLarge):
		status, reason = http.StatusRequestEntityTooLarge, "too_large"
	case errors.As(err, &method):
		status, reason = http.StatusMethodNotAllowed, "method"
		w.Header().Set("Allow", method.Allow)
	case errors.Is(err, brokers.ErrContentType):
		status, reason = http.StatusUnsupportedMediaType, "content_type"
	}
	p.refuse(w, r, upstream, status, reason, nil)
}

// correlate reads which login an answer is for. A reason means that it is for none; err
// with it is what Correlate said.
func correlate(r *http.Request, upstream brokers.Upstream) (relayState, reason string, err error) {
	relayState, err = upstream.Correlate(r)
	switch {
	case err != nil:
		return "", "unsolicited", err
	case relayState == "" || len(relayState) > maxRelayState:
		return "", "relay_state", nil
	}
	return relayState, "", nil
}

// takeUp takes up the answer that a login awaits, once. A reason means that none does,
// and that no login was touched; ErrConflict that it was taken up before.
func (p *Provider) takeUp(r *http.Request, upstream brokers.Upstream, relayState string) (*brokers.Transaction, string, error) {
	answer := brokers.Answer{RelayState: relayState, Upstream: upstream.ID(), Now: p.cfg.Now()}
	known := r.Method != http.MethodGet
	if !known {
		var secret string
		if secret, known = p.cookie(r, loginCookie+brokers.RelayedID(relayState)); known {
			answer.Browser = brokers.HashOf(secret)
		}
	}
	if known {
		t, err := p.cfg.Store.TakeUp(r.Context(), answer)
		if !errors.Is(err, brokers.ErrNotFound) {
			return t, "", err
		}
	}
	// Why not? A login that departed before an update of the program may await it, too.
	t, reason, err := p.awaited(r, upstream, relayState)
	if reason != "" || err != nil {
		return nil, reason, err
	}
	from, err := t.Step(brokers.Returning, answer.Now)
	if err == nil {
		err = p.cfg.Store.Advance(r.Context(), t, from)
	}
	return t, "", err
}

// awaited finds the login that awaits this answer. A reason means that there is
// none, ErrConflict that the answer is being checked.
func (p *Provider) awaited(r *http.Request, upstream brokers.Upstream, relayState string) (t *brokers.Transaction, reason string, err error) {
	t, err = p.cfg.Store.Transaction(r.Context(), brokers.RelayedID(relayState), p.cfg.Now())
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		return nil, "unsolicited", nil
	case err != nil:
		return nil, "", err
	}
	checked := t.State == brokers.Returning && t.Departure != nil && brokers.HashOf(relayState).Matches(t.Departure.Request.RelayState)
	switch {
	case !checked && !brokers.HashOf(relayState).Matches(t.RelayState()):
		return nil, "unsolicited", nil
	case t.Upstream != upstream.ID():
		return nil, "mixed_up", nil
	case r.Method == http.MethodGet && !p.sameBrowser(r, t):
		return nil, "foreign_browser", nil
	case checked:
		return nil, "", brokers.ErrConflict
	}
	return t, "", nil
}

// finish has the answer checked, judges what it proves, and keeps the event. It
// goes on when the browser is gone, because an answer can be fetched only once.
func (p *Provider) finish(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, t *brokers.Transaction) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishTimeout)
	defer cancel()
	ctx, end := p.cfg.Trace(ctx, "upstream finish", "upstream", upstream.ID())
	event, err := upstream.Finish(ctx, r.WithContext(ctx), t.Departure)
	end(err)
	here := r.Method == http.MethodGet // with the cookie, see awaited
	p.conclude(w, r.WithContext(ctx), upstream, t, event, err, here)
}

// conclude goes on from what an upstream said of a login that is returning. If it
// is here that the right browser asks, the login ends here too. The request's context
// is that of the answer, which may outlive the browser.
func (p *Provider) conclude(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, t *brokers.Transaction, event *brokers.AuthenticationEvent, err error, here bool) {
	p.observe(r, upstream, err)
	var rejected *brokers.RejectedError
	switch {
	case err == nil:
		p.judge(w, r, upstream, t, event, here)
	case errors.Is(err, brokers.ErrCancelled):
		p.note(r.Context(), t, "login.cancelled", "cancelled", slog.String("upstream", t.Upstream))
		p.backToChoice(w, r, t, brokers.OutcomeCancelled, "")
	case errors.As(err, &rejected):
		p.rejected(w, r, upstream, t, rejected)
	default:
		p.unavailable(w, r, t, "unavailable", err)
	}
}

// rejected sorts a refusal by what the citizen may learn of it.
func (p *Provider) rejected(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, t *brokers.Transaction, rejected *brokers.RejectedError) {
	switch rejected.Category {
	case brokers.CategoryDenied:
		p.chooseAgain(w, r, t, rejected, brokers.OutcomeRefused)
	case brokers.CategoryLevel:
		p.chooseAgain(w, r, t, rejected, brokers.OutcomeTooLow)
	case brokers.CategoryTimeout:
		p.chooseAgain(w, r, t, rejected, brokers.OutcomeTimeout)
	case brokers.CategoryBlocked:
		p.chooseAgain(w, r, t, rejected, brokers.OutcomeBlocked)
	case brokers.CategoryNotRegistered:
		p.chooseAgain(w, r, t, rejected, brokers.OutcomeNotRegistered)
	case brokers.CategoryDevice:
		p.chooseAgain(w, r, t, rejected, brokers.OutcomeDevice)
	case brokers.CategoryCard:
		p.chooseAgain(w, r, t, rejected, brokers.OutcomeCard)
	case brokers.CategoryUnavailable, brokers.CategoryConfiguration:
		p.unavailable(w, r, t, rejected.Reason, rejected)
	case brokers.CategoryProtocol:
		p.reject(w, r, upstream, t, rejected.Reason, rejected)
	default:
		p.reject(w, r, upstream, t, rejected.Reason, rejected)
	}
}

// chooseAgain goes back to the choice after a refusal that the citizen learns of.
func (p *Provider) chooseAgain(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, rejected *brokers.RejectedError, outcome brokers.Outcome) {
	ref := reference()
	attributes := []slog.Attr{slog.String("upstream", t.Upstream), slog.String("ref", ref)}
	if rejected.Evidence != "" {
		attributes = append(attributes, slog.String("evidence", rejected.Evidence))
	}
	p.keepFlight(r, ref, t, "login.refused", rejected.Reason, attributes)
	p.note(r.Context(), t, "login.refused", rejected.Reason, attributes...)
	p.backToChoice(w, r, t, outcome, ref)
}

// unavailable ends an attempt for which the upstream, or the way to it, is to
// blame.
func (p *Provider) unavailable(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, reason string, cause error) {
	ref := reference()
	p.keepFlight(r, ref, t, "upstream.failed", reason, []slog.Attr{slog.String("upstream", t.Upstream)})
	p.note(r.Context(), t, "upstream.failed", reason, slog.String("upstream", t.Upstream),
		slog.String("ref", ref), slog.String("error", cause.Error()))
	p.returnTo(r.Context(), t, brokers.Choosing, brokers.OutcomeUnavailable, ref)
	p.problemPage(w, r, http.StatusBadGateway, pages.Unavailable, ref, t)
}

// reject ends a refused answer: a page with a reference, and nothing that tells
// which check failed. The login itself may be tried again.
func (p *Provider) reject(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, t *brokers.Transaction, reason string, cause error) {
	p.returnTo(r.Context(), t, brokers.Choosing, brokers.OutcomeRefused, "")
	p.refuse(w, r, upstream, http.StatusBadRequest, reason, t, slog.String("login", t.ID), slog.String("error", cause.Error()))
}

func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, status int, reason string, t *brokers.Transaction, attributes ...slog.Attr) {
	p.problem(w, r, status, pages.Refused, "upstream.rejected", reason, t,
		append(attributes, slog.String("upstream", upstream.ID()))...)
}

// judge decides whether a checked answer is enough. The upstream's level is
// bounded by what the method can reach, and compared anew with what the request
// requires.
func (p *Provider) judge(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, t *brokers.Transaction, event *brokers.AuthenticationEvent, here bool) {
	now := p.cfg.Now()
	event.Subject.Key = nationalid.Canonical(event.Subject.Key, p.cfg.Equivalences)
	if reason := implausible(event, t, now); reason != "" {
		p.reject(w, r, upstream, t, reason, errors.New("event is not plausible"))
		return
	}
	// The method that was used bounds the level; it may be stronger than the one
	// that was chosen.
	methods := upstream.Methods()
	used := slices.IndexFunc(methods, func(m brokers.Method) bool { return m.ID == event.Method })
	if used < 0 {
		p.reject(w, r, upstream, t, "event_method", errors.New("event has a method that the upstream does not offer"))
		return
	}
	event.Assessment = event.Assessment.Lower(levels.Ceiling{Source: "method:" + event.Method, Max: methods[used].Level})
	if t.Request.Device {
		capDevice(event)
	}
	attributes := []slog.Attr{
		slog.String("authentication", event.ID), slog.String("upstream", t.Upstream),
		slog.String("method", event.Method), slog.String("rule", event.Assessment.Rule),
		slog.String("level", levelWord(event.Assessment.Level)), slog.String("policy", event.Assessment.PolicyVersion),
	}
	if _, ok := t.Request.Requirement.Answer(event.Assessment.Level); !ok {
		p.note(r.Context(), t, "login.refused", "loa.too_low", attributes...)
		p.backToChoice(w, r, t, brokers.OutcomeTooLow, "")
		return
	}
	if stale(event, t, now) {
		p.note(r.Context(), t, "login.refused", "stale", attributes...)
		p.backToChoice(w, r, t, brokers.OutcomeStale, "")
		return
	}
	t.Event = event
	if here && (t.Unkept || p.sameBrowser(r, t)) {
		p.note(r.Context(), t, "login.authenticated", "ok", attributes...)
		p.complete(w, r, t, nil)
		return
	}
	if !p.returnTo(r.Context(), t, brokers.Authenticated, brokers.OutcomeNone, "") {
		p.fault(w, r, "keeping event", brokers.ErrConflict, nil)
		return
	}
	p.note(r.Context(), t, "login.authenticated", "ok", attributes...)
	seeOther(w, r, p.url("resume", t.ID))
}

// implausible catches an upstream package that broke its contract, or an event
// of another login.
func implausible(e *brokers.AuthenticationEvent, t *brokers.Transaction, now time.Time) string {
	scheme, identifier := splitKey(e.Subject.Key)
	switch {
	case e.Upstream != t.Upstream:
		return "event_upstream"
	case e.ID == "" || scheme == "" || identifier == "" || strings.Contains(e.Subject.Key, "\x00"):
		return "event_subject"
	case e.AuthTime.IsZero() || e.AuthTime.After(now.Add(skew)):
		return "event_time"
	}
	return ""
}

// stale reports whether the proof is older than the request allows. A request
// for a new login is not answered with one from before the request.
func stale(e *brokers.AuthenticationEvent, t *brokers.Transaction, now time.Time) bool {
	if t.Request.Fresh && e.AuthTime.Before(t.CreatedAt.Add(-skew)) {
		return true
	}
	return t.Request.MaxAge != nil && !t.Request.Fresh && now.Sub(e.AuthTime) > time.Duration(*t.Request.MaxAge)*time.Second+skew
}

// returnTo ends the checking of an answer.
func (p *Provider) returnTo(ctx context.Context, t *brokers.Transaction, state brokers.State, outcome brokers.Outcome, ref string) bool {
	t.Outcome, t.Reference = outcome, ref
	from, err := t.Step(state, p.cfg.Now())
	if err == nil {
		err = p.keep(ctx, t, from)
	}
	if err != nil {
		p.cfg.Log.ErrorContext(ctx, "login was not advanced", "login", t.ID, "to", string(state), "error", err)
	}
	return err == nil
}

// keep stores the login after its step from a state, the first time as a whole.
func (p *Provider) keep(ctx context.Context, t *brokers.Transaction, from brokers.State) error {
	if !t.Unkept {
		return p.cfg.Store.Advance(ctx, t, from)
	}
	err := p.cfg.Store.SaveTransaction(ctx, t)
	if err == nil {
		t.Unkept = false
	}
	return err
}

// backToChoice lets the citizen choose again, on a page that asks for the
// browser's cookie.
func (p *Provider) backToChoice(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, outcome brokers.Outcome, ref string) {
	p.returnTo(r.Context(), t, brokers.Choosing, outcome, ref)
	seeOther(w, r, p.url("resume", t.ID))
}

// metadata serves what an upstream says of us.
func (p *Provider) metadata(w http.ResponseWriter, r *http.Request) {
	describer, ok := p.upstream[r.PathValue("upstream")].(brokers.Describer)
	if !ok {
		http.NotFound(w, r)
		return
	}
	document, err := describer.Metadata()
	if err != nil {
		p.broken(w, r, "making metadata", err, nil)
		return
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = w.Write(document) // the reader may be gone
}
