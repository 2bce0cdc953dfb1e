package provider

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
	"github.com/eidbridge/eidbridge/levels"
)

// resume is where a browser comes back to after the upstream's answer. Only the
// browser that began the login gets further.
func (p *Provider) resume(w http.ResponseWriter, r *http.Request) {
	t, ok := p.ours(w, r)
	if !ok {
		return
	}
	switch t.State {
	case brokers.Authenticated:
		p.complete(w, r, t, nil)
	case brokers.Returning:
		p.wait(w, r, t)
	case brokers.Choosing:
		p.again(w, r, t)
	case brokers.Departed:
		seeOther(w, r, p.url("login", t.ID))
	default:
		p.problem(w, r, http.StatusConflict, pages.Finished, "login.refused", "finished", nil, slog.String("login", t.ID))
	}
}

// again goes on after an attempt that failed. A citizen who cancelled the only
// method there is wants to leave; anybody else sees the methods and what
// happened.
func (p *Provider) again(w http.ResponseWriter, r *http.Request, t *brokers.Transaction) {
	client, err := p.client(r.Context(), t.Request.ClientID)
	if err != nil {
		p.fault(w, r, "loading client", err, nil)
		return
	}
	if t.Outcome == brokers.OutcomeCancelled && len(p.offers(client, &t.Request)) == 1 {
		p.abandon(w, r, t, giveUp(t.Outcome))
		return
	}
	seeOther(w, r, p.url("login", t.ID))
}

// wait shows that the answer is still being checked. If whoever checked it is
// gone, the citizen may try again.
func (p *Provider) wait(w http.ResponseWriter, r *http.Request, t *brokers.Transaction) {
	if p.cfg.Now().Sub(t.UpdatedAt) > 2*finishTimeout {
		p.backToChoice(w, r, t, brokers.OutcomeTimeout, "")
		return
	}
	view := pages.Waiting{Language: p.language(r, t), Location: p.url("resume", t.ID)}
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.Waiting(out, view) })
}

// complete issues the code. Its step is taken once, so that reloading, a second
// tab or the back button never yields a second code. A session is the one that
// was reused, or nil.
func (p *Provider) complete(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, session *brokers.Session) {
	client, err := p.client(r.Context(), t.Request.ClientID)
	if err != nil {
		p.fault(w, r, "loading client", err, nil)
		return
	}
	now := p.cfg.Now()
	subject := p.pairwise(client, &t.Event.Subject)
	if refusal := unanswered(client, t, subject); refusal != nil {
		p.abandon(w, r, t, refusal)
		return
	}
	decision, level, ok := p.obey(w, r, client, t, session != nil)
	if !ok {
		return
	}
	var fresh *opened
	if session == nil && client.SingleSignOn && !t.Request.Device {
		if fresh, ok = p.open(w, r, t, now); !ok {
			return
		}
		session = fresh.Session
	}
	if client.LevelReceipts {
		if err := p.keepReceipt(r.Context(), client, t, level, decision.Names(), now); err != nil {
			p.fault(w, r, "keeping level receipt", err, t)
			return
		}
	}
	code, grant, err := p.grant(client, t, session, level, subject, now)
	if err != nil {
		p.fault(w, r, "issuing code", err, t)
		return
	}
	from, err := t.Step(brokers.Completed, now)
	if err == nil {
		issuing := &brokers.Issuing{
			Login: t.Ended(), From: from, Code: brokers.HashOf(code), Grant: grant, KeepUntil: grant.CodeExpiresAt.Add(p.cfg.Lifetimes.AccessToken),
			Participates: client.BackChannelLogoutURI != "" || client.FrontChannelLogoutURI != "",
		}
		if t.Request.Device {
			issuing.Code = t.Device
		}
		err = p.issue(r.Context(), issuing, fresh)
	}
	if err != nil {
		p.fault(w, r, "issuing code", err, nil)
		return
	}
	if fresh != nil {
		p.setCookie(w, sessionCookie, fresh.secret, int(p.cfg.Lifetimes.Session.Seconds()))
	}
	p.unbindBrowser(w, t)
	p.note(r.Context(), t, "code.issued", "ok", slog.String("grant", grant.ID),
		slog.String("authentication", t.Event.ID), slog.String("client", client.ID), slog.String("level", levelWord(level)))
	if t.Request.Device {
		p.deviceDone(w, r, t)
		return
	}
	p.answer(w, r, &t.Request, url.Values{"code": {code}})
}

// unanswered is why what the citizen proved does not answer what the client asked
// for, or nil.
func unanswered(client *Client, t *brokers.Transaction, subject string) *oauthError {
	if _, ok := t.Request.Requirement.Answer(t.Event.Assessment.Level); !ok {
		return giveUp(brokers.OutcomeTooLow)
	}
	if !acceptable(subject, t.Request.Claims.IDToken["sub"]) || t.Request.Person != "" && t.Request.Person != subject {
		return &oauthError{code: "access_denied", description: "another person logged in", reason: "subject"}
	}
	if t.Event.Subject.Represents != nil && !client.Representation {
		return &oauthError{code: "access_denied", description: "this client does not serve people who act for others", reason: "representation"}
	}
	return nil
}

// open opens the session that later logins reuse. A step-up that somebody else took
// stops here; where ok is false the browser has its answer.
func (p *Provider) open(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, now time.Time) (fresh *opened, ok bool) {
	if current := p.session(r); t.StepUp && current != nil && !current.SamePerson(t.Event) {
		p.otherPerson(w, r, t)
		return nil, false
	}
	fresh, err := p.freshSession(r, t.Event, now)
	if err != nil {
		p.fault(w, r, "opening session", err, t)
		return nil, false
	}
	return fresh, true
}

// issue keeps the code with the session that was opened for it, which may be nil. Links
// to the session come first: no notice of the upstream finds them missing.
func (p *Provider) issue(ctx context.Context, issuing *brokers.Issuing, fresh *opened) error {
	if fresh != nil {
		issuing.Session, issuing.Renews = fresh.Session, fresh.renews
		if err := p.linkSession(ctx, fresh.Session); err != nil {
			return err
		}
	}
	return p.cfg.Store.IssueCode(ctx, issuing)
}

// otherPerson stops a step-up that somebody else took. Nothing is merged: the
// citizen logs in again, or says on the page that the other person goes on.
func (p *Provider) otherPerson(w http.ResponseWriter, r *http.Request, t *brokers.Transaction) {
	t.Event = nil
	p.note(r.Context(), t, "login.refused", "other_person")
	p.backToChoice(w, r, t, brokers.OutcomeOtherPerson, "")
}

// grant makes a code and what it stands for. What tokens do not need is not kept.
func (p *Provider) grant(c *Client, t *brokers.Transaction, session *brokers.Session, level levels.Level, subject string, now time.Time) (string, *brokers.Grant, error) {
	code, err := p.random(32)
	if err != nil {
		return "", nil, err
	}
	id, err := p.random(16)
	if err != nil {
		return "", nil, err
	}
	g := &brokers.Grant{
		ID: id, Request: t.Request, Event: *t.Event, Level: level, Subject: subject,
		IssuedAt: now, CodeExpiresAt: now.Add(p.cfg.Lifetimes.Code),
	}
	if t.Request.Device {
		g.CodeExpiresAt = now.Add(p.cfg.Lifetimes.Device)
	}
	if session != nil {
		g.Session, g.SessionID = session.ID, p.sessionID(c, session.ID)
	}
	return code, g, nil
}
