package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// BackUp writes a copy of an SQLite database as of one moment into a new file, while
// others work with it. Its records stay as encrypted as they are.
func (s *SQLite) BackUp(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dataSource(s.files.path)) // the readers may write nothing
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return errors.Join(fmt.Errorf("copying database: %w", err), os.Remove(path))
	}
	return syncFile(path)
}

func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// ErrDamaged is a file that is no whole database of ours.
var ErrDamaged = errors.New("the file is not a whole database of this program")

// Inspect looks at a file that comes from elsewhere before anything uses it: without
// writing, without believing what its schema calls, and in bounded steps. What is not
// a whole database of ours is ErrDamaged.
func Inspect(ctx context.Context, path string) error {
	q := url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"trusted_schema(0)", "query_only(1)", "cell_size_check(1)", "mmap_size(0)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	db.SetMaxOpenConns(1)
	if err := inspect(ctx, db); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

func inspect(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	var seen int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&seen); err != nil {
		return err
	}
	if seen == 0 {
		return errors.New("it has no schema of ours")
	}
	known, err := schemaFor("sqlite", migrations)
	if err != nil {
		return err
	}
	if seen > known.version() { // what a newer program added cannot be told from what a stranger did
		return known.admits(seen, seen)
	}
	want, err := schemaAt(ctx, known[:seen])
	if err != nil {
		return err
	}
	have, err := schemaOf(ctx, db)
	if err != nil {
		return err
	}
	for name, text := range have {
		if want[name] != text {
			return fmt.Errorf("its schema has %q, which is not ours", name)
		}
	}
	if len(have) != len(want) {
		return errors.New("its schema is not whole")
	}
	return nil
}

// schemaAt is the schema that migrations make.
func schemaAt(ctx context.Context, known schema) (map[string]string, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // it was only read
	db.SetMaxOpenConns(1)
	for _, m := range known {
		if _, err := db.ExecContext(ctx, string(m.text)); err != nil {
			return nil, err
		}
	}
	return schemaOf(ctx, db)
}

// schemaOf lists the objects of a schema with their definitions. Triggers and views,
// of which we have none, would run code of whoever made the file.
func schemaOf(ctx context.Context, db *sql.DB) (map[string]string, error) {
	const most = 200
	rows, err := db.QueryContext(ctx, `SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema LIMIT ?`, most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		found[name] = text
	}
	return found, rows.Err()
}
