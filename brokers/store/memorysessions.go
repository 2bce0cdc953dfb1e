package store

import (
	"cmp"
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

type memorySession struct {
	id     string
	cookie brokers.Hash
	// data is the session without its events.
	data      []byte
	events    [][]byte
	expiresAt time.Time
	// grants and participants are what was issued in the session, to whom.
	grants       []*memoryGrant
	participants []brokers.Participant
	place        *list.Element
}

// encodeSession is the record of a session, in parts.
func encodeSession(s *brokers.Session) (data []byte, events [][]byte, err error) {
	for i := range s.Events {
		e, err := encode(&s.Events[i])
		if err != nil {
			return nil, nil, err
		}
		events = append(events, e)
	}
	data, err = encode(struct {
		*brokers.Session
		Events any `json:"events,omitempty"` // in place of the session's
	}{Session: s})
	return data, events, err
}

func decodeSession(data []byte, events [][]byte) (*brokers.Session, error) {
	s, err := decode[brokers.Session](data)
	if err != nil {
		return nil, err
	}
	s.Events = make([]brokers.AuthenticationEvent, len(events))
	for i, e := range events {
		if err := json.Unmarshal(e, &s.Events[i]); err != nil {
			return nil, fmt.Errorf("decoding record: %w", err)
		}
	}
	return s, nil
}

// take notes a client in the session, once.
func (s *memorySession) take(p brokers.Participant) {
	at := slices.IndexFunc(s.participants, func(known brokers.Participant) bool { return known.ClientID == p.ClientID })
	if at < 0 {
		s.participants = append(s.participants, p)
		return
	}
	s.participants[at] = p
}

// forgetSession lets go of a session that ended: what was granted in it may go when
// there is no room.
func (m *Memory) forgetSession(s *memorySession) {
	delete(m.sessions, s.cookie)
	delete(m.sessionIDs, s.id)
	delete(m.links, s.id)
	m.leave(&s.place)
	for _, g := range s.grants {
		g.session = nil
		m.touch(&g.place, g)
	}
}

// memoryLink is a name that an upstream has for a session.
type memoryLink struct {
	hash  brokers.Hash
	until time.Time
}

// purgeLinks removes at most so many names that have had their time.
func (m *Memory) purgeLinks(now time.Time, most int) (removed int) {
	for session, links := range m.links {
		kept := slices.DeleteFunc(links, func(l memoryLink) bool {
			gone := removed < most && !now.Before(l.until)
			if gone {
				removed++
			}
			return gone
		})
		m.links[session] = kept
		if len(kept) == 0 {
			delete(m.links, session)
		}
		if removed == most {
			break
		}
	}
	return removed
}

type memoryNotice struct {
	brokers.Notice
	due, expiresAt time.Time
}

// Session loads a session that has not expired.
func (m *Memory) Session(_ context.Context, cookie brokers.Hash, now time.Time) (*brokers.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(now)
	row, ok := m.sessions[cookie]
	if !ok || !now.Before(row.expiresAt) {
		return nil, brokers.ErrNotFound
	}
	m.touch(&row.place, row)
	return decodeSession(row.data, row.events)
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
	m.forgetSession(session)
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
	if err := m.room(rowCost + guardCost*len(links)); err != nil {
		return err
	}
	for _, hash := range links {
		known := slices.DeleteFunc(m.links[session], func(l memoryLink) bool { return l.hash == hash })
		m.links[session] = append(known, memoryLink{hash, until})
	}
	return nil
}

// EndLinked ends the sessions that were linked to any of the names, each as EndSession
// does, and says how many there were: all or nothing.
func (m *Memory) EndLinked(_ context.Context, links []brokers.Hash, now, noticesUntil time.Time) (ended int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, known := range m.links {
		session := m.sessionIDs[id]
		if session != nil && slices.ContainsFunc(known, func(l memoryLink) bool { return slices.Contains(links, l.hash) }) {
			m.endSession(session.cookie, now, noticesUntil)
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
