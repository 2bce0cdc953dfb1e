package desktop

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/signing"
)

// Cards is what the service needs of a cardreader.Source.
type Cards interface {
	Find(ctx context.Context, s cardreader.Selection) (*cardreader.Found, error)
	// Signer asks source for the PIN at the moment of signing, at most once.
	Signer(ctx context.Context, f *cardreader.Found, source cardreader.PINSource) crypto.Signer
}

// Config is what a Service is made of. All fields but Log and
// AllowActive are required.
type Config struct {
	Cards    Cards
	Prompter Prompter
	Journal  Journal
	// Now is the wall clock, Random crypto/rand.Reader outside tests.
	Now    func() time.Time
	Random io.Reader
	// AllowActive lets documents be signed that act by themselves: with scripts,
	// programs to start, remote or hidden content. The person is shown what they have,
	// and the journal notes it.
	AllowActive bool
	// Log receives what goes wrong on the agent's side, without names, document
	// titles or secrets. Nil is silence.
	Log *slog.Logger
}

// Service holds the queue of requests. Its methods may be called from several
// goroutines.
type Service struct {
	Config

	// turn is held by the request that is worked on; prompt by the question that
	// is before the person.
	turn, prompt chan struct{}
	work         sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	requests map[string]*request
	order    []string // by age, for forgetting
	patience map[string]refusals
}

// New makes a service; Close ends it.
func New(c Config) (*Service, error) {
	if c.Cards == nil || c.Prompter == nil || c.Journal == nil || c.Now == nil || c.Random == nil {
		return nil, errors.New("desktop service needs cards, prompter, journal, clock and randomness")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		Config: c,
		turn:   make(chan struct{}, 1), prompt: make(chan struct{}, 1),
		requests: make(map[string]*request), patience: make(map[string]refusals),
	}, nil
}

// Submit takes a request into the queue and returns its first snapshot. ctx ends
// the request, so a door passes one that outlives the message it came in. A
// request that makes no sense is ErrInvalid; one too many is a *BusyError.
func (s *Service) Submit(ctx context.Context, r Request) (Snapshot, error) {
	if err := r.complete(); err != nil {
		return Snapshot{}, err
	}
	id, err := s.NewID()
	if err != nil {
		return Snapshot{}, err
	}
	now := s.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	if err := s.admit(r.Origin.String(), now); err != nil {
		return Snapshot{}, err
	}
	q := newRequest(ctx, id, r, now)
	s.requests[id] = q
	s.order = append(s.order, id)
	s.work.Go(func() { s.run(q) })
	return q.snapshot(), nil
}

// complete checks what a door hands in and fills in defaults.
func (r *Request) complete() error {
	switch {
	case r.Kind == KindAuthenticate:
		if err := r.checkLogin(); err != nil {
			return err
		}
	case r.Kind != KindSign:
		return fmt.Errorf("%w: kind", ErrInvalid)
	case len(r.Documents) < 1 || len(r.Documents) > MaxDocuments:
		return fmt.Errorf("%w: from 1 to %d documents", ErrInvalid, MaxDocuments)
	case len(r.Documents) > 1 && !r.Origin.IsZero():
		return fmt.Errorf("%w: exactly one document", ErrInvalid)
	case r.Output.Format != signing.PAdES && !r.Origin.IsZero():
		return fmt.Errorf("%w: output for pages is PAdES", ErrInvalid)
	case r.Output.Format.Title() == "":
		return fmt.Errorf("%w: output format", ErrInvalid)
	case r.Output.Baseline != signing.BaselineB && r.Output.Services == nil:
		return fmt.Errorf("%w: level above B-B without services", ErrInvalid)
	}
	if r.ExpiresIn <= 0 {
		r.ExpiresIn = DefaultExpiry
	}
	r.ExpiresIn = min(r.ExpiresIn, MaxExpiry)
	if n := len(r.Documents); n > 1 {
		// Each of them may wait for a PIN.
		r.ExpiresIn = min(r.ExpiresIn+time.Duration(n)*ConsentTime, MaxBatchExpiry)
	}
	return nil
}

