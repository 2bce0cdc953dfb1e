package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/eidbridge/eidbridge/brokers"
)

// SQLite keeps everything in one file, in write-ahead mode. Several processes on
// one machine may share it.
//
// It commits with synchronous=NORMAL: whatever was acknowledged survives the
// death of the process at any moment. A power cut may undo the last commits, but
// never half of one; codes and logins live shorter than a restart of the
// machine takes.
type SQLite struct {
	// SQLite has one writer at a time, so writes queue here instead of polling
	// for the file lock.
	writer, reader *sql.DB
	verbs          verbs
}

// verbs are the prepared statements.
type verbs struct {
	saveTransaction, advance, insertGrant, redeem, revoke, useAssertion, saveSession, endSession *sql.Stmt
	transaction, byRelayState, byToken, session                                                  *sql.Stmt
}

// OpenSQLite opens or creates the database file and brings its schema up to
// date. A new file is readable for its owner only.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	s := &SQLite{}
	if s.writer, err = sql.Open("sqlite", dataSource(path, "_txlock", "immediate")); err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	s.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writer); err != nil {
		return nil, errors.Join(fmt.Errorf("migrating database: %w", err), s.Close())
	}
	if s.reader, err = sql.Open("sqlite", dataSource(path, "_pragma", "query_only(1)")); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), s.Close())
	}
	readers := max(2, runtime.GOMAXPROCS(0))
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func dataSource(path string, extra ...string) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "trusted_schema(0)", "cache_size(-4096)",
	}}
	for i := 0; i+1 < len(extra); i += 2 {
		q.Add(extra[i], extra[i+1])
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (s *SQLite) prepare(ctx context.Context) error {
	const advance = `UPDATE transactions SET state = ?, revision = revision + 1, relay_state = ?, data = ?, expires_at = ?
		WHERE id = ? AND state = ? AND revision = ?`
	const redeem = `UPDATE grants SET redeemed_at = ?, token_hash = ?, token_expires_at = ?, expires_at = max(expires_at, ?)
		WHERE code_hash = ? AND redeemed_at IS NULL AND code_expires_at > ? RETURNING data`
	for _, p := range []struct {
		into **sql.Stmt
		db   *sql.DB
		text string
	}{
		{&s.verbs.saveTransaction, s.writer, `INSERT INTO transactions (id, state, revision, relay_state, data, expires_at) VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.verbs.advance, s.writer, advance},
		{&s.verbs.insertGrant, s.writer, `INSERT INTO grants (code_hash, code_expires_at, data, expires_at) VALUES (?, ?, ?, ?)`},
		{&s.verbs.redeem, s.writer, redeem},
		{&s.verbs.revoke, s.writer, `UPDATE grants SET revoked_at = ? WHERE code_hash = ? AND redeemed_at IS NOT NULL RETURNING data`},
		{&s.verbs.useAssertion, s.writer, `INSERT INTO assertions (hash, expires_at) VALUES (?, ?)`},
		{&s.verbs.saveSession, s.writer, `INSERT INTO sessions (cookie_hash, data, expires_at) VALUES (?, ?, ?)`},
		{&s.verbs.endSession, s.writer, `DELETE FROM sessions WHERE cookie_hash = ?`},
		{&s.verbs.transaction, s.reader, `SELECT data FROM transactions WHERE id = ? AND expires_at > ?`},
		{&s.verbs.byRelayState, s.reader, `SELECT data FROM transactions WHERE relay_state = ? AND expires_at > ?`},
		{&s.verbs.byToken, s.reader, `SELECT data FROM grants WHERE token_hash = ? AND token_expires_at > ? AND revoked_at IS NULL`},
		{&s.verbs.session, s.reader, `SELECT data FROM sessions WHERE cookie_hash = ? AND expires_at > ?`},
	} {
		stmt, err := p.db.PrepareContext(ctx, p.text)
		if err != nil {
			return fmt.Errorf("preparing statement: %w", err)
		}
		*p.into = stmt
	}
	return nil
}

// Close ends all use of the file.
func (s *SQLite) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// conflict tells a violated uniqueness from other errors.
func conflict(err error, instead error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE) {
		return instead
	}
	return err
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// SaveTransaction inserts a new transaction.
func (s *SQLite) SaveTransaction(ctx context.Context, t *brokers.Transaction) error {
	data, err := encode(t)
	if err != nil {
		return err
	}
	_, err = s.verbs.saveTransaction.ExecContext(ctx, t.ID, string(t.State), t.Revision, nullable(t.RelayState()), data, millis(t.ExpiresAt))
	return conflict(err, brokers.ErrConflict)
}

// Transaction loads a transaction that has not expired.
func (s *SQLite) Transaction(ctx context.Context, id string, now time.Time) (*brokers.Transaction, error) {
	return one[brokers.Transaction](s.verbs.transaction.QueryRowContext(ctx, id, millis(now)))
}

// TransactionByRelayState loads the transaction that awaits this answer.
func (s *SQLite) TransactionByRelayState(ctx context.Context, relayState string, now time.Time) (*brokers.Transaction, error) {
	return one[brokers.Transaction](s.verbs.byRelayState.QueryRowContext(ctx, relayState, millis(now)))
}

// one reads the blob of a single row.
func one[T any](row *sql.Row) (*T, error) {
	var data []byte
	if err := row.Scan(&data); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil, brokers.ErrNotFound
		}
		return nil, err
	}
	return decode[T](data)
}

// Advance stores t if the stored one is still at from and at t's revision.
func (s *SQLite) Advance(ctx context.Context, t *brokers.Transaction, from brokers.State) error {
	return advance(ctx, s.verbs.advance, t, from)
}

func advance(ctx context.Context, stmt *sql.Stmt, t *brokers.Transaction, from brokers.State) error {
	data, err := next(t)
	if err != nil {
		return err
	}
	result, err := stmt.ExecContext(ctx, string(t.State), nullable(t.RelayState()), data, millis(t.ExpiresAt), t.ID, string(from), t.Revision)
	if err != nil {
		return conflict(err, brokers.ErrConflict)
	}
	switch n, err := result.RowsAffected(); {
	case err != nil:
		return err
	case n == 0:
		return brokers.ErrConflict
	}
	t.Revision++
	return nil
}

// IssueCode advances t and stores the grant behind the code, both or neither.
func (s *SQLite) IssueCode(ctx context.Context, t *brokers.Transaction, from brokers.State, code brokers.Hash, g *brokers.Grant) error {
	data, err := encode(g)
	if err != nil {
		return err
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("issuing code: %w", err)
	}
	defer tx.Rollback()
	revision := t.Revision
	if err := advance(ctx, tx.StmtContext(ctx, s.verbs.advance), t, from); err != nil {
		return err
	}
	_, err = tx.StmtContext(ctx, s.verbs.insertGrant).ExecContext(ctx, code[:], millis(g.CodeExpiresAt), data, millis(g.CodeExpiresAt))
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Revision = revision
	}
	return conflict(err, brokers.ErrConflict)
}

// RedeemCode turns a code into a token, once. A second time revokes the token.
func (s *SQLite) RedeemCode(ctx context.Context, code, token brokers.Hash, tokenExpiresAt, now time.Time) (*brokers.Grant, error) {
	end := millis(tokenExpiresAt)
	g, err := one[brokers.Grant](s.verbs.redeem.QueryRowContext(ctx, millis(now), token[:], end, end, code[:], millis(now)))
	if !errors.Is(err, brokers.ErrNotFound) {
		return g, err
	}
	g, err = one[brokers.Grant](s.verbs.revoke.QueryRowContext(ctx, millis(now), code[:]))
	if err != nil {
		return nil, err
	}
	return g, brokers.ErrReplayed
}

// GrantByToken loads what a live access token stands for.
func (s *SQLite) GrantByToken(ctx context.Context, token brokers.Hash, now time.Time) (*brokers.Grant, error) {
	return one[brokers.Grant](s.verbs.byToken.QueryRowContext(ctx, token[:], millis(now)))
}

// UseAssertionID records an assertion as used until a time; ErrReplayed if it
// was recorded before.
func (s *SQLite) UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error {
	key := assertionHash(issuer, id)
	_, err := s.verbs.useAssertion.ExecContext(ctx, key[:], millis(until))
	return conflict(err, brokers.ErrReplayed)
}

// SaveSession inserts a new session.
func (s *SQLite) SaveSession(ctx context.Context, session *brokers.Session) error {
	data, err := encode(session)
	if err != nil {
		return err
	}
	_, err = s.verbs.saveSession.ExecContext(ctx, session.CookieHash[:], data, millis(session.ExpiresAt))
	return conflict(err, brokers.ErrConflict)
}

// Session loads a session that has not expired.
func (s *SQLite) Session(ctx context.Context, cookie brokers.Hash, now time.Time) (*brokers.Session, error) {
	return one[brokers.Session](s.verbs.session.QueryRowContext(ctx, cookie[:], millis(now)))
}

// EndSession removes a session; one that is not there is no error.
func (s *SQLite) EndSession(ctx context.Context, cookie brokers.Hash) error {
	_, err := s.verbs.endSession.ExecContext(ctx, cookie[:])
	return err
}

// Purge removes at most so many expired records of each kind and says how many.
// Each kind is a commit of its own, so that logins wait for one batch at most.
func (s *SQLite) Purge(ctx context.Context, now time.Time, most int) (int, error) {
	removed := 0
	for _, text := range []string{
		`DELETE FROM transactions WHERE id IN (SELECT id FROM transactions WHERE expires_at <= ? LIMIT ?)`,
		`DELETE FROM grants WHERE code_hash IN (SELECT code_hash FROM grants WHERE expires_at <= ? LIMIT ?)`,
		`DELETE FROM assertions WHERE hash IN (SELECT hash FROM assertions WHERE expires_at <= ? LIMIT ?)`,
		`DELETE FROM sessions WHERE cookie_hash IN (SELECT cookie_hash FROM sessions WHERE expires_at <= ? LIMIT ?)`,
	} {
		result, err := s.writer.ExecContext(ctx, text, millis(now), most)
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
