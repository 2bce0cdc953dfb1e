package brokertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Replay remembers assertions in memory, for ever. The zero value is ready.
type Replay struct {
	mu   sync.Mutex
	used map[string]bool
}

// UseAssertionID implements saml.ReplayStore.
func (r *Replay) UseAssertionID(_ context.Context, issuer, id string, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used[issuer+" "+id] {
		return brokers.ErrReplayed
	}
	if r.used == nil {
		r.used = map[string]bool{}
	}
	r.used[issuer+" "+id] = true
	return nil
}

// WantRejected ends the test unless an answer was refused for this reason, with an
// error that says nothing of the person.
func WantRejected(t *testing.T, event *brokers.AuthenticationEvent, err error, reason string, category brokers.Category, personal ...string) {
	t.Helper()
	var rejected *brokers.RejectedError
	if event != nil || !errors.As(err, &rejected) {
		t.Fatalf("event %v, error %v", event, err)
	}
	if rejected.Reason != reason || rejected.Category != category {
		t.Fatalf("reason %q category %q (%v), want %q %q", rejected.Reason, rejected.Category, err, reason, category)
	}
	for _, secret := range personal {
		if strings.Contains(err.Error(), secret) {
			t.Fatalf("error names the citizen: %v", err)
		}
	}
}

// Fault is what one answer of a misbehaving identity provider is about.
type Fault struct {
	// Valid answers are taken, all others refused.
	Valid bool
	What  string
	// Checks are the reasons that will do.
	Checks []string
}

// WantVerdict judges what an upstream of the SAML schemes made of such an answer.
func (f Fault) WantVerdict(t *testing.T, event *brokers.AuthenticationEvent, err error) {
	t.Helper()
	var rejected *brokers.RejectedError
	switch {
	case f.Valid && err != nil:
		t.Errorf("control is refused: %v", err)
	case f.Valid:
	case err == nil || event != nil:
		t.Errorf("accepted: %s", f.What)
	case errors.Is(err, brokers.ErrCancelled), errors.As(err, &rejected) && rejected.Reason == "login_failed":
		if !slices.Contains(f.Checks, "status") {
			t.Errorf("refused for %v, want one of %v", err, f.Checks)
		}
	case rejected == nil || !slices.Contains(f.Checks, strings.Replace(rejected.Reason, "loa_too_low", "level", 1)):
		t.Errorf("refused for %v, want one of %v", err, f.Checks)
	}
}
