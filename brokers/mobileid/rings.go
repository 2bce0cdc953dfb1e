package mobileid

import (
	"slices"
	"sync"
	"time"
)

// How often one telephone may ring (threats W-08), for each replica.
const (
	ringWindow = 15 * time.Minute
	maxRings   = 5
	dayWindow  = 24 * time.Hour
	maxADay    = 30
	// maxPhones bounds what is remembered.
	maxPhones = 50_000
)

// rings counts how often telephones were asked.
type rings struct {
	mu   sync.Mutex
	seen map[string][]time.Time
}

// allow counts one more, unless there were enough.
func (r *rings) allow(phone string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := func(t time.Time) bool { return now.Sub(t) >= dayWindow }
	key := keyOf(phone)
	times := slices.DeleteFunc(r.seen[key], old)
	lately := 0
	for _, t := range times {
		if now.Sub(t) < ringWindow {
			lately++
		}
	}
	if lately >= maxRings || len(times) >= maxADay {
		r.seen[key] = times
		return false
	}
	if len(r.seen) >= maxPhones {
		for k, t := range r.seen {
			if t = slices.DeleteFunc(t, old); len(t) == 0 {
				delete(r.seen, k)
			} else {
				r.seen[k] = t
			}
		}
		for k := range r.seen { // a crowd of numbers must not keep everybody out
			if len(r.seen) < maxPhones {
				break
			}
			delete(r.seen, k)
		}
	}
	r.seen[key] = append(times, now)
	return true
}
