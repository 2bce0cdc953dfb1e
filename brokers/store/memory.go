package store

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Memory keeps everything in the process, within a bound (WithBound), and forgets it
// at exit. It may be used by several goroutines.
type Memory struct {
	mu sync.Mutex
	// now is what the last verb was told, used how many bytes there are of most, as of
	// when all was counted, and crammed that little could go then.
	now, counted time.Time
	used, most   int
	crammed      bool
	figures      MemoryFigures
	told         MemoryFigures
	log          *slog.Logger
	// idle are the records that may go before their time, the longest unused first.
	idle *list.List

	transactions map[string]*memoryTransaction
	grants       map[brokers.Hash]*memoryGrant
	// spent are codes that were used in logins that had to go, until when they would
	// have been good, in Unix seconds.
	spent        map[[16]byte]int64
	accessTokens map[brokers.Hash]*memoryToken
	refresh      map[brokers.Hash]*memoryRefresh
	assertions   map[[32]byte]time.Time
	cardKeys     map[brokers.Hash]memoryCardKey
	strikes      map[brokers.Hash]brokers.Strikes
	signing      map[int]brokers.SigningKey
	sessions     map[brokers.Hash]*memorySession
	sessionIDs   map[string]*memorySession
	links        map[string][]memoryLink
	notices      map[int64]*memoryNotice
	lastNotice   int64
	pushed       map[brokers.Hash]memoryBlob
	receipts     map[string]*memoryReceipt
	devices      map[brokers.Hash]*memoryDevice
	userCodes    map[brokers.Hash]*memoryDevice
	clients      map[string][]byte
	outages      map[string]brokers.Outage
	bans         map[string]brokers.Ban
}

type memoryTransaction struct {
	id        string
	state     brokers.State
	revision  int
	data      []byte
	expiresAt time.Time
	takenAt   time.Time     // when its answer was taken up; zero before
	place     *list.Element // once it is over
}

// decode reads the record, and what happened since it was written.
func (t *memoryTransaction) decode() (*brokers.Transaction, error) {
	found, err := decode[brokers.Transaction](t.data)
	if err == nil && t.state == brokers.Returning && found.State == brokers.Departed {
		found.TakenUp(t.takenAt)
	}
	return found, err
}

// memoryReceipt is a blob that may go.
type memoryReceipt struct {
	memoryBlob
	id    string
	place *list.Element
}

// memoryBlob is a record that expires.
type memoryBlob struct {
	data      []byte
	expiresAt time.Time
}

// NewMemory makes an empty store, of DefaultMemoryBound unless told otherwise.
func NewMemory(options ...MemoryOption) *Memory {
	m := &Memory{
		most: DefaultMemoryBound, log: slog.New(slog.DiscardHandler), idle: list.New(), spent: map[[16]byte]int64{},
		transactions: map[string]*memoryTransaction{},
		grants:       map[brokers.Hash]*memoryGrant{},
		accessTokens: map[brokers.Hash]*memoryToken{},
		refresh:      map[brokers.Hash]*memoryRefresh{},
		assertions:   map[[32]byte]time.Time{},
		cardKeys:     map[brokers.Hash]memoryCardKey{},
		strikes:      map[brokers.Hash]brokers.Strikes{},
		signing:      map[int]brokers.SigningKey{},
		sessions:     map[brokers.Hash]*memorySession{},
		sessionIDs:   map[string]*memorySession{},
		links:        map[string][]memoryLink{},
		notices:      map[int64]*memoryNotice{},
		pushed:       map[brokers.Hash]memoryBlob{},
		receipts:     map[string]*memoryReceipt{},
		devices:      map[brokers.Hash]*memoryDevice{},
		userCodes:    map[brokers.Hash]*memoryDevice{},
		clients:      map[string][]byte{},
		outages:      map[string]brokers.Outage{},
		bans:         map[string]brokers.Ban{},
	}
	for _, option := range options {
		option(m)
	}
	return m
}

