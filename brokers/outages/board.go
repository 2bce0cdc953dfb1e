// Package outages knows which login methods are out of order: by the configuration,
// by the word of an operator, or because they failed too often.
//
// What operators and failures say is in the store, so that every replica learns of
// it within seconds and a restart forgets nothing. Failures work as a circuit
// breaker: so many within a window, more than there were successes, take an upstream
// off the pages for a pause. After it the next failure is enough for another pause,
// twice as long up to a bound, and the first success ends it. Nobody is sent to an
// upstream that does not answer, and what is asked of it stays bounded.
//
// Visitors must not be able to take an upstream off the pages: failures behind which
// a visitor may stand count twice at most for each.
package outages

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Store is what all replicas share.
type Store interface {
	// Outages lists those that have not ended, by ID.
	Outages(ctx context.Context, now time.Time) ([]brokers.Outage, error)
	// SaveOutage keeps one in place of an earlier one of its ID.
	SaveOutage(ctx context.Context, o brokers.Outage) error
	// DeleteOutage removes one, or brokers.ErrNotFound.
	DeleteOutage(ctx context.Context, id string) error
}

// Settings bound the circuit breaker. Zero values stand for the default.
type Settings struct {
	// Failures within the Window, more than successes, begin a pause; default 5 and
	// one minute. Never is no circuit breaker.
	Failures int
	Never    bool
	Window   time.Duration
	// Pause is the first one, default 30 s; each that follows without a success in
	// between is twice as long, up to LongestPause, default 5 min.
	Pause, LongestPause time.Duration
}

// Check reports what New would refuse.
func (s Settings) Check() error { return s.complete() }

func (s *Settings) complete() error {
	s.Failures = cmp.Or(s.Failures, 5)
	s.Window = cmp.Or(s.Window, time.Minute)
	s.Pause = cmp.Or(s.Pause, 30*time.Second)
	s.LongestPause = cmp.Or(s.LongestPause, max(5*time.Minute, s.Pause))
	if s.Failures < 1 || s.Window < time.Second || s.Pause < time.Second || s.LongestPause < s.Pause {
		return errors.New("outages: failures, window and pauses are at least 1 and 1 s, and the longest pause is not shorter than the first")
	}
	return nil
}

const (
	// perVisitor bounds what one visitor adds to the failures of a window.
	perVisitor = 2
	// maxVisitors bounds the visitors of a window that are remembered.
	maxVisitors = 1000
	// maxKept bounds what operators may set at a time.
	maxKept = 200
	// automaticPrefix begins the IDs of outages that nobody set.
	automaticPrefix = "auto-"
)

// Options are what a board is made of.
type Options struct {
	Store Store
	// Fixed lists the outages of the configuration; default none.
	Fixed func(now time.Time) []brokers.Outage
	// Audit takes the events, default slog.Default(); Now is default time.Now.
	Audit *slog.Logger
	Now   func() time.Time
}

// Board may be used by several goroutines.
type Board struct {
	options Options

	mu       sync.Mutex
	settings Settings
	fixed    func(now time.Time) []brokers.Outage
	kept     []brokers.Outage
	health   map[string]*health
}

// health is how an upstream did lately, as this replica knows.
type health struct {
	// since began the window of the counts.
	since               time.Time
	failures, successes int
	visitors            map[string]int
	// until ends the last pause, which was so long; zero is none since the last
	// success.
	until time.Time
	pause time.Duration
}

