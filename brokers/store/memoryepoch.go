package store

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// LiveSessions tells all sessions that have not ended, in no order.
func (m *Memory) LiveSessions(_ context.Context, now time.Time, each func(*brokers.Session) error) error {
	m.mu.Lock()
	var records [][]byte
	for _, s := range m.sessions {
		if now.Before(s.expiresAt) {
			records = append(records, s.data)
		}
	}
	m.mu.Unlock()
	for _, data := range records {
		session, err := decode[brokers.Session](data)
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
	records := map[brokers.Hash][]byte{}
	for code, g := range m.grants {
		if !g.revoked && now.Before(g.expiresAt) {
			records[code] = g.data
		}
	}
	m.mu.Unlock()
	for code, data := range records {
		grant, err := decode[brokers.Grant](data)
		if err != nil {
			return err
		}
		if err := each(code, grant); err != nil {
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
