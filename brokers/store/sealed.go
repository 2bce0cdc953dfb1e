package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/envelope"
)

// Option is a choice at opening a database.
type Option func(*database)

// WithMasters encrypts every record under data keys that the first master key
// wraps; the others unwrap. Without it records lie in the clear, as a load target
// or a test may want. Records of a time before encryption are encrypted once, at
// opening; after that an unencrypted one is an error.
func WithMasters(now func() time.Time, masters ...envelope.Master) Option {
	return func(d *database) { d.now, d.masters = now, masters }
}

// Keyring is nil if records lie in the clear.
func (d *database) Keyring() *envelope.Keyring { return d.keyring }

// place names a record: the associated data that keeps it in its row.
func place(column string, key []byte, revision int) []byte {
	name := make([]byte, 0, len(column)+len(key)+8)
	name = append(append(append(name, column...), 0), key...)
	return strconv.AppendInt(append(name, 0), int64(revision), 10)
}

// seal encodes and, with a keyring, encrypts a record.
func (d *database) seal(record any, column string, key []byte) ([]byte, error) {
	data, err := encode(record)
	if err != nil {
		return nil, err
	}
	return d.sealBytes(data, column, key, 0)
}

func (d *database) sealBytes(data []byte, column string, key []byte, revision int) ([]byte, error) {
	if d.keyring == nil {
		return data, nil
	}
	return d.keyring.Seal(place(column, key, revision), data)
}

func (d *database) unsealBytes(ctx context.Context, data []byte, column string, key []byte, revision int) ([]byte, error) {
	if d.keyring == nil {
		return data, nil
	}
	clear, err := d.keyring.Unseal(ctx, place(column, key, revision), data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", column, err)
	}
	return clear, nil
}

// unseal is the reverse of seal.
func unseal[T any](ctx context.Context, d *database, data []byte, column string, key []byte) (*T, error) {
	data, err := d.unsealBytes(ctx, data, column, key, 0)
	if err != nil {
		return nil, err
	}
	return decode[T](data)
}

// sealTransaction encrypts a transaction as it is at a revision.
func (d *database) sealTransaction(t *brokers.Transaction, revision int) ([]byte, error) {
	after := *t
	after.Revision = revision
	data, err := encode(&after)
	if err != nil {
		return nil, err
	}
	return d.sealBytes(data, "transactions.data", []byte(t.ID), revision)
}

// transactionRow is what is kept of a login.
type transactionRow struct {
	state    string
	revision int
	// takenAt is when its answer was taken up, in Unix milliseconds.
	takenAt sql.NullInt64
	data    []byte
}

// openTransaction decrypts and decodes a login. What its columns say beyond the record
// is only that its answer was taken up.
func (d *database) openTransaction(ctx context.Context, row transactionRow, id string) (*brokers.Transaction, error) {
	data, err := d.unsealBytes(ctx, row.data, "transactions.data", []byte(id), row.revision)
	if err != nil {
		return nil, err
	}
	t, err := decode[brokers.Transaction](data)
	if err == nil && t.State == brokers.Departed && row.state == string(brokers.Returning) {
		t.TakenUp(time.UnixMilli(row.takenAt.Int64))
	}
	return t, err
}

// one reads the blob of a single row, whose key the caller knows.
func one[T any](ctx context.Context, d *database, row *sql.Row, column string, key []byte) (*T, error) {
	var data []byte
	if err := row.Scan(&data); err != nil {
		return nil, missing(err)
	}
	return unseal[T](ctx, d, data, column, key)
}

// unlock opens the keyring, and encrypts what is older than it.
func (d *database) unlock(ctx context.Context) error {
	if len(d.masters) == 0 {
		list, err := d.DataKeys(ctx)
		if err == nil && len(list) > 0 {
			err = errors.New("the database is encrypted; a master key is required")
		}
		return err
	}
	list, err := d.DataKeys(ctx)
	if err != nil {
		return fmt.Errorf("reading data keys: %w", err)
	}
	if d.keyring, err = envelope.Open(ctx, d, d.now, d.masters...); err != nil {
		return err
	}
	if len(list) > 0 {
		return nil
	}
	return d.adopt(ctx)
}

// sealedColumn is a column of records, with what its place is made of.
type sealedColumn struct{ table, column, key, revision string }

func (c sealedColumn) name() string { return c.table + "." + c.column }

func sealedColumns() []sealedColumn {
	return []sealedColumn{
		{"transactions", "data", "id", "revision"},
		{"grants", "data", "code_hash", "0"},
		{"grants", "token_data", "code_hash", "0"},
		{"access_tokens", "data", "hash", "0"},
		{"refresh_tokens", "data", "hash", "0"},
		{"sessions", "data", "cookie_hash", "0"},
		{"pushed_requests", "data", "hash", "0"},
		{"receipts", "data", "id", "0"},
		{"devices", "data", "code_hash", "0"},
		{"clients", "data", "id", "0"},
		{"signing_keys", "data", "number", "0"},
		{"office", "data", "id", "0"},
	}
}

