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

// memoryLink is a name that an upstream has for a session.
type memoryLink struct {
	hash    brokers.Hash
	session string
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
	return m.endSession(cookie, now, noticesUntil), nil
}

func (m *Memory) endSession(cookie brokers.Hash, now, noticesUntil time.Time) []brokers.Participant {
	session, ok := m.sessions[cookie]
	if !ok {
		return nil
	}
	delete(m.sessions, cookie)
	delete(m.sessionIDs, session.id)
	for link := range m.links {
		if link.session == session.id {
			delete(m.links, link)
		}
	}
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
	return list
}

// LinkSession notes by what an upstream names the session. A session need not be there
// yet.
func (m *Memory) LinkSession(_ context.Context, links []brokers.Hash, session string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, link := range links {
		m.links[memoryLink{link, session}] = until
	}
	return nil
}

// EndLinked ends the sessions that were linked to any of the names, each as EndSession
// does, and says how many there were: all or nothing.
func (m *Memory) EndLinked(_ context.Context, links []brokers.Hash, now, noticesUntil time.Time) (ended int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	named := map[string]bool{}
	for link := range m.links {
		named[link.session] = named[link.session] || slices.Contains(links, link.hash)
	}
	for cookie, session := range m.sessions {
		if named[session.id] {
			m.endSession(cookie, now, noticesUntil)
			ended++
		}
	}
	return ended, nil
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
