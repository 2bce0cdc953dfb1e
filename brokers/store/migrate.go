package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

// declaredFrom is the first migration that declares which programs may go on using the
// database, and the first that a database records it with. Each before it is for the
// programs that know it.
const declaredFrom = 12

// usableMark begins the first line of a migration from declaredFrom on, with the schema
// version of the oldest program that may use the database afterwards behind it.
const usableMark = "-- usable from "

// errNewerSchema is a database that a newer program has changed in a way that this one
// cannot live with.
var errNewerSchema = errors.New("use a newer program")

// A migration is one step of the schema. The newest program of several that share a
// database makes it while older ones work with it, and an operator may go back to an
// older program afterwards (threats S-35). So a migration expands what is there: tables
// and indexes, and columns that may be NULL or have a default. What the program before
// still uses goes in a later version, when no program uses it any more.
type migration struct {
	name string
	text []byte
	// usableFrom is the schema version of the oldest program that may use the database
	// afterwards.
	usableFrom int
}

// schema is what this program knows of one kind of database.
type schema []migration

// schemaFor reads the migrations in the order of their names, which begin with their
// numbers.
func schemaFor(kind string, files fs.FS) (schema, error) {
	names, err := fs.Glob(files, "migrations/"+kind+"/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var list schema
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		m := migration{name, text, i + 1}
		if i+1 >= declaredFrom {
			if m.usableFrom, err = declared(string(text), i+1); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		list = append(list, m)
	}
	return list, nil
}

// declared reads the first line of a migration.
func declared(text string, number int) (int, error) {
	line, _, _ := strings.Cut(text, "\n")
	from, ok := strings.CutPrefix(line, usableMark)
	usable, err := strconv.Atoi(from)
	if !ok || err != nil || usable < declaredFrom || usable > number {
		return 0, fmt.Errorf("its first line has to be %q with a schema version of %d to %d", usableMark, declaredFrom, number)
	}
	return usable, nil
}

// version is that of a database with all of it.
func (s schema) version() int { return len(s) }

// usableFrom is the schema version of the oldest program that may use the database once
// it has all of it.
func (s schema) usableFrom() int {
	oldest := 0
	for _, m := range s {
		oldest = max(oldest, m.usableFrom)
	}
	return oldest
}

// admits judges a database that is newer than this program.
func (s schema) admits(version, usableFrom int) error {
	if usableFrom <= s.version() {
		return nil
	}
	return fmt.Errorf("the database has schema version %d, for programs from schema %d on; this program has %d: %w", version, usableFrom, s.version(), errNewerSchema)
}

// run executes the migrations that a database of a version has not seen. What the
// database says of itself is no more to be trusted than the rest of it: a flipped bit can
// make the number negative.
func (s schema) run(ctx context.Context, tx *sql.Tx, seen int) error {
	if seen < 0 || seen > len(s) {
		return fmt.Errorf("the database has schema version %d, which no program makes: it is damaged; restore a backup", seen)
	}
	for _, m := range s[seen:] {
		if _, err := tx.ExecContext(ctx, string(m.text)); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// migrateSQLite runs in one transaction; SQLite's user_version counts.
func migrateSQLite(ctx context.Context, db *sql.DB, s schema) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var seen int
	if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&seen); err != nil {
		return err
	}
	if seen > s.version() {
		usable := seen
		if err := tx.QueryRowContext(ctx, `SELECT usable_from FROM schema_version WHERE version = ?`, seen).Scan(&usable); err != nil {
			return errors.Join(s.admits(seen, seen), err)
		}
		return s.admits(seen, usable)
	}
	if seen == s.version() {
		return nil
	}
	if err := s.run(ctx, tx, seen); err != nil {
		return err
	}
	// A pragma takes no parameters; the value is a small integer of ours.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, s.version())); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO schema_version (version, usable_from) VALUES (?, ?)`, s.version(), s.usableFrom()); err != nil {
		return err
	}
	return tx.Commit()
}

// How a migration of PostgreSQL makes its way among logins: it waits for a lock for a
// moment only, because whoever comes meanwhile waits behind it, and then tries again.
const (
	migrationTries = 100
	migrationPause = 200 * time.Millisecond
)

// migratePostgres runs in one transaction that holds an advisory lock, so that
// of several replicas one migrates while the others wait. A schema that is up to date
// is only read: the role of the application need not be its owner.
func migratePostgres(ctx context.Context, db *sql.DB, s schema) error {
	for try := 1; ; try++ {
		err := tryPostgres(ctx, db, s)
		if try == migrationTries || !inTheWay(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(migrationPause):
		}
	}
}

// inTheWay reports whether others held what was needed.
func inTheWay(err error) bool {
	const lockNotAvailable, deadlock = "55P03", "40P01" // PostgreSQL, appendix A
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == lockNotAvailable || e.Code == deadlock)
}

func tryPostgres(ctx context.Context, db *sql.DB, s schema) error {
	const lock = 0x656964_62726f6b // "eidbrok"; any number that nobody else takes
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `SELECT set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true)`); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lock)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `SELECT set_config('lock_timeout', '300ms', true)`); err != nil {
		return err
	}
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT to_regclass('schema_version') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	var seen int
	if there {
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`).Scan(&seen); err != nil {
			return err
		}
	} else if _, err := tx.ExecContext(ctx, `CREATE TABLE schema_version (version BIGINT NOT NULL)`); err != nil {
		return err
	}
	if seen > s.version() {
		usable := seen
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(usable_from), max(version)) FROM schema_version WHERE version = $1`, seen).Scan(&usable); err != nil {
			return errors.Join(s.admits(seen, seen), err)
		}
		return s.admits(seen, usable)
	}
	if seen == s.version() {
		return nil
	}
	if err := s.run(ctx, tx, seen); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO schema_version (version, usable_from) VALUES ($1, $2)`, s.version(), s.usableFrom()); err != nil {
		return err
	}
	return tx.Commit()
}
