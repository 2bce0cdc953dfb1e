package store

import (
	"context"
	"errors"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// What the rows of the table office begin with.
const (
	outagePrefix = "outage/"
	banPrefix    = "ban/"
	officeColumn = "office.data"
	// forever is the end of what has none.
	forever = int64(1) << 60
)

// Outages lists those in the store that have not ended.
func (d *database) Outages(ctx context.Context, now time.Time) ([]brokers.Outage, error) {
	return officeRecords[brokers.Outage](ctx, d, outagePrefix, now)
}

// SaveOutage keeps one in place of an earlier one of its ID.
func (d *database) SaveOutage(ctx context.Context, o brokers.Outage) error {
	return d.saveOffice(ctx, outagePrefix+o.ID, o, o.Until)
}

// DeleteOutage removes one, or ErrNotFound.
func (d *database) DeleteOutage(ctx context.Context, id string) error {
	return d.deleteOffice(ctx, outagePrefix+id)
}

// Bans lists those that have not ended.
func (d *database) Bans(ctx context.Context, now time.Time) ([]brokers.Ban, error) {
	return officeRecords[brokers.Ban](ctx, d, banPrefix, now)
}

// SaveBan keeps one in place of an earlier one of its ID.
func (d *database) SaveBan(ctx context.Context, b brokers.Ban) error {
	return d.saveOffice(ctx, banPrefix+b.ID, b, b.Until)
}

// DeleteBan removes one, or ErrNotFound.
func (d *database) DeleteBan(ctx context.Context, id string) error {
	return d.deleteOffice(ctx, banPrefix+id)
}

// Quash ends a counter now. One that is not there is no error.
func (d *database) Quash(ctx context.Context, key brokers.Hash, now time.Time) error {
	_, err := d.exec(ctx, "quash", millis(now), millis(now), key[:])
	return err
}

func (d *database) saveOffice(ctx context.Context, id string, record any, until time.Time) error {
	data, err := d.seal(record, officeColumn, []byte(id))
	if err != nil {
		return err
	}
	end := forever
	if !until.IsZero() {
		end = millis(until)
	}
	_, err = d.exec(ctx, "save office", id, data, end)
	return err
}

func (d *database) deleteOffice(ctx context.Context, id string) error {
	err := changed(d.exec(ctx, "delete office", id))
	if errors.Is(err, brokers.ErrConflict) {
		return brokers.ErrNotFound
	}
	return err
}

// officeRecords reads the rows that begin with a prefix, which ends in "/": the next
// character bounds them.
func officeRecords[T any](ctx context.Context, d *database, prefix string, now time.Time) ([]T, error) {
	rows, err := d.statements["office"].QueryContext(ctx, prefix, prefix[:len(prefix)-1]+"0", millis(now))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		var id string
		var data []byte
		if err := rows.Scan(&id, &data); err != nil {
			return nil, err
		}
		record, err := unseal[T](ctx, d, data, officeColumn, []byte(id))
		if err != nil {
			return nil, err
		}
		list = append(list, *record)
	}
	return list, rows.Err()
}
