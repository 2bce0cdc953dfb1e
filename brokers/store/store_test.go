package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/store"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	brokertest.TestStore(t, func(*testing.T) brokertest.Store { return store.NewMemory() })
}

func open(t testing.TB, path string) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLiteKeepsTheContract(t *testing.T) {
	brokertest.TestStore(t, func(t *testing.T) brokertest.Store { return open(t, filepath.Join(t.TempDir(), "b r#?%.db")) })
}

// S-25 in part: what one process acknowledged, the next one knows.
func TestSQLiteRemembersAcrossRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	ctx, until := context.Background(), time.Now().Add(time.Hour)
	first, err := store.OpenSQLite(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.UseAssertionID(ctx, "idp", "_1", until); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).UseAssertionID(ctx, "idp", "_1", until); !errors.Is(err, brokers.ErrReplayed) {
		t.Errorf("after a restart got %v, want %v", err, brokers.ErrReplayed)
	}
}

// S-06: the database is readable for its owner only.
func TestSQLiteFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "broker.db"))
	if err := s.UseAssertionID(context.Background(), "idp", "_1", time.Now()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestSQLiteRefusesNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`PRAGMA user_version = 1000`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.OpenSQLite(context.Background(), path)
	if err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("got %v, want the advice to use a newer program", err)
	}
}

// S-24: the number of the schema is read from the file like all else. One that no program
// writes, as after a flipped bit, is an error and no crash.
func TestSQLiteRefusesAnImpossibleSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const userVersion = 60 // its place in the file, in four bytes (SQLite file format 1.3)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 32 {
		flipped := bytes.Clone(file)
		flipped[userVersion+bit/8] ^= 0x80 >> (bit % 8)
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := store.OpenSQLite(t.Context(), path); err == nil {
			t.Errorf("bit %d of the version: the database was opened (%v)", bit, s.Close())
		}
	}
}

// S-01 in part: codes, tokens and cookies are in no file.
func TestSQLiteKeepsNoSecretInClear(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "broker.db"))
	ctx, now := context.Background(), time.Now()
	tx := &brokers.Transaction{ID: "a", State: brokers.Authenticated, BrowserHash: brokers.HashOf("canary-browser"), ExpiresAt: now.Add(time.Hour)}
	if err := s.SaveTransaction(ctx, tx); err != nil {
		t.Fatal(err)
	}
	tx.State = brokers.Completed
	if err := s.IssueCode(ctx, &brokers.Issuing{
		Login: tx, From: brokers.Authenticated, Code: brokers.HashOf("canary-code"), Grant: &brokers.Grant{CodeExpiresAt: now.Add(time.Minute)},
		Session: &brokers.Session{CookieHash: brokers.HashOf("canary-session"), ExpiresAt: now.Add(time.Minute)},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RedeemCode(ctx, brokers.HashOf("canary-code"), brokers.HashOf("canary-token"), brokers.Token{ExpiresAt: now.Add(time.Minute)}, now); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("canary")) {
			t.Errorf("%s has a secret in clear", filepath.Base(name))
		}
	}
}
