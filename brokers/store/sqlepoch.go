package store

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Epoch is the present one.
func (d *database) Epoch(ctx context.Context) (e brokers.Epoch, err error) {
	var begun, seen int64
	err = d.statements["epoch"].QueryRowContext(ctx).Scan(&e.Number, &begun, &seen)
	e.BegunAt, e.SeenAt = time.UnixMilli(begun), time.UnixMilli(seen)
	return e, missing(err)
}

// SeeEpoch notes that a broker works at a time. The note never goes back.
func (d *database) SeeEpoch(ctx context.Context, now time.Time) error {
	_, err := d.exec(ctx, "see epoch", millis(now), millis(now))
	return err
}

// ResetSeen makes the note say a time, also an earlier one: an operator decided which
// clock is right.
func (d *database) ResetSeen(ctx context.Context, now time.Time) error {
	_, err := d.exec(ctx, "reset seen", millis(now))
	return err
}

// BeginEpoch begins another one, of a number that is not below least, and removes
// all that the earlier ones issued: logins, grants with their tokens, sessions,
// pushed requests and requests of devices, and bans.
func (d *database) BeginEpoch(ctx context.Context, least int, now time.Time) (number int, err error) {
	err = d.write(ctx, several, func(ctx context.Context, statement statements) error {
		for _, table := range issuedTables() {
			if _, err := statement("empty " + table).ExecContext(ctx); err != nil {
				return err
			}
		}
		return statement("begin epoch").QueryRowContext(ctx, least, least, millis(now), millis(now)).Scan(&number)
	})
	return number, err
}

// issuedTables hold what an epoch issued. Tokens go with their grants. What was used
// once stays used: assertions are kept.
func issuedTables() []string {
	return []string{"transactions", "access_tokens", "refresh_tokens", "grants", "sessions", "session_links", "participants", "notices", "pushed_requests", "devices"}
}

// LiveSessions tells all sessions that have not ended, in no order. They are read a
// page at a time, so that nothing waits for it.
func (d *database) LiveSessions(ctx context.Context, now time.Time, each func(*brokers.Session) error) error {
	return d.pages(ctx, "live sessions", now, func(key, data []byte) error {
		session, err := unseal[brokers.Session](ctx, d, data, "sessions.data", key)
		if err != nil {
			return err
		}
		return each(session)
	})
}

// LiveGrants tells all grants that have neither ended nor been revoked, with the
// hash of their code.
func (d *database) LiveGrants(ctx context.Context, now time.Time, each func(code brokers.Hash, g *brokers.Grant) error) error {
	return d.pages(ctx, "live grants", now, func(key, data []byte) error {
		grant, err := unseal[brokers.Grant](ctx, d, data, "grants.data", key)
		if err != nil {
			return err
		}
		return each(brokers.Hash(key), grant)
	})
}

// RevokeGrant revokes one with all its tokens. One that is not there is no error.
func (d *database) RevokeGrant(ctx context.Context, code brokers.Hash, now time.Time) error {
	_, err := d.exec(ctx, "revoke grant", millis(now), code[:])
	return err
}

// pages reads rows of key and record by their key.
func (d *database) pages(ctx context.Context, name string, now time.Time, each func(key, data []byte) error) error {
	const size = 500
	after := []byte{}
	for {
		keys, records, err := d.page(ctx, name, after, now, size)
		if err != nil {
			return err
		}
		for i := range keys {
			if err := each(keys[i], records[i]); err != nil {
				return err
			}
		}
		if len(keys) < size {
			return nil
		}
		after = keys[len(keys)-1]
	}
}

func (d *database) page(ctx context.Context, name string, after []byte, now time.Time, size int) (keys, records [][]byte, err error) {
	rows, err := d.statements[name].QueryContext(ctx, after, millis(now), size)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key, data []byte
		if err := rows.Scan(&key, &data); err != nil {
			return nil, nil, err
		}
		keys, records = append(keys, key), append(records, data)
	}
	return keys, records, rows.Err()
}
