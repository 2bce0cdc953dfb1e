package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// Health is told how upstreams do. It must not block for long.
type Health interface {
	// Worked is an answer of an upstream.
	Worked(ctx context.Context, upstream string)
	// Failed is none. The visitor is the address of who may have brought that about,
	// or empty if nobody could.
	Failed(ctx context.Context, upstream, visitor string)
}

// unwatched is for nobody.
type unwatched struct{}

func (unwatched) Worked(context.Context, string)         {}
func (unwatched) Failed(context.Context, string, string) {}

// errCrowded is an upstream for which as many wait already as may.
var errCrowded = errors.New("too many requests wait for the upstream")

// enter takes one of the places of an upstream, and never waits for one. Each has
// as many of its own (bulkheads, threats S-32).
func (p *Provider) enter(u brokers.Upstream) (leave func(), err error) {
	places := p.places[u.ID()]
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		return nil, errCrowded
	}
}

// start has an upstream begin a login, in bounded time.
func (p *Provider) start(r *http.Request, u brokers.Upstream, request brokers.AuthenticationRequest) (*brokers.Departure, error) {
	leave, err := p.enter(u)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), startTimeout)
	defer cancel()
	ctx, end := p.cfg.Trace(ctx, "upstream start", "upstream", u.ID(), "method", request.Method)
	departure, err := u.Start(ctx, request)
	end(err)
	if err != nil && r.Context().Err() == nil { // who goes away says nothing of the upstream
		p.cfg.Health.Failed(r.Context(), u.ID(), "")
	}
	return departure, err
}

// observe tells how an upstream did by how a login ended there. What a citizen did
// wrong was an answer; what must not be believed says nothing.
func (p *Provider) observe(r *http.Request, u brokers.Upstream, err error) {
	ctx := context.WithoutCancel(r.Context())
	var rejected *brokers.RejectedError
	switch {
	case err == nil, errors.Is(err, brokers.ErrCancelled):
		p.cfg.Health.Worked(ctx, u.ID())
	case !errors.As(err, &rejected), rejected.Category == brokers.CategoryUnavailable:
		p.cfg.Health.Failed(ctx, u.ID(), p.cfg.ClientAddress(r))
	case rejected.Category == brokers.CategoryDenied, rejected.Category == brokers.CategoryLevel, rejected.Category == brokers.CategoryBlocked, rejected.Category == brokers.CategoryNotRegistered:
		p.cfg.Health.Worked(ctx, u.ID())
	}
}

// crowded asks to come again soon: nothing has changed.
func (p *Provider) crowded(w http.ResponseWriter, r *http.Request, u brokers.Upstream, t *brokers.Transaction) {
	w.Header().Set("Retry-After", seconds(2*time.Second))
	p.problem(w, r, http.StatusServiceUnavailable, pages.Unavailable, "upstream.crowded", "places", t, slog.String("upstream", u.ID()))
}

// notBegun goes back to the choice when an upstream could not begin a login: the
// page says so and offers what else there is. The transaction is as it was before,
// at the state from.
func (p *Provider) notBegun(w http.ResponseWriter, r *http.Request, t *brokers.Transaction, o offer, cause error, from brokers.State) {
	ref, reason := reference(), "start"
	if errors.Is(cause, errCrowded) {
		reason = "crowded"
	}
	t.Upstream, t.Method, t.Outcome, t.Reference = o.upstream.ID(), o.method.ID, brokers.OutcomeUnavailable, ref
	p.keepFlight(r, ref, t, "upstream.failed", reason, []slog.Attr{slog.String("upstream", t.Upstream)})
	p.note(r.Context(), t, "upstream.failed", reason, slog.String("upstream", t.Upstream),
		slog.String("ref", ref), slog.String("error", cause.Error()))
	if err := p.keep(r.Context(), t, from); err != nil {
		p.fault(w, r, "keeping login", err, nil)
		return
	}
	seeOther(w, r, p.url("login", t.ID))
}
