package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// S-11: with the documented roles the application works, and can neither change the
// schema, nor read other tables, nor reach files or programs of the server. A schema
// that is out of date is told of and not changed.
func TestApplicationHasTheLeastPrivilege(t *testing.T) {
	ctx := t.Context()
	server, err := postgres.Start(ctx, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	roles, err := os.ReadFile(filepath.Join("..", "..", "cmd", "eidbroker", "roles.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Do(ctx, string(roles), "CREATE TABLE public.others (secret TEXT)"); err != nil {
		t.Fatal(err)
	}
	application, owner := server.As("eidbroker", "broker"), server.As("eidbroker_owner", "broker")
	if s, err := store.OpenPostgres(ctx, application, 4); err == nil {
		t.Error("the application made the schema", s.Close())
	}
	if err := store.MigratePostgres(ctx, owner); err != nil {
		t.Fatal(err)
	}
	brokertest.TestStore(t, func(t *testing.T) brokertest.Store {
		s, err := store.OpenPostgres(ctx, application, 4)
		if err != nil {
			t.Fatal(err)
		}
		if s.Timeline() != 1 {
			t.Errorf("it sees timeline %d", s.Timeline())
		}
		if _, err := s.BeginEpoch(ctx, 0, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Purge(ctx, time.Now().Add(1000*time.Hour), 100_000); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
	connection, err := pgx.Connect(ctx, application)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.Background()) }) // the server goes anyway
	for _, statement := range []string{
		"CREATE TABLE broker.mine (a INT)", "CREATE TABLE public.mine (a INT)", "ALTER TABLE broker.grants ADD COLUMN a INT",
		"DROP TABLE broker.grants", "TRUNCATE broker.grants", "SELECT * FROM public.others", "SELECT rolpassword FROM pg_authid",
		"COPY broker.grants TO '/tmp/eidbroker-grants'", "COPY broker.grants TO PROGRAM 'true'", "COPY broker.grants FROM '/etc/passwd'",
		"SELECT pg_read_file('/etc/passwd')", "CREATE EXTENSION file_fdw", "CREATE ROLE mine", "SET ROLE eidbroker_owner", "ALTER SYSTEM SET fsync = off",
		"CREATE FUNCTION broker.f() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
	} {
		_, err := connection.Exec(ctx, statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// S-11, S-12: SQLite does not trust what its schema calls, attaches nothing through
// the readers, and loads no extension.
func TestSQLiteHasTheLeastPrivilege(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	s := open(t, path)
	for statement, want := range map[string]string{
		"CREATE TABLE mine (a)": "readonly", "DELETE FROM grants": "readonly", "SELECT load_extension('/tmp/x')": "not authorized|no such function",
	} {
		_, err := store.Reader(s).ExecContext(t.Context(), statement)
		if err == nil || !anyOf(err.Error(), want) {
			t.Errorf("%s: %v", statement, err)
		}
	}
	var trusted int
	if err := store.Reader(s).QueryRowContext(t.Context(), "PRAGMA trusted_schema").Scan(&trusted); err != nil || trusted != 0 {
		t.Errorf("trusted_schema is %d, %v", trusted, err)
	}
}

func anyOf(text, alternatives string) bool {
	for one := range strings.SplitSeq(alternatives, "|") {
		if strings.Contains(text, one) {
			return true
		}
	}
	return false
}
