package store

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Strike adds to a counter, which begins anew when its time is over.
func (m *Memory) Strike(_ context.Context, key brokers.Hash, now, until time.Time) (brokers.Strikes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(now)
	c, ok := m.strikes[key]
	if !ok {
		if err := m.room(guardCost); err != nil {
			return c, err
		}
	}
	if !ok || !now.Before(c.Until) {
		c = brokers.Strikes{Last: now, Until: until}
	}
	c.Number++
	c.Before, c.Last = c.Last, now
	m.strikes[key] = c
	return c, nil
}

// Pardon takes one off a counter, if there is one.
func (m *Memory) Pardon(_ context.Context, key brokers.Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.strikes[key]; ok && c.Number > 0 {
		c.Number--
		m.strikes[key] = c
	}
	return nil
}

// Struck lists counters of at least so many that were added to since a time.
func (m *Memory) Struck(_ context.Context, since time.Time, least, most int) (map[brokers.Hash]brokers.Strikes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := map[brokers.Hash]brokers.Strikes{}
	for key, c := range m.strikes {
		if len(list) < most && c.Number >= least && !c.Last.Before(since) {
			list[key] = c
		}
	}
	return list, nil
}
