package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/envelope"
)

// dialect is where the databases differ.
type dialect struct {
	// numbered placeholders are $1, $2, … instead of ?.
	numbered bool
	// skipLocked keeps two replicas from waiting for each other over the same
	// rows, share holds a row until the end of the transaction.
	skipLocked, share string
	// lazily lets a commit be acknowledged before it is on the disk: for rows that a
	// login under way can do without.
	lazily string
	// asynchronous is the same as a value to return.
	asynchronous string
	// readFirst reads beside the one writer what a writing would otherwise return.
	readFirst bool
	// compound statements change several tables at once.
	compound bool
	// unique reports whether an error is a violated uniqueness.
	unique func(error) bool
}

// statements finds a prepared statement by its name.
type statements func(name string) *sql.Stmt

// writing is something to be written, with the statements of its transaction.
type writing func(ctx context.Context, statement statements) error

// database is what SQLite and Postgres have in common: the verbs, as prepared
// statements.
type database struct {
	dialect    dialect
	reader     *sql.DB
	statements map[string]*sql.Stmt
	// write runs what writes: one statement, or several that hold together or not at
	// all.
	write func(ctx context.Context, several bool, f writing) error
	// close ends the writer.
	close func() error
	// masters and now make the keyring; without them records lie in the clear.
	masters []envelope.Master
	now     func() time.Time
	keyring *envelope.Keyring
	// alone says that one server at a time opens the database.
	alone bool
	// files are the migrations, those of the program if nil, and knows is the version of
	// the schema that they make.
	files fs.FS
	knows int
	// timelines are of the servers of PostgreSQL; SQLite has none.
	timelines *timelines
}

// What database.write is told.
const (
	single  = false
	several = true
)

// text puts the dialect's words into a statement.
func (d dialect) text(statement string) string {
	statement = strings.NewReplacer("{skip locked}", d.skipLocked, "{share}", d.share, "{lazily}", d.lazily, "{asynchronous}", d.asynchronous).Replace(statement)
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

// preparer is a pool or a connection.
type preparer interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
}

// prepare readies statements, so that a wrong one is noticed at start.
func (d dialect) prepare(ctx context.Context, db preparer, texts [][2]string, into map[string]*sql.Stmt) error {
	for _, named := range texts {
		stmt, err := db.PrepareContext(ctx, d.text(named[1]))
		if err != nil {
			return fmt.Errorf("preparing statement %s: %w", named[0], err)
		}
		into[named[0]] = stmt
	}
	return nil
}

// schema reads the migrations of a kind of database.
func (d *database) schema(kind string) (schema, error) {
	files := d.files
	if files == nil {
		files = migrations
	}
	s, err := schemaFor(kind, files)
	d.knows = s.version()
	return s, err
}

// Close ends all use of the database.
func (d *database) Close() error {
	errs := []error{closeAll(d.statements)}
	if d.reader != nil {
		errs = append(errs, d.reader.Close())
	}
	if d.close != nil { // the writer last: it alone can put the log of SQLite into the file
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}

// exec runs one statement.
func (d *database) exec(ctx context.Context, name string, args ...any) (result sql.Result, err error) {
	err = d.write(ctx, single, func(ctx context.Context, statement statements) error {
		result, err = statement(name).ExecContext(ctx, args...)
		return err
	})
	return result, err
}

// returning runs one statement that returns a record, whose place is given.
func returning[T any](ctx context.Context, d *database, column string, key []byte, name string, args ...any) (record *T, err error) {
	err = d.write(ctx, single, func(ctx context.Context, statement statements) error {
		record, err = one[T](ctx, d, statement(name).QueryRowContext(ctx, args...), column, key)
		return err
	})
	return record, err
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
	data, err := d.sealTransaction(t, t.Revision)
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "save transaction", t.ID, string(t.State), t.Revision, data, millis(t.ExpiresAt), hashed(t.Awaits()), hashed(t.BrowserHash))
	return d.instead(err, brokers.ErrConflict)
}

