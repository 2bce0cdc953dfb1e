package provider_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/store"
)

// Where memory storage has no room but for what must not be forgotten, who comes is
// asked to come again, and when the room is there, let in.
func TestFullMemoryAsksToComeAgain(t *testing.T) {
	kept := store.NewMemory(store.WithBound(64 << 10))
	r := newRig(t, options{store: kept})
	if token, status := r.tryLogin(t); token == nil {
		t.Fatalf("before: %d", status)
	}
	for i, err := 0, error(nil); err == nil; i++ {
		err = kept.UseAssertionID(t.Context(), "idp", fmt.Sprint(i), r.clock.Now().Add(time.Hour))
	}
	a := r.authorize(newBrowser(t))
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", a.Status, a.Header.Get("Retry-After"))
	}
	pushed := r.push(r.request())
	if pushed.StatusCode != http.StatusServiceUnavailable || pushed.Header.Get("Retry-After") == "" || object(t, pushed.body)["error"] != "temporarily_unavailable" {
		t.Errorf("pushed: %s, Retry-After %q: %s", pushed.Status, pushed.Header.Get("Retry-After"), pushed.body)
	}
	r.clock.Add(time.Hour)
	if token, status := r.tryLogin(t); token == nil {
		t.Errorf("after: %d", status)
	}
}
