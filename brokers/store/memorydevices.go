package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

type memoryDevice struct {
	data     []byte
	state    string
	polledAt int64
	userCode brokers.Hash
	end      time.Time
}

// SaveDevice keeps the request of a device. ErrConflict if a code is taken.
func (m *Memory) SaveDevice(_ context.Context, r *brokers.DeviceRequest) error {
	data, err := encode(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.devices[r.Code] != nil || m.userCodes[r.UserCode] != nil {
		return brokers.ErrConflict
	}
	if err := m.room(rowCost + len(data)); err != nil {
		return err
	}
	row := &memoryDevice{data: data, state: "pending", userCode: r.UserCode, end: r.ExpiresAt}
	m.devices[r.Code], m.userCodes[r.UserCode] = row, row
	return nil
}

// Device loads a request that nobody has taken up, or ErrNotFound.
func (m *Memory) Device(_ context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pending(userCode, now, "pending")
}

// TakeDevice takes a request up, once; a second time is ErrNotFound.
func (m *Memory) TakeDevice(_ context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pending(userCode, now, "taken")
}

func (m *Memory) pending(userCode brokers.Hash, now time.Time, next string) (*brokers.DeviceRequest, error) {
	row := m.userCodes[userCode]
	if row == nil || row.state != "pending" || !now.Before(row.end) {
		return nil, brokers.ErrNotFound
	}
	row.state = next
	return decode[brokers.DeviceRequest](row.data)
}

// DenyDevice has the device told that it gets nothing.
func (m *Memory) DenyDevice(_ context.Context, code brokers.Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if row := m.devices[code]; row != nil {
		row.state = "denied"
	}
	return nil
}

// PollDevice notes that a device asked, or ErrNotFound.
func (m *Memory) PollDevice(_ context.Context, code brokers.Hash, now time.Time, interval time.Duration) (*brokers.Poll, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.devices[code]
	if row == nil {
		return nil, brokers.ErrNotFound
	}
	request, err := decode[brokers.DeviceRequest](row.data)
	if err != nil {
		return nil, err
	}
	before := row.polledAt
	row.polledAt = millis(now)
	return polled(request, row.state, before, now, interval), nil
}

// SaveRegistration keeps a new client; ErrConflict if the ID is taken.
func (m *Memory) SaveRegistration(_ context.Context, r *brokers.Registration) error {
	return m.register(r, false)
}

// ReplaceRegistration changes a client as a whole; ErrNotFound if it is gone.
func (m *Memory) ReplaceRegistration(_ context.Context, r *brokers.Registration) error {
	return m.register(r, true)
}

func (m *Memory) register(r *brokers.Registration, replace bool) error {
	data, err := encode(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, there := m.clients[r.ID]
	switch {
	case there && !replace:
		return brokers.ErrConflict
	case !there && replace:
		return brokers.ErrNotFound
	}
	if err := m.room(rowCost + len(data)); err != nil {
		return err
	}
	m.clients[r.ID] = data
	return nil
}

// Registration loads a client, or ErrNotFound.
func (m *Memory) Registration(_ context.Context, id string) (*brokers.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.clients[id]
	if !ok {
		return nil, brokers.ErrNotFound
	}
	return decode[brokers.Registration](data)
}

// Registrations lists clients whose ID comes after one, at most so many, by ID.
func (m *Memory) Registrations(_ context.Context, after string, most int) ([]*brokers.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*brokers.Registration
	for _, id := range slices.Sorted(maps.Keys(m.clients)) {
		if id <= after || len(list) == most {
			continue
		}
		r, err := decode[brokers.Registration](m.clients[id])
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// DeleteRegistration removes a client. One that is not there is no error.
func (m *Memory) DeleteRegistration(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.clients, id)
	return nil
}
