package provider_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eidbridge/eidbridge/brokers/provider"
)

// S-27: whatever a real PostgreSQL does to us, visitors are told to come again within
// seconds, no token is taken for live or dead meanwhile, what may be used once is, and
// all goes on by itself afterwards.
func TestDatabaseFaults(t *testing.T) {
	ctx := t.Context()
	server, connection := newCluster(t, "faults")
	kept := openStore(t, connection, 4)
	r := newRig(t, options{store: kept, client: func(c *provider.Client) { c.RefreshTokens = true }})
	do := func(t *testing.T, statements ...string) {
		t.Helper()
		if err := server.Do(ctx, statements...); err != nil {
			t.Fatal(err)
		}
	}
	for _, fault := range []struct {
		name         string
		begin, mend  func(t *testing.T)
		readsGoOn    bool
		writesWaitOn string
	}{
		{"S-27 server down", func(t *testing.T) {
			if err := server.Crash(); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T) {
			if err := server.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		}, false, ""},
		{"S-27 read-only server, as after a failover to a replica", func(t *testing.T) {
			do(t, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()", others)
		}, func(t *testing.T) {
			do(t, "SET default_transaction_read_only = off", "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()", others)
		}, false, ""},
		{"S-27 no connections left", func(t *testing.T) {
			do(t, "ALTER ROLE broker CONNECTION LIMIT 0", "ALTER ROLE broker NOSUPERUSER", others)
		}, func(t *testing.T) {
			t.Helper()
			if err := server.Crash(); err != nil { // nobody is left who may lift the limit
				t.Fatal(err)
			}
			if err := server.Alone(ctx, "ALTER ROLE broker SUPERUSER CONNECTION LIMIT -1"); err != nil {
				t.Fatal(err)
			}
			if err := server.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		}, false, ""},
		{"S-27 locks that nobody gives up", nil, nil, true, "LOCK TABLE faults.transactions, faults.grants, faults.refresh_tokens IN EXCLUSIVE MODE"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			granted := r.redeem(r.login(newBrowser(t), []string{"scope", "openid offline_access"}).Get("code"))
			tokens := object(t, granted.body)
			b := newBrowser(t)
			code := r.login(newBrowser(t), nil).Get("code")
			if fault.writesWaitOn != "" {
				holder, err := pgx.Connect(ctx, connection)
				if err != nil {
					t.Fatal(err)
				}
				tx, err := holder.Begin(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(ctx, fault.writesWaitOn); err != nil {
					t.Fatal(err)
				}
				fault.mend = func(*testing.T) { _ = holder.Close(context.Background()) } // and with it the locks
			} else {
				fault.begin(t)
			}
			try := func(name string, ask func() answer) {
				t.Helper()
				begun := time.Now()
				a := ask()
				wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
				if a.StatusCode != http.StatusServiceUnavailable || err != nil || wait > 2 {
					t.Errorf("%s: %d, Retry-After %q", name, a.StatusCode, a.Header.Get("Retry-After"))
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("%s: took %s", name, took)
				}
			}
			try("a login", func() answer { return r.authorize(b) })
			try("a code", func() answer { return r.redeem(code) })
			try("a refresh token", func() answer { return r.refresh(tokens["refresh_token"]) })
			access := fmt.Sprint(tokens["access_token"])
			if !fault.readsGoOn {
				try("introspection", func() answer { return r.call("/introspect", url.Values{"token": {access}}) })
				try("userinfo", func() answer { return r.userinfo(access) })
			}
			fault.mend(t)
			var a answer
			for range 50 { // connections of the pool may be dead
				if a = r.redeem(code); a.StatusCode == http.StatusOK {
					break
				}
			}
			if a.StatusCode != http.StatusOK {
				t.Fatalf("afterwards the code gives %d %s", a.StatusCode, a.body)
			}
			if again := r.redeem(code); again.StatusCode != http.StatusBadRequest {
				t.Errorf("the code is taken twice: %d", again.StatusCode)
			}
			if a := r.refresh(tokens["refresh_token"]); a.StatusCode != http.StatusOK || !r.active(tokens["access_token"]) {
				t.Errorf("acknowledged tokens: %d %s", a.StatusCode, a.body)
			}
			if token, status := r.tryLogin(t); token == nil {
				t.Errorf("a new login: %d", status)
			}
		})
	}
}

// S-27: of two that wait for each other the database ends one. If that is the broker, the
// visitor comes again, and nothing of the half is left.
func TestDeadlockEndsWithAnotherTry(t *testing.T) {
	ctx := t.Context()
	server, connection := newCluster(t, "deadlock")
	// The broker looks whether it waits in a circle after three seconds of waiting, once.
	kept := openStore(t, connection+"&deadlock_timeout=3s&lock_timeout=60s&statement_timeout=60s", 4)
	r := newRig(t, options{store: kept, client: func(c *provider.Client) { c.RefreshTokens = true }})
	tokens := object(t, r.redeem(r.login(newBrowser(t), []string{"scope", "openid offline_access"}).Get("code")).body)
	other, err := pgx.Connect(ctx, connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(context.Background()) }) // the server goes too
	must := func(statement string) {
		t.Helper()
		if _, err := other.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	must("SET deadlock_timeout = '10min'")
	const deadlocks = "SELECT (sum(deadlocks) > 0)::text FROM pg_stat_database"
	met := "false"
	for range 5 { // a machine may be too slow to close the circle in time
		must("BEGIN")
		must("SELECT 1 FROM grants FOR UPDATE")
		result := make(chan answer, 1)
		go func() { result <- r.refresh(tokens["refresh_token"]) }()
		if err := server.Await(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "1"); err != nil {
			t.Fatal(err)
		}
		must("UPDATE refresh_tokens SET used_at = used_at") // the broker has it, and waits for us
		unavailable(t, "S-27 a refresh token in a deadlock", <-result)
		must("COMMIT")
		if err := other.QueryRow(ctx, deadlocks).Scan(&met); err != nil {
			t.Fatal(err)
		}
		if met == "true" {
			break
		}
	}
	if met != "true" {
		t.Fatal("there was no deadlock")
	}
	if a := r.refresh(tokens["refresh_token"]); a.StatusCode != http.StatusOK || !r.active(object(t, a.body)["access_token"]) {
		t.Errorf("S-27 afterwards: %d %s", a.StatusCode, a.body)
	}
}