// admit bounds what waits, altogether and for each origin. The person at this
// computer is bounded too: two programs started by mistake take turns.
func (s *Service) admit(origin string, now time.Time) error {
	if s.closed {
		return &BusyError{RetryAfter: retryBusy}
	}
	if wait := s.quiet(origin, now); wait > 0 {
		return &BusyError{RetryAfter: wait}
	}
	active, same := 0, 0
	for _, q := range s.requests {
		if q.snapshot().State.Final() {
			continue
		}
		active++
		if q.Origin.String() == origin {
			same++
		}
	}
	if active >= maxActive || same >= maxActivePerOrigin {
		return &BusyError{RetryAfter: retryBusy}
	}
	return nil
}

// forget drops finished requests that are old or too many.
func (s *Service) forget(now time.Time) {
	finished := 0
	for i := len(s.order) - 1; i >= 0; i-- {
		id := s.order[i]
		snapshot := s.requests[id].snapshot()
		if !snapshot.State.Final() {
			continue
		}
		finished++
		if finished > maxFinished || now.Sub(snapshot.Finished) > keepFinished {
			delete(s.requests, id)
			s.order = append(s.order[:i], s.order[i+1:]...)
		}
	}
}

// Snapshot tells where a request stands, or ErrUnknownRequest.
func (s *Service) Snapshot(id string) (Snapshot, error) {
	q, err := s.find(id)
	if err != nil {
		return Snapshot{}, err
	}
	return q.snapshot(), nil
}

// Wait returns as soon as the request has changed after seq or is final, and what
// it has when ctx ends first, together with ctx's error.
func (s *Service) Wait(ctx context.Context, id string, seq int) (Snapshot, error) {
	q, err := s.find(id)
	if err != nil {
		return Snapshot{}, err
	}
	return q.wait(ctx, seq)
}

// Cancel ends a request at once: its question goes away, and a signature that the
// card still makes is thrown away. A request that is final stays as it is.
func (s *Service) Cancel(id string) error {
	q, err := s.find(id)
	if err != nil {
		return err
	}
	s.end(q, nil, ErrCancelled)
	return nil
}

// Do submits a request and waits for its end. The error is the request's own.
func (s *Service) Do(ctx context.Context, r Request) (Snapshot, error) {
	snapshot, err := s.Submit(ctx, r)
	if err != nil {
		return Snapshot{}, err
	}
	q, err := s.find(snapshot.ID)
	if err != nil {
		return Snapshot{}, err
	}
	// The request ends by itself when ctx does, and has then left its entry.
	<-q.ended
	snapshot = q.snapshot()
	return snapshot, snapshot.Err
}

// AskPairing puts a pairing before the person, after the question that is there
// now. It returns nil when the person agreed.
func (s *Service) AskPairing(ctx context.Context, p PairingQuestion) error {
	if err := s.Hears(p.Origin); err != nil {
		return err
	}
	origin := p.Origin.String()
	id, err := s.NewID()
	if err != nil {
		return err
	}
	err = s.ask(ctx, func() error { return s.Prompter.Pairing(ctx, p) })
	if err != nil && ctx.Err() != nil {
		err = endOf(ctx)
	}
	s.remember(origin, err)
	s.note(Entry{ID: id, Door: DoorLocalAPI, Origin: origin, Kind: kindPairing, Outcome: stateOf(err), Code: CodeOf(err)})
	return err
}

// Hears tells whether an origin may put a question now: a *BusyError while it is
// kept quiet for having been refused too often.
func (s *Service) Hears(o origins.Origin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait := s.quiet(o.String(), s.Now()); wait > 0 {
		return &BusyError{RetryAfter: wait}
	}
	return nil
}

// Close takes no more requests, cancels those that are open, and returns when
// nothing is left running or ctx ends.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	open := make([]*request, 0, len(s.requests))
	for _, q := range s.requests {
		open = append(open, q)
	}
	s.mu.Unlock()
	for _, q := range open {
		s.end(q, nil, ErrCancelled)
	}
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// NewID makes an identifier that nobody guesses: 128 bit in base64url.
func (s *Service) NewID() (string, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(s.Random, b); err != nil {
		return "", fmt.Errorf("make identifier: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func (s *Service) find(id string) (*request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.requests[id]
	if !ok {
		return nil, ErrUnknownRequest
	}
	return q, nil
}
