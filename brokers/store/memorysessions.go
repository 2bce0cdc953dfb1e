package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

type memorySession struct {
	id        string
	data      []byte
	expiresAt time.Time
	// grants and participants are what was issued in the session, to whom.
	grants       []*memoryGrant
	participants map[string]brokers.Participant
}

type memoryNotice struct {
	brokers.Notice
	due, expiresAt time.Time
}

// Session loads a session that has not expired.
func (m *Memory) Session(_ context.Context, cookie brokers.Hash, now time.Time) (*brokers.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.sessions[cookie]
	if !ok || !now.Before(row.expiresAt) {
		return nil, brokers.ErrNotFound
	}
	return decode[brokers.Session](row.data)
}

// EndSession removes a session, revokes what was granted in it, and puts a
// notice for everybody who took part into the outbox, all in one step.
func (m *Memory) EndSession(_ context.Context, cookie brokers.Hash, now, noticesUntil time.Time) ([]brokers.Participant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	session, ok := m.sessions[cookie]
	if !ok {
		return nil, nil
	}
	delete(m.sessions, cookie)
	delete(m.sessionIDs, session.id)
	for _, g := range session.grants {
		g.revoked = true
	}
	var list []brokers.Participant
	for _, p := range session.participants {
		list = append(list, p)
		m.lastNotice++
		m.notices[m.lastNotice] = &memoryNotice{brokers.Notice{ID: m.lastNotice, Participant: p}, now, noticesUntil}
	}
	slices.SortFunc(list, func(a, b brokers.Participant) int { return cmp.Compare(a.ClientID, b.ClientID) })
	return list, nil
}

// DueNotices takes notices whose time has come. Until the lease ends nobody else
// gets them.
func (m *Memory) DueNotices(_ context.Context, now, lease time.Time, most int) ([]brokers.Notice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []brokers.Notice
	for _, n := range m.notices {
		if len(list) < most && !n.due.After(now) && n.expiresAt.After(now) {
			n.Attempts++
			n.due = lease
			list = append(list, n.Notice)
		}
	}
	return list, nil
}

// PostponeNotice sets when a notice is due again.
func (m *Memory) PostponeNotice(_ context.Context, id int64, due time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.notices[id]; ok {
		n.due = due
	}
	return nil
}

// SettleNotice removes a notice that was delivered or given up.
func (m *Memory) SettleNotice(_ context.Context, id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.notices, id)
	return nil
}
