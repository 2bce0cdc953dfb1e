package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/clock"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// site is a deployment that commands work on.
type site struct {
	t       *testing.T
	dir     string
	config  string
	address string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), address: freeport.Address(t)}
	s.config = filepath.Join(s.dir, "eidbroker.toml")
	write(t, s.config, strings.NewReplacer("localhost:8181", s.address, "127.0.0.1:8181", s.address).Replace(string(defaultConfig)))
	return s
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

// does runs a command that has to succeed, and refuses one that has to fail.
func (s *site) does(args ...string) string {
	s.t.Helper()
	var out, problems bytes.Buffer
	if code := run(context.Background(), append(args, "--config", s.config), streams{&out, &problems}); code != 0 {
		s.t.Fatalf("%v: %s", args, &problems)
	}
	return out.String()
}

func (s *site) refuses(want string, args ...string) {
	s.t.Helper()
	var out, problems bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // serve ends then
	defer cancel()
	if code := run(ctx, append(args, "--config", s.config), streams{&out, &problems}); code != 1 || !strings.Contains(problems.String(), want) {
		s.t.Errorf("%v: %d, no %q in %s", args, code, want, &problems)
	}
}

// edit changes a copy of a file.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *site) database() *store.SQLite {
	s.t.Helper()
	settings, err := readConfig(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	masters, err := readMasters(s.t.Context(), settings, directory(s.dir))
	if err != nil {
		s.t.Fatal(err)
	}
	opened, err := store.OpenSQLite(s.t.Context(), s.file("broker.db"), store.WithMasters(time.Now, masters...))
	if err != nil {
		s.t.Fatal(err)
	}
	return opened
}

