package tracing

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Store makes spans of the verbs by which logins are kept. Those of operators and of
// tidying up go through as they are.
func (t *Tracer) Store(s provider.Store) provider.Store {
	if t == nil {
		return s
	}
	return &tracedStore{s, t}
}

type tracedStore struct {
	provider.Store
	tracer *Tracer
}

func (s *tracedStore) step(ctx context.Context, verb string) (context.Context, func(error)) {
	return s.tracer.Step(ctx, "store "+verb, "db.operation.name", verb)
}

func (s *tracedStore) SaveTransaction(ctx context.Context, t *brokers.Transaction) (err error) {
	ctx, end := s.step(ctx, "SaveTransaction")
	defer func() { end(err) }()
	return s.Store.SaveTransaction(ctx, t)
}

func (s *tracedStore) Transaction(ctx context.Context, id string, now time.Time) (t *brokers.Transaction, err error) {
	ctx, end := s.step(ctx, "Transaction")
	defer func() { end(err) }()
	return s.Store.Transaction(ctx, id, now)
}

func (s *tracedStore) TakeUp(ctx context.Context, a brokers.Answer) (t *brokers.Transaction, err error) {
	ctx, end := s.step(ctx, "TakeUp")
	defer func() { end(err) }()
	return s.Store.TakeUp(ctx, a)
}

func (s *tracedStore) Advance(ctx context.Context, t *brokers.Transaction, from brokers.State) (err error) {
	ctx, end := s.step(ctx, "Advance")
	defer func() { end(err) }()
	return s.Store.Advance(ctx, t, from)
}

func (s *tracedStore) IssueCode(ctx context.Context, i *brokers.Issuing) (err error) {
	ctx, end := s.step(ctx, "IssueCode")
	defer func() { end(err) }()
	return s.Store.IssueCode(ctx, i)
}

func (s *tracedStore) RedeemCode(ctx context.Context, code, access brokers.Hash, token brokers.Token, now time.Time) (g *brokers.Grant, err error) {
	ctx, end := s.step(ctx, "RedeemCode")
	defer func() { end(err) }()
	return s.Store.RedeemCode(ctx, code, access, token, now)
}

func (s *tracedStore) AccessToken(ctx context.Context, access brokers.Hash, now time.Time) (g *brokers.Grant, t *brokers.Token, err error) {
	ctx, end := s.step(ctx, "AccessToken")
	defer func() { end(err) }()
	return s.Store.AccessToken(ctx, access, now)
}

func (s *tracedStore) Refresh(ctx context.Context, r brokers.Refreshing) (err error) {
	ctx, end := s.step(ctx, "Refresh")
	defer func() { end(err) }()
	return s.Store.Refresh(ctx, r)
}

func (s *tracedStore) Session(ctx context.Context, cookie brokers.Hash, now time.Time) (session *brokers.Session, err error) {
	ctx, end := s.step(ctx, "Session")
	defer func() { end(err) }()
	return s.Store.Session(ctx, cookie, now)
}

func (s *tracedStore) Push(ctx context.Context, handle brokers.Hash, r *brokers.PushedRequest) (err error) {
	ctx, end := s.step(ctx, "Push")
	defer func() { end(err) }()
	return s.Store.Push(ctx, handle, r)
}

func (s *tracedStore) Pushed(ctx context.Context, handle brokers.Hash, now time.Time) (r *brokers.PushedRequest, err error) {
	ctx, end := s.step(ctx, "Pushed")
	defer func() { end(err) }()
	return s.Store.Pushed(ctx, handle, now)
}

func (s *tracedStore) UseAssertionID(ctx context.Context, issuer, id string, until time.Time) (err error) {
	ctx, end := s.step(ctx, "UseAssertionID")
	defer func() { end(err) }()
	return s.Store.UseAssertionID(ctx, issuer, id, until)
}