// Transaction loads a transaction that has not expired.
func (d *database) Transaction(ctx context.Context, id string, now time.Time) (*brokers.Transaction, error) {
	var row transactionRow
	err := d.statements["transaction"].QueryRowContext(ctx, id, millis(now)).Scan(&row.state, &row.revision, &row.takenAt, &row.data)
	if err != nil {
		return nil, missing(err)
	}
	return d.openTransaction(ctx, row, id)
}

// TakeUp takes up the answer that a login awaits, once. The record stays as it is.
func (d *database) TakeUp(ctx context.Context, a brokers.Answer) (*brokers.Transaction, error) {
	if d.dialect.readFirst {
		return d.readAndTakeUp(ctx, a)
	}
	id, awaited, at := brokers.RelayedID(a.RelayState), a.Awaited(), millis(a.Now)
	name, args := "take up", []any{at, id, awaited[:], at}
	if a.Browser != (brokers.Hash{}) {
		name, args = "take up here", append(args, a.Browser[:])
	}
	row := transactionRow{state: string(brokers.Returning), takenAt: sql.NullInt64{Int64: at, Valid: true}}
	err := d.write(ctx, single, func(ctx context.Context, statement statements) error {
		var asynchronous string
		return statement(name).QueryRowContext(ctx, args...).Scan(&row.revision, &row.data, &asynchronous)
	})
	if err != nil {
		return nil, missing(err)
	}
	return d.openTransaction(ctx, row, id)
}

// readAndTakeUp reads the login beside other writings, and takes it up if it is still the
// same.
func (d *database) readAndTakeUp(ctx context.Context, a brokers.Answer) (*brokers.Transaction, error) {
	t, err := d.Transaction(ctx, brokers.RelayedID(a.RelayState), a.Now)
	if err != nil {
		return nil, err
	}
	if !a.Fits(t) {
		return nil, brokers.ErrNotFound
	}
	at := millis(a.Now)
	err = changed(d.exec(ctx, "take up read", at, t.ID, t.Revision))
	if errors.Is(err, brokers.ErrConflict) {
		return nil, brokers.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	t.TakenUp(time.UnixMilli(at))
	return t, nil
}

// hashed is a hash as a column, NULL for none.
func hashed(h brokers.Hash) any {
	if h == (brokers.Hash{}) {
		return nil
	}
	return h[:]
}

// Advance stores t if the stored one is still at from and at t's revision.
func (d *database) Advance(ctx context.Context, t *brokers.Transaction, from brokers.State) error {
	data, err := d.sealTransaction(t, t.Revision+1)
	if err != nil {
		return err
	}
	err = changed(d.exec(ctx, "advance lazily", string(t.State), data, hashed(t.Awaits()), t.ID, string(from), t.Revision))
	if err == nil {
		t.Revision++
	}
	return err
}

// UseAssertionID records an assertion as used until a time; ErrReplayed if it
// was recorded before.
func (d *database) UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error {
	key := assertionHash(issuer, id)
	_, err := d.exec(ctx, "use assertion", key[:], millis(until))
	return d.instead(err, brokers.ErrReplayed)
}

// BindKey notes who uses a card's key; ErrConflict if it was somebody else.
func (d *database) BindKey(ctx context.Context, key, holder brokers.Hash, until time.Time) error {
	var known []byte
	err := d.write(ctx, single, func(ctx context.Context, statement statements) error {
		return statement("bind key").QueryRowContext(ctx, key[:], holder[:], millis(until)).Scan(&known)
	})
	if err == nil && !bytes.Equal(known, holder[:]) {
		err = brokers.ErrConflict
	}
	return err
}

// ForgetKey removes the note. One that is not there is no error.
func (d *database) ForgetKey(ctx context.Context, key brokers.Hash) error {
	_, err := d.exec(ctx, "forget key", key[:])
	return err
}

// Purge removes at most so many expired records of each kind and says how many.
// Each kind is a commit of its own, so that logins wait for one batch at most.
func (d *database) Purge(ctx context.Context, now time.Time, most int) (int, error) {
	removed := 0
	for _, name := range purges() {
		result, err := d.exec(ctx, name, millis(now), most)
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
