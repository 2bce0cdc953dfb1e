package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Outages lists those that have not ended.
func (m *Memory) Outages(_ context.Context, now time.Time) ([]brokers.Outage, error) {
	return listed(m, m.outages, func(o brokers.Outage) bool { return o.Until.IsZero() || now.Before(o.Until) }), nil
}

// SaveOutage keeps one in place of an earlier one of its ID.
func (m *Memory) SaveOutage(_ context.Context, o brokers.Outage) error {
	return kept(m, m.outages, o.ID, o)
}

// DeleteOutage removes one, or ErrNotFound.
func (m *Memory) DeleteOutage(_ context.Context, id string) error { return removed(m, m.outages, id) }

// Bans lists those that have not ended.
func (m *Memory) Bans(_ context.Context, now time.Time) ([]brokers.Ban, error) {
	return listed(m, m.bans, func(b brokers.Ban) bool { return now.Before(b.Until) }), nil
}

// SaveBan keeps one in place of an earlier one of its ID.
func (m *Memory) SaveBan(_ context.Context, b brokers.Ban) error { return kept(m, m.bans, b.ID, b) }

// DeleteBan removes one, or ErrNotFound.
func (m *Memory) DeleteBan(_ context.Context, id string) error { return removed(m, m.bans, id) }

// listed are the rows that live, by their IDs.
func listed[T any](m *Memory, rows map[string]T, lives func(T) bool) []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []T
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if row := rows[id]; lives(row) {
			list = append(list, row)
		}
	}
	return list
}

func kept[T any](m *Memory, rows map[string]T, id string, row T) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.room(rowCost); err != nil {
		return err
	}
	rows[id] = row
	return nil
}

func removed[T any](m *Memory, rows map[string]T, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := rows[id]; !there {
		return brokers.ErrNotFound
	}
	delete(rows, id)
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
