package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// SaveDevice keeps the request of a device. ErrConflict if a code is taken.
func (d *database) SaveDevice(ctx context.Context, r *brokers.DeviceRequest) error {
	data, err := d.seal(r, "devices.data", r.Code[:])
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "save device", r.Code[:], r.UserCode[:], data, millis(r.ExpiresAt))
	return d.instead(err, brokers.ErrConflict)
}

// Device loads a request that nobody has taken up, or ErrNotFound.
func (d *database) Device(ctx context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error) {
	return d.device(ctx, d.statements["device"].QueryRowContext(ctx, userCode[:], millis(now)))
}

// TakeDevice takes a request up, once; a second time is ErrNotFound.
func (d *database) TakeDevice(ctx context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error) {
	var r *brokers.DeviceRequest
	err := d.write(ctx, single, func(ctx context.Context, statement statements) (err error) {
		r, err = d.device(ctx, statement("take device").QueryRowContext(ctx, userCode[:], millis(now)))
		return err
	})
	return r, err
}

// device reads a row of code and blob.
func (d *database) device(ctx context.Context, row *sql.Row) (*brokers.DeviceRequest, error) {
	var code, data []byte
	if err := row.Scan(&code, &data); err != nil {
		return nil, missing(err)
	}
	return unseal[brokers.DeviceRequest](ctx, d, data, "devices.data", code)
}

// DenyDevice has the device told that it gets nothing.
func (d *database) DenyDevice(ctx context.Context, code brokers.Hash) error {
	_, err := d.exec(ctx, "deny device", code[:])
	return err
}

// PollDevice notes that a device asked, or ErrNotFound.
func (d *database) PollDevice(ctx context.Context, code brokers.Hash, now time.Time, interval time.Duration) (*brokers.Poll, error) {
	var poll *brokers.Poll
	err := d.write(ctx, several, func(ctx context.Context, statement statements) error {
		var before int64
		if err := statement("polled").QueryRowContext(ctx, code[:]).Scan(&before); err != nil {
			return missing(err)
		}
		var data []byte
		var state string
		if err := statement("poll device").QueryRowContext(ctx, millis(now), code[:]).Scan(&data, &state); err != nil {
			return missing(err)
		}
		request, err := unseal[brokers.DeviceRequest](ctx, d, data, "devices.data", code[:])
		if err != nil {
			return err
		}
		poll = polled(request, state, before, now, interval)
		return nil
	})
	return poll, err
}

// polled says what a device finds.
func polled(r *brokers.DeviceRequest, state string, before int64, now time.Time, interval time.Duration) *brokers.Poll {
	return &brokers.Poll{
		ClientID: r.Request.ClientID, Denied: state == "denied", Expired: !now.Before(r.ExpiresAt),
		TooFast: before != 0 && now.Sub(time.UnixMilli(before)) < interval,
	}
}

// SaveRegistration keeps a new client; ErrConflict if the ID is taken.
func (d *database) SaveRegistration(ctx context.Context, r *brokers.Registration) error {
	data, err := d.seal(r, "clients.data", []byte(r.ID))
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "save client", r.ID, data)
	return d.instead(err, brokers.ErrConflict)
}

// Registration loads a client, or ErrNotFound.
func (d *database) Registration(ctx context.Context, id string) (*brokers.Registration, error) {
	return one[brokers.Registration](ctx, d, d.statements["client"].QueryRowContext(ctx, id), "clients.data", []byte(id))
}

// Registrations lists clients whose ID comes after one, at most so many, by ID.
func (d *database) Registrations(ctx context.Context, after string, most int) ([]*brokers.Registration, error) {
	rows, err := d.statements["clients"].QueryContext(ctx, after, most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*brokers.Registration
	for rows.Next() {
		var id string
		var data []byte
		if err := rows.Scan(&id, &data); err != nil {
			return nil, err
		}
		r, err := unseal[brokers.Registration](ctx, d, data, "clients.data", []byte(id))
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// ReplaceRegistration changes a client as a whole; ErrNotFound if it is gone.
func (d *database) ReplaceRegistration(ctx context.Context, r *brokers.Registration) error {
	data, err := d.seal(r, "clients.data", []byte(r.ID))
	if err != nil {
		return err
	}
	err = changed(d.exec(ctx, "replace client", data, r.ID))
	if errors.Is(err, brokers.ErrConflict) {
		return brokers.ErrNotFound
	}
	return err
}

// DeleteRegistration removes a client. One that is not there is no error.
func (d *database) DeleteRegistration(ctx context.Context, id string) error {
	_, err := d.exec(ctx, "delete client", id)
	return err
}
