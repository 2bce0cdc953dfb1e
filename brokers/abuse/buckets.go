package abuse

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds the names that one set of buckets remembers, about 10 MB.
const maxBuckets = 50_000

// buckets are token buckets by name, in two generations: when the young one is
// full it becomes the old one, and what was not used since is forgotten.
type buckets struct {
	limit rate.Limit
	burst int

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
}

// newBuckets makes none, which allow everything, if the limit is zero.
func newBuckets(limit float64, burst int) *buckets {
	return &buckets{limit: rate.Limit(limit), burst: burst, young: map[string]*rate.Limiter{}}
}

// allow takes a token of a name.
func (b *buckets) allow(name string, now time.Time) bool {
	return b.limit <= 0 || b.of(name).AllowN(now, 1)
}

func (b *buckets) of(name string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.young[name]
	if l != nil {
		return l
	}
	if l = b.old[name]; l == nil {
		l = rate.NewLimiter(b.limit, b.burst)
	}
	if len(b.young) >= maxBuckets/2 {
		b.old, b.young = b.young, map[string]*rate.Limiter{}
	}
	b.young[name] = l
	return l
}

// size is how many names are remembered.
func (b *buckets) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.young) + len(b.old)
}
