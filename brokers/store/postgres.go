package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Postgres keeps everything in a PostgreSQL database (14 or later), which any
// number of replicas may share. What happens once happens once because rows are
// changed by single conditional statements and unique keys, at the isolation
// level read committed. It never asks a replica, nor a primary whose place another one
// has taken (timelines).
type Postgres struct {
	*database
}

// OpenPostgres connects with a connection string or URL as libpq takes them and
// brings the schema up to date; replicas that start at once do that one after
// the other. The pool has at most so many connections, default 16.
func OpenPostgres(ctx context.Context, connection string, connections int, options ...Option) (*Postgres, error) {
	config, err := postgresConfig(connection)
	if err != nil {
		return nil, err
	}
	if connections <= 0 {
		connections = 16
	}
	lines := &timelines{}
	config.ValidateConnect = lines.after(config.ValidateConnect)
	db := stdlib.OpenDB(*config, stdlib.OptionResetSession(lines.reuse))
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	p := &Postgres{&database{
		dialect: dialect{
			numbered: true, skipLocked: "FOR UPDATE SKIP LOCKED", share: "FOR SHARE", unique: postgresUnique, compound: true,
			lazily: "RETURNING set_config('synchronous_commit', 'off', true)", asynchronous: "set_config('synchronous_commit', 'off', true)", // for this transaction only
		},
		reader: db, statements: map[string]*sql.Stmt{}, timelines: lines,
	}}
	p.write = func(ctx context.Context, several bool, f writing) error { return p.perform(ctx, db, several, f) }
	for _, option := range options {
		option(p.database)
	}
	known, err := p.schema("postgres")
	if err == nil {
		err = migratePostgres(ctx, db, known)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrating database: %w", err), p.Close())
	}
	if err := p.dialect.prepare(ctx, db, slices.Concat(writes(), compounds(), reads()), p.statements); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.unlock(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), p.Close())
	}
	return p, nil
}

// MigratePostgres brings the schema up to date and does nothing else: for a role that
// owns it.
func MigratePostgres(ctx context.Context, connection string) error {
	config, err := postgresConfig(connection)
	if err != nil {
		return err
	}
	known, err := schemaFor("postgres", migrations)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	return errors.Join(migratePostgres(ctx, db, known), db.Close())
}

// postgresConfig reads a connection string.
func postgresConfig(connection string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(connection)
	if err != nil {
		return nil, errors.New("opening database: the connection string is malformed") // it may hold a password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// Nobody waits long for a lock or a statement that hangs: the visitor is told to
	// come again (threats S-27). The connection string may say otherwise.
	for name, value := range map[string]string{"lock_timeout": "2s", "statement_timeout": "10s", "idle_in_transaction_session_timeout": "30s"} {
		if _, said := config.RuntimeParams[name]; !said {
			config.RuntimeParams[name] = value
		}
	}
	return config, nil
}

// How long a commit may wait for the standby that synchronous_standby_names wants. One that
// is given up was acknowledged to nobody. Single statements have the time of a statement
// beside it.
const (
	commitPatience    = 5 * time.Second
	statementPatience = 15 * time.Second
)

// perform runs one statement by itself, and several in a transaction.
func (p *Postgres) perform(ctx context.Context, db *sql.DB, several bool, f writing) error {
	if !several {
		ctx, cancel := context.WithTimeout(ctx, statementPatience)
		defer cancel()
		return f(ctx, func(name string) *sql.Stmt { return p.statements[name] })
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback()
	if err := f(ctx, func(name string) *sql.Stmt { return tx.StmtContext(ctx, p.statements[name]) }); err != nil {
		return err
	}
	impatient := time.AfterFunc(commitPatience, cancel)
	defer impatient.Stop()
	return tx.Commit()
}

func postgresUnique(err error) bool {
	const uniqueViolation = "23505" // PostgreSQL, appendix A
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == uniqueViolation
}
