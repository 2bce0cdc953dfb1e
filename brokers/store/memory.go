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
	relayStates  map[string]string
	grants       map[brokers.Hash]*memoryGrant
	tokens       map[brokers.Hash]*memoryGrant
	assertions   map[[32]byte]time.Time
	sessions     map[brokers.Hash]memorySession
}

type memoryTransaction struct {
	state      brokers.State
	revision   int
	relayState string
	data       []byte
	expiresAt  time.Time
}

type memoryGrant struct {
	data           []byte
	codeExpiresAt  time.Time
	redeemed       bool
	token          brokers.Hash
	tokenExpiresAt time.Time
	revoked        bool
	expiresAt      time.Time
}

type memorySession struct {
	data      []byte
	expiresAt time.Time
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{
		transactions: map[string]*memoryTransaction{},
		relayStates:  map[string]string{},
		grants:       map[brokers.Hash]*memoryGrant{},
		tokens:       map[brokers.Hash]*memoryGrant{},
		assertions:   map[[32]byte]time.Time{},
		sessions:     map[brokers.Hash]memorySession{},
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
	relay := t.RelayState()
	if _, taken := m.transactions[t.ID]; taken || (relay != "" && m.relayStates[relay] != "") {
		return brokers.ErrConflict
	}
	m.transactions[t.ID] = &memoryTransaction{t.State, t.Revision, relay, data, t.ExpiresAt}
	if relay != "" {
		m.relayStates[relay] = t.ID
	}
	return nil
}

// Transaction loads a transaction that has not expired.
func (m *Memory) Transaction(_ context.Context, id string, now time.Time) (*brokers.Transaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.transactions[id]
	if !ok || !now.Before(row.expiresAt) {
		return nil, brokers.ErrNotFound
	}
	return decode[brokers.Transaction](row.data)
}

// TransactionByRelayState loads the transaction that awaits this answer.
func (m *Memory) TransactionByRelayState(ctx context.Context, relayState string, now time.Time) (*brokers.Transaction, error) {
	m.mu.Lock()
	id, ok := m.relayStates[relayState]
	m.mu.Unlock()
	if !ok {
		return nil, brokers.ErrNotFound
	}
	return m.Transaction(ctx, id, now)
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
	relay := t.RelayState()
	if owner := m.relayStates[relay]; relay != "" && owner != "" && owner != t.ID {
		return brokers.ErrConflict
	}
	delete(m.relayStates, row.relayState)
	if relay != "" {
		m.relayStates[relay] = t.ID
	}
	t.Revision++
	*row = memoryTransaction{t.State, t.Revision, relay, data, t.ExpiresAt}
	return nil
}

// IssueCode advances t and stores the grant behind the code, both or neither.
func (m *Memory) IssueCode(_ context.Context, t *brokers.Transaction, from brokers.State, code brokers.Hash, g *brokers.Grant) error {
	data, err := next(t)
	if err != nil {
		return err
	}
	grant, err := encode(g)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.grants[code]; taken {
		return brokers.ErrConflict
	}
	if err := m.advance(t, from, data); err != nil {
		return err
	}
	m.grants[code] = &memoryGrant{data: grant, codeExpiresAt: g.CodeExpiresAt, expiresAt: g.CodeExpiresAt}
	return nil
}

// RedeemCode turns a code into a token, once. A second time revokes the token.
func (m *Memory) RedeemCode(_ context.Context, code, token brokers.Hash, tokenExpiresAt, now time.Time) (*brokers.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.grants[code]
	switch {
	case !ok:
		return nil, brokers.ErrNotFound
	case row.redeemed:
		row.revoked = true
		g, err := decode[brokers.Grant](row.data)
		if err != nil {
			return nil, err
		}
		return g, brokers.ErrReplayed
	case !now.Before(row.codeExpiresAt):
		return nil, brokers.ErrNotFound
	}
	g, err := decode[brokers.Grant](row.data)
	if err != nil {
		return nil, err
	}
	row.redeemed, row.token, row.tokenExpiresAt = true, token, tokenExpiresAt
	if tokenExpiresAt.After(row.expiresAt) {
		row.expiresAt = tokenExpiresAt
	}
	m.tokens[token] = row
	return g, nil
}

// GrantByToken loads what a live access token stands for.
func (m *Memory) GrantByToken(_ context.Context, token brokers.Hash, now time.Time) (*brokers.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.tokens[token]
	if !ok || row.revoked || !now.Before(row.tokenExpiresAt) {
		return nil, brokers.ErrNotFound
	}
	return decode[brokers.Grant](row.data)
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

// SaveSession inserts a new session.
func (m *Memory) SaveSession(_ context.Context, s *brokers.Session) error {
	data, err := encode(s)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.sessions[s.CookieHash]; taken {
		return brokers.ErrConflict
	}
	m.sessions[s.CookieHash] = memorySession{data, s.ExpiresAt}
	return nil
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

// EndSession removes a session; one that is not there is no error.
func (m *Memory) EndSession(_ context.Context, cookie brokers.Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, cookie)
	return nil
}

// Purge removes at most so many expired records of each kind and says how many.
func (m *Memory) Purge(_ context.Context, now time.Time, most int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	removed := 0
	budget := most
	for id, row := range m.transactions {
		if budget > 0 && !now.Before(row.expiresAt) {
			delete(m.relayStates, row.relayState)
			delete(m.transactions, id)
			removed, budget = removed+1, budget-1
		}
	}
	budget = most
	for code, row := range m.grants {
		if budget > 0 && !now.Before(row.expiresAt) {
			delete(m.tokens, row.token)
			delete(m.grants, code)
			removed, budget = removed+1, budget-1
		}
	}
	budget = most
	for key, until := range m.assertions {
		if budget > 0 && !now.Before(until) {
			delete(m.assertions, key)
			removed, budget = removed+1, budget-1
		}
	}
	budget = most
	for cookie, row := range m.sessions {
		if budget > 0 && !now.Before(row.expiresAt) {
			delete(m.sessions, cookie)
			removed, budget = removed+1, budget-1
		}
	}
	return removed, nil
}
