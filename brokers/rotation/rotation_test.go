package rotation_test

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/rotation"
	"github.com/eidbridge/eidbridge/brokers/store"
)

func open(t *testing.T, path string, now func() time.Time, text []byte) rotation.Store {
	t.Helper()
	master, err := envelope.ParseLocal(text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenSQLite(context.Background(), path, store.WithMasters(now, master))
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

func keeper(t *testing.T, s rotation.Store, now func() time.Time) *rotation.Keeper {
	t.Helper()
	k, err := rotation.New(s, rotation.Schedule{}, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// of are the keys that sign by an algorithm, of which each number has one.
func of(t *testing.T, keys []provider.Key, algorithm jose.SignatureAlgorithm) []provider.Key {
	t.Helper()
	var list []provider.Key
	for _, k := range keys {
		if k.Algorithm == algorithm {
			list = append(list, k)
		}
	}
	if 2*len(list) != len(keys) {
		t.Errorf("%d of %d keys are for %s", len(list), len(keys), algorithm)
	}
	return list
}

// signing is the key that would sign at a time.
func signing(keys []provider.Key, at time.Time) crypto.PublicKey {
	return signingKey(keys, at).Signer.Public()
}

func signingKey(keys []provider.Key, at time.Time) provider.Key {
	var best provider.Key
	for _, k := range keys {
		if !k.Use.After(at) && (best.Signer == nil || k.Use.After(best.Use)) {
			best = k
		}
	}
	return best
}

type comparable interface{ Equal(crypto.PublicKey) bool }

func has(keys []provider.Key, public crypto.PublicKey) bool {
	for _, k := range keys {
		if k.Signer.Public().(comparable).Equal(public) {
			return true
		}
	}
	return false
}

// S-04: over a year, looked at by two replicas every six hours, a key signs only
// after it was published for a day, is published for long after it signed, and no
// two replicas ever sign by different keys.
func TestKeysFollowEachOther(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	text, err := envelope.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "broker.db")
	s := open(t, path, clock, text)
	first, second := keeper(t, s, clock), keeper(t, s, clock)
	var signers []crypto.PublicKey
	var yesterday []provider.Key
	usedAt := map[string]time.Time{}
	for step := range 4 * 365 {
		keys, err := first.Keys(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		others, err := second.Keys(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		ec, plain := signingKey(of(t, keys, jose.ES256), now), signingKey(of(t, keys, jose.RS256), now)
		if !ec.Use.Equal(plain.Use) || !ec.Until.Equal(plain.Until) {
			t.Fatalf("step %d: the RSA key has another time table", step)
		}
		keys, others = of(t, keys, jose.ES256), of(t, others, jose.ES256)
		key := signing(keys, now)
		if !signing(others, now).(comparable).Equal(key) {
			t.Fatalf("step %d: replicas sign by different keys", step)
		}
		if len(signers) == 0 || !signers[len(signers)-1].(comparable).Equal(key) {
			if len(signers) > 0 && !has(yesterday, key) {
				t.Errorf("step %d: a key signs that was not published a day before", step)
			}
			signers = append(signers, key)
		}
		usedAt[fmt.Sprint(key)] = now
		for _, old := range signers {
			if now.Sub(usedAt[fmt.Sprint(old)]) < 6*24*time.Hour && !has(keys, old) {
				t.Errorf("step %d: a key is gone while its tokens live", step)
			}
		}
		if len(keys) > 3 {
			t.Errorf("step %d: %d keys are published", step, len(keys))
		}
		if step%4 == 0 {
			yesterday = keys
		}
		now = now.Add(6 * time.Hour)
	}
	if n := len(signers); n != 13 {
		t.Errorf("%d keys signed in a year of 30 days each, want 13", n)
	}
	list, err := s.SigningKeys(context.Background())
	if err != nil || len(list) > 3 {
		t.Errorf("%d keys are kept: %v", len(list), err)
	}
	if text := fmt.Sprintf("%v %+v %#v", list[0], list[0], list); strings.Contains(text, "Private") || strings.Contains(text, "RSA") {
		t.Errorf("a key prints itself: %s", text)
	}
}

// Of many replicas that find no key, or one too old, one makes it.
func TestOneOfManyMakesAKey(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	text, err := envelope.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(t.TempDir(), "broker.db"), clock, text)
	for _, want := range []int{1, 2} {
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if _, err := keeper(t, s, clock).Keys(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		list, err := s.SigningKeys(context.Background())
		if err != nil || len(list) != want {
			t.Fatalf("%d keys, want %d: %v", len(list), want, err)
		}
		now = now.Add(29 * 24 * time.Hour)
	}
}

// S-05: keys that are feared known are gone at once; otherwise the next is
// published before it signs, and not made twice.
func TestRotateAtOnce(t *testing.T) {
	now, ctx := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC), context.Background()
	s := store.NewMemory()
	k := keeper(t, s, func() time.Time { return now })
	before, err := k.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	use, err := k.Rotate(ctx, false)
	if err != nil || !use.Equal(now.Add(48*time.Hour)) {
		t.Errorf("the next signs from %v: %v", use, err)
	}
	if _, err := k.Rotate(ctx, false); err == nil {
		t.Error("a further key is made before the next was used")
	}
	keys, err := k.Keys(ctx)
	if err != nil || len(of(t, keys, jose.ES256)) != 2 || !signing(keys, now).(comparable).Equal(before[0].Signer.Public()) {
		t.Errorf("%d keys: %v", len(keys), err)
	}
	if use, err = k.Rotate(ctx, true); err != nil || !use.Equal(now) {
		t.Errorf("in fear: %v %v", use, err)
	}
	keys, err = k.Keys(ctx)
	if err != nil || len(of(t, keys, jose.ES256)) != 1 || has(keys, before[0].Signer.Public()) {
		t.Errorf("%d keys after it: %v", len(keys), err)
	}
}

// A set is wrong if nobody could have fetched a key before it signs.
func TestScheduleIsChecked(t *testing.T) {
	for _, s := range []rotation.Schedule{{Every: time.Hour}, {Ahead: time.Minute}, {After: time.Minute}} {
		if _, err := rotation.New(store.NewMemory(), s, time.Now, slog.New(slog.NewTextHandler(io.Discard, nil))); err == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}
