package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/envelope"
)

// drawer keeps data keys in memory.
type drawer struct {
	mu   sync.Mutex
	list []envelope.DataKey
}

func (d *drawer) DataKeys(context.Context) ([]envelope.DataKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list), nil
}

func (d *drawer) AddDataKey(_ context.Context, k envelope.DataKey) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(d.list, func(o envelope.DataKey) bool { return o.ID == k.ID }) {
		return envelope.ErrTaken
	}
	d.list = append(d.list, k)
	return nil
}

func (d *drawer) ReplaceDataKey(_ context.Context, k envelope.DataKey, from string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, o := range d.list {
		if o.ID == k.ID && o.Master == from {
			d.list[i] = k
			return nil
		}
	}
	return envelope.ErrTaken
}

func (d *drawer) DestroyDataKeys(_ context.Context, before time.Time) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := len(d.list)
	newest := d.list[was-1].ID
	d.list = slices.DeleteFunc(d.list, func(k envelope.DataKey) bool { return k.ID < newest && k.CreatedAt.Before(before) })
	return was - len(d.list), nil
}

func local(t testing.TB) *envelope.Local {
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

func ring(t testing.TB, keys envelope.Keys, now func() time.Time, masters ...envelope.Master) *envelope.Keyring {
	t.Helper()
	r, err := envelope.Open(context.Background(), keys, now, masters...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every bit of a sealed record and of its name is authenticated.
func TestUnsealTakesNothingElse(t *testing.T) {
	ctx, r := context.Background(), ring(t, &drawer{}, time.Now, local(t))
	sealed, err := r.Seal([]byte("grants.data/1"), []byte("record"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Unseal(ctx, []byte("grants.data/1"), sealed); err != nil || string(got) != "record" {
		t.Fatalf("%q, %v", got, err)
	}
	if len(sealed) != len("record")+envelope.Overhead {
		t.Errorf("%d bytes", len(sealed))
	}
	for i := range sealed {
		forged := bytes.Clone(sealed)
		forged[i] ^= 1
		if _, err := r.Unseal(ctx, []byte("grants.data/1"), forged); !errors.Is(err, envelope.ErrSeal) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for _, name := range []string{"grants.data/2", "grants.data/", "", "grants.token/1"} {
		if _, err := r.Unseal(ctx, []byte(name), sealed); !errors.Is(err, envelope.ErrSeal) {
			t.Errorf("as %q: %v", name, err)
		}
	}
	for _, short := range [][]byte{nil, {1}, sealed[:envelope.Overhead-1], []byte(`{"id":"in the clear, and long enough to be taken for a sealed record"}`)} {
		if _, err := r.Unseal(ctx, nil, short); !errors.Is(err, envelope.ErrSeal) {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
}

// S-03: no nonce repeats; here in 10^5 of two keyrings that share a key, as a
// cloned machine would. The nonces are 192 random bits, so more would show no more.
func TestNoncesDoNotRepeat(t *testing.T) {
	keys, m := &drawer{}, local(t)
	one, other := ring(t, keys, time.Now, m), ring(t, keys, time.Now, m)
	seen := make(map[[24]byte]bool, 100_000)
	for range 50_000 {
		for _, r := range []*envelope.Keyring{one, other} {
			sealed, err := r.Seal(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			nonce := [24]byte(sealed[9:33])
			if seen[nonce] {
				t.Fatal("a nonce came twice")
			}
			seen[nonce] = true
		}
	}
}

// A data key seals for a day. Once nothing sealed under it can be alive, it is
// destroyed, and what a backup has under it stays closed (S-09).
func TestDataKeysAgeAndEnd(t *testing.T) {
	ctx, keys := context.Background(), &drawer{}
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	r := ring(t, keys, func() time.Time { return now }, local(t))
	first, err := r.Seal(nil, []byte("first day"))
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(23 * time.Hour)
	if err := r.Refresh(ctx); err != nil || len(keys.list) != 1 {
		t.Fatalf("%d keys after 23 hours, %v", len(keys.list), err)
	}
	now = now.Add(2 * time.Hour)
	if err := r.Refresh(ctx); err != nil || len(keys.list) != 2 {
		t.Fatalf("%d keys after 25 hours, %v", len(keys.list), err)
	}
	if got, err := r.Unseal(ctx, nil, first); err != nil || string(got) != "first day" {
		t.Errorf("the day after: %q, %v", got, err)
	}
	const life = 30 * 24 * time.Hour
	if n, err := r.Destroy(ctx, life); err != nil || n != 0 {
		t.Errorf("destroyed %d, %v", n, err)
	}
	now = now.Add(life + 48*time.Hour)
	if err := r.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Destroy(ctx, life); err != nil || n == 0 {
		t.Errorf("destroyed %d, %v", n, err)
	}
	if _, err := r.Unseal(ctx, nil, first); !errors.Is(err, envelope.ErrSeal) {
		t.Errorf("after the end: %v", err)
	}
}

// Replicas that start at once make one data key.
func TestReplicasAgreeOnADataKey(t *testing.T) {
	keys, m := &drawer{}, local(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := envelope.Open(context.Background(), keys, time.Now, m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(keys.list) != 1 {
		t.Errorf("%d data keys", len(keys.list))
	}
}

// S-06, S-07: a wrong or half-written master key is refused, and neither the error
// nor a print shows it.
func TestMasterKeysAreReadStrictly(t *testing.T) {
	text, err := envelope.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.TrimSpace(string(text))
	for name, bad := range map[string]string{
		"empty": "", "half": whole[:20], "longer": whole + whole, "no base64": strings.Repeat("!", len(whole)), "24 bytes": whole[:32],
	} {
		if _, err := envelope.ParseLocal([]byte(bad)); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, err := envelope.ParseLocal([]byte(" " + whole + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := envelope.ParseLocal(text); err != nil || again.ID() != m.ID() {
		t.Errorf("the same key has two names: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(verb, m); out != m.ID() {
			t.Errorf("%s prints %q", verb, out)
		}
	}
	if _, err := m.Unwrap(context.Background(), []byte("short"), nil); !errors.Is(err, envelope.ErrSeal) {
		t.Errorf("unwrapping: %v", err)
	}
}

// S-06: without the master key that wrapped it, a keyring does not open and makes
// no new key.
func TestKeyringRefusesAnotherMaster(t *testing.T) {
	keys := &drawer{}
	ring(t, keys, time.Now, local(t))
	if _, err := envelope.Open(context.Background(), keys, time.Now, local(t)); !errors.Is(err, envelope.ErrMaster) {
		t.Errorf("got %v, want %v", err, envelope.ErrMaster)
	}
	if len(keys.list) != 1 {
		t.Errorf("%d data keys", len(keys.list))
	}
}

func FuzzUnseal(f *testing.F) {
	r := ring(f, &drawer{}, time.Now, local(f))
	sealed, err := r.Seal([]byte("name"), []byte("record"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := r.Unseal(context.Background(), []byte("name"), data)
		if err == nil && (string(got) != "record" || !bytes.Equal(data, sealed)) {
			t.Errorf("opened %x", data)
		}
	})
}
