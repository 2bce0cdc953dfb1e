package store

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// LiveSessions tells all sessions that have not ended, in no order.
func (m *Memory) LiveSessions(_ context.Context, now time.Time, each func(*brokers.Session) error) error {
	m.mu.Lock()
	var live []memorySession
	for _, s := range m.sessions {
		if now.Before(s.expiresAt) {
			live = append(live, memorySession{data: s.data, events: s.events})
		}
	}
	m.mu.Unlock()
	for _, s := range live {
		session, err := decodeSession(s.data, s.events)
		if err != nil {
			return err
		}
		if err := each(session); err != nil {
			return err
		}
	}
	return nil
}

// LiveGrants tells all grants that have neither ended nor been revoked, with the
// hash of their code.
func (m *Memory) LiveGrants(_ context.Context, now time.Time, each func(code brokers.Hash, g *brokers.Grant) error) error {
	m.mu.Lock()
	var live []memoryGrant
	for code, g := range m.grants {
		if !g.revoked && now.Before(g.expiresAt) {
			live = append(live, memoryGrant{code: code, data: g.data, event: g.event})
		}
	}
	m.mu.Unlock()
	for _, g := range live {
		grant, err := g.decode()
		if err != nil {
			return err
		}
		if err := each(g.code, grant); err != nil {
			return err
		}
	}
	return nil
}

// RevokeGrant revokes one with all its tokens. One that is not there is no error.
func (m *Memory) RevokeGrant(_ context.Context, code brokers.Hash, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g := m.grants[code]; g != nil {
		g.revoked = true
	}
	return nil
}
