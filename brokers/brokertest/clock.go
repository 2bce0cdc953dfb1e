package brokertest

import (
	"sync"
	"time"
)

// Clock stands still until a test moves it, so that nothing depends on how fast the
// machine is. It may be used from several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock shows a time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is what it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves it.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
