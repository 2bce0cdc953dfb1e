package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Session loads a session that has not expired.
func (d *database) Session(ctx context.Context, cookie brokers.Hash, now time.Time) (*brokers.Session, error) {
	return one[brokers.Session](ctx, d, d.statements["session"].QueryRowContext(ctx, cookie[:], millis(now)), "sessions.data", cookie[:])
}

// EndSession removes a session, revokes what was granted in it, and puts a
// notice for everybody who took part into the outbox, all in one step.
func (d *database) EndSession(ctx context.Context, cookie brokers.Hash, now, noticesUntil time.Time) ([]brokers.Participant, error) {
	var list []brokers.Participant
	err := d.write(ctx, several, func(ctx context.Context, statement statements) (err error) {
		list, _, err = d.endSession(ctx, statement, cookie[:], now, noticesUntil)
		return err
	})
	return list, err
}

// endSession does it within a transaction, and reports whether the session was there.
func (d *database) endSession(ctx context.Context, statement statements, cookie []byte, now, noticesUntil time.Time) ([]brokers.Participant, bool, error) {
	session, err := one[brokers.Session](ctx, d, statement("end session").QueryRowContext(ctx, cookie), "sessions.data", cookie)
	if errors.Is(err, brokers.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if _, err := statement("revoke of session").ExecContext(ctx, millis(now), session.ID); err != nil {
		return nil, false, err
	}
	if _, err := statement("unlink session").ExecContext(ctx, session.ID); err != nil {
		return nil, false, err
	}
	rows, err := statement("end participation").QueryContext(ctx, session.ID)
	if err != nil {
		return nil, false, err
	}
	list, err := d.participants(ctx, rows, session.ID)
	if err != nil {
		return nil, false, err
	}
	for _, p := range list {
		data, err := d.seal(p, "notices.data", nil)
		if err != nil {
			return nil, false, err
		}
		if _, err := statement("insert notice").ExecContext(ctx, data, millis(now), millis(noticesUntil)); err != nil {
			return nil, false, err
		}
	}
	return list, true, nil
}

// LinkSession notes by what an upstream names the session. A session need not be there
// yet.
func (d *database) LinkSession(ctx context.Context, links []brokers.Hash, session string, until time.Time) error {
	return d.write(ctx, several, func(ctx context.Context, statement statements) error {
		for _, link := range links {
			if _, err := statement("link session").ExecContext(ctx, link[:], session, millis(until)); err != nil {
				return err
			}
		}
		return nil
	})
}

// EndLinked ends the sessions that were linked to any of the names, each as EndSession
// does, and says how many there were: all or nothing.
func (d *database) EndLinked(ctx context.Context, links []brokers.Hash, now, noticesUntil time.Time) (ended int, err error) {
	err = d.write(ctx, several, func(ctx context.Context, statement statements) error {
		ended = 0
		for _, link := range links {
			rows, err := statement("linked sessions").QueryContext(ctx, link[:])
			if err != nil {
				return err
			}
			cookies, err := keysOf(rows)
			if err != nil {
				return err
			}
			for _, cookie := range cookies {
				_, there, err := d.endSession(ctx, statement, cookie, now, noticesUntil)
				if err != nil {
					return err
				}
				if there {
					ended++
				}
			}
		}
		return nil
	})
	return ended, err
}

// keysOf reads rows of one blob.
func keysOf(rows *sql.Rows) (list [][]byte, err error) {
	defer rows.Close()
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		list = append(list, key)
	}
	return list, rows.Err()
}

// participantKey is the key of a participant's row. The separator cannot occur in
// the ID of a session, which is random text of ours.
func participantKey(session, client string) []byte { return []byte(session + "\x00" + client) }

// participants reads who took part in a session.
func (d *database) participants(ctx context.Context, rows *sql.Rows, session string) ([]brokers.Participant, error) {
	defer rows.Close()
	var list []brokers.Participant
	for rows.Next() {
		var client string
		var data []byte
		if err := rows.Scan(&client, &data); err != nil {
			return nil, err
		}
		record, err := unseal[brokers.Participant](ctx, d, data, "participants.data", participantKey(session, client))
		if err != nil {
			return nil, err
		}
		list = append(list, *record)
	}
	return list, rows.Err()
}

// DueNotices takes notices whose time has come. Until the lease ends nobody else
// gets them.
func (d *database) DueNotices(ctx context.Context, now, lease time.Time, most int) (list []brokers.Notice, err error) {
	err = d.write(ctx, single, func(ctx context.Context, statement statements) error {
		rows, err := statement("due notices").QueryContext(ctx, millis(lease), millis(now), millis(now), most)
		if err != nil {
			return err
		}
		list, err = d.dueNotices(ctx, rows)
		return err
	})
	return list, err
}

func (d *database) dueNotices(ctx context.Context, rows *sql.Rows) (list []brokers.Notice, err error) {
	defer rows.Close()
	for rows.Next() {
		var n brokers.Notice
		var data []byte
		if err := rows.Scan(&n.ID, &n.Attempts, &data); err != nil {
			return nil, err
		}
		p, err := unseal[brokers.Participant](ctx, d, data, "notices.data", nil)
		if err != nil {
			return nil, err
		}
		n.Participant = *p
		list = append(list, n)
	}
	return list, rows.Err()
}

// PostponeNotice sets when a notice is due again.
func (d *database) PostponeNotice(ctx context.Context, id int64, due time.Time) error {
	_, err := d.exec(ctx, "postpone notice", millis(due), id)
	return err
}

// SettleNotice removes a notice that was delivered or given up.
func (d *database) SettleNotice(ctx context.Context, id int64) error {
	_, err := d.exec(ctx, "settle notice", id)
	return err
}

// Push keeps an authorization request.
func (d *database) Push(ctx context.Context, handle brokers.Hash, r *brokers.PushedRequest) error {
	data, err := d.seal(r, "pushed_requests.data", handle[:])
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "push", handle[:], data, millis(r.ExpiresAt))
	return d.instead(err, brokers.ErrConflict)
}

// Pushed loads a pushed request that has neither expired nor been used up.
func (d *database) Pushed(ctx context.Context, handle brokers.Hash, now time.Time) (*brokers.PushedRequest, error) {
	return one[brokers.PushedRequest](ctx, d, d.statements["pushed"].QueryRowContext(ctx, handle[:], millis(now)), "pushed_requests.data", handle[:])
}

// SaveReceipt keeps a level receipt. The first of an ID stays.
func (d *database) SaveReceipt(ctx context.Context, id string, receipt []byte, until time.Time) error {
	sealed, err := d.sealBytes(receipt, "receipts.data", []byte(id), 0)
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "save receipt", id, sealed, millis(until))
	return err
}

// Receipt loads a level receipt, or ErrNotFound.
func (d *database) Receipt(ctx context.Context, id string, now time.Time) ([]byte, error) {
	var data []byte
	err := d.statements["receipt"].QueryRowContext(ctx, id, millis(now)).Scan(&data)
	if err != nil {
		return nil, missing(err)
	}
	return d.unsealBytes(ctx, data, "receipts.data", []byte(id), 0)
}
