package provider

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
)

// Person says whose logins are meant: by the identifier of a scheme, or by the
// pairwise identifier under which one client knows them.
type Person struct {
	// Key is "<scheme>:<identifier>" as of brokers.Subject.
	Key string
	// Client and Subject are used if there is no Key.
	Client, Subject string
}

// Ended counts what an operator ended.
type Ended struct {
	Sessions int `json:"sessions"`
	Grants   int `json:"grants"`
}

// ErrPerson is a Person that names nobody.
var ErrPerson = errors.New("neither <scheme>:<identifier> nor a client with its subject")

// EndPerson ends all sessions of a person and revokes all that was granted to
// clients, whether in a session or not; clients are told by back-channel logout. A
// client that is not known is brokers.ErrNotFound. The audit log has who did it and
// how much that was, and nobody's name or number.
func (p *Provider) EndPerson(ctx context.Context, actor string, person Person) (ended Ended, err error) {
	is, err := p.recognise(ctx, person)
	if err != nil {
		return ended, err
	}
	now := p.cfg.Now()
	var sessions []brokers.Hash
	if err := p.cfg.Store.LiveSessions(ctx, now, func(s *brokers.Session) error {
		if len(s.Events) > 0 && is(&s.Events[0].Subject) {
			sessions = append(sessions, s.CookieHash)
		}
		return nil
	}); err != nil {
		return ended, err
	}
	var grants []brokers.Hash
	if err := p.cfg.Store.LiveGrants(ctx, now, func(code brokers.Hash, g *brokers.Grant) error {
		if is(&g.Event.Subject) {
			grants = append(grants, code)
		}
		return nil
	}); err != nil {
		return ended, err
	}
	for _, cookie := range sessions {
		if _, err = p.cfg.Store.EndSession(ctx, cookie, now, now.Add(noticeLife)); err != nil {
			break
		}
		ended.Sessions++
	}
	for _, code := range grants {
		if err != nil {
			break
		}
		if err = p.cfg.Store.RevokeGrant(ctx, code, now); err == nil {
			ended.Grants++
		}
	}
	reason := "ok"
	if err != nil {
		reason = "in_part"
	}
	p.record(ctx, "person.ended", reason, slog.String("actor", actor), slog.Int("sessions", ended.Sessions), slog.Int("grants", ended.Grants))
	p.wakeNotices()
	return ended, err
}

// recognise makes the test for a person.
func (p *Provider) recognise(ctx context.Context, person Person) (func(*brokers.Subject) bool, error) {
	if person.Key != "" {
		key := nationalid.Canonical(strings.TrimSpace(person.Key), p.cfg.Equivalences)
		if scheme, identifier := splitKey(key); scheme == "" || identifier == "" {
			return nil, ErrPerson
		}
		return func(s *brokers.Subject) bool { return subtle.ConstantTimeCompare([]byte(s.Key), []byte(key)) == 1 }, nil
	}
	if person.Client == "" || person.Subject == "" {
		return nil, ErrPerson
	}
	client, err := p.client(ctx, person.Client)
	if err != nil {
		return nil, err
	}
	return func(s *brokers.Subject) bool {
		return subtle.ConstantTimeCompare([]byte(p.pairwise(client, s)), []byte(person.Subject)) == 1
	}, nil
}