// SaveTransaction inserts a new transaction.
func (m *Memory) SaveTransaction(_ context.Context, t *brokers.Transaction) error {
	data, err := encode(t)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(t.UpdatedAt)
	if m.transactions[t.ID] != nil {
		return brokers.ErrConflict
	}
	row := &memoryTransaction{id: t.ID, state: t.State, revision: t.Revision, data: data, expiresAt: t.ExpiresAt}
	if err := m.room(row.size()); err != nil {
		return err
	}
	m.transactions[t.ID] = row
	if t.State.Final() {
		m.touch(&row.place, row)
	}
	return nil
}

// Transaction loads a transaction that has not expired.
func (m *Memory) Transaction(_ context.Context, id string, now time.Time) (*brokers.Transaction, error) {
	m.mu.Lock()
	m.at(now)
	var row memoryTransaction
	if found, ok := m.transactions[id]; ok && now.Before(found.expiresAt) {
		row = *found
	}
	m.mu.Unlock()
	if row.data == nil {
		return nil, brokers.ErrNotFound
	}
	return row.decode()
}

// TakeUp takes up the answer that a login awaits, once.
func (m *Memory) TakeUp(_ context.Context, a brokers.Answer) (*brokers.Transaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(a.Now)
	row := m.transactions[brokers.RelayedID(a.RelayState)]
	if row == nil || row.state != brokers.Departed || !a.Now.Before(row.expiresAt) {
		return nil, brokers.ErrNotFound
	}
	t, err := row.decode()
	if err != nil {
		return nil, err
	}
	if !a.Fits(t) {
		return nil, brokers.ErrNotFound
	}
	row.state, row.takenAt = brokers.Returning, a.Now
	t.TakenUp(a.Now)
	return t, nil
}

// Advance stores t if the stored one is still at from and at t's revision.
func (m *Memory) Advance(_ context.Context, t *brokers.Transaction, from brokers.State) error {
	data, err := next(t)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.advance(t, from, data)
}

func (m *Memory) advance(t *brokers.Transaction, from brokers.State, data []byte) error {
	row, ok := m.transactions[t.ID]
	if !ok || row.state != from || row.revision != t.Revision {
		return brokers.ErrConflict
	}
	after := memoryTransaction{state: t.State, data: data}
	if more := after.size() - row.size(); more > 0 {
		if err := m.room(more); err != nil {
			return err
		}
	}
	t.Revision++
	row.state, row.revision, row.data = t.State, t.Revision, data
	if t.State.Final() {
		m.touch(&row.place, row)
	}
	return nil
}

// UseAssertionID records an assertion as used until a time; ErrReplayed if it
// was recorded before.
func (m *Memory) UseAssertionID(_ context.Context, issuer, id string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := assertionHash(issuer, id)
	if _, used := m.assertions[key]; used {
		return brokers.ErrReplayed
	}
	if err := m.room(guardCost); err != nil {
		return err
	}
	m.assertions[key] = until
	return nil
}

type memoryCardKey struct {
	holder    brokers.Hash
	expiresAt time.Time
}

// BindKey notes who uses a card's key; ErrConflict if it was somebody else.
func (m *Memory) BindKey(_ context.Context, key, holder brokers.Hash, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, found := m.cardKeys[key]
	if found && known.holder != holder {
		return brokers.ErrConflict
	}
	if !found {
		if err := m.room(guardCost); err != nil {
			return err
		}
	}
	if until.After(known.expiresAt) {
		known.expiresAt = until
	}
	m.cardKeys[key] = memoryCardKey{holder, known.expiresAt}
	return nil
}

// ForgetKey removes the note. One that is not there is no error.
func (m *Memory) ForgetKey(_ context.Context, key brokers.Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.cardKeys, key)
	return nil
}