// S-33: a backup of yesterday ends everything that was issued before, and a database
// that somebody just put back is noticed. S-34: a backup that was changed, is of
// another deployment, or cannot be read with the master key is refused. S-12: so is a
// file that is something else.
func TestBackupAndRestore(t *testing.T) {
	s := newSite(t)
	serving := start(t, "--config", s.config)
	backup := s.file("monday")
	if out := s.does("backup", backup); !strings.Contains(out, "epoch 1") {
		t.Errorf("backup said %s", out)
	}
	for _, name := range []string{backup, backup + ".jws"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	s.refuses("exists", "backup", backup)
	s.refuses("another eidbroker serves", "restore", "--from", backup)
	if out := s.does("restore", "--check", "--from", backup); !strings.Contains(out, "can be read") {
		t.Errorf("check said %s", out)
	}
	serving.stop()

	for name, damage := range map[string]func([]byte) []byte{
		"S-34 a flipped bit":     func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"S-34 cut off":           func(b []byte) []byte { return b[:len(b)-4096] },
		"S-12 something else":    func([]byte) []byte { return []byte("hello") },
		"S-34 an empty database": func([]byte) []byte { return nil },
	} {
		bad := s.file("bad")
		for _, suffix := range []string{"", ".jws"} {
			if err := copyFile(backup+suffix, bad+suffix); err != nil {
				t.Fatal(err)
			}
		}
		edit(t, bad, damage)
		s.refuses("digest", "restore", "--from", bad)
		if err := os.Remove(bad + ".jws"); err != nil {
			t.Fatal(err)
		}
		s.refuses("bad.jws", "restore", "--from", bad)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	stranger := newSite(t)
	start(t, "--config", stranger.config).stop()
	if err := copyFile(backup, stranger.file("monday")); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(backup+".jws", stranger.file("monday.jws")); err != nil {
		t.Fatal(err)
	}
	stranger.refuses("not signed by the audit key", "restore", "--from", stranger.file("monday"))
	for _, key := range []string{"audit-key.pem"} {
		if err := copyFile(s.file(key), stranger.file(key)); err != nil {
			t.Fatal(err)
		}
	}
	stranger.refuses("master key", "restore", "--from", stranger.file("monday"))

	// Something is used after the backup was made.
	now := time.Now()
	database := s.database()
	if err := errors.Join(
		database.UseAssertionID(t.Context(), "idp", "_1", now.Add(time.Hour)),
		database.SaveTransaction(t.Context(), &brokers.Transaction{ID: "login", State: brokers.Choosing, ExpiresAt: now.Add(time.Hour)}),
		database.Close(),
	); err != nil {
		t.Fatal(err)
	}
	if out := s.does("restore", "--from", backup); !strings.Contains(out, "epoch 2") {
		t.Errorf("restore said %s", out)
	}
	database = s.database()
	epoch, err := database.Epoch(t.Context())
	if err != nil || epoch.Number != 2 || epoch.BegunAt.Before(now.Add(-time.Second)) {
		t.Errorf("epoch %+v %v", epoch, err)
	}
	if _, err := database.Transaction(t.Context(), "login", now); !errors.Is(err, brokers.ErrNotFound) {
		t.Errorf("a login of before: %v", err)
	}
	if err := database.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, "--config", s.config).stop()

	// Put back by hand: epoch 1 again, which the broker has seen the end of.
	for _, gone := range []string{"broker.db", "broker.db-wal", "broker.db-shm"} {
		if err := os.Remove(s.file(gone)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := copyFile(backup, s.file("broker.db")); err != nil {
		t.Fatal(err)
	}
	s.refuses("eidbroker restore", "serve")
	if out := s.does("restore"); !strings.Contains(out, "epoch 3") {
		t.Errorf("restore without a file said %s", out)
	}
	start(t, "--config", s.config).stop()
	if out := s.does("audit", "changes"); !strings.Contains(out, "epoch.begun") {
		t.Errorf("changes: %s", out)
	}
}

// S-33: within one epoch, too, a database that is older than what was seen of it is
// not served.
func TestOlderDatabaseIsNoticed(t *testing.T) {
	s := newSite(t)
	start(t, "--config", s.config).stop()
	text, err := json.Marshal(seen{Epoch: 1, At: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.file(seenFile), string(text))
	s.refuses("put back from a backup", "serve")
}

// S-28: a second server of one database does not start; commands work beside.
func TestSecondServerIsHeldOff(t *testing.T) {
	s := newSite(t)
	serving := start(t, "--config", s.config)
	second := &site{t: t, dir: s.dir, config: s.file("second.toml")}
	write(t, second.config, strings.NewReplacer("localhost:8181", "localhost:1", "127.0.0.1:8181", freeport.Address(t)).Replace(string(defaultConfig)))
	second.refuses("another eidbroker serves this database", "serve")
	if s.does("client", "list") != "" {
		t.Error("there is a client")
	}
	serving.stop()
	start(t, "--config", s.config).stop()
}

// S-28: when the files of the database are taken away, nothing is served any more.
func TestLostFilesStopTheService(t *testing.T) {
	s := newSite(t)
	start(t, "--config", s.config).stop()
	for _, name := range []string{"broker.db-wal", "broker.db"} {
		database := s.database()
		clk := clock.New(clock.System(), nil)
		w, err := newWatch(t.Context(), directory(s.dir), database, clk, slog.New(slog.DiscardHandler), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(database.Check(), w.err()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.file(name), s.file("moved")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.follow(ctx); close(ended) }()
		for range 1200 {
			if w.err() != nil {
				break
			}
			<-time.After(50 * time.Millisecond)
		}
		cancel()
		<-ended
		if err := w.err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
		if err := errors.Join(os.Rename(s.file("moved"), s.file(name)), database.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// S-29: a host whose clock went far back, or far ahead, since the database was last
// worked on does not serve, until an operator says that the clock is right.
func TestClockIsComparedAtStart(t *testing.T) {
	for name, shift := range map[string]time.Duration{
		"S-29 an hour back at start": time.Hour, "S-29 ten years back at start": 87600 * time.Hour, "S-29 ten years ahead at start": -87600 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			start(t, "--config", s.config).stop()
			database := s.database()
			at := time.Now().Add(shift)
			if err := errors.Join(database.ResetSeen(t.Context(), at),
				// It expired by the clock of before.
				database.SaveReceipt(t.Context(), "old", []byte("x"), at.Add(-time.Minute)), database.Close(), os.Remove(s.file(seenFile))); err != nil {
				t.Fatal(err)
			}
			s.refuses("clock", "serve")
			serving := start(t, "--config", s.config, "--accept-clock")
			if code, _ := get(t, "http://"+s.address+"/.well-known/openid-configuration"); code != http.StatusOK {
				t.Errorf("afterwards: %d", code)
			}
			serving.stop()
			database = s.database()
			if _, err := database.Receipt(t.Context(), "old", at.Add(-time.Hour)); !errors.Is(err, brokers.ErrNotFound) {
				t.Errorf("what had expired: %v", err)
			}
			if err := database.Close(); err != nil {
				t.Fatal(err)
			}
			start(t, "--config", s.config).stop()
		})
	}
}

// S-12: a database from elsewhere is looked at before it is used: one with other
// tables, with triggers, or of a newer program is none of ours.
func TestForeignDatabasesAreRefused(t *testing.T) {
	s := newSite(t)
	start(t, "--config", s.config).stop()
	whole := s.file("copy")
	s.does("backup", whole)
	if err := store.Inspect(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	for name, statements := range map[string][]string{
		"S-12 a trigger":        {`CREATE TRIGGER evil AFTER INSERT ON grants BEGIN DELETE FROM assertions; END`},
		"S-12 a view":           {`CREATE VIEW evil AS SELECT load_extension('x')`},
		"S-12 a virtual column": {`ALTER TABLE clients ADD COLUMN evil TEXT GENERATED ALWAYS AS (hex(id)) VIRTUAL`},
		"S-12 a missing table":  {`DROP TABLE assertions`},
		"S-12 no version":       {`PRAGMA user_version = 0`},
		"S-12 a newer version":  {`PRAGMA user_version = 9999`},
		"S-12 an altered table": {`PRAGMA writable_schema = on`, `UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL UNIQUE', 'NOT NULL') WHERE name = 'transactions'`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.db")
			if err := copyFile(whole, bad); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", bad)
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range statements {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.ExecContext(t.Context(), `PRAGMA journal_mode = DELETE`); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := store.Inspect(t.Context(), bad); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%v", err)
			}
		})
	}
}

// FuzzInspect: no file makes it panic or hang, and none that differs from ours in its
// pages is taken for whole where SQLite itself finds a fault.
func FuzzInspect(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "seed.db")
	opened, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		f.Fatal(err)
	}
	if err := opened.BackUp(context.Background(), filepath.Join(dir, "copy.db")); err != nil {
		f.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "copy.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(100, []byte{0xff, 0xff})
	f.Add(5000, []byte("CREATE"))
	f.Fuzz(func(t *testing.T, at int, change []byte) {
		if at < 0 || at >= len(whole) {
			return
		}
		text := bytes.Clone(whole)
		copy(text[at:], change)
		bad := filepath.Join(t.TempDir(), "bad.db")
		if err := os.WriteFile(bad, text, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := store.Inspect(ctx, bad); err != nil && !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%v", err)
		}
	})
}
