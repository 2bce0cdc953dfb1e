package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/store"
)

func master(t testing.TB) envelope.Master {
	t.Helper()
	text, err := envelope.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := envelope.ParseLocal(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openSealed(t testing.TB, path string, masters ...envelope.Master) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), path, store.WithMasters(time.Now, masters...))
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

func TestSealedSQLiteKeepsTheContract(t *testing.T) {
	brokertest.TestStore(t, func(t *testing.T) brokertest.Store {
		return openSealed(t, filepath.Join(t.TempDir(), "broker.db"), master(t))
	})
}

func TestSealedPostgresKeepsTheContract(t *testing.T) {
	brokertest.TestStore(t, func(t *testing.T) brokertest.Store {
		s, err := store.OpenPostgres(context.Background(), schema(t), 8, store.WithMasters(time.Now, master(t)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() }) // the server goes too
		return s
	})
}

const canaryPerson = "CANARY-PERSON-999991234"

// fill puts the canary person into every kind of record.
func fill(t testing.TB, s brokertest.Store) {
	t.Helper()
	ctx, now := context.Background(), time.Now()
	end := now.Add(time.Hour)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	event := &brokers.AuthenticationEvent{ID: "event", Subject: brokers.Subject{Key: canaryPerson, GivenName: canaryPerson}}
	tx := &brokers.Transaction{ID: "login", State: brokers.Authenticated, Event: event, ExpiresAt: end}
	check(s.SaveTransaction(ctx, tx))
	tx.State = brokers.Completed
	g := &brokers.Grant{CodeExpiresAt: end, Session: "session", SessionID: "sid", Subject: canaryPerson, Event: *event}
	session := &brokers.Session{CookieHash: brokers.HashOf("cookie"), ID: "session", Events: []brokers.AuthenticationEvent{*event}, ExpiresAt: end}
	check(s.IssueCode(ctx, &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: brokers.HashOf("code"), Grant: g, Session: session}))
	token := brokers.Token{IssuedAt: now, ExpiresAt: end, Scopes: []string{canaryPerson}}
	_, err := s.RedeemCode(ctx, brokers.HashOf("code"), brokers.HashOf("token"), token, now)
	check(err)
	check(s.SaveRefreshToken(ctx, brokers.HashOf("code"), brokers.HashOf("refresh"), token))
	check(s.Refresh(ctx, brokers.Refreshing{
		Old: brokers.HashOf("refresh"), Next: brokers.HashOf("next"), NextToken: token,
		Access: brokers.HashOf("access"), AccessToken: token, Now: now,
	}))
	check(s.Push(ctx, brokers.HashOf("pushed"), &brokers.PushedRequest{Parameters: map[string]string{"login_hint": canaryPerson}, ExpiresAt: end}))
	check(s.SaveDevice(ctx, &brokers.DeviceRequest{
		Code: brokers.HashOf("device"), UserCode: brokers.HashOf("user"), ExpiresAt: end,
		Request: brokers.AuthorizationRequest{State: canaryPerson},
	}))
	check(s.SaveReceipt(ctx, "receipt", []byte(canaryPerson), end))
}