// New makes a board. It knows of nothing in the store until Learn.
func New(s Settings, o Options) (*Board, error) {
	if o.Store == nil {
		return nil, errors.New("outages: a store is required")
	}
	if o.Audit == nil {
		o.Audit = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Board{options: o, health: map[string]*health{}}
	return b, b.Use(s, o.Fixed)
}

// Use puts other settings and another configuration to work, whose outages may be
// nil. What was learned and seen stays.
func (b *Board) Use(s Settings, fixed func(now time.Time) []brokers.Outage) error {
	if err := s.complete(); err != nil {
		return err
	}
	if fixed == nil {
		fixed = func(time.Time) []brokers.Outage { return nil }
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settings, b.fixed = s, fixed
	return nil
}

// At lists what is out of order or will be: the configuration's, the operators' and
// the pauses.
func (b *Board) At(now time.Time) []brokers.Outage {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(b.fixed(now))
	for _, o := range b.kept {
		if !o.Automatic {
			list = append(list, o)
		}
	}
	for upstream, h := range b.health {
		if now.Before(h.until) {
			list = append(list, h.outage(upstream))
		}
	}
	slices.SortFunc(list, func(a, c brokers.Outage) int {
		return cmp.Or(cmp.Compare(a.Upstream, c.Upstream), cmp.Compare(a.Method, c.Method), a.From.Compare(c.From), cmp.Compare(a.ID, c.ID))
	})
	return list
}

func (h *health) outage(upstream string) brokers.Outage {
	return brokers.Outage{
		ID: automaticPrefix + upstream, Upstream: upstream, Automatic: true,
		Limit: brokers.Limit{From: h.until.Add(-h.pause), Until: h.until},
	}
}

func (b *Board) of(upstream string) *health {
	h := b.health[upstream]
	if h == nil {
		h = &health{}
		b.health[upstream] = h
	}
	return h
}

// Worked notes an answer of an upstream. One that was paused is back.
func (b *Board) Worked(ctx context.Context, upstream string) {
	b.mu.Lock()
	h := b.of(upstream)
	h.roll(b.options.Now(), b.settings.Window)
	h.successes++
	paused := !h.until.IsZero()
	h.until, h.pause = time.Time{}, 0
	b.mu.Unlock()
	if !paused {
		return
	}
	b.tell(ctx, "upstream.recovered", "answered", slog.String("upstream", upstream))
	if err := b.options.Store.DeleteOutage(ctx, automaticPrefix+upstream); err != nil && !errors.Is(err, brokers.ErrNotFound) {
		b.tell(ctx, "outage.unshared", "store", slog.String("upstream", upstream))
	}
}

// Failed notes that an upstream did not answer, or not as it should. The visitor is
// who may have brought that about, or empty if nobody could.
func (b *Board) Failed(ctx context.Context, upstream, visitor string) {
	now := b.options.Now()
	b.mu.Lock()
	s, h := b.settings, b.of(upstream)
	if s.Never || now.Before(h.until) {
		b.mu.Unlock()
		return
	}
	h.roll(now, s.Window)
	if visitor != "" {
		if h.visitors[visitor] >= perVisitor || len(h.visitors) >= maxVisitors {
			b.mu.Unlock()
			return
		}
		h.visitors[visitor]++
	}
	h.failures++
	again := h.pause > 0
	if !again && (h.failures < s.Failures || h.failures <= h.successes) {
		b.mu.Unlock()
		return
	}
	h.pause = min(max(s.Pause, 2*h.pause), s.LongestPause)
	h.until = now.Add(h.pause)
	outage := h.outage(upstream)
	b.mu.Unlock()
	b.tell(ctx, "upstream.paused", "failures", slog.String("upstream", upstream), slog.Time("until", outage.Until.UTC()))
	if err := b.options.Store.SaveOutage(ctx, outage); err != nil {
		b.tell(ctx, "outage.unshared", "store", slog.String("upstream", upstream)) // here it holds all the same
	}
}

// roll begins another window when the last is over.
func (h *health) roll(now time.Time, window time.Duration) {
	if h.visitors == nil || now.Sub(h.since) >= window || now.Before(h.since) {
		h.since, h.failures, h.successes, h.visitors = now, 0, 0, map[string]int{}
	}
}

// Learn takes over what is in the store.
func (b *Board) Learn(ctx context.Context) error {
	now := b.options.Now()
	list, err := b.options.Store.Outages(ctx, now)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = list
	shared := map[string]bool{}
	for _, o := range list {
		if !o.Automatic {
			continue
		}
		shared[o.Upstream] = true
		if h := b.of(o.Upstream); o.Until.After(h.until) {
			h.until, h.pause = o.Until, o.Until.Sub(o.From)
		}
	}
	for upstream, h := range b.health {
		// Another replica saw it answer, or an operator lifted it. One of ours that
		// could not be written is forgotten too: the next failure makes it anew.
		if !shared[upstream] && now.Before(h.until) {
			h.until, h.pause = time.Time{}, 0
		}
	}
	return nil
}

// Follow learns from the store until ctx ends.
func (b *Board) Follow(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := b.Learn(ctx); err != nil && ctx.Err() == nil {
			b.tell(ctx, "outage.unlearned", "store") // what was known stays
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Check reports what is wrong in an outage.
func Check(o brokers.Outage) error {
	switch {
	case o.Upstream == "":
		return errors.New("an outage names no upstream")
	case !o.Until.IsZero() && !o.Until.After(o.From):
		return fmt.Errorf("outage of %s ends before it begins", o.Upstream)
	case o.Planned && (o.From.IsZero() || o.Until.IsZero()):
		return fmt.Errorf("planned outage of %s lacks from or until", o.Upstream)
	}
	return nil
}

// Known reports whether there is an upstream, and a method of it; an empty method is
// all.
func Known(upstreams []brokers.Upstream, upstream, method string) error {
	for _, u := range upstreams {
		if u.ID() != upstream {
			continue
		}
		if method == "" || slices.ContainsFunc(u.Methods(), func(m brokers.Method) bool { return m.ID == method }) {
			return nil
		}
		return &InvalidError{fmt.Errorf("upstream %s has no method %q", upstream, method)}
	}
	return &InvalidError{fmt.Errorf("there is no upstream %q", upstream)}
}

// InvalidError is an outage that cannot be taken in.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }

func (e *InvalidError) Unwrap() error { return e.Err }

// Add keeps an outage that an operator sets, and gives it an ID. The audit log gets
// the event.
func (b *Board) Add(ctx context.Context, actor string, o brokers.Outage) (id string, err error) {
	now := b.options.Now()
	if err := Check(o); err != nil {
		return "", &InvalidError{err}
	}
	if !o.Until.IsZero() && !o.Until.After(now) {
		return "", &InvalidError{errors.New("the outage has ended already")}
	}
	list, err := b.options.Store.Outages(ctx, now)
	if err != nil {
		return "", fmt.Errorf("listing outages: %w", err)
	}
	if len(list) >= maxKept {
		return "", &InvalidError{fmt.Errorf("there are %d outages already", len(list))}
	}
	o.ID, o.Automatic = rand.Text()[:10], false
	if err := b.options.Store.SaveOutage(ctx, o); err != nil {
		return "", fmt.Errorf("keeping outage: %w", err)
	}
	attributes := []slog.Attr{slog.String("outage", o.ID), slog.String("upstream", o.Upstream), slog.String("method", o.Method), slog.String("actor", actor), slog.Bool("planned", o.Planned)}
	for name, at := range map[string]time.Time{"from": o.From, "until": o.Until} {
		if !at.IsZero() {
			attributes = append(attributes, slog.Time(name, at.UTC()))
		}
	}
	b.tell(ctx, "outage.added", "ok", attributes...)
	return o.ID, b.Learn(ctx)
}

// Lift ends an outage that is in the store, also a pause; brokers.ErrNotFound if
// there is none of this ID.
func (b *Board) Lift(ctx context.Context, actor, id string) error {
	if err := b.options.Store.DeleteOutage(ctx, id); err != nil {
		return err
	}
	b.tell(ctx, "outage.lifted", "ok", slog.String("outage", id), slog.String("actor", actor))
	return b.Learn(ctx)
}

func (b *Board) tell(ctx context.Context, event, reason string, attributes ...slog.Attr) {
	all := append([]slog.Attr{slog.String("event", event), slog.String("reason", reason)}, attributes...)
	b.options.Audit.LogAttrs(ctx, slog.LevelInfo, "audit", all...)
}
