//go:build interop

package kms_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/envelope/kms"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/moto"
)

// A master key in moto wraps, and a database moves from a local master key to it and
// back without a record being touched (S-04).
func TestInteropMoto(t *testing.T) {
	service := moto.Start(t)
	ctx := context.Background()
	m, err := kms.New(ctx, service.Key(t), kms.Options{Endpoint: service.Address})
	if err != nil {
		t.Fatal(err)
	}
	proveMaster(t, m)
	text, err := envelope.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	local, err := envelope.ParseLocal(text)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "broker.db")
	now := time.Now()
	for i, masters := range [][]envelope.Master{{local, m}, {m, local}, {m}, {m, local}, {local, m}, {local}} {
		s, err := store.OpenSQLite(ctx, path, store.WithMasters(time.Now, masters...))
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if i == 0 {
			err = s.SaveReceipt(ctx, "receipt", []byte("what was signed"), now.Add(time.Hour))
		}
		if err == nil {
			_, err = s.Keyring().Rewrap(ctx)
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got, err := s.Receipt(ctx, "receipt", now); err != nil || string(got) != "what was signed" {
			t.Errorf("step %d: %q %v", i, got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
