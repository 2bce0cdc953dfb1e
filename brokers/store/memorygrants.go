package store

import (
	"bytes"
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

type memoryGrant struct {
	code brokers.Hash
	// data is the grant without its event, which it shares with its session.
	data, event   []byte
	codeExpiresAt time.Time
	redeemed      bool
	revoked       bool
	expiresAt     time.Time
	// access and refresh are the tokens of the grant, which go with it.
	access, refresh []brokers.Hash
	// session is the session, as long as that lives; place is for one without.
	session *memorySession
	place   *list.Element
}

// encodeGrant is the record of a grant, in two parts.
func encodeGrant(g *brokers.Grant) (data, event []byte, err error) {
	if event, err = encode(g.Event); err != nil {
		return nil, nil, err
	}
	data, err = encode(struct {
		*brokers.Grant
		Event any `json:"event,omitempty"` // in place of the grant's
	}{Grant: g})
	return data, event, err
}

func (g *memoryGrant) decode() (*brokers.Grant, error) {
	grant, err := decode[brokers.Grant](g.data)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(g.event, &grant.Event); err != nil {
		return nil, fmt.Errorf("decoding record: %w", err)
	}
	return grant, nil
}

// uses notes that what was granted in a login was used.
func (m *Memory) uses(g *memoryGrant) {
	if g.session != nil {
		m.touch(&g.session.place, g.session)
		return
	}
	m.touch(&g.place, g)
}

// forgetGrant removes a grant with all its tokens.
func (m *Memory) forgetGrant(g *memoryGrant) {
	delete(m.grants, g.code)
	for _, hash := range g.access {
		delete(m.accessTokens, hash)
	}
	for _, hash := range g.refresh {
		delete(m.refresh, hash)
	}
	m.leave(&g.place)
	if g.session != nil {
		g.session.grants = slices.DeleteFunc(g.session.grants, func(other *memoryGrant) bool { return other == g })
		g.session = nil
	}
}

func (g *memoryGrant) lengthen(end time.Time) {
	if end.After(g.expiresAt) {
		g.expiresAt = end
	}
}

type memoryToken struct {
	grant *memoryGrant
	data  []byte
	end   time.Time
}

type memoryRefresh struct {
	memoryToken
	usedAt time.Time // zero is not
	usedBy brokers.Hash
	next   brokers.Hash
}

// IssueCode advances the login, uses up its pushed request, opens or renews the
// session, stores the grant behind the code and notes who takes part in the
// session: all or nothing.
func (m *Memory) IssueCode(_ context.Context, i *brokers.Issuing) error {
	t, g := i.Login, i.Grant
	var data []byte
	var err error
	if !t.Unkept {
		if data, err = next(t); err != nil {
			return err
		}
	}
	grant, event, err := encodeGrant(g)
	if err != nil {
		return err
	}
	var opened []byte
	var events [][]byte
	if i.Session != nil {
		if opened, events, err = encodeSession(i.Session); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(t.UpdatedAt)
	_, taken := m.grants[i.Code]
	_, pushed := m.pushed[t.Pushed]
	if taken || t.Pushed != (brokers.Hash{}) && !pushed || !m.mayOpen(i) {
		return brokers.ErrConflict
	}
	row := &memoryGrant{code: i.Code, data: grant, event: event, codeExpiresAt: g.CodeExpiresAt, expiresAt: i.Until()}
	if err := m.room(row.size() + tokenCost + 2*rowCost + len(opened)); err != nil {
		return err
	}
	if !m.mayOpen(i) { // the session had to go for the room
		return brokers.ErrConflict
	}
	if !t.Unkept {
		if err := m.advance(t, i.From, data); err != nil {
			return err
		}
	}
	delete(m.pushed, t.Pushed)
	m.open(i, opened, events)
	m.grants[i.Code] = row
	session := m.sessionIDs[g.Session]
	if session == nil {
		m.touch(&row.place, row)
		return nil
	}
	row.join(session)
	m.touch(&session.place, session)
	if i.Participates {
		session.take(participant(g))
	}
	return nil
}

// join makes a grant one of a session. Their event is the same bytes, unless the proof
// was lowered since.
func (g *memoryGrant) join(s *memorySession) {
	g.session = s
	s.grants = append(s.grants, g)
	for _, e := range s.events {
		if bytes.Equal(e, g.event) {
			g.event = e
		}
	}
}

// sharesEvent reports whether the event's bytes are those of the session.
func (g *memoryGrant) sharesEvent() bool {
	return g.session != nil && slices.ContainsFunc(g.session.events, func(e []byte) bool { return &e[0] == &g.event[0] })
}

// mayOpen reports whether the session of a code can be had: a new one is new, one
// that is renewed and one that is used are there.
func (m *Memory) mayOpen(i *brokers.Issuing) bool {
	renewed := m.sessions[i.Renews]
	switch {
	case i.Session == nil:
		return i.Grant.Session == "" || m.sessionIDs[i.Grant.Session] != nil
	case i.Renews != brokers.Hash{}:
		return renewed != nil && renewed.id == i.Session.ID
	}
	return m.sessions[i.Session.CookieHash] == nil && m.sessionIDs[i.Session.ID] == nil
}

func (m *Memory) open(i *brokers.Issuing, data []byte, events [][]byte) {
	s := i.Session
	if s == nil {
		return
	}
	row := m.sessions[i.Renews]
	if row == nil {
		row = &memorySession{id: s.ID}
	}
	delete(m.sessions, i.Renews)
	for n, e := range events {
		for _, known := range row.events {
			if bytes.Equal(e, known) {
				events[n] = known
			}
		}
	}
	row.cookie, row.data, row.events, row.expiresAt = s.CookieHash, data, events, s.ExpiresAt
	m.sessions[s.CookieHash], m.sessionIDs[s.ID] = row, row
}

// RedeemCode turns a code into a token, once. A second time revokes the grant.
func (m *Memory) RedeemCode(_ context.Context, code, access brokers.Hash, token brokers.Token, now time.Time) (*brokers.Grant, error) {
	data, err := encode(token)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(now)
	row, ok := m.grants[code]
	switch {
	case !ok && now.Before(time.Unix(m.spent[spentKey(code)], 0)):
		return &brokers.Grant{}, brokers.ErrReplayed // there is no more to revoke
	case !ok:
		return nil, brokers.ErrNotFound
	case row.redeemed:
		row.revoked = true
		g, err := row.decode()
		if err != nil {
			return nil, err
		}
		return g, brokers.ErrReplayed
	case row.revoked, !now.Before(row.codeExpiresAt):
		return nil, brokers.ErrNotFound
	}
	g, err := row.decode()
	if err != nil {
		return nil, err
	}
	row.redeemed = true
	row.lengthen(token.ExpiresAt)
	m.addAccessToken(row, access, data, token.ExpiresAt)
	m.uses(row)
	return g, nil
}

func (m *Memory) addAccessToken(g *memoryGrant, access brokers.Hash, data []byte, end time.Time) {
	m.accessTokens[access] = &memoryToken{g, data, end}
	g.access = append(g.access, access)
}

func (m *Memory) addRefreshToken(g *memoryGrant, refresh brokers.Hash, data []byte, end time.Time) {
	g.lengthen(end)
	m.refresh[refresh] = &memoryRefresh{memoryToken: memoryToken{g, data, end}}
	g.refresh = append(g.refresh, refresh)
}

// load reads a token whose grant was not revoked.
func (t *memoryToken) load(now time.Time) (*brokers.Grant, *brokers.Token, error) {
	if t.grant.revoked || !now.Before(t.end) {
		return nil, nil, brokers.ErrNotFound
	}
	g, err := t.grant.decode()
	if err != nil {
		return nil, nil, err
	}
	token, err := decode[brokers.Token](t.data)
	return g, token, err
}

// AccessToken loads a live access token and what it stands for.
func (m *Memory) AccessToken(_ context.Context, access brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(now)
	if row, ok := m.accessTokens[access]; ok {
		m.uses(row.grant)
		return row.load(now)
	}
	return nil, nil, brokers.ErrNotFound
}

// SaveRefreshToken adds the first refresh token to the grant of a code that was
// redeemed; ErrNotFound if it has been revoked.
func (m *Memory) SaveRefreshToken(_ context.Context, code, refresh brokers.Hash, token brokers.Token) error {
	data, err := encode(token)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.room(tokenCost); err != nil {
		return err
	}
	row, ok := m.grants[code]
	if !ok || row.revoked {
		return brokers.ErrNotFound
	}
	m.addRefreshToken(row, refresh, data, token.ExpiresAt)
	return nil
}

// RefreshToken loads a refresh token, used or not, whose grant was not revoked.
func (m *Memory) RefreshToken(_ context.Context, refresh brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.refresh[refresh]
	if !ok {
		return nil, nil, brokers.ErrNotFound
	}
	g, token, err := row.load(now)
	if err == nil {
		token.Used = !row.usedAt.IsZero()
	}
	return g, token, err
}

// Refresh uses a refresh token. A second use outside the grace revokes the
// grant and is ErrReplayed.
func (m *Memory) Refresh(_ context.Context, r brokers.Refreshing) error {
	access, err := encode(r.AccessToken)
	if err != nil {
		return err
	}
	nextData, err := encode(r.NextToken)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(r.Now)
	if err := m.room(2 * tokenCost); err != nil {
		return err
	}
	row, ok := m.refresh[r.Old]
	switch {
	case !ok || row.grant.revoked:
		return brokers.ErrNotFound
	case !row.usedAt.IsZero():
		successor := m.refresh[row.next]
		if r.Retries(row.usedAt) && row.usedBy == r.Caller && row.next == r.Next && successor != nil && successor.usedAt.IsZero() {
			return nil
		}
		row.grant.revoked = true
		return brokers.ErrReplayed
	case !r.Now.Before(row.end):
		return brokers.ErrNotFound
	}
	if r.Next != (brokers.Hash{}) {
		row.usedAt, row.usedBy, row.next = r.Now, r.Caller, r.Next
		m.addRefreshToken(row.grant, r.Next, nextData, r.NextToken.ExpiresAt)
	} else {
		row.data, row.end = nextData, r.NextToken.ExpiresAt
		row.grant.lengthen(row.end)
	}
	m.addAccessToken(row.grant, r.Access, access, r.AccessToken.ExpiresAt)
	m.uses(row.grant)
	return nil
}

// RevokeByToken revokes the grant of an access or refresh token. One that is not
// there is no error.
func (m *Memory) RevokeByToken(_ context.Context, token brokers.Hash, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if row, ok := m.accessTokens[token]; ok {
		row.grant.revoked = true
	}
	if row, ok := m.refresh[token]; ok {
		row.grant.revoked = true
	}
	return nil
}