// Push keeps an authorization request.
func (m *Memory) Push(_ context.Context, handle brokers.Hash, r *brokers.PushedRequest) error {
	data, err := encode(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.pushed[handle]; taken {
		return brokers.ErrConflict
	}
	if err := m.room(rowCost + len(data)); err != nil {
		return err
	}
	m.pushed[handle] = memoryBlob{data, r.ExpiresAt}
	return nil
}

// Pushed loads a pushed request that has neither expired nor been used up.
func (m *Memory) Pushed(_ context.Context, handle brokers.Hash, now time.Time) (*brokers.PushedRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.pushed[handle]
	if !ok || !now.Before(row.expiresAt) {
		return nil, brokers.ErrNotFound
	}
	return decode[brokers.PushedRequest](row.data)
}

// SaveReceipt keeps a level receipt. The first of an ID stays.
func (m *Memory) SaveReceipt(_ context.Context, id string, receipt []byte, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.receipts[id] != nil {
		return nil
	}
	row := &memoryReceipt{memoryBlob: memoryBlob{receipt, until}, id: id}
	if err := m.room(row.size()); err != nil {
		return err
	}
	m.receipts[id] = row
	m.touch(&row.place, row)
	return nil
}

// Receipt loads a level receipt, or ErrNotFound.
func (m *Memory) Receipt(_ context.Context, id string, now time.Time) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.receipts[id]
	if !ok || !now.Before(row.expiresAt) {
		return nil, brokers.ErrNotFound
	}
	return row.data, nil
}

// purge removes at most so many expired entries of one map.
func purge[K comparable, V any](rows map[K]V, now time.Time, most int, end func(V) time.Time, gone func(K, V)) (removed int) {
	for key, row := range rows {
		if removed == most {
			break
		}
		if now.Before(end(row)) {
			continue
		}
		delete(rows, key)
		if gone != nil {
			gone(key, row)
		}
		removed++
	}
	return removed
}

// Purge removes at most so many expired records of each kind and says how many.
func (m *Memory) Purge(ctx context.Context, now time.Time, most int) (int, error) {
	m.mu.Lock()
	m.at(now)
	removed := m.purge(now, most)
	m.mu.Unlock()
	m.tell(ctx)
	return removed, nil
}

func (m *Memory) purge(now time.Time, most int) int {
	blobEnd := func(b memoryBlob) time.Time { return b.expiresAt }
	removed := purge(m.transactions, now, most, func(t *memoryTransaction) time.Time { return t.expiresAt },
		func(_ string, t *memoryTransaction) { m.leave(&t.place) })
	removed += purge(m.grants, now, most, func(g *memoryGrant) time.Time { return g.expiresAt }, func(_ brokers.Hash, g *memoryGrant) { m.forgetGrant(g) })
	removed += purge(m.spent, now, most, func(end int64) time.Time { return time.Unix(end, 0) }, nil)
	removed += purge(m.cardKeys, now, most, func(k memoryCardKey) time.Time { return k.expiresAt }, nil)
	removed += purge(m.strikes, now, most, func(c brokers.Strikes) time.Time { return c.Until }, nil)
	removed += purge(m.assertions, now, most, func(t time.Time) time.Time { return t }, nil)
	removed += purge(m.sessions, now, most, func(s *memorySession) time.Time { return s.expiresAt },
		func(_ brokers.Hash, s *memorySession) { m.forgetSession(s) })
	removed += m.purgeLinks(now, most)
	removed += purge(m.notices, now, most, func(n *memoryNotice) time.Time { return n.expiresAt }, nil)
	removed += purge(m.pushed, now, most, blobEnd, nil)
	removed += purge(m.receipts, now, most, func(r *memoryReceipt) time.Time { return r.expiresAt },
		func(_ string, r *memoryReceipt) { m.leave(&r.place) })
	removed += purge(m.devices, now, most, func(d *memoryDevice) time.Time { return d.end },
		func(_ brokers.Hash, d *memoryDevice) { delete(m.userCodes, d.userCode) })
	removed += purge(m.outages, now, most, func(o brokers.Outage) time.Time {
		if o.Until.IsZero() {
			return time.UnixMilli(forever)
		}
		return o.Until
	}, nil)
	removed += purge(m.bans, now, most, func(b brokers.Ban) time.Time { return b.Until }, nil)
	return removed
}
