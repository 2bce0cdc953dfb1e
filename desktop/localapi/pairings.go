package localapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
)

// pairingState is what a page sees of its pairing.
type pairingState string

const (
	pairingPending  pairingState = "pending"
	pairingApproved pairingState = "approved"
	pairingDenied   pairingState = "denied"
)

// pairing is one page's wish to be known.
type pairing struct {
	id      string
	origin  origins.Origin
	scopes  []origins.Scope
	expires time.Time
	cancel  context.CancelFunc
	decided chan struct{} // closed when the state is no longer pending

	// Guarded by pairings.mu.
	state pairingState
	token string // until it was handed out
}

// pairings are those that this process has seen; approved ones live on in the
// store.
type pairings struct {
	mu   sync.Mutex
	byID map[string]*pairing
	// asked are the times of the last minute's wishes, of all origins.
	asked []time.Time
	// ended is set when nobody may ask any more; work is what is left to do for those
	// that asked before.
	ended bool
	work  sync.WaitGroup
}

// end returns when every question is answered and every token that nobody fetched is
// forgotten, or after endTime. The door has to be closed.
func (s *pairings) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(endTime):
	}
}

type pairingWish struct {
	OriginName string          `json:"origin_name"`
	Scopes     []origins.Scope `json:"scopes"`
	// Broker is for pairing with a broker, which is not served yet.
	Broker *string `json:"broker,omitzero"`
}

type pairingView struct {
	ID          string          `json:"id"`
	State       pairingState    `json:"state"`
	CompareCode string          `json:"compare_code,omitzero"`
	Scopes      []origins.Scope `json:"scopes,omitzero"`
	Token       string          `json:"token,omitzero"`
	ExpiresAt   *time.Time      `json:"expires_at,omitzero"`
}

func (d *Door) createPairing(w http.ResponseWriter, r *http.Request, from caller) error {
	var wish pairingWish
	if _, err := readJSON(w, r, &wish); err != nil {
		return err
	}
	if err := wish.check(); err != nil {
		return err
	}
	if err := d.Service.Hears(from.origin); err != nil {
		return err
	}
	id, err := d.Service.NewID()
	if err != nil {
		return err
	}
	code, err := d.compareCode()
	if err != nil {
		return err
	}
	now := d.Now()
	ctx, cancel := context.WithTimeout(d.base, pairingTime)
	p := &pairing{
		id: id, origin: from.origin, scopes: wish.Scopes, expires: now.Add(pairingTime).UTC().Truncate(time.Second),
		cancel: cancel, decided: make(chan struct{}), state: pairingPending,
	}
	if err := d.pairings.admit(p, now); err != nil {
		cancel()
		return err
	}
	go d.decide(ctx, p, desktop.PairingQuestion{
		Origin: from.origin, Name: wish.OriginName, Scopes: wish.Scopes, Code: code, Timeout: pairingTime,
	})
	writeJSON(w, "application/json", http.StatusAccepted, pairingView{
		ID: id, State: pairingPending, CompareCode: code, ExpiresAt: &p.expires,
	})
	return nil
}

func (v *pairingWish) check() error {
	switch {
	case v.OriginName == "" || len(v.OriginName) > maxName:
		return invalid("origin_name is missing or too long.")
	case v.Broker != nil:
		return invalid("Pairing with a broker is not served yet.")
	case len(v.Scopes) == 0 || len(v.Scopes) > 4:
		return invalid("scopes is missing or too long.")
	}
	for i, s := range v.Scopes {
		if !s.Valid() || slices.Contains(v.Scopes[:i], s) {
			return invalid("A scope is not known or repeated.")
		}
	}
	return nil
}

// compareCode is six characters that nobody mistakes for each other: digits and
// capitals without I, L, O, U. 32 symbols take 5 bits each.
func (d *Door) compareCode() (string, error) {
	const symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var b [6]byte
	if _, err := io.ReadFull(d.Random, b[:]); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = symbols[b[i]&31]
	}
	return string(b[:]), nil
}

