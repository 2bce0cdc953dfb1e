package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Outages lists those that have not ended.
func (m *Memory) Outages(_ context.Context, now time.Time) ([]brokers.Outage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []brokers.Outage
	for _, o := range m.outages {
		if o.Until.IsZero() || now.Before(o.Until) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b brokers.Outage) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// SaveOutage keeps one in place of an earlier one of its ID.
func (m *Memory) SaveOutage(_ context.Context, o brokers.Outage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.room(rowCost); err != nil {
		return err
	}
	m.outages[o.ID] = o
	return nil
}

// DeleteOutage removes one, or ErrNotFound.
func (m *Memory) DeleteOutage(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.outages[id]; !there {
		return brokers.ErrNotFound
	}
	delete(m.outages, id)
	return nil
}

// Bans lists those that have not ended.
func (m *Memory) Bans(_ context.Context, now time.Time) ([]brokers.Ban, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []brokers.Ban
	for _, b := range m.bans {
		if now.Before(b.Until) {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b brokers.Ban) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// SaveBan keeps one in place of an earlier one of its ID.
func (m *Memory) SaveBan(_ context.Context, b brokers.Ban) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.room(rowCost); err != nil {
		return err
	}
	m.bans[b.ID] = b
	return nil
}

// DeleteBan removes one, or ErrNotFound.
func (m *Memory) DeleteBan(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.bans[id]; !there {
		return brokers.ErrNotFound
	}
	delete(m.bans, id)
	return nil
}

// Quash ends a counter now. One that is not there is no error.
func (m *Memory) Quash(_ context.Context, key brokers.Hash, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.strikes[key]; ok {
		c.Last, c.Until = now, now
		m.strikes[key] = c
	}
	return nil
}
