package store

import (
	"context"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Memory keeps everything in the process and forgets it at exit. It may be used
// by several goroutines.
type Memory struct {
	mu           sync.Mutex
	transactions map[string]*memoryTransaction
	grants       map[brokers.Hash]*memoryGrant
	accessTokens map[brokers.Hash]*memoryToken
	refresh      map[brokers.Hash]*memoryRefresh
	assertions   map[[32]byte]time.Time
	cardKeys     map[brokers.Hash]memoryCardKey
	strikes      map[brokers.Hash]brokers.Strikes
	signing      map[int]brokers.SigningKey
	sessions     map[brokers.Hash]*memorySession
	sessionIDs   map[string]*memorySession
	links        map[memoryLink]time.Time
	notices      map[int64]*memoryNotice
	lastNotice   int64
	pushed       map[brokers.Hash]memoryBlob
	receipts     map[string]memoryBlob
	devices      map[brokers.Hash]*memoryDevice
	userCodes    map[brokers.Hash]*memoryDevice
	clients      map[string][]byte
	outages      map[string]brokers.Outage
	bans         map[string]brokers.Ban
}

type memoryTransaction struct {
	state     brokers.State
	revision  int
	data      []byte
	expiresAt time.Time
}

// memoryBlob is a record that expires.
type memoryBlob struct {
	data      []byte
	expiresAt time.Time
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{
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
		links:        map[memoryLink]time.Time{},
		notices:      map[int64]*memoryNotice{},
		pushed:       map[brokers.Hash]memoryBlob{},
		receipts:     map[string]memoryBlob{},
		devices:      map[brokers.Hash]*memoryDevice{},
		userCodes:    map[brokers.Hash]*memoryDevice{},
		clients:      map[string][]byte{},
		outages:      map[string]brokers.Outage{},
		bans:         map[string]brokers.Ban{},
	}
}

// SaveTransaction inserts a new transaction.
func (m *Memory) SaveTransaction(_ context.Context, t *brokers.Transaction) error {
	data, err := encode(t)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.transactions[t.ID] != nil {
		return brokers.ErrConflict
	}
	m.transactions[t.ID] = &memoryTransaction{t.State, t.Revision, data, t.ExpiresAt}
	return nil
}

// Transaction loads a transaction that has not expired.
func (m *Memory) Transaction(_ context.Context, id string, now time.Time) (*brokers.Transaction, error) {
	m.mu.Lock()
	row, ok := m.transactions[id]
	var data []byte
	if ok && now.Before(row.expiresAt) {
		data = row.data
	}
	m.mu.Unlock()
	if data == nil {
		return nil, brokers.ErrNotFound
	}
	return decode[brokers.Transaction](data)
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
	t.Revision++
	*row = memoryTransaction{t.State, t.Revision, data, row.expiresAt}
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
	if _, there := m.receipts[id]; !there {
		m.receipts[id] = memoryBlob{receipt, until}
	}
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
		if removed < most && !now.Before(end(row)) {
			delete(rows, key)
			if gone != nil {
				gone(key, row)
			}
			removed++
		}
	}
	return removed
}

// Purge removes at most so many expired records of each kind and says how many.
func (m *Memory) Purge(_ context.Context, now time.Time, most int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	blobEnd := func(b memoryBlob) time.Time { return b.expiresAt }
	removed := purge(m.transactions, now, most, func(t *memoryTransaction) time.Time { return t.expiresAt }, nil)
	removed += purge(m.grants, now, most, func(g *memoryGrant) time.Time { return g.expiresAt }, func(_ brokers.Hash, g *memoryGrant) {
		for _, hash := range g.access {
			delete(m.accessTokens, hash)
		}
		for _, hash := range g.refresh {
			delete(m.refresh, hash)
		}
	})
	removed += purge(m.cardKeys, now, most, func(k memoryCardKey) time.Time { return k.expiresAt }, nil)
	removed += purge(m.strikes, now, most, func(c brokers.Strikes) time.Time { return c.Until }, nil)
	removed += purge(m.assertions, now, most, func(t time.Time) time.Time { return t }, nil)
	removed += purge(m.sessions, now, most, func(s *memorySession) time.Time { return s.expiresAt },
		func(_ brokers.Hash, s *memorySession) { delete(m.sessionIDs, s.id) })
	removed += purge(m.links, now, most, func(t time.Time) time.Time { return t }, nil)
	removed += purge(m.notices, now, most, func(n *memoryNotice) time.Time { return n.expiresAt }, nil)
	removed += purge(m.pushed, now, most, blobEnd, nil)
	removed += purge(m.receipts, now, most, blobEnd, nil)
	removed += purge(m.devices, now, most, func(d *memoryDevice) time.Time { return d.end },
		func(_ brokers.Hash, d *memoryDevice) { delete(m.userCodes, d.userCode) })
	removed += purge(m.outages, now, most, func(o brokers.Outage) time.Time {
		if o.Until.IsZero() {
			return time.UnixMilli(forever)
		}
		return o.Until
	}, nil)
	removed += purge(m.bans, now, most, func(b brokers.Ban) time.Time { return b.Until }, nil)
	return removed, nil
}
