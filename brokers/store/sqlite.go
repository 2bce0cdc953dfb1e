package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite keeps everything in one file, in write-ahead mode. Several processes on
// one machine may share it.
//
// Whatever was acknowledged survives the death of the process at any moment, and a power
// cut, but for the steps of a login up to its code, which can be begun anew: the log is
// synced before anybody is told (durable). The database itself is synced as
// synchronous=NORMAL does it, so that it is whole after any cut.
type SQLite struct {
	// SQLite has one writer at a time, so writes queue for the one connection of
	// the writer instead of polling for the file lock, and share commits (batches).
	// The log is copied beside it (checkpoints).
	*database
	files files
}

// OpenSQLite opens or creates the database file and brings its schema up to
// date. A new file is readable for its owner only.
func OpenSQLite(ctx context.Context, path string, options ...Option) (*SQLite, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	s := &SQLite{database: &database{dialect: dialect{readFirst: true, asynchronous: "'on'", unique: sqliteUnique}, statements: map[string]*sql.Stmt{}}}
	for _, option := range options {
		option(s.database)
	}
	release := func() error { return nil }
	if s.alone {
		unlock, err := Lock(path)
		if err != nil {
			return nil, fmt.Errorf("opening database: %w", err)
		}
		release = sync.OnceValue(unlock)
	}
	writer, err := sql.Open("sqlite", dataSource(path, "_txlock", "immediate"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), release())
	}
	s.close = func() error { return errors.Join(writer.Close(), release()) }
	writer.SetMaxOpenConns(1)
	known, err := s.schema("sqlite")
	if err == nil {
		err = migrateSQLite(ctx, writer, known)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrating database: %w", err), s.Close())
	}
	if s.reader, err = sql.Open("sqlite", dataSource(path, "_pragma", "query_only(1)", "_pragma", "cache_size(-512)")); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), s.Close())
	}
	readers := max(2, runtime.GOMAXPROCS(0))
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	beside, err := sql.Open("sqlite", dataSource(path, "_pragma", "cache_size(-256)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), s.Close())
	}
	beside.SetMaxOpenConns(1)
	b, err := startBatches(ctx, path, writer, beside, s.dialect)
	if err != nil {
		return nil, errors.Join(err, beside.Close(), s.Close())
	}
	s.write, s.close = b.write, func() error { return errors.Join(b.close(), release()) }
	if err := s.dialect.prepare(ctx, s.reader, reads(), s.statements); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.unlock(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), s.Close())
	}
	if s.files, err = lookAt(path); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), s.Close())
	}
	return s, nil
}

func dataSource(path string, extra ...string) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "trusted_schema(0)", "foreign_keys(1)", "cache_size(-2048)", "wal_autocheckpoint(16000)",
	}}
	for i := 0; i+1 < len(extra); i += 2 {
		q.Add(extra[i], extra[i+1])
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func sqliteUnique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE)
}
