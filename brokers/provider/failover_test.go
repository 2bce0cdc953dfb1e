package provider_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// pair is a primary, and a standby without which nothing is acknowledged
// (synchronous_standby_names), with a broker that is told of both.
type pair struct {
	primary, standby *postgres.Cluster
	kept             *store.Postgres
	rig              *rig
	// noted is where the broker keeps the newest timeline, overtaken how often another
	// server took over.
	noted     string
	overtaken atomic.Int64
}

const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`

func newPair(t *testing.T) *pair {
	t.Helper()
	ctx := t.Context()
	p := &pair{noted: filepath.Join(t.TempDir(), "timeline")}
	var err error
	p.primary, _ = newCluster(t, "broker")
	if p.standby, err = p.primary.Standby(ctx); err != nil {
		t.Fatal(err)
	}
	stopAfter(t, p.standby)
	p.must(t, p.primary.Do(ctx, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"))
	p.must(t, p.primary.Await(ctx, "SELECT sync_state FROM pg_stat_replication", "sync"))
	p.kept, err = store.OpenPostgres(ctx, p.primary.Either(p.standby, "broker"), 4, store.WithTimelines(p.noted, func(int, int, error) { p.overtaken.Add(1) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.kept.Close() }) // its servers may be gone
	p.rig = newRig(t, options{store: p.kept, client: func(c *provider.Client) { c.RefreshTokens = true }})
	return p
}

func (p *pair) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unavailable wants an answer that says to come again soon.
func unavailable(t *testing.T, name string, a answer) {
	t.Helper()
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.StatusCode != http.StatusServiceUnavailable || err != nil || wait > 2 {
		t.Errorf("%s: %d, Retry-After %q", name, a.StatusCode, a.Header.Get("Retry-After"))
	}
}

// insist asks until the broker has come back: connections of its pool may be dead.
func insist(ask func() answer) (a answer) {
	for range 50 {
		if a = ask(); a.StatusCode != http.StatusServiceUnavailable {
			break
		}
	}
	return a
}

// S-27: a replica that has not heard of a revocation is never asked, neither when the
// primary is away nor at the start.
func TestStaleReplicaIsNotAsked(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	granted := object(t, p.rig.redeem(p.rig.login(newBrowser(t), []string{"scope", "openid offline_access"}).Get("code")).body)
	access := fmt.Sprint(granted["access_token"])
	code := p.rig.login(newBrowser(t), nil).Get("code")
	// All that there is now is in the replica, and nothing else will be.
	p.must(t, p.primary.Await(ctx, "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication", "true"))
	p.must(t, p.standby.Do(ctx, "SELECT pg_wal_replay_pause()"))
	p.must(t, p.standby.Await(ctx, "SELECT pg_get_wal_replay_pause_state()", "paused"))
	if a := p.rig.call("/revoke", url.Values{"token": {access}}); a.StatusCode != http.StatusOK {
		t.Fatalf("revoking: %d", a.StatusCode)
	}
	p.must(t, p.standby.Await(ctx, "SELECT count(*) FROM broker.grants WHERE revoked_at IS NOT NULL", "0")) // it is stale
	p.must(t, p.primary.Crash())
	unavailable(t, "S-27 introspection of a revoked token", p.rig.call("/introspect", url.Values{"token": {access}}))
	unavailable(t, "S-27 userinfo", p.rig.userinfo(access))
	unavailable(t, "S-27 a code", p.rig.redeem(code))
	unavailable(t, "S-27 a login", p.rig.authorize(newBrowser(t)))
	if s, err := store.OpenPostgres(ctx, p.standby.Using("broker"), 2); err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("S-27 a broker starts with a replica: %v, %v", s, err)
	}
	p.must(t, p.standby.Do(ctx, "SELECT pg_wal_replay_resume()"))
	p.must(t, p.primary.Restart(ctx))
	if a := insist(func() answer { return p.rig.redeem(code) }); a.StatusCode != http.StatusOK {
		t.Errorf("S-27 afterwards the code gives %d %s", a.StatusCode, a.body)
	}
	if p.rig.active(access) {
		t.Error("S-27 the revoked token lives")
	}
}

// S-27: split brain. The standby is promoted while the primary lives on, is lost sight
// of, and comes back unfenced. Whatever is acknowledged is on the newer side, what may be
// used once is used once, and the older side is never asked again.
func TestSplitBrainIsNoticed(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	codes := make([]string, 3)
	for i := range codes {
		codes[i] = p.rig.login(newBrowser(t), nil).Get("code")
	}
	spent := p.rig.login(newBrowser(t), nil).Get("code")
	granted := object(t, p.rig.redeem(spent).body)
	p.must(t, p.standby.Promote(ctx))
	// The broker sees the earlier primary only, which no longer acknowledges anything.
	unavailable(t, "S-27 a code at the earlier primary", p.rig.redeem(codes[0]))
	// The earlier primary is gone for a while: the broker sees the new one.
	p.must(t, p.primary.Crash())
	if a := insist(func() answer { return p.rig.redeem(codes[0]) }); a.StatusCode != http.StatusOK {
		t.Fatalf("S-27 what was not acknowledged: %d %s", a.StatusCode, a.body)
	}
	if p.kept.Timeline() != 2 || p.overtaken.Load() != 1 {
		t.Errorf("S-27 timeline %d, overtaken %d times", p.kept.Timeline(), p.overtaken.Load())
	}
	// It comes back, takes writes without waiting for anybody, and is the first that the
	// broker is told of, which has to connect anew.
	p.must(t, p.primary.Restart(ctx))
	p.must(t, p.primary.Do(ctx, "SET synchronous_commit = local", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"))
	p.must(t, p.standby.Do(ctx, others))
	for i, code := range []string{codes[0], spent} {
		if a := insist(func() answer { return p.rig.redeem(code) }); a.StatusCode != http.StatusBadRequest {
			t.Errorf("S-27 code %d is taken twice: %d", i, a.StatusCode)
		}
	}
	if a := insist(func() answer { return p.rig.redeem(codes[1]) }); a.StatusCode != http.StatusOK {
		t.Errorf("S-27 a code at the new primary: %d %s", a.StatusCode, a.body)
	}
	p.must(t, p.standby.Await(ctx, "SELECT count(*) FROM broker.grants WHERE redeemed_at IS NOT NULL", "3"))
	// Not even after a restart of the broker, and if it is told of nothing else.
	if s, err := store.OpenPostgres(ctx, p.primary.Using("broker"), 2, store.WithTimelines(p.noted, nil)); err == nil || !strings.Contains(err.Error(), "timeline") {
		t.Errorf("S-27 a broker starts with the overtaken server: %v, %v", s, err)
	}
	// Fenced for good.
	p.must(t, p.primary.Crash())
	if a := insist(func() answer { return p.rig.redeem(codes[2]) }); a.StatusCode != http.StatusOK {
		t.Errorf("S-27 the last code: %d %s", a.StatusCode, a.body)
	}
	if p.rig.active(granted["access_token"]) {
		t.Error("S-27 the token whose code was tried again lives")
	}
}
