package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// S-24: wrong data on read. A bit that flips anywhere in the file is an error, or
// changes nothing that is read: it is never taken for a record.
func TestFlippedBitsAreNoticed(t *testing.T) {
	dir, ctx, now := t.TempDir(), t.Context(), time.Now()
	path := filepath.Join(dir, "broker.db")
	key := master(t)
	first, err := store.OpenSQLite(ctx, path, store.WithMasters(time.Now, key))
	if err != nil {
		t.Fatal(err)
	}
	const logins = 20
	for i := range logins {
		if err := first.SaveTransaction(ctx, &brokers.Transaction{
			ID: fmt.Sprint("login-", i), State: brokers.Choosing, ExpiresAt: now.Add(time.Hour),
			Request: brokers.AuthorizationRequest{ClientID: "portal", State: fmt.Sprint("state-", i)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noticed := 0
	for range 150 {
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(whole))*8))
		if err != nil {
			t.Fatal(err)
		}
		bit := at.Int64()
		bad := append([]byte(nil), whole...)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if readAll(ctx, t, path, now, logins, store.WithMasters(time.Now, key)) {
			noticed++
		}
		if t.Failed() {
			t.Fatalf("by bit %d of %d bytes", bit, len(whole))
		}
	}
	if noticed == 0 {
		t.Error("not one of 150 flipped bits was noticed")
	}
}

// readAll reads the logins and reports whether something was noticed.
func readAll(ctx context.Context, t *testing.T, path string, now time.Time, logins int, option store.Option) (noticed bool) {
	t.Helper()
	s, err := store.OpenSQLite(ctx, path, option)
	if err != nil {
		return true
	}
	defer func() { _ = s.Close() }() // of a damaged file
	for i := range logins {
		got, err := s.Transaction(ctx, fmt.Sprint("login-", i), now)
		if err != nil {
			noticed = true
			continue
		}
		if got.ID != fmt.Sprint("login-", i) || got.Request.ClientID != "portal" || got.Request.State != fmt.Sprint("state-", i) {
			t.Errorf("login %d became %+v", i, got)
		}
	}
	return noticed
}

// S-24, S-28: while another process holds the database for writing, a verb waits for
// seconds and then fails; afterwards all is well.
func TestBusyDatabaseFailsInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	s := open(t, path)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the test is over
	holder, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.UseAssertionID(t.Context(), "idp", "_1", begun.Add(time.Hour)); err == nil || time.Since(begun) > 15*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	if _, err := holder.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.UseAssertionID(t.Context(), "idp", "_1", begun.Add(time.Hour)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := s.UseAssertionID(t.Context(), "idp", "_1", begun.Add(time.Hour)); !errors.Is(err, brokers.ErrReplayed) {
		t.Errorf("a second time: %v", err)
	}
}

// S-28: somebody who reads for long keeps SQLite from putting its log into the file;
// logins go on meanwhile, and the log shrinks to a bound afterwards.
func TestLongReadersStarveNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	s := open(t, path)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the test is over
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM assertions").Scan(&n); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	until := time.Now().Add(time.Hour)
	write := func(name string) {
		for i := range 3000 {
			if err := s.UseAssertionID(t.Context(), name, fmt.Sprint(i), until); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("while read")
	grown := size()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	// The log is written again from its beginning once it was copied, which takes as
	// long as the disk takes: then it no longer grows.
	for i := range 40 {
		before := size()
		write(fmt.Sprint("afterwards ", i))
		if size() == before {
			return
		}
	}
	t.Errorf("the log grew from %d to %d bytes although nobody reads", grown, size())
}

// S-08: two logins of one person have no bytes in common in the database by which they
// could be told to be of one person, in any column.
func TestEqualPersonsLookDifferent(t *testing.T) {
	path, ctx, now := filepath.Join(t.TempDir(), "broker.db"), t.Context(), time.Now()
	s, err := store.OpenSQLite(ctx, path, store.WithMasters(time.Now, master(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		login := &brokers.Transaction{ID: name, State: brokers.Authenticated, ExpiresAt: now.Add(time.Hour)}
		if err := s.SaveTransaction(ctx, login); err != nil {
			t.Fatal(err)
		}
		login.State = brokers.Completed
		event := brokers.AuthenticationEvent{Subject: brokers.Subject{Key: "es-dni:99999999R"}}
		if err := s.IssueCode(ctx, &brokers.Issuing{
			Login: login, From: brokers.Authenticated, Code: brokers.HashOf(name), Participates: true,
			Grant:   &brokers.Grant{ID: name, Session: name, SessionID: name, Subject: "the same subject", Event: event, CodeExpiresAt: now.Add(time.Hour)},
			Session: &brokers.Session{ID: name, CookieHash: brokers.HashOf("cookie " + name), Events: []brokers.AuthenticationEvent{event}, ExpiresAt: now.Add(time.Hour)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the test is over
	for _, table := range []string{"transactions", "grants", "sessions", "participants"} {
		seen := map[string]int{}
		rows, err := db.QueryContext(ctx, "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for ; rows.Next(); count++ {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			for i, v := range values {
				text, ok := v.([]byte)
				if word, isText := v.(string); isText && columns[i] != "state" && columns[i] != "client_id" {
					text, ok = []byte(word), true
				}
				if ok && len(text) > 0 {
					seen[columns[i]+string(text)]++
				}
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if count != 2 {
			t.Errorf("%s has %d rows", table, count)
		}
		for value, n := range seen {
			if n > 1 {
				t.Errorf("%s: two rows share %q", table, value)
			}
		}
	}
}