// admit bounds what waits and how often anybody may ask (threats L-35). Who is
// admitted is work, until it is decided.
func (s *pairings) admit(p *pairing, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return busy(time.Minute)
	}
	s.asked = slices.DeleteFunc(s.asked, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(s.asked) >= pairingsPerMinute {
		return busy(time.Minute - now.Sub(s.asked[0]))
	}
	pending := 0
	for id, other := range s.byID {
		if other.state == pairingPending {
			pending++
			if other.origin == p.origin {
				return busy(other.expires.Sub(now))
			}
		} else if now.After(other.expires.Add(pairingTime)) || len(s.byID) >= maxPairingsKept {
			delete(s.byID, id)
		}
	}
	if pending >= maxPendingPairings {
		return busy(5 * time.Second)
	}
	s.asked = append(s.asked, now)
	s.byID[p.id] = p
	s.work.Add(1)
	return nil
}

// decide asks the person and keeps the answer.
func (d *Door) decide(ctx context.Context, p *pairing, q desktop.PairingQuestion) {
	defer d.pairings.work.Done()
	defer p.cancel()
	state, token := pairingDenied, ""
	if err := d.Service.AskPairing(ctx, q); err == nil {
		if _, t, err := d.Store.Approve(p.id, p.origin, q.Name, p.scopes); err == nil {
			state, token = pairingApproved, t
		} else {
			d.Log.Error("pairing could not be kept", "error", err)
		}
	}
	d.pairings.mu.Lock()
	defer d.pairings.mu.Unlock()
	p.state, p.token = state, token
	close(p.decided)
	if token != "" {
		// A token that nobody fetches is nobody's.
		d.withdrawLater(p) //nolint:contextcheck // the token waits longer than the question
	}
}

// withdrawLater waits for the token to be fetched, at most as long as a question
// may stand, or to the end of the door.
func (d *Door) withdrawLater(p *pairing) {
	ctx, cancel := context.WithTimeout(d.base, pairingTime)
	d.pairings.work.Add(1)
	context.AfterFunc(ctx, func() {
		defer d.pairings.work.Done()
		cancel()
		d.withdraw(p)
	})
}

func (d *Door) withdraw(p *pairing) {
	d.pairings.mu.Lock()
	unclaimed := p.token != ""
	p.token = ""
	d.pairings.mu.Unlock()
	if unclaimed {
		if err := d.Store.Forget(p.id); err != nil && !errors.Is(err, origins.ErrUnknown) {
			d.Log.Error("pairing could not be forgotten", "error", err)
		}
	}
}

// pending finds a pairing of this process. Another origin's does not exist.
func (d *Door) pending(id string, o origins.Origin) (*pairing, error) {
	d.pairings.mu.Lock()
	defer d.pairings.mu.Unlock()
	p, ok := d.pairings.byID[id]
	if !ok || p.origin != o {
		return nil, newProblem(codeNotFound, "")
	}
	return p, nil
}

func (d *Door) showPairing(w http.ResponseWriter, r *http.Request, from caller) error {
	wait, _, err := waiting(r)
	if err != nil {
		return err
	}
	p, err := d.pending(r.PathValue("id"), from.origin)
	if err != nil {
		return err
	}
	d.absent.came(p.id)
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-p.decided:
		case <-timer.C:
		case <-r.Context().Done():
			d.absent.left(d.base, p.id, p.cancel) //nolint:contextcheck // the wait for the page outlives its message
			return nil
		}
	}
	d.pairings.mu.Lock()
	view := pairingView{ID: p.id, State: p.state}
	switch p.state {
	case pairingPending:
		view.ExpiresAt = &p.expires
	case pairingApproved:
		view.Scopes = p.scopes
		if p.token != "" {
			view.Token, p.token = p.token, ""
			expires := d.Now().Add(origins.Lifetime).UTC().Truncate(time.Second)
			view.ExpiresAt = &expires
		}
	}
	d.pairings.mu.Unlock()
	writeJSON(w, "application/json", http.StatusOK, view)
	return nil
}

// deletePairing forgets an approved pairing with its token, or takes back a
// pending one of the same origin.
func (d *Door) deletePairing(w http.ResponseWriter, r *http.Request, from caller) error {
	id := r.PathValue("id")
	if from.token != "" {
		stored, err := d.Store.Check(from.token, from.origin, "")
		if err != nil || stored.ID != id {
			return newProblem(codeTokenInvalid, "")
		}
		if err := d.Store.Forget(id); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	p, err := d.pending(id, from.origin)
	if err != nil {
		return err
	}
	d.pairings.mu.Lock()
	state := p.state
	d.pairings.mu.Unlock()
	if state == pairingApproved {
		return newProblem(codeTokenInvalid, "")
	}
	p.cancel()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