func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if all[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// S-01: no file of an encrypted database has a person in it; one of a database in
// the clear has, which shows that the search finds.
func TestSealedRecordsTellNothing(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		dir := t.TempDir()
		path := filepath.Join(dir, "broker.db")
		if sealed {
			s := openSealed(t, path, master(t))
			fill(t, s)
			if _, err := s.EndSession(context.Background(), brokers.HashOf("cookie"), time.Now(), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		} else {
			fill(t, open(t, path))
		}
		found := false
		for _, data := range files(t, dir) {
			found = found || bytes.Contains(data, []byte(canaryPerson))
		}
		if found == sealed {
			t.Errorf("sealed %v: canary found %v", sealed, found)
		}
	}
}

// S-02: a record in the row of another, and a record put back from an earlier
// revision, do not authenticate.
func TestSealedRecordsKeepTheirPlace(t *testing.T) {
	ctx, end := context.Background(), time.Now().Add(time.Hour)
	path := filepath.Join(t.TempDir(), "broker.db")
	s := openSealed(t, path, master(t))
	a := &brokers.Transaction{ID: "a", State: brokers.Choosing, ExpiresAt: end}
	b := &brokers.Transaction{ID: "b", State: brokers.Choosing, ExpiresAt: end}
	for _, tx := range []*brokers.Transaction{a, b} {
		if err := s.SaveTransaction(ctx, tx); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the test is over
	var earlier []byte
	if err := db.QueryRow(`SELECT data FROM transactions WHERE id = 'a'`).Scan(&earlier); err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(ctx, a, brokers.Choosing); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Transaction(ctx, "a", time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, attack := range map[string]string{
		"earlier revision": `UPDATE transactions SET data = ? WHERE id = 'a'`,
		"another row":      `UPDATE transactions SET data = ? WHERE id = 'b'`,
	} {
		if _, err := db.Exec(attack, earlier); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Transaction(ctx, attack[len(attack)-2:len(attack)-1], time.Now()); !errors.Is(err, envelope.ErrSeal) {
			t.Errorf("%s: got %v, want %v", name, err, envelope.ErrSeal)
		}
	}
	if _, err := db.Exec(`UPDATE transactions SET data = ? WHERE id = 'a'`, []byte(`{"id":"a","state":"authenticated"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Transaction(ctx, "a", time.Now()); !errors.Is(err, envelope.ErrSeal) {
		t.Errorf("in the clear: got %v, want %v", err, envelope.ErrSeal)
	}
}

// A database of a time before encryption is encrypted at opening, and from then
// on demands its key (S-06).
func TestSQLiteIsEncryptedLater(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "broker.db")
	s := open(t, path)
	fill(t, s)
	first, second := master(t), master(t)
	sealed := openSealed(t, path, first)
	if receipt, err := sealed.Receipt(ctx, "receipt", time.Now()); err != nil || string(receipt) != canaryPerson {
		t.Errorf("receipt %q, %v", receipt, err)
	}
	for name, check := range map[string]func() error{
		"transaction": func() error { _, err := sealed.Transaction(ctx, "login", time.Now()); return err },
		"token":       func() error { _, _, err := sealed.AccessToken(ctx, brokers.HashOf("token"), time.Now()); return err },
		"further":     func() error { _, _, err := sealed.AccessToken(ctx, brokers.HashOf("access"), time.Now()); return err },
		"refresh":     func() error { _, _, err := sealed.RefreshToken(ctx, brokers.HashOf("next"), time.Now()); return err },
		"session":     func() error { _, err := sealed.Session(ctx, brokers.HashOf("cookie"), time.Now()); return err },
		"device":      func() error { _, err := sealed.Device(ctx, brokers.HashOf("user"), time.Now()); return err },
		"pushed":      func() error { _, err := sealed.Pushed(ctx, brokers.HashOf("pushed"), time.Now()); return err },
	} {
		if err := check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := store.OpenSQLite(ctx, path, store.WithMasters(time.Now, second)); !errors.Is(err, envelope.ErrMaster) {
		t.Errorf("another key: got %v, want %v", err, envelope.ErrMaster)
	}
	if _, err := store.OpenSQLite(ctx, path); err == nil {
		t.Error("an encrypted database was opened without a key")
	}
}

// S-04 in part: a new master key re-wraps while replicas work; afterwards the old
// one is not needed.
func TestMasterKeyIsReplacedWhileReplicasWork(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "broker.db")
	old, fresh := master(t), master(t)
	working := openSealed(t, path, old, fresh)
	fill(t, working)
	rotating := openSealed(t, path, fresh, old)
	if n, err := rotating.Keyring().Rewrap(ctx); err != nil || n != 1 {
		t.Fatalf("re-wrapped %d, %v", n, err)
	}
	if n, err := rotating.Keyring().Rewrap(ctx); err != nil || n != 0 {
		t.Errorf("again: re-wrapped %d, %v", n, err)
	}
	if err := rotating.Keyring().Renew(ctx); err != nil {
		t.Fatal(err)
	}
	if err := rotating.SaveReceipt(ctx, "new", []byte("sealed under the new data key"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, err := working.Receipt(ctx, "new", time.Now()); err != nil || string(got) != "sealed under the new data key" {
		t.Errorf("a replica that has not heard of it reads %q, %v", got, err)
	}
	after := openSealed(t, path, fresh)
	if _, err := after.Session(ctx, brokers.HashOf("cookie"), time.Now()); err != nil {
		t.Errorf("without the old master key: %v", err)
	}
}

// What has no end of life is sealed again before its data key is destroyed.
func TestRegistrationsOutliveTheirDataKey(t *testing.T) {
	ctx, now := context.Background(), time.Now()
	s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "broker.db"), store.WithMasters(func() time.Time { return now }, master(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // the test is over
	if err := s.SaveRegistration(ctx, &brokers.Registration{ID: "portal"}); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		now = now.Add(25 * time.Hour)
		if err := s.KeepKeys(ctx, 30*24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := s.DataKeys(ctx)
	if err != nil || len(keys) >= 40 || keys[0].ID == 1 {
		t.Errorf("%d data keys, %v", len(keys), err)
	}
	if _, err := s.Registration(ctx, "portal"); err != nil {
		t.Error(err)
	}
}
