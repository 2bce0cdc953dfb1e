package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

// pending lists the migrations that a database has not seen, in the order of
// their names. A database from a newer program is refused.
func pending(kind string, seen int) ([]string, error) {
	files, err := fs.Glob(migrations, "migrations/"+kind+"/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	if seen > len(files) {
		return nil, fmt.Errorf("the database has schema version %d, this program knows %d: use a newer program", seen, len(files))
	}
	return files[seen:], nil
}

// run executes migrations and tells the number of the last one.
func run(ctx context.Context, tx *sql.Tx, kind string, seen int) (int, error) {
	files, err := pending(kind, seen)
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	return seen + len(files), nil
}

// migrateSQLite runs in one transaction; SQLite's user_version counts.
func migrateSQLite(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var seen int
	if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&seen); err != nil {
		return err
	}
	version, err := run(ctx, tx, "sqlite", seen)
	if err != nil {
		return err
	}
	// A pragma takes no parameters; the value is a small integer of ours.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version)); err != nil {
		return err
	}
	return tx.Commit()
}

// migratePostgres runs in one transaction that holds an advisory lock, so that
// of several replicas one migrates while the others wait. A schema that is up to date
// is only read: the role of the application need not be its owner.
func migratePostgres(ctx context.Context, db *sql.DB) error {
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
	version, err := run(ctx, tx, "postgres", seen)
	if err != nil {
		return err
	}
	if version == seen {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO schema_version (version) VALUES ($1)`, version); err != nil {
		return err
	}
	return tx.Commit()
}
