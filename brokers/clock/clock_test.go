package clock_test

import (
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/clock"
)

// host is a clock that a test sets.
type host struct {
	wall    time.Time
	elapsed time.Duration
}

func (h *host) pass(d time.Duration) { h.wall, h.elapsed = h.wall.Add(d), h.elapsed+d }

func newClock() (*host, *clock.Clock) {
	h := &host{wall: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), elapsed: 7 * time.Hour}
	return h, clock.New(clock.Host{Wall: func() time.Time { return h.wall }, Elapsed: func() time.Duration { return h.elapsed }}, nil)
}

// S-29: whatever the host's clock does, ours never goes back and never leaps; small
// jumps are followed slowly, larger ones stop the service until the clock is right
// again.
func TestClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		jump  time.Duration
		stops bool
	}{
		"S-29 no jump":                  {0, false},
		"S-29 a leap second":            {-time.Second, false},
		"S-29 NTP steps ahead":          {90 * time.Second, false},
		"S-29 NTP steps back":           {-90 * time.Second, false},
		"S-29 just below the tolerance": {4*time.Minute + 59*time.Second, false},
		"S-29 an hour ahead":            {time.Hour, true},
		"S-29 an hour back":             {-time.Hour, true},
		"S-29 ten years ahead":          {10 * year, true},
		"S-29 ten years back":           {-10 * year, true},
		"S-29 beyond 2038":              {15 * year, true},
	} {
		t.Run(name, func(t *testing.T) {
			h, clk := newClock()
			h.wall = h.wall.Add(c.jump)
			last := clk.Now()
			for i := range 7200 {
				h.pass(time.Second)
				clk.Look(t.Context())
				now := clk.Now()
				if step := now.Sub(last); step < 900*time.Millisecond || step > 1100*time.Millisecond {
					t.Fatalf("second %d was %s long", i, step)
				}
				last = now
				if stopped := clk.Err() != nil; stopped != c.stops {
					t.Fatalf("after %d seconds: %v", i, clk.Err())
				}
			}
			if apart := h.wall.Sub(clk.Now()).Abs(); !c.stops && apart > 0 {
				t.Errorf("after two hours the clocks are %s apart", apart)
			}
			// Set right again, it goes on.
			h.wall = clk.Now()
			clk.Look(t.Context())
			if clk.Err() != nil {
				t.Errorf("right again: %v", clk.Err())
			}
		})
	}
}

// S-29: a change of the zone is none of the time.
func TestZonesDoNotMatter(t *testing.T) {
	h, clk := newClock()
	h.wall = h.wall.In(time.FixedZone("away", 9*3600))
	h.pass(time.Second)
	clk.Look(t.Context())
	if clk.Err() != nil || !clk.Now().Equal(h.wall) {
		t.Errorf("%v, %s", clk.Err(), clk.Now())
	}
}

func TestSystemPasses(t *testing.T) {
	clk := clock.New(clock.System(), nil)
	if d := time.Since(clk.Now()); d.Abs() > time.Minute {
		t.Errorf("%s away from the host", d)
	}
}
