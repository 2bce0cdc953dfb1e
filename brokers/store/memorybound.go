package store

import (
	"container/list"
	"context"
	"log/slog"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// DefaultMemoryBound is how many bytes of records a Memory keeps, unless it is told
// otherwise: some two thousand logins that can still be used.
const DefaultMemoryBound = 6 << 20

// memoryNotices is how long the notices of a session that had to end are tried to be
// delivered.
const memoryNotices = 10 * time.Minute

// What a record costs beside its bytes: its row, its place in the maps at their usual
// load, its place among the idle ones. In bytes.
const (
	rowCost   = 256
	tokenCost = 224
	guardCost = 80
	spentCost = 48
	// wayRoom is kept for a login under way, so that it comes to its end.
	wayRoom = 2 << 10
)

// MemoryOption is a choice at making a Memory.
type MemoryOption func(*Memory)

// WithBound keeps at most so many bytes of records, by the store's own count, which is
// about what they take of the heap; the garbage collector wants as much again.
//
// When they are reached, what has expired goes first. Then goes, the longest unused
// first, what can go without harm: logins that are over, receipts, and sessions with
// all that was granted in them, as if their citizens had logged out. What is refused a
// second time stays until it expires: codes that were used, and everything that
// UseAssertionID, BindKey and Strike note. So do logins under way. If nothing else is
// left, verbs that add are refused with brokers.ErrFull.
func WithBound(bytes int) MemoryOption { return func(m *Memory) { m.most = bytes } }

// WithLog is told when sessions had to end and records were refused, at most once a
// purge.
func WithLog(log *slog.Logger) MemoryOption { return func(m *Memory) { m.log = log } }

// MemoryFigures are what a Memory has come to.
type MemoryFigures struct {
	// Bytes are those of its records, of at most Bound.
	Bytes, Bound int
	// Ended counts the sessions and grants that went before their time, Dropped what
	// was over or nobody's to use, and Refused the records for which there was no room.
	Ended, Dropped, Refused int
}

// Figures says how full it is.
func (m *Memory) Figures() MemoryFigures {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.figures
	f.Bytes, f.Bound = m.used, m.most
	return f
}

// tell logs what went since the last time.
func (m *Memory) tell(ctx context.Context) {
	f := m.Figures()
	m.mu.Lock()
	before := m.told
	m.told = f
	m.mu.Unlock()
	if f.Ended == before.Ended && f.Refused == before.Refused {
		return
	}
	m.log.WarnContext(ctx, "memory storage is full", "ended", f.Ended-before.Ended, "refused", f.Refused-before.Refused,
		"bytes", f.Bytes, "bound", f.Bound)
}

// yielding is a record that may go before its time.
type yielding interface {
	// give removes it, and says how many bytes that gives back.
	give(m *Memory) (bytes int)
}

// at notes the time, which is what the last verb was told.
func (m *Memory) at(now time.Time) {
	if !now.IsZero() {
		m.now = now
	}
}

// touch notes that a record was used just now.
func (m *Memory) touch(place **list.Element, r yielding) {
	if *place == nil {
		*place = m.idle.PushBack(r)
		return
	}
	m.idle.MoveToBack(*place)
}

// leave takes a record from the idle ones.
func (m *Memory) leave(place **list.Element) {
	if *place != nil {
		m.idle.Remove(*place)
		*place = nil
	}
}

// room takes the room for so many bytes, or brokers.ErrFull. What is added in vain or
// deleted is put right when next all is counted.
func (m *Memory) room(bytes int) error {
	if m.used+bytes > m.most {
		m.makeRoom(bytes)
	}
	if m.used+bytes > m.most {
		m.figures.Refused++
		return brokers.ErrFull
	}
	m.used += bytes
	return nil
}

// makeRoom removes what has expired, counts the rest, and lets go of the longest
// unused until a sixteenth is free, so that this is rare. Where little could go it is
// not tried again at once.
func (m *Memory) makeRoom(bytes int) {
	const again = time.Second
	if m.crammed && m.now.Sub(m.counted).Abs() < again {
		return
	}
	m.purge(m.now, len(m.spent)+len(m.assertions)+len(m.strikes)+m.most/rowCost) // all
	m.used, m.counted = m.count(), m.now
	for goal := m.most - m.most/16 - bytes; m.used > goal && m.idle.Len() > 0; {
		m.used -= m.idle.Front().Value.(yielding).give(m)
	}
	m.crammed = m.used+bytes > m.most
}

// count adds up what all records take.
func (m *Memory) count() (bytes int) {
	for _, t := range m.transactions {
		bytes += t.size()
	}
	for _, s := range m.sessions {
		bytes += s.size()
	}
	for _, g := range m.grants {
		bytes += g.size()
	}
	bytes += len(m.refresh)*tokenCost + len(m.accessTokens)*tokenCost
	for _, r := range m.receipts {
		bytes += r.size()
	}
	for _, p := range m.pushed {
		bytes += rowCost + len(p.data)
	}
	for _, d := range m.devices {
		bytes += rowCost + len(d.data)
	}
	for _, data := range m.clients {
		bytes += rowCost + len(data)
	}
	for _, links := range m.links {
		bytes += rowCost + guardCost*len(links)
	}
	guards := len(m.assertions) + len(m.cardKeys) + len(m.strikes)
	return bytes + guards*guardCost + len(m.spent)*spentCost + (len(m.notices)+len(m.outages)+len(m.bans))*rowCost
}

func (t *memoryTransaction) size() int {
	if t.state.Final() {
		return rowCost + len(t.data)
	}
	return rowCost + max(wayRoom, len(t.data))
}

func (t *memoryTransaction) give(m *Memory) int {
	m.leave(&t.place)
	delete(m.transactions, t.id)
	m.figures.Dropped++
	return t.size()
}

func (r *memoryReceipt) size() int { return rowCost + len(r.data) }

func (r *memoryReceipt) give(m *Memory) int {
	m.leave(&r.place)
	delete(m.receipts, r.id)
	m.figures.Dropped++
	return r.size()
}

// size is without the tokens, which all are counted alike.
func (g *memoryGrant) size() int {
	bytes := rowCost + len(g.data)
	if !g.sharesEvent() {
		bytes += len(g.event)
	}
	return bytes
}

func (g *memoryGrant) give(m *Memory) int {
	before := g.size() + (len(g.access)+len(g.refresh))*tokenCost
	if g.revoked {
		m.figures.Dropped++
	} else {
		m.figures.Ended++
	}
	m.forgetGrant(g)
	if !g.redeemed || !m.now.Before(g.codeExpiresAt) {
		return before
	}
	m.spent[spentKey(g.code)] = g.codeExpiresAt.Unix() + 1
	return before - spentCost
}

func (s *memorySession) size() int {
	bytes := rowCost + len(s.data) + rowCost*len(s.participants)
	for _, e := range s.events {
		bytes += len(e)
	}
	return bytes
}

func (s *memorySession) give(m *Memory) int {
	bytes := s.size() - rowCost*len(s.participants) // for each there is a notice now
	grants := s.grants
	m.endSession(s.cookie, m.now, m.now.Add(memoryNotices))
	m.figures.Ended++
	ended := m.figures
	for _, g := range grants {
		bytes += g.give(m)
	}
	m.figures = ended // they count as one
	return bytes
}

// spentKey is enough of a code's hash to know it again.
func spentKey(code brokers.Hash) [16]byte { return [16]byte(code[:16]) }
