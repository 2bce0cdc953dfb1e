package store

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Strike adds to a counter, which begins anew when its time is over.
func (d *database) Strike(ctx context.Context, key brokers.Hash, now, until time.Time) (c brokers.Strikes, err error) {
	err = d.write(ctx, single, func(ctx context.Context, statement statements) error {
		_, c, err = strikes(statement("strike").QueryRowContext(ctx, key[:], millis(now), millis(now), millis(until)))
		return err
	})
	return c, err
}

// Pardon takes one off a counter, if there is one.
func (d *database) Pardon(ctx context.Context, key brokers.Hash) error {
	_, err := d.exec(ctx, "pardon", key[:])
	return err
}

// Struck lists counters of at least so many that were added to since a time.
func (d *database) Struck(ctx context.Context, since time.Time, least, most int) (map[brokers.Hash]brokers.Strikes, error) {
	rows, err := d.statements["struck"].QueryContext(ctx, millis(since), least, most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := map[brokers.Hash]brokers.Strikes{}
	for rows.Next() {
		key, c, err := strikes(rows)
		if err != nil {
			return nil, err
		}
		list[key] = c
	}
	return list, rows.Err()
}

// scanner is a row, or one of several.
type scanner interface{ Scan(into ...any) error }

func strikes(row scanner) (key brokers.Hash, c brokers.Strikes, err error) {
	var hash []byte
	var last, before, until int64
	if err := row.Scan(&hash, &c.Number, &last, &before, &until); err != nil {
		return key, c, err
	}
	copy(key[:], hash)
	c.Last, c.Before, c.Until = time.UnixMilli(last), time.UnixMilli(before), time.UnixMilli(until)
	return key, c, nil
}
