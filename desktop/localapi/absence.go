package localapi

import (
	"context"
	"sync"
)

// absences notice pages that went away: one that drops a long poll and does not
// come back within pageGrace was closed, and its question must not stay open
// (threats L-41). Nothing is kept of pages that only look: many never come again for
// the end.
type absences struct {
	mu sync.Mutex
	// away has the latest absence for each identifier, for at most pageGrace.
	away map[string]*absence
}

// absence is one page's; back ends the wait for it.
type absence struct{ back context.CancelFunc }

// came ends the wait for a page that looks again.
func (a *absences) came(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if gone, ok := a.away[id]; ok {
		gone.back()
		delete(a.away, id)
	}
}

// left runs gone unless the page comes back in time or ctx ends.
func (a *absences) left(ctx context.Context, id string, gone func()) {
	grace, cancel := context.WithTimeout(ctx, pageGrace)
	latest := &absence{cancel}
	a.mu.Lock()
	if earlier, ok := a.away[id]; ok {
		earlier.back()
	}
	a.away[id] = latest
	a.mu.Unlock()
	context.AfterFunc(grace, func() {
		defer cancel()
		a.mu.Lock()
		missed := a.away[id] == latest
		if missed {
			delete(a.away, id)
		}
		a.mu.Unlock()
		if missed && ctx.Err() == nil {
			gone()
		}
	})
}
