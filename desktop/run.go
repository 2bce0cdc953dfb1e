package desktop

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
)

// request is a Request on its way. The embedded value is not changed.
type request struct {
	Request
	id      string
	created time.Time
	// ctx ends with the request, for whatever reason.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// ended is closed after the journal has its line.
	ended chan struct{}

	mu      sync.Mutex
	now     Snapshot
	changed chan struct{} // closed at the next change
	// What the journal will say.
	items       []*item
	certificate *x509.Certificate
	// token is what a login made.
	token *Token
}

func newRequest(ctx context.Context, id string, r Request, now time.Time) *request {
	q := &request{Request: r, id: id, created: now, ended: make(chan struct{}), changed: make(chan struct{})}
	timed, stopTimer := context.WithTimeoutCause(ctx, r.ExpiresIn, ErrTimeout)
	own, end := context.WithCancelCause(timed)
	context.AfterFunc(own, stopTimer)
	q.ctx, q.cancel = own, end
	q.now = Snapshot{
		ID: id, Door: r.Door, Origin: r.Origin, State: StateCreated, Seq: 1,
		Created: now, Expires: now.Add(r.ExpiresIn),
	}
	return q
}

func (q *request) snapshot() Snapshot {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.now
}

// wait returns at the first change after seq, at the end of the request, or with
// ctx.
func (q *request) wait(ctx context.Context, seq int) (Snapshot, error) {
	for {
		q.mu.Lock()
		now, changed := q.now, q.changed
		q.mu.Unlock()
		if now.State.Final() || now.Seq > seq {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// become moves to the next state with its detail. Once the request is final it
// reports why, so that work on it stops.
func (q *request) become(next State, d Detail) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.now.State.Final() {
		return endOf(q.ctx)
	}
	if next != q.now.State && !q.now.State.MayBecome(next) {
		return fmt.Errorf("request cannot go from %s to %s", q.now.State, next)
	}
	q.now.State, q.now.Detail = next, d
	q.change()
	return nil
}

// change tells those who wait. The caller holds the lock.
func (q *request) change() {
	q.now.Seq++
	close(q.changed)
	q.changed = make(chan struct{})
}

// endOf says why a context ended: cancelled by a person or a door, or out of
// time.
func endOf(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(cause, context.Canceled), cause == nil:
		return ErrCancelled
	default:
		return cause
	}
}

// run works on one request from its turn to its end.
func (s *Service) run(q *request) {
	defer close(q.ended)
	signed, err := s.process(q)
	if err != nil && q.ctx.Err() != nil {
		// Whatever broke, it broke because the request was over.
		err = endOf(q.ctx)
	}
	s.end(q, signed, err)
	s.note(q.entry())
}

// end makes the request final unless it is already: the first reason counts, and
// what comes later is thrown away (threats C-60). Whoever sees the end finds a refusal
// counted: a page that asks again at once is not faster than that (threats L-35).
func (s *Service) end(q *request, signed []Signed, err error) {
	s.mu.Lock()
	q.mu.Lock()
	if !q.now.State.Final() {
		q.now.State, q.now.Err, q.now.Code = stateOf(err), err, CodeOf(err)
		q.now.Finished = s.Now().UTC()
		if pinError, ok := errors.AsType[*cardreader.PINError](err); ok && pinError.TriesLeft >= 0 {
			q.now.Detail.TriesLeft = &pinError.TriesLeft
		}
		if len(signed) > 0 {
			// Of a batch that was broken off, what was signed before.
			q.now.Signed, q.now.Certificate = signed, q.certificate
		}
		if err == nil && q.token != nil {
			q.now.Token, q.now.Certificate = q.token, q.certificate
		}
		s.count(q.Origin.String(), err)
		q.change()
	}
	q.mu.Unlock()
	s.mu.Unlock()
	if err == nil {
		err = ErrCancelled
	}
	q.cancel(err)
}

func (s *Service) process(q *request) ([]Signed, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-q.ctx.Done():
		return nil, q.ctx.Err()
	}
	items, err := s.describe(q)
	if err != nil {
		return nil, err
	}
	found, err := s.card(q)
	if err != nil {
		return nil, err
	}
	certificate := found.Credential.Certificate
	q.mu.Lock()
	q.certificate = certificate
	q.mu.Unlock()
	if now := s.Now(); now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return nil, fmt.Errorf("%w: %s to %s", ErrCertificateExpired,
			certificate.NotBefore.UTC().Format(time.DateOnly), certificate.NotAfter.UTC().Format(time.DateOnly))
	}
	if err := q.become(StateWaitingConsent, Detail{Card: CardPresent, Document: 1, Of: max(1, len(items))}); err != nil {
		return nil, err
	}
	if q.Kind == KindAuthenticate {
		return nil, s.authenticate(q, found)
	}
	if len(items) > 1 {
		if err := s.agree(q, found, items); err != nil {
			return nil, err
		}
	}
	return s.sign(q, found, items)
}

