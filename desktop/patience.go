package desktop

import (
	"errors"
	"time"
)

// refusals counts how often in a row a person said no to an origin.
type refusals struct {
	count int
	last  time.Time
}

// quiet is how long an origin is not heard yet. The caller holds the lock.
func (s *Service) quiet(origin string, now time.Time) time.Duration {
	r, ok := s.patience[origin]
	if !ok || origin == "" || r.count < maxRefusals {
		return 0
	}
	return max(0, quietTime-now.Sub(r.last))
}

// remember takes an answer into account.
func (s *Service) remember(origin string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(origin, err)
}

// count is remember for a caller that holds the lock: a no counts, a yes forgives, the
// rest is no opinion.
func (s *Service) count(origin string, err error) {
	if origin == "" {
		return
	}
	now := s.Now()
	switch {
	case err == nil:
		delete(s.patience, origin)
	case errors.Is(err, ErrDeclined):
		if len(s.patience) >= maxTracked {
			s.dropOldestRefusal()
		}
		r := s.patience[origin]
		if now.Sub(r.last) > quietTime {
			r.count = 0
		}
		s.patience[origin] = refusals{count: r.count + 1, last: now}
	}
}

func (s *Service) dropOldestRefusal() {
	oldest, when := "", time.Time{}
	for origin, r := range s.patience {
		if oldest == "" || r.last.Before(when) {
			oldest, when = origin, r.last
		}
	}
	delete(s.patience, oldest)
}
