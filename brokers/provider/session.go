package provider

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// openSession makes a session with a new secret: a login never continues an
// earlier cookie.
func (p *Provider) openSession(w http.ResponseWriter, r *http.Request, event *brokers.AuthenticationEvent, now time.Time) (*brokers.Session, error) {
	secret, err := p.random(32)
	if err != nil {
		return nil, err
	}
	id, err := p.random(16)
	if err != nil {
		return nil, err
	}
	session := &brokers.Session{
		ID: id, CookieHash: brokers.HashOf(secret), Events: []brokers.AuthenticationEvent{*event},
		CreatedAt: now, ExpiresAt: now.Add(p.cfg.Lifetimes.Session),
	}
	if old, ok := p.cookie(r, sessionCookie); ok {
		if _, err := p.cfg.Store.EndSession(r.Context(), brokers.HashOf(old), now, now.Add(noticeLife)); err != nil {
			return nil, fmt.Errorf("ending earlier session: %w", err)
		}
	}
	if err := p.cfg.Store.SaveSession(r.Context(), session); err != nil {
		return nil, err
	}
	p.setCookie(w, sessionCookie, secret, int(p.cfg.Lifetimes.Session.Seconds()))
	return session, nil
}

// reuse answers from an earlier login of the same browser, where client,
// request, level, age, method and policy allow it. It reports whether it
// answered.
func (p *Provider) reuse(w http.ResponseWriter, r *http.Request, c *Client, request *brokers.AuthorizationRequest, pushed brokers.Hash) bool {
	secret, ok := p.cookie(r, sessionCookie)
	if !ok || !c.SingleSignOn || request.Fresh {
		return false
	}
	now := p.cfg.Now()
	session, err := p.cfg.Store.Session(r.Context(), brokers.HashOf(secret), now)
	if err != nil {
		if !errors.Is(err, brokers.ErrNotFound) {
			p.cfg.Log.WarnContext(r.Context(), "session was not loaded", "error", err)
		}
		return false
	}
	event := p.usable(session, c, request, now)
	if event == nil {
		return false
	}
	id, err := p.random(16)
	if err != nil {
		p.fault(w, r, "beginning login", err, nil)
		return true
	}
	t := &brokers.Transaction{
		ID: id, State: brokers.Authenticated, Request: *request, Upstream: event.Upstream, Method: event.Method,
		Event: event, Pushed: pushed, CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(p.cfg.Lifetimes.Login),
	}
	if err := p.cfg.Store.SaveTransaction(r.Context(), t); err != nil {
		p.fault(w, r, "keeping login", err, nil)
		return true
	}
	p.record(r.Context(), "login.reused", "ok", slog.String("login", t.ID), slog.String("authentication", event.ID), slog.String("client", c.ID))
	p.complete(w, r, t, session)
	return true
}

// usable finds the event of a session that still meets the request, at the level
// to which it has decayed.
func (p *Provider) usable(session *brokers.Session, c *Client, request *brokers.AuthorizationRequest, now time.Time) *brokers.AuthenticationEvent {
	for _, event := range session.Events {
		if event.Assessment.PolicyVersion != p.cfg.Mapping.Version() || !c.mayUse(event.Method) {
			continue
		}
		if request.MaxAge != nil && now.Sub(event.AuthTime) > time.Duration(*request.MaxAge)*time.Second {
			continue
		}
		decayed := p.cfg.Freshness.Usable(&event, now)
		event.Assessment = event.Assessment.Lower(levels.Ceiling{Source: "session", Max: decayed})
		if _, ok := request.Requirement.Answer(event.Assessment.Level); ok {
			return &event
		}
	}
	return nil
}
