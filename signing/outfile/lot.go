package outfile

import (
	"context"
	"time"
)

// Lot is what is made one after the other and put in place together, so that the disk
// is waited for once: results of any type R, with the files that belong to them in
// Group. It is for one goroutine.
type Lot[R any] struct {
	// Group takes the files of the results that are added.
	Group Group
	// Within is for how long the first result waits for others before a lot is full.
	Within time.Duration
	// Failed makes a result one that has failed, if its output is among those that
	// are told by name.
	Failed func(*R, map[string]error)
	// Before, unless nil, is told of results whose files are durable but have no names
	// yet, among them those that failed: whoever keeps a list has them on it before
	// anybody finds them. An error puts none of them in place.
	Before func([]R) error

	results []R
	since   time.Time
}

// perLot bounds the open files.
const perLot = 32

// Begin says that the next result is being made.
func (l *Lot[R]) Begin(now time.Time) {
	if len(l.results) == 0 {
		l.since = now
	}
}

// Add adds a result, and tells whether the lot is full and wants to be placed.
func (l *Lot[R]) Add(r R, now time.Time) (full bool) {
	l.results = append(l.results, r)
	return len(l.results) == perLot || now.Sub(l.since) >= l.Within
}

// Place puts the files of a lot in place, as Group.Sync does, and returns the results
// in the order in which they were made. What is made is placed although ctx is done.
// The error is that of Before.
func (l *Lot[R]) Place(ctx context.Context) ([]R, error) {
	results := l.results
	l.results = nil
	if len(results) == 0 {
		return nil, nil
	}
	mark := func(failed map[string]error) {
		for i := range results {
			l.Failed(&results[i], failed)
		}
	}
	var refused error
	mark(l.Group.syncAfter(context.WithoutCancel(ctx), func(failed map[string]error) error {
		if l.Before != nil {
			mark(failed)
			refused = l.Before(results)
		}
		return refused
	}))
	return results, refused
}
