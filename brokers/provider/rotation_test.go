package provider_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/rotation"
	"github.com/eidbridge/eidbridge/brokers/store"
)

func newMaster(t *testing.T) envelope.Master {
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

// S-04, scaled from a day to seconds: three replicas on one PostgreSQL serve logins
// all the time, while the master key is replaced and re-wrapped and the signing key
// rotates again and again. No login fails, every token is readable at the end, and the
// old master key is not needed any more.
func TestKeysRotateUnderLoad(t *testing.T) {
	ctx := t.Context()
	_, connection := newCluster(t, "rotating")
	old, fresh := newMaster(t), newMaster(t)
	open := func(masters ...envelope.Master) *store.Postgres {
		return openStore(t, connection, 6, store.WithMasters(time.Now, masters...))
	}
	schedule := rotation.Schedule{Every: 3 * time.Hour, Ahead: time.Hour, After: time.Hour}
	keeperOf := func(s *store.Postgres) *rotation.Keeper {
		k, err := rotation.New(s, schedule, time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	stores := []*store.Postgres{open(old, fresh), open(old, fresh), open(fresh, old)}
	first := keeperOf(stores[0])
	var replicas []*rig
	issuer := ""
	for _, s := range stores {
		keys, err := keeperOf(s).Keys(ctx)
		if err != nil {
			t.Fatal(err)
		}
		set, err := provider.NewKeys(keys...)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, options{store: s, foreign: issuer != "", config: func(c *provider.Config) {
			c.Keys, c.Now = set, time.Now
			if issuer != "" {
				c.Issuer = issuer
			}
		}})
		if issuer == "" {
			issuer = r.server.URL
		}
		follow, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { keeperOf(s).Follow(follow, 100*time.Millisecond, set, nil); close(ended) }()
		t.Cleanup(func() { stop(); <-ended })
		replicas = append(replicas, r)
	}
	var turn atomic.Int64 // every request of a login reaches another replica
	replicas[0].server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		replicas[turn.Add(1)%int64(len(replicas))].provider.ServeHTTP(w, q)
	})
	working, stop := context.WithCancel(ctx)
	defer stop()
	var logins, failed atomic.Int64
	var mu sync.Mutex
	var tokens []any
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for working.Err() == nil {
				token, status := replicas[0].tryLogin(t)
				if token == nil {
					failed.Add(1)
					t.Errorf("a login failed: %d", status)
					return
				}
				logins.Add(1)
				mu.Lock()
				tokens = append(tokens, token)
				mu.Unlock()
			}
		})
	}
	rewrapped, rotated := 0, 0
	for working.Err() == nil {
		n, errRewrap := stores[2].Keyring().Rewrap(ctx)
		_, errRotate := first.Rotate(ctx, rotated%2 == 1)
		if err := errors.Join(errRewrap, stores[2].Keyring().Renew(ctx), errRotate); err != nil {
			t.Fatal(err)
		}
		rewrapped, rotated = rewrapped+n, rotated+1
		for before := logins.Load(); logins.Load() < before+20 && failed.Load() == 0; {
			<-time.After(20 * time.Millisecond) // logins between two rotations
		}
		if rotated == 5 || failed.Load() > 0 {
			stop()
		}
	}
	all.Wait()
	if _, err := stores[2].Keyring().Rewrap(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d logins, %d failed, %d data keys re-wrapped, %d rotations", logins.Load(), failed.Load(), rewrapped, rotated)
	if logins.Load() < 100 || rewrapped == 0 || rotated < 5 {
		t.Errorf("too little happened: %d logins, %d re-wrapped, %d rotations", logins.Load(), rewrapped, rotated)
	}
	after := open(fresh) // without the old master key
	last := newRig(t, options{store: after, foreign: true, config: func(c *provider.Config) { c.Issuer, c.Now = issuer, time.Now }})
	replicas[0].server.Config.Handler = last.as(issuer)
	for i, token := range tokens {
		if !replicas[0].active(token) {
			t.Fatalf("token %d of %d cannot be read without the old master key", i, len(tokens))
		}
	}
}
