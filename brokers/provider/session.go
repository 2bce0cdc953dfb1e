package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// opened is a session that a login opens or renews, with its new cookie. It is
// kept, and the cookie set, when the code is issued.
type opened struct {
	*brokers.Session
	secret string
	// renews is the hash of the old cookie.
	renews brokers.Hash
}

// leaveStale takes the cookie of a session that has ended from the browser.
func (p *Provider) leaveStale(w http.ResponseWriter, r *http.Request, session *brokers.Session) {
	if secret, ok := p.cookie(r, sessionCookie); ok && session == nil {
		_, err := p.cfg.Store.Session(r.Context(), brokers.HashOf(secret), p.cfg.Now())
		if errors.Is(err, brokers.ErrNotFound) { // and not only out of reach
			p.setCookie(w, sessionCookie, "", -1)
		}
	}
}

// session is the session of the browser, or nil.
func (p *Provider) session(r *http.Request) *brokers.Session {
	secret, ok := p.cookie(r, sessionCookie)
	if !ok {
		return nil
	}
	session, err := p.cfg.Store.Session(r.Context(), brokers.HashOf(secret), p.cfg.Now())
	if err != nil {
		if !errors.Is(err, brokers.ErrNotFound) {
			p.cfg.Log.WarnContext(r.Context(), "session was not loaded", "error", err)
		}
		return nil
	}
	return session
}

// freshSession makes a session for a login, always with a new cookie: a login
// never continues an earlier one. A session of the same person goes on under its
// ID, with one more proof; one of another person ends.
func (p *Provider) freshSession(r *http.Request, event *brokers.AuthenticationEvent, now time.Time) (*opened, error) {
	secret, err := p.random(32)
	if err != nil {
		return nil, err
	}
	current, hash := p.session(r), brokers.HashOf(secret)
	if current != nil && current.SamePerson(event) {
		old := current.CookieHash
		current.CookieHash, current.ExpiresAt = hash, now.Add(p.cfg.Lifetimes.Session)
		current.Events = append([]brokers.AuthenticationEvent{*event}, current.Events...)
		current.Events = current.Events[:min(len(current.Events), maxEvents)]
		return &opened{current, secret, old}, nil
	}
	if current != nil {
		if err := p.endSession(r, current, "replaced"); err != nil {
			return nil, fmt.Errorf("ending earlier session: %w", err)
		}
	}
	id, err := p.name(now)
	if err != nil {
		return nil, err
	}
	return &opened{Session: &brokers.Session{
		ID: id, CookieHash: hash, Events: []brokers.AuthenticationEvent{*event},
		CreatedAt: now, ExpiresAt: now.Add(p.cfg.Lifetimes.Session),
	}, secret: secret}, nil
}

// endSession ends a session and everything granted in it, and has everybody who
// took part told.
func (p *Provider) endSession(r *http.Request, session *brokers.Session, reason string) error {
	now := p.cfg.Now()
	list, err := p.cfg.Store.EndSession(r.Context(), session.CookieHash, now, now.Add(noticeLife))
	if err != nil {
		return err
	}
	p.record(r.Context(), "session.ended", reason, slog.Int("participants", len(list)))
	p.wakeNotices()
	return nil
}

// reuse answers from an earlier login of the same browser, where client,
// request, level, age, method and policy allow it. It reports whether it
// answered.
func (p *Provider) reuse(w http.ResponseWriter, r *http.Request, c *Client, request *brokers.AuthorizationRequest, session *brokers.Session, pushed brokers.Hash) bool {
	if session == nil || !c.SingleSignOn || request.Fresh {
		return false
	}
	now := p.cfg.Now()
	event := p.usable(r.Context(), session, c, request, p.cfg.ClientAddress(r), now)
	if event == nil {
		return false
	}
	id, err := p.name(now)
	if err != nil {
		p.fault(w, r, "beginning login", err, nil)
		return true
	}
	t := &brokers.Transaction{
		ID: id, State: brokers.Authenticated, Unkept: true, Request: *request, Upstream: event.Upstream, Method: event.Method,
		Event: event, Pushed: pushed, CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(p.cfg.Lifetimes.Login),
	}
	p.note(r.Context(), t, "login.reused", "ok", slog.String("authentication", event.ID), slog.String("client", c.ID))
	p.complete(w, r, t, session)
	return true
}

// usable finds the event of a session that still meets the request, at the level
// to which it has decayed.
func (p *Provider) usable(ctx context.Context, session *brokers.Session, c *Client, request *brokers.AuthorizationRequest, address string, now time.Time) *brokers.AuthenticationEvent {
	for _, event := range session.Events {
		if event.Assessment.PolicyVersion != p.cfg.Mapping.Version() || !c.mayUse(event.Method) ||
			event.Subject.Represents != nil && !c.Representation {
			continue
		}
		if request.MaxAge != nil && now.Sub(event.AuthTime) > time.Duration(*request.MaxAge)*time.Second {
			continue
		}
		if request.Person != "" && request.Person != p.pairwise(c, &event.Subject) {
			continue
		}
		decayed := p.cfg.Freshness.Usable(&event, now)
		event.Assessment = event.Assessment.Lower(levels.Ceiling{Source: "session", Max: decayed})
		if _, ok := request.Requirement.Answer(event.Assessment.Level); ok && p.suits(ctx, c, request, &event, address) {
			return &event
		}
	}
	return nil
}
