package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// Times of a conversation.
const (
	// glance is how long a page that is being loaded may wait for the device, and
	// patience how long one that a script asks for in the background.
	glance   = time.Second
	patience = 8 * time.Second
	// stepTimeout is what a step may take beyond that: questions to the upstream
	// and about certificates.
	stepTimeout = 20 * time.Second
	// maxDialog bounds what a page of a conversation sends: a Web eID token has
	// 10,000 characters at most.
	maxDialog = 32 << 10
)

// conversation finds the upstream of a login that is under way on our own pages.
// Any other login is led to where it is.
func (p *Provider) conversation(w http.ResponseWriter, r *http.Request, t *brokers.Transaction) (brokers.Conversing, bool) {
	if t.State != brokers.Departed || t.Departure == nil {
		seeOther(w, r, p.url("resume", t.ID))
		return nil, false
	}
	upstream, ok := p.upstream[t.Upstream].(brokers.Conversing)
	if !ok || t.Departure.Location != "" {
		seeOther(w, r, p.url("login", t.ID))
		return nil, false
	}
	return upstream, true
}

// showDialog shows a page of a conversation. While a device is waited for, each
// look at the page takes the login further.
func (p *Provider) showDialog(w http.ResponseWriter, r *http.Request) {
	t, ok := p.ours(w, r)
	if !ok {
		return
	}
	upstream, ok := p.conversation(w, r, t)
	if !ok {
		return
	}
	view, err := upstream.View(t.Departure)
	if err != nil {
		p.broken(w, r, "drawing conversation", err, t)
		return
	}
	if _, waits := view.(*brokers.Device); waits && p.cfg.Now().After(t.Departure.BusyUntil) {
		wait := glance
		if r.URL.Query().Has("wait") {
			// When many wait, none waits long: others have to be served beside them
			// (threats W-53, W-54).
			select {
			case p.patient <- struct{}{}:
				defer func() { <-p.patient }()
				wait = patience
			default:
			}
		}
		if p.proceed(w, r, t, upstream, nil, wait) {
			return
		}
		if view, err = upstream.View(t.Departure); err != nil {
			p.broken(w, r, "drawing conversation", err, t)
			return
		}
	}
	p.dialog(w, r, t, view)
}

// answerDialog takes what the citizen entered. It does not wait for a step that
// is being taken: what that brings counts no more.
func (p *Provider) answerDialog(w http.ResponseWriter, r *http.Request) {
	t, params, ok := p.formOf(w, r, maxDialog)
	if !ok {
		return
	}
	upstream, ok := p.conversation(w, r, t)
	if !ok {
		return
	}
	input := map[string]string{}
	for name, value := range params {
		if name != "token" && name != "lang" {
			input[name] = value
		}
	}
	if !p.proceed(w, r, t, upstream, input, glance) {
		seeOther(w, r, p.url("login", t.ID, "dialog"))
	}
}

// proceed takes one step. It is announced in the store before it is taken, so
// that no other request of this login takes one beside it. It reports whether it
// has answered the request.
func (p *Provider) proceed(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, upstream brokers.Conversing, input map[string]string, wait time.Duration) bool {
	advance := func(ctx context.Context, next brokers.State) bool {
		from, err := t.Step(next, p.cfg.Now())
		if err == nil {
			err = p.cfg.Store.Advance(ctx, t, from)
		}
		if errors.Is(err, brokers.ErrConflict) {
			seeOther(w, r, p.url("resume", t.ID)) // the login is elsewhere by now
			return false
		}
		if err != nil {
			p.fault(w, r, "keeping conversation", err, nil)
			return false
		}
		return true
	}
	leave, err := p.enter(upstream)
	if err != nil && input == nil {
		return false // the page is shown as it is, and asks again
	}
	if err != nil {
		p.crowded(w, r, upstream, t)
		return true
	}
	defer leave()
	t.Departure.BusyUntil = p.cfg.Now().Add(wait + stepTimeout)
	if !advance(r.Context(), brokers.Departed) {
		return true
	}
	// The step goes on when the browser is gone: answers can be fetched only once.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), wait+stepTimeout)
	defer cancel()
	event, err := upstream.Proceed(brokers.WithPatience(ctx, wait), t.Departure, input)
	t.Departure.BusyUntil = time.Time{}
	if event == nil && err == nil {
		return !advance(ctx, brokers.Departed)
	}
	if !advance(ctx, brokers.Returning) {
		return true
	}
	p.conclude(w, r.WithContext(ctx), upstream, t, event, err, false)
	return true
}

// dialog draws a page.
func (p *Provider) dialog(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, view brokers.View) {
	page := pages.Dialog{
		Language: p.pages.Language([]string{r.URL.Query().Get("lang"), t.Departure.Request.Locale}, ""),
		Action:   p.url("login", t.ID, "dialog"), Cancel: p.url("login", t.ID, "cancel"), Others: p.url("login", t.ID),
		Resume: p.url("resume", t.ID), Token: p.formToken(r, t), Step: stepOf(view),
	}
	csp := policy(false, origin(t.Request.RedirectURI))
	switch v := view.(type) {
	case *brokers.Questions:
		page.Topic, page.Questions = v.Topic, v
	case *brokers.Device:
		page.Topic, page.Device = v.Topic, v
		if v.QR != "" {
			page.QR = p.url("login", t.ID, "qr")
		}
		csp = policy(true, origin(t.Request.RedirectURI)) + "; connect-src 'self'"
	case *brokers.Card:
		page.Topic, page.Card, page.Origin = "card", v, p.issuer.Scheme+"://"+p.issuer.Host
		csp = policy(true, origin(t.Request.RedirectURI)) + "; connect-src " + strings.Join(append([]string{"'self'"}, v.Agents...), " ")
	}
	w.Header().Set("Content-Security-Policy", csp)
	w.Header().Set("Dialog-Step", page.Step)
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.Dialog(out, page) })
}

// stepOf names what is shown, but for what changes by itself, so that a script
// knows when to load the page anew.
func stepOf(view brokers.View) string {
	if device, ok := view.(*brokers.Device); ok {
		still := *device
		still.QR = ""
		view = &still
	}
	text, err := json.Marshal(view)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// showQR draws the code of this moment. It takes no step.
func (p *Provider) showQR(w http.ResponseWriter, r *http.Request) {
	t, ok := p.ours(w, r)
	if !ok {
		return
	}
	upstream, ok := p.conversation(w, r, t)
	if !ok {
		return
	}
	view, err := upstream.View(t.Departure)
	if err != nil {
		p.broken(w, r, "drawing conversation", err, nil)
		return
	}
	device, ok := view.(*brokers.Device)
	if !ok || device.QR == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	if err := pages.QR(w, device.QR); err != nil {
		p.cfg.Log.ErrorContext(r.Context(), "code was not drawn", slog.Any("error", err))
	}
}
