// Package clock is a clock that does not jump. It counts from the moment it is made,
// by the time that passes, and follows the clock of the host slowly: by a tenth of
// the time at most. So no token that has expired comes alive again, and none dies
// early, because somebody set the host's clock.
//
// Where the host's clock and this one are further apart than a tolerance, nobody can
// say which is right: Err tells, and whoever serves stops, until the host's clock is
// right again or an operator starts anew with the time that there is.
package clock

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Tolerance is how far the host's clock may be off before it is not followed any
// more.
const Tolerance = 5 * time.Minute

// slew is the share of the passing time by which the clock follows.
const slew = 10

// Host is what a clock is made of.
type Host struct {
	// Wall is the host's time of day, and Elapsed the time since any fixed moment,
	// which nobody can set.
	Wall    func() time.Time
	Elapsed func() time.Duration
}

// System is the clock of this host. Time in which the host slept does not count as
// passed.
func System() Host {
	begun := time.Now()
	return Host{
		Wall:    func() time.Time { return time.Now().Round(0) },
		Elapsed: func() time.Duration { return time.Since(begun) }, // monotonic
	}
}

// Clock may be used by several goroutines.
type Clock struct {
	host   Host
	events *slog.Logger
	begun  time.Time
	since  time.Duration
	// offset is how far the clock went to follow the host's, in nanoseconds.
	offset atomic.Int64

	mu     sync.Mutex
	looked time.Duration
	wrong  error
}

// New begins at the host's time. Events, if not nil, is told of jumps.
func New(host Host, events *slog.Logger) *Clock {
	if events == nil {
		events = slog.New(slog.DiscardHandler)
	}
	c := &Clock{host: host, events: events, begun: host.Wall().Round(0), since: host.Elapsed()}
	c.looked = c.since
	return c
}

// Now is the time.
func (c *Clock) Now() time.Time {
	return c.begun.Add(c.host.Elapsed() - c.since + time.Duration(c.offset.Load()))
}

// Look compares with the host's clock, and follows it if it is near.
func (c *Clock) Look(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	elapsed := c.host.Elapsed()
	passed := elapsed - c.looked
	c.looked = elapsed
	apart := c.host.Wall().Sub(c.Now())
	if apart.Abs() > Tolerance {
		if c.wrong == nil {
			c.tell(ctx, "clock.jumped", apart)
		}
		c.wrong = fmt.Errorf("the clock of the host jumped: it is %s away from the time that passed", apart.Round(time.Second))
		return
	}
	if c.wrong != nil {
		c.tell(ctx, "clock.recovered", apart)
	}
	c.wrong = nil
	step := min(apart.Abs(), passed/slew)
	if apart < 0 {
		step = -step
	}
	c.offset.Add(int64(step))
}

func (c *Clock) tell(ctx context.Context, event string, apart time.Duration) {
	c.events.LogAttrs(ctx, slog.LevelError, "audit", slog.String("event", event), slog.String("reason", "host"),
		slog.Int64("seconds", int64(apart/time.Second)))
}

// Err says that the host's clock jumped, or nothing.
func (c *Clock) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// Follow looks at the host's clock until ctx ends.
func (c *Clock) Follow(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.Look(ctx)
		}
	}
}
