package localapi

import (
	"context"
	"sync"
)

// absences notice pages that went away: one that drops a long poll and does not
// come back within pageGrace was closed, and its question must not stay open
// (threats L-41).
type absences struct {
	mu sync.Mutex
	// visits counts the looks at an identifier that is still open.
	visits map[string]uint64
}

// over forgets an identifier that is not open any more.
func (a *absences) over(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.visits, id)
}

// came notes a look.
func (a *absences) came(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.visits[id]++
}

// left runs gone unless the page comes back in time or ctx ends.
func (a *absences) left(ctx context.Context, id string, gone func()) {
	a.mu.Lock()
	seen := a.visits[id]
	a.mu.Unlock()
	grace, cancel := context.WithTimeout(ctx, pageGrace)
	context.AfterFunc(grace, func() {
		defer cancel()
		a.mu.Lock()
		back := a.visits[id] != seen
		if !back {
			delete(a.visits, id)
		}
		a.mu.Unlock()
		if !back && ctx.Err() == nil {
			gone()
		}
	})
}
