package provider

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// logoutCookie binds a logout under way to its browser. It is another than a login's,
// so that neither can pass for the other.
const logoutCookie = "broker_logout_"

// leaveUpstreams begins the logouts at the upstreams that proved who somebody is, after
// the session here has ended. It returns nil if there is nowhere to go and nothing to
// tell, and a record at Left if something could not even begin.
func (p *Provider) leaveUpstreams(w http.ResponseWriter, r *http.Request, language string, l leaving, session *brokers.Session) *brokers.Transaction {
	now := p.cfg.Now()
	t := &brokers.Transaction{
		State: brokers.Leaving, Pending: p.leavable(session), CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(logoutLife),
		Request: brokers.AuthorizationRequest{RedirectURI: l.location, UILocales: []string{language}},
	}
	if len(t.Pending) == 0 {
		return nil
	}
	if l.client != nil {
		t.Request.ClientID = l.client.ID
	}
	id, idErr := p.name(now)
	secret, secretErr := p.random(32)
	if err := errors.Join(idErr, secretErr); err != nil {
		p.cfg.Log.ErrorContext(r.Context(), "logout was not begun", "error", err)
		return nil
	}
	t.ID, t.BrowserHash = id, brokers.HashOf(secret)
	p.nextLogout(r, t)
	if t.State == brokers.Left {
		if t.Open {
			return t
		}
		return nil
	}
	if err := p.cfg.Store.SaveTransaction(r.Context(), t); err != nil {
		p.cfg.Log.ErrorContext(r.Context(), "logout was not kept", "error", err)
		t.State, t.Open = brokers.Left, true
		return t
	}
	// The cookie outlives the record, to tell who comes back too late.
	p.setCookie(w, logoutCookie+t.ID, secret, int((2 * logoutLife).Seconds()))
	return t
}

// leavable are the proofs whose sessions can be ended: the newest of each upstream.
func (p *Provider) leavable(session *brokers.Session) []brokers.AuthenticationEvent {
	var list []brokers.AuthenticationEvent
	seen := map[string]bool{}
	for _, event := range session.Events {
		if _, ok := p.upstream[event.Upstream].(brokers.Leaver); ok && !seen[event.Upstream] {
			list = append(list, event)
		}
		seen[event.Upstream] = true
	}
	return list
}

// nextLogout prepares the next departure, or ends the record when there is none.
func (p *Provider) nextLogout(r *http.Request, t *brokers.Transaction) {
	for len(t.Pending) > 0 {
		event := t.Pending[0]
		t.Pending = t.Pending[1:]
		leaver, ok := p.upstream[event.Upstream].(brokers.Leaver)
		if !ok {
			continue // the configuration has changed
		}
		departure, err := p.startLogout(r, leaver, t, &event)
		if errors.Is(err, brokers.ErrNoLogout) {
			continue
		}
		if err != nil {
			t.Open = true
			p.record(r.Context(), "upstream.logout_failed", "start", slog.String("upstream", event.Upstream), slog.String("error", err.Error()))
			continue
		}
		t.Upstream, t.Departure = event.Upstream, departure
		p.record(r.Context(), "upstream.logout_begun", "ok", slog.String("upstream", event.Upstream))
		return
	}
	t.State, t.Upstream, t.Departure = brokers.Left, "", nil
}

// startLogout has an upstream begin a logout, in bounded time.
func (p *Provider) startLogout(r *http.Request, leaver brokers.Leaver, t *brokers.Transaction, event *brokers.AuthenticationEvent) (*brokers.Departure, error) {
	release, err := p.enter(p.upstream[event.Upstream])
	if err != nil {
		return nil, err
	}
	defer release()
	secret, err := p.random(16)
	if err != nil {
		return nil, err
	}
	relayState := t.NewRelayState(secret)
	ctx, cancel := context.WithTimeout(r.Context(), startTimeout)
	defer cancel()
	ctx, end := p.cfg.Trace(ctx, "upstream logout", "upstream", event.Upstream)
	departure, err := leaver.StartLogout(ctx, event, relayState)
	end(err)
	if err != nil {
		return nil, err
	}
	if origin(departure.Location) == "" || departure.Request.RelayState != relayState {
		return nil, errors.New("departure has no location or another relay state")
	}
	departure.Request.Locale = t.Request.UILocales[0]
	return departure, nil
}