// card finds the credential, waiting for the card as long as the request allows.
func (s *Service) card(q *request) (*cardreader.Found, error) {
	selection := cardreader.Selection{
		Reader: q.Credential.Reader, Usage: q.Kind.usage(), CertificateSHA256: q.Credential.CertificateSHA256,
	}
	patience, cancel := context.WithTimeout(q.ctx, q.CardWait)
	defer cancel()
	var told CardPresence
	for {
		found, err := s.Cards.Find(q.ctx, selection)
		if err == nil && !q.Credential.fits(found.Credential.Certificate) {
			err = cardreader.ErrNoCredential
		}
		presence := presenceOf(err)
		if presence != told {
			if err := q.become(StateWaitingCard, Detail{Card: presence, Document: 1, Of: 1}); err != nil {
				return nil, err
			}
			told = presence
		}
		if err == nil || !mayStillCome(err) {
			return found, err
		}
		pause := time.NewTimer(pollCard)
		select {
		case <-pause.C:
		case <-patience.Done():
			pause.Stop()
			if q.ctx.Err() != nil {
				return nil, q.ctx.Err()
			}
			return nil, err
		}
	}
}

// mayStillCome tells whether a person can mend the error by inserting a card.
func mayStillCome(err error) bool {
	for _, e := range []error{
		cardreader.ErrNoReader, cardreader.ErrReaderGone, cardreader.ErrNoCard, cardreader.ErrCardRemoved,
		cardreader.ErrCardMute, cardreader.ErrCardUnsupported, cardreader.ErrCardBusy, cardreader.ErrCardReset,
		cardreader.ErrCardChanged, cardreader.ErrNoCredential,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func presenceOf(err error) CardPresence {
	switch {
	case err == nil:
		return CardPresent
	case errors.Is(err, cardreader.ErrCardUnsupported), errors.Is(err, cardreader.ErrCardMute),
		errors.Is(err, cardreader.ErrNoCredential):
		return CardUnsupported
	default:
		return CardAbsent
	}
}

// ask runs one question when no other is before the person.
func (s *Service) ask(ctx context.Context, question func() error) error {
	select {
	case s.prompt <- struct{}{}:
		defer func() { <-s.prompt }()
		return question()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note writes the journal. A journal that cannot be written is the operator's
// concern and changes no outcome.
func (s *Service) note(e Entry) {
	e.Time = s.Now().UTC().Truncate(time.Second)
	if err := s.Journal.Append(e); err != nil {
		s.Log.Error("journal", "error", err, "request", e.ID)
	}
}

func (q *request) entry() Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := Entry{
		ID: q.id, Door: q.Door, Origin: q.Origin.String(), Kind: q.Kind,
		Outcome: q.now.State, Code: q.now.Code,
	}
	for _, it := range q.items {
		d := EntryDocument{Name: it.shown.Name, SHA256: hex.EncodeToString(it.shown.SHA256[:])}
		if it.shown.Scan != nil {
			for _, f := range it.shown.Scan.Active() {
				d.Active = append(d.Active, string(f.Kind))
			}
		}
		if len(q.items) > 1 {
			d.Outcome = it.outcome
		}
		e.Documents = append(e.Documents, d)
	}
	if q.certificate != nil {
		e.Credential = maskCredential(q.certificate)
	}
	return e
}
