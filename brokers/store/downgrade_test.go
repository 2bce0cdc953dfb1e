package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// later are the migrations of this program and of so many versions after it, the last of
// which programs from one version on may use.
func later(t *testing.T, kind string, versions int, usableFrom int) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, texts, _, err := store.Migrations(kind)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		files[name] = &fstest.MapFile{Data: []byte(texts[i])}
	}
	for i := range versions {
		text := []byte(fmt.Sprintf("CREATE TABLE more_%d (id INTEGER);", i))
		if i == 0 {
			if text, err = os.ReadFile(filepath.Join("testdata", "next", kind+".sql")); err != nil {
				t.Fatal(err)
			}
		}
		number, from := len(names)+1+i, len(names)
		if i == versions-1 {
			from = usableFrom
		}
		files[fmt.Sprintf("migrations/%s/%04d_next.sql", kind, number)] = &fstest.MapFile{Data: fmt.Appendf(nil, "-- usable from %d\n%s", from, text)}
	}
	return files
}

// version is that of this program's schema.
func version(t *testing.T, kind string) int {
	t.Helper()
	names, _, _, err := store.Migrations(kind)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// closable is a store of either kind.
type closable interface {
	brokertest.Store
	Close() error
}

// opener opens a new database of a kind again and again, with other migrations.
func opener(t *testing.T, kind string) func(options ...store.Option) (closable, error) {
	t.Helper()
	if kind == "sqlite" {
		path := filepath.Join(t.TempDir(), "broker.db")
		return func(options ...store.Option) (closable, error) {
			return store.OpenSQLite(t.Context(), path, options...)
		}
	}
	connection := schema(t)
	return func(options ...store.Option) (closable, error) {
		return store.OpenPostgres(t.Context(), connection, 4, options...)
	}
}

// S-35: an operator goes to the next version and back. What either program wrote the
// other one knows, what happened once happened once, and the older one passes every
// contract on the newer one's schema.
func TestNextVersionAndBack(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run("S-35 "+kind, func(t *testing.T) {
			again, ctx, now, key := opener(t, kind), t.Context(), time.Now(), master(t)
			next := store.WithFiles(later(t, kind, 1, version(t, kind)))
			for i, options := range [][]store.Option{{}, {next}, {}, {next}, {}} {
				s, err := again(append(options, store.WithMasters(time.Now, key))...)
				if err != nil {
					t.Fatalf("opening %d: %v", i, err)
				}
				for earlier := range i {
					if err := s.UseAssertionID(ctx, "idp", fmt.Sprint(earlier), now.Add(time.Hour)); !errors.Is(err, brokers.ErrReplayed) {
						t.Errorf("opening %d: the assertion of %d: %v", i, earlier, err)
					}
					if _, _, err := s.AccessToken(ctx, brokers.HashOf(fmt.Sprint("token", earlier)), now); err != nil {
						t.Errorf("opening %d: the token of %d: %v", i, earlier, err)
					}
					want := error(nil) // each opening redeems what the one before left
					if earlier < i-1 {
						want = brokers.ErrReplayed
					}
					name := fmt.Sprint("code", earlier)
					if _, err := s.RedeemCode(ctx, brokers.HashOf(name), brokers.HashOf("of "+name), brokers.Token{ExpiresAt: now.Add(time.Hour)}, now); !errors.Is(err, want) {
						t.Errorf("opening %d: the open code of %d: %v", i, earlier, err)
					}
				}
				use(t, s, i, now)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// use leaves an assertion, a token, and a code that was not redeemed.
func use(t *testing.T, s closable, i int, now time.Time) {
	t.Helper()
	ctx := t.Context()
	if err := s.UseAssertionID(ctx, "idp", fmt.Sprint(i), now.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"code", "spent"} {
		login := &brokers.Transaction{ID: fmt.Sprint(name, i), State: brokers.Authenticated, ExpiresAt: now.Add(time.Hour)}
		if err := s.SaveTransaction(ctx, login); err != nil {
			t.Error(err)
		}
		login.State = brokers.Completed
		if err := s.IssueCode(ctx, &brokers.Issuing{
			Login: login, From: brokers.Authenticated, Code: brokers.HashOf(fmt.Sprint(name, i)),
			Grant: &brokers.Grant{ID: fmt.Sprint(name, i), CodeExpiresAt: now.Add(time.Hour)},
		}); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.RedeemCode(ctx, brokers.HashOf(fmt.Sprint("spent", i)), brokers.HashOf(fmt.Sprint("token", i)), brokers.Token{ExpiresAt: now.Add(time.Hour)}, now); err != nil {
		t.Error(err)
	}
}

// S-35: this program keeps the whole contract on the schema of the next version.
func TestContractHoldsOnTheNextSchema(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run("S-35 "+kind, func(t *testing.T) {
			brokertest.TestStore(t, func(t *testing.T) brokertest.Store {
				again := opener(t, kind)
				newer, err := again(store.WithFiles(later(t, kind, 1, version(t, kind))))
				if err != nil {
					t.Fatal(err)
				}
				if err := newer.Close(); err != nil {
					t.Fatal(err)
				}
				older, err := again()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := older.Close(); err != nil {
						t.Error(err)
					}
				})
				return older
			})
		})
	}
}

// S-35: a database that this program cannot live with is told from one with which it
// can, however many versions newer either is.
func TestSchemaSaysWhoMayUseIt(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		own := version(t, kind)
		for _, row := range []struct {
			name                 string
			versions, usableFrom int
			refused              bool
		}{
			{"the next version", 1, own, false},
			{"two versions on, still usable", 2, own, false},
			{"two versions on, for the next one", 2, own + 1, true},
			{"the next version, for itself alone", 1, own + 1, true},
		} {
			t.Run("S-35 "+kind+" "+row.name, func(t *testing.T) {
				again := opener(t, kind)
				newer, err := again(store.WithFiles(later(t, kind, row.versions, row.usableFrom)))
				if err != nil {
					t.Fatal(err)
				}
				if err := newer.Close(); err != nil {
					t.Fatal(err)
				}
				older, err := again()
				if err == nil {
					err = errors.Join(older.UseAssertionID(t.Context(), "idp", "1", time.Now().Add(time.Hour)), older.Close())
				}
				if row.refused != (err != nil) || row.refused && !strings.Contains(err.Error(), "use a newer program") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// S-35: what a newer program wrote into a login stays in it over the steps of an older
// one, and nothing comes back that such a step took away.
func TestUnknownMembersSurviveAStep(t *testing.T) {
	path, ctx, now := filepath.Join(t.TempDir(), "broker.db"), t.Context(), time.Now()
	s := open(t, path)
	login := &brokers.Transaction{
		ID: "login", State: brokers.Choosing, ExpiresAt: now.Add(time.Hour), Request: brokers.AuthorizationRequest{ClientID: "portal"},
		Departure: &brokers.Departure{RequestID: "gone later"}, Outcome: brokers.OutcomeCancelled,
	}
	if err := s.SaveTransaction(ctx, login); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the file goes too
	record := func() (members map[string]any) {
		t.Helper()
		var text string
		if err := db.QueryRowContext(ctx, `SELECT CAST(data AS TEXT) FROM transactions`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			t.Fatal(err)
		}
		return members
	}
	newer := record()
	newer["wallet"] = map[string]any{"format": "sd-jwt", "number": json.Number("9007199254740993")}
	newer["request"].(map[string]any)["purpose"] = "permit"
	newer["departure"].(map[string]any)["lane"] = "fast"
	text, err := json.Marshal(newer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `UPDATE transactions SET data = ?`, text); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice: what was kept once is kept again
		older, err := s.Transaction(ctx, "login", now)
		if err != nil {
			t.Fatal(err)
		}
		older.Departure, older.Outcome, older.Method = nil, brokers.OutcomeNone, "app"
		if err := s.Advance(ctx, older, brokers.Choosing); err != nil {
			t.Fatal(err)
		}
	}
	after := record()
	var number string
	if err := db.QueryRowContext(ctx, `SELECT CAST(json_extract(CAST(data AS TEXT), '$.wallet.number') AS TEXT) FROM transactions`).Scan(&number); err != nil || number != "9007199254740993" {
		t.Errorf("the number became %s, %v", number, err)
	}
	if after["request"].(map[string]any)["purpose"] != "permit" || after["method"] != "app" {
		t.Errorf("the login became %v", after)
	}
	for _, gone := range []string{"departure", "outcome"} {
		if value, ok := after[gone]; ok {
			t.Errorf("%s came back as %v", gone, value)
		}
	}
}

// S-35: an older program destroys no data keys under which a newer one may keep what it
// knows nothing of.
func TestOlderProgramDestroysNoDataKeys(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run("S-35 "+kind, func(t *testing.T) {
			again, ctx, key := opener(t, kind), t.Context(), master(t)
			at := time.Now()
			clock := func() time.Time { return at }
			kept := func(options ...store.Option) int {
				t.Helper()
				s, err := again(append(options, store.WithMasters(clock, key))...)
				if err != nil {
					t.Fatal(err)
				}
				keys := s.(interface {
					KeepKeys(ctx context.Context, longestLife time.Duration) error
					DataKeys(ctx context.Context) ([]envelope.DataKey, error)
				})
				if err := keys.KeepKeys(ctx, time.Hour); err != nil {
					t.Fatal(err)
				}
				list, err := keys.DataKeys(ctx)
				if err := errors.Join(err, s.Close()); err != nil {
					t.Fatal(err)
				}
				return len(list)
			}
			next := store.WithFiles(later(t, kind, 1, version(t, kind)))
			kept(next)
			at = at.Add(30 * 24 * time.Hour)
			kept() // makes a key for today
			if n := kept(); n != 2 {
				t.Errorf("the older program left %d data keys of 2", n)
			}
			if n := kept(next); n != 1 {
				t.Errorf("the newer program left %d data keys, 1 is in use", n)
			}
		})
	}
}

// S-35: from the first migration that declares it on, every one leaves the database to
// the program before: it adds tables, indexes, and columns that may be left out.
func TestMigrationsOnlyExpand(t *testing.T) {
	allowed := regexp.MustCompile(`(?is)^\s*(CREATE TABLE .*|CREATE( UNIQUE)? INDEX .*|ALTER TABLE \w+ ADD COLUMN .*)$`)
	comment := regexp.MustCompile(`(?m)--.*$`)
	for _, kind := range []string{"sqlite", "postgres"} {
		names, texts, usable, err := store.Migrations(kind)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			if i+1 <= store.DeclaredFrom {
				continue
			}
			if usable[i] > i {
				t.Errorf("S-35 %s: the program before cannot use the database", names[i])
			}
			for statement := range strings.SplitSeq(comment.ReplaceAllString(text, ""), ";") {
				if strings.TrimSpace(statement) == "" {
					continue
				}
				adds := strings.Contains(strings.ToUpper(statement), "ADD COLUMN")
				required := strings.Contains(strings.ToUpper(statement), "NOT NULL") && !strings.Contains(strings.ToUpper(statement), "DEFAULT")
				if !allowed.MatchString(statement) || adds && required {
					t.Errorf("S-35 %s: %q is more than an addition: do it when no program that may use the database needs what it changes, and say so here", names[i], statement)
				}
			}
		}
	}
	for _, list := range store.Texts() {
		upper := strings.ToUpper(list)
		if strings.Contains(upper, "SELECT *") || strings.Contains(upper, "RETURNING *") || regexp.MustCompile(`INSERT INTO \w+ (VALUES|SELECT)`).MatchString(upper) {
			t.Errorf("S-35: %q depends on columns that it does not name", list)
		}
	}
}
