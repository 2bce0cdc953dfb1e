package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// dialect is where the databases differ.
type dialect struct {
	// numbered placeholders are $1, $2, … instead of ?.
	numbered bool
	// skipLocked keeps two replicas from waiting for each other over the same
	// rows, share holds a row until the end of the transaction.
	skipLocked, share string
	// unique reports whether an error is a violated uniqueness.
	unique func(error) bool
}

// database is what SQLite and Postgres have in common: the verbs, as prepared
// statements.
type database struct {
	dialect        dialect
	writer, reader *sql.DB
	statements     map[string]*sql.Stmt
}

// text puts the dialect's words into a statement.
func (d dialect) text(statement string) string {
	statement = strings.NewReplacer("{skip locked}", d.skipLocked, "{share}", d.share).Replace(statement)
	if !d.numbered {
		return statement
	}
	var out strings.Builder
	for n, part := range strings.Split(statement, "?") {
		if n > 0 {
			out.WriteString("$" + strconv.Itoa(n))
		}
		out.WriteString(part)
	}
	return out.String()
}

// prepare readies all statements, so that a wrong one is noticed at start.
func (d *database) prepare(ctx context.Context) error {
	d.statements = map[string]*sql.Stmt{}
	for _, half := range []struct {
		db    *sql.DB
		texts [][2]string
	}{{d.writer, writes()}, {d.reader, reads()}} {
		for _, named := range half.texts {
			stmt, err := half.db.PrepareContext(ctx, d.dialect.text(named[1]))
			if err != nil {
				return fmt.Errorf("preparing statement %s: %w", named[0], err)
			}
			d.statements[named[0]] = stmt
		}
	}
	return nil
}

// Close ends all use of the database.
func (d *database) Close() error {
	errs := []error{}
	if d.reader != nil {
		errs = append(errs, d.reader.Close())
	}
	if d.writer != nil && d.writer != d.reader {
		errs = append(errs, d.writer.Close())
	}
	return errors.Join(errs...)
}

// transaction runs f in one transaction. Statements that f names are its own.
func (d *database) transaction(ctx context.Context, f func(statement func(string) *sql.Stmt) error) error {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback()
	if err := f(func(name string) *sql.Stmt { return tx.StmtContext(ctx, d.statements[name]) }); err != nil {
		return err
	}
	return tx.Commit()
}

// instead tells a violated uniqueness from other errors.
func (d *database) instead(err, conflict error) error {
	if err != nil && d.dialect.unique(err) {
		return conflict
	}
	return err
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// one reads the blob of a single row.
func one[T any](row *sql.Row) (*T, error) {
	var data []byte
	if err := row.Scan(&data); err != nil {
		return nil, missing(err)
	}
	return decode[T](data)
}

func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return brokers.ErrNotFound
	}
	return err
}

// changed reports ErrConflict if a statement found no row to change.
func changed(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = brokers.ErrConflict
	}
	return err
}

// SaveTransaction inserts a new transaction.
func (d *database) SaveTransaction(ctx context.Context, t *brokers.Transaction) error {
	data, err := encode(t)
	if err != nil {
		return err
	}
	_, err = d.statements["save transaction"].ExecContext(ctx, t.ID, string(t.State), t.Revision, nullable(t.RelayState()), data, millis(t.ExpiresAt))
	return d.instead(err, brokers.ErrConflict)
}

// Transaction loads a transaction that has not expired.
func (d *database) Transaction(ctx context.Context, id string, now time.Time) (*brokers.Transaction, error) {
	return one[brokers.Transaction](d.statements["transaction"].QueryRowContext(ctx, id, millis(now)))
}

// TransactionByRelayState loads the transaction that awaits this answer.
func (d *database) TransactionByRelayState(ctx context.Context, relayState string, now time.Time) (*brokers.Transaction, error) {
	return one[brokers.Transaction](d.statements["by relay state"].QueryRowContext(ctx, relayState, millis(now)))
}

// Advance stores t if the stored one is still at from and at t's revision.
func (d *database) Advance(ctx context.Context, t *brokers.Transaction, from brokers.State) error {
	err := advance(ctx, d.statements["advance"], t, from)
	if err == nil {
		t.Revision++
	}
	return d.instead(err, brokers.ErrConflict)
}

func advance(ctx context.Context, stmt *sql.Stmt, t *brokers.Transaction, from brokers.State) error {
	data, err := next(t)
	if err != nil {
		return err
	}
	return changed(stmt.ExecContext(ctx, string(t.State), nullable(t.RelayState()), data, millis(t.ExpiresAt), t.ID, string(from), t.Revision))
}

// UseAssertionID records an assertion as used until a time; ErrReplayed if it
// was recorded before.
func (d *database) UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error {
	key := assertionHash(issuer, id)
	_, err := d.statements["use assertion"].ExecContext(ctx, key[:], millis(until))
	return d.instead(err, brokers.ErrReplayed)
}

// Purge removes at most so many expired records of each kind and says how many.
// Each kind is a commit of its own, so that logins wait for one batch at most.
func (d *database) Purge(ctx context.Context, now time.Time, most int) (int, error) {
	removed := 0
	for _, name := range purges() {
		result, err := d.statements[name].ExecContext(ctx, millis(now), most)
		if err != nil {
			return removed, fmt.Errorf("purging: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return removed, fmt.Errorf("purging: %w", err)
		}
		removed += int(n)
	}
	return removed, nil
}