// adopt encrypts the records of a database that had no keys, in one transaction.
// Participants and notices have keys of several columns and live no longer than a
// session, whose end they would tell; that is not told.
func (d *database) adopt(ctx context.Context) error {
	return d.write(ctx, several, func(ctx context.Context, statement statements) error {
		for _, name := range []string{"forget participants", "forget notices"} {
			if _, err := statement(name).ExecContext(ctx); err != nil {
				return err
			}
		}
		for _, c := range sealedColumns() {
			as := func(data, key []byte, revision int) ([]byte, error) {
				return d.sealBytes(data, c.name(), key, revision)
			}
			if err := d.sealAgain(ctx, statement, c, as); err != nil {
				return fmt.Errorf("encrypting the records of %s: %w", c.table, err)
			}
		}
		return nil
	})
}

// sealAgain replaces each record of a column by what a function makes of it; nil
// is none.
func (d *database) sealAgain(ctx context.Context, statement statements, c sealedColumn, as func(data, key []byte, revision int) ([]byte, error)) error {
	type change struct {
		key        any
		old, fresh []byte
	}
	var changes []change
	rows, err := statement("records of " + c.name()).QueryContext(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var next change
		var revision int
		if err := rows.Scan(&next.key, &revision, &next.old); err != nil {
			return err
		}
		key, ok := next.key.([]byte)
		if !ok {
			key = fmt.Append(nil, next.key)
		}
		if next.fresh, err = as(next.old, key, revision); err != nil {
			return err
		}
		if next.fresh != nil {
			changes = append(changes, next)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, next := range changes {
		if _, err := statement("seal again "+c.name()).ExecContext(ctx, next.fresh, next.key, next.old); err != nil {
			return err
		}
	}
	return nil
}

// KeepKeys learns and makes data keys, seals again what has no end of life, and
// destroys the data keys under which nothing can be alive any more: those older
// than the longest life of a record. A newer program may keep records of which this
// one does not know how long they live, so where there was one, it destroys none.
// Without a keyring it does nothing.
func (d *database) KeepKeys(ctx context.Context, longestLife time.Duration) error {
	if d.keyring == nil {
		return nil
	}
	if err := d.keyring.Refresh(ctx); err != nil {
		return err
	}
	for _, c := range []sealedColumn{{"clients", "data", "id", "0"}, {"signing_keys", "data", "number", "0"}, {"office", "data", "id", "0"}} {
		if err := d.reseal(ctx, c); err != nil {
			return fmt.Errorf("sealing %s again: %w", c.table, err)
		}
	}
	var version int
	if err := d.statements["schema version"].QueryRowContext(ctx).Scan(&version); err != nil {
		return fmt.Errorf("reading the version of the schema: %w", err)
	}
	if version > d.knows {
		return nil
	}
	_, err := d.keyring.Destroy(ctx, longestLife)
	return err
}

// reseal seals what has no end of life under the newest data key. What changes
// meanwhile was sealed under it anyway.
func (d *database) reseal(ctx context.Context, c sealedColumn) error {
	return d.write(ctx, several, func(ctx context.Context, statement statements) error {
		return d.sealAgain(ctx, statement, c, func(data, key []byte, revision int) ([]byte, error) {
			if !d.keyring.Stale(data) {
				return nil, nil
			}
			record, err := d.unsealBytes(ctx, data, c.name(), key, revision)
			if err != nil {
				return nil, err
			}
			return d.sealBytes(record, c.name(), key, revision)
		})
	})
}

// DataKeys lists the data keys, oldest first.
func (d *database) DataKeys(ctx context.Context) ([]envelope.DataKey, error) {
	rows, err := d.statements["data keys"].QueryContext(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []envelope.DataKey
	for rows.Next() {
		var k envelope.DataKey
		var created int64
		if err := rows.Scan(&k.ID, &k.Master, &k.Wrapped, &created); err != nil {
			return nil, err
		}
		k.CreatedAt = time.UnixMilli(created)
		list = append(list, k)
	}
	return list, rows.Err()
}

// AddDataKey inserts a data key; envelope.ErrTaken if another replica did.
func (d *database) AddDataKey(ctx context.Context, k envelope.DataKey) error {
	_, err := d.exec(ctx, "add data key", k.ID, k.Master, k.Wrapped, millis(k.CreatedAt))
	return d.instead(err, envelope.ErrTaken)
}

// ReplaceDataKey re-wraps a data key; envelope.ErrTaken if another replica did.
func (d *database) ReplaceDataKey(ctx context.Context, k envelope.DataKey, from string) error {
	err := changed(d.exec(ctx, "replace data key", k.Master, k.Wrapped, k.ID, from))
	if errors.Is(err, brokers.ErrConflict) {
		return envelope.ErrTaken
	}
	return err
}

// DestroyDataKeys removes those made before a time, never the newest.
func (d *database) DestroyDataKeys(ctx context.Context, before time.Time) (int, error) {
	result, err := d.exec(ctx, "destroy data keys", millis(before))
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
