package brokertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

func strikesCount(t *testing.T, s Store) {
	ctx := context.Background()
	key, end := brokers.HashOf("address"), noon().Add(time.Minute)
	for n := range 3 {
		at := noon().Add(time.Duration(n) * time.Second)
		c, err := s.Strike(ctx, key, at, end.Add(time.Duration(n)*time.Hour))
		must(t, err)
		before := at
		if n > 0 {
			before = at.Add(-time.Second)
		}
		if c.Number != n+1 || !c.Last.Equal(at) || !c.Before.Equal(before) || !c.Until.Equal(end) {
			t.Errorf("strike %d: %+v", n, c)
		}
	}
	must(t, s.Pardon(ctx, key))
	must(t, s.Pardon(ctx, brokers.HashOf("unknown")))
	list, err := s.Struck(ctx, noon(), 2, 10)
	must(t, err)
	if len(list) != 1 || list[key].Number != 2 || !list[key].Until.Equal(end) {
		t.Errorf("struck: %+v", list)
	}
	for _, c := range []struct{ since, least, most int }{{3, 1, 10}, {0, 3, 10}, {0, 1, 0}} {
		list, err := s.Struck(ctx, noon().Add(time.Duration(c.since)*time.Second), c.least, c.most)
		must(t, err)
		if len(list) != 0 {
			t.Errorf("struck %+v: %+v", c, list)
		}
	}
	// Anew when the time is over, whether purged or not.
	c, err := s.Strike(ctx, key, end, end.Add(time.Minute))
	must(t, err)
	if c.Number != 1 || !c.Before.Equal(end) || !c.Until.Equal(end.Add(time.Minute)) {
		t.Errorf("anew: %+v", c)
	}
	_, err = s.Purge(ctx, end.Add(time.Hour), 10)
	must(t, err)
	if list, err := s.Struck(ctx, noon(), 0, 10); err != nil || len(list) != 0 {
		t.Errorf("after purging: %v %v", list, err)
	}
	// Many at once count as many.
	const many = 64
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			_, err := s.Strike(ctx, key, noon(), end)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	list, err = s.Struck(ctx, noon(), many, 10)
	must(t, err)
	if len(list) != 1 || list[key].Number != many {
		t.Errorf("%d at once: %+v", many, list)
	}
}