// logoutAnswer takes an upstream's answer to a logout. Whatever it says, the way goes
// on from where the browser shows its cookie; what differs is what it is told there.
func (p *Provider) logoutAnswer(w http.ResponseWriter, r *http.Request) {
	upstream := p.upstream[r.PathValue("upstream")]
	leaver, ok := upstream.(brokers.Leaver)
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxCallbackBody)
	if len(r.URL.RawQuery) > maxCallbackBody {
		p.refuse(w, r, upstream, http.StatusRequestEntityTooLarge, "too_large", nil)
		return
	}
	relayState, err := upstream.Correlate(r)
	if err != nil || relayState == "" || len(relayState) > maxRelayState {
		p.misdelivered(w, r, upstream, "unsolicited", err)
		return
	}
	t, err := p.cfg.Store.Transaction(r.Context(), brokers.RelayedID(relayState), p.cfg.Now())
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		p.lateLogout(w, r, upstream, brokers.RelayedID(relayState))
		return
	case err != nil:
		p.fault(w, r, "loading logout", err, nil)
		return
	case t.State != brokers.Leaving || t.Upstream != upstream.ID() || !brokers.HashOf(relayState).Matches(t.Departure.Request.RelayState):
		p.refuse(w, r, upstream, http.StatusBadRequest, "unsolicited", nil)
		return
	case r.Method == http.MethodGet && !p.leavingBrowser(r, t):
		p.refuse(w, r, upstream, http.StatusBadRequest, "foreign_browser", nil)
		return
	}
	release, err := p.enter(upstream)
	if err != nil {
		p.crowded(w, r, upstream, nil)
		return
	}
	defer release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	if err := leaver.FinishLogout(ctx, r, t.Departure); err != nil {
		t.Open = true
		p.record(ctx, "upstream.logout_failed", logoutReason(err), slog.String("upstream", t.Upstream), slog.String("error", err.Error()))
	} else {
		p.record(ctx, "upstream.logout_done", "ok", slog.String("upstream", t.Upstream))
	}
	p.nextLogout(r, t)
	t.UpdatedAt = p.cfg.Now()
	// Of the same answer twice at once, the other one counted.
	if err := p.cfg.Store.Advance(ctx, t, brokers.Leaving); err != nil && !errors.Is(err, brokers.ErrConflict) {
		p.fault(w, r, "keeping logout", err, nil)
		return
	}
	seeOther(w, r, p.url("logout", t.ID))
}

// lateLogout sends an answer whose record is gone to where the browser can show that it
// had one.
func (p *Provider) lateLogout(w http.ResponseWriter, r *http.Request, upstream brokers.Upstream, id string) {
	if id == "" || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		p.refuse(w, r, upstream, http.StatusBadRequest, "unsolicited", nil)
		return
	}
	seeOther(w, r, p.url("logout", id))
}

// logoutReason is the code for the audit log of a logout that did not succeed.
func logoutReason(err error) string {
	var rejected *brokers.RejectedError
	switch {
	case errors.Is(err, brokers.ErrCancelled):
		return "cancelled"
	case errors.As(err, &rejected):
		return rejected.Reason
	}
	return "incomplete"
}

// leavingBrowser reports whether the request comes from the browser that logs out.
func (p *Provider) leavingBrowser(r *http.Request, t *brokers.Transaction) bool {
	secret, ok := p.cookie(r, logoutCookie+t.ID)
	return ok && t.BrowserHash.Matches(secret)
}

// showLeaving is where a browser goes on that logs out: to the upstream, and at the end
// back to the service.
func (p *Provider) showLeaving(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	t, err := p.cfg.Store.Transaction(r.Context(), id, p.cfg.Now())
	_, had := p.cookie(r, logoutCookie+id)
	switch {
	case errors.Is(err, brokers.ErrNotFound) && had:
		p.record(r.Context(), "upstream.logout_failed", "expired")
		p.setCookie(w, logoutCookie+id, "", -1)
		p.stillOpen(w, p.language(r, nil), "")
	case errors.Is(err, brokers.ErrNotFound):
		p.problem(w, r, http.StatusBadRequest, pages.Unknown, "logout.refused", "unknown_logout", nil)
	case err != nil:
		p.fault(w, r, "loading logout", err, nil)
	case !p.leavingBrowser(r, t):
		p.problem(w, r, http.StatusBadRequest, pages.Unknown, "logout.refused", "foreign_browser", nil)
	case t.State == brokers.Leaving:
		p.onward(w, r, t, true)
	case t.State == brokers.Left:
		p.setCookie(w, logoutCookie+t.ID, "", -1)
		p.farewell(w, r, t)
	default:
		p.problem(w, r, http.StatusBadRequest, pages.Unknown, "logout.refused", "unknown_logout", nil)
	}
}

// farewell ends a logout that went to upstreams.
func (p *Provider) farewell(w http.ResponseWriter, r *http.Request, t *brokers.Transaction) {
	language := p.language(r, t)
	switch {
	case t.Open:
		p.stillOpen(w, language, t.Request.RedirectURI)
	case t.Request.RedirectURI != "":
		seeOther(w, r, t.Request.RedirectURI)
	default:
		p.loggedOut(w, pages.LoggedOut{Language: language}, nil)
	}
}

// stillOpen says that the session at a national service may not have ended, with the
// way back to the portal if there is one.
func (p *Provider) stillOpen(w http.ResponseWriter, language, location string) {
	p.loggedOut(w, pages.LoggedOut{Language: language, Location: location, Open: true}, nil)
}

func (p *Provider) loggedOut(w http.ResponseWriter, view pages.LoggedOut, frames []string) {
	w.Header().Set("Content-Security-Policy", framing(frames))
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.LoggedOut(out, view) })
}

// linkSession notes by what upstreams will name the session if it ends there.
func (p *Provider) linkSession(ctx context.Context, session *brokers.Session) error {
	var links []brokers.Hash
	for _, event := range session.Events {
		if notified, ok := p.upstream[event.Upstream].(brokers.Notified); ok {
			links = append(links, p.links(event.Upstream, notified.LogoutNames(&event))...)
		}
	}
	if len(links) == 0 {
		return nil
	}
	return p.cfg.Store.LinkSession(ctx, links, session.ID, session.ExpiresAt)
}

// links are names as the store sees them: under a key, since they are of persons.
func (p *Provider) links(upstream string, names []string) []brokers.Hash {
	var list []brokers.Hash
	for _, name := range names {
		list = append(list, brokers.Hash(keyed(p.linkKey, upstream, name)))
	}
	return list
}

// logoutNotice takes an upstream's word that a session ended there, ends ours that came
// of it, and answers. A notice that is wrong ends nothing.
func (p *Provider) logoutNotice(w http.ResponseWriter, r *http.Request) {
	upstream := p.upstream[r.PathValue("upstream")]
	notified, ok := upstream.(brokers.Notified)
	if !ok {
		http.NotFound(w, r)
		return
	}
	release, err := p.enter(upstream)
	if err != nil {
		w.Header().Set("Retry-After", "2")
		http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		return
	}
	defer release()
	r.Body = http.MaxBytesReader(w, r.Body, maxCallbackBody)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishTimeout)
	defer cancel()
	notice, err := notified.ReceiveLogout(ctx, r)
	var rejected *brokers.RejectedError
	switch {
	case errors.Is(err, brokers.ErrNoLogout):
		http.NotFound(w, r)
		return
	case errors.As(err, &rejected):
		p.record(ctx, "upstream.notice_refused", rejected.Reason, slog.String("upstream", upstream.ID()))
		http.Error(w, "the notice was refused", http.StatusBadRequest)
		return
	case err != nil:
		p.record(ctx, "upstream.notice_failed", "unavailable", slog.String("upstream", upstream.ID()), slog.String("error", err.Error()))
		w.Header().Set("Retry-After", "2")
		http.Error(w, "the notice could not be checked", http.StatusServiceUnavailable)
		return
	}
	now := p.cfg.Now()
	ended, err := p.cfg.Store.EndLinked(ctx, p.links(upstream.ID(), notice.Names), now, now.Add(noticeLife))
	if err != nil {
		p.cfg.Log.ErrorContext(ctx, "sessions were not ended", "upstream", upstream.ID(), "error", err)
	} else {
		p.record(ctx, "session.ended", "upstream", slog.String("upstream", upstream.ID()), slog.Int("sessions", ended))
		p.wakeNotices()
	}
	body, mediaType, answerErr := notice.Answer(err == nil)
	if answerErr != nil {
		p.cfg.Log.ErrorContext(ctx, "notice was not answered", "upstream", upstream.ID(), "error", answerErr)
		http.Error(w, "something went wrong on our side", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(body) // the upstream may be gone
}
