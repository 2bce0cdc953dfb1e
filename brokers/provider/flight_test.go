package provider_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
)

var shownReference = regexp.MustCompile(`<code>([A-Z2-7]{5}-[A-Z2-7]{5})</code>`)

func flightOf(t *testing.T, memory *store.Memory, a answer) (string, *brokers.Flight) {
	t.Helper()
	found := shownReference.FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no reference in %s", a.body)
	}
	// People write it as they like.
	f, err := provider.LoadFlight(context.Background(), memory, strings.ToLower(strings.Replace(found[1], "-", " ", 1)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return found[1], f
}

// The reference on an error page finds the steps of the login, told in codes; no
// page gives them away.
func TestReferencesFindTheSteps(t *testing.T) {
	memory := store.NewMemory()
	r := newRig(t, options{store: memory})
	b := newBrowser(t)
	departure := r.authorize(b).location(t)
	a := b.get(r.callback(departure, "result", "down"))
	ref, f := flightOf(t, memory, a)
	var events []string
	for _, s := range f.Steps {
		events = append(events, s.Event)
	}
	if got := strings.Join(events, " "); got != "login.begun login.departed upstream.failed" || f.Client != "portal" || f.Reference != ref {
		t.Errorf("steps %s of %+v", got, f)
	}
	if f.Steps[1].Codes["upstream"] != "fake" || f.Steps[1].Codes["method"] != "fake-card" || f.Steps[1].At.IsZero() {
		t.Errorf("step %+v", f.Steps[1])
	}
	for _, path := range []string{"/receipts/flight%2F" + ref, "/receipts/flight/" + ref} {
		if a := newBrowser(t).get(r.server.URL + path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if _, err := provider.LoadFlight(context.Background(), memory, ref, time.Now().Add(15*24*time.Hour)); err == nil {
		t.Error("it is kept for ever")
	}
}

// S-01: what is kept has nothing of the person, of the request's own texts, or of
// errors.
func TestStepsTellNothingOfThePerson(t *testing.T) {
	memory := store.NewMemory()
	r := newRig(t, options{store: memory})
	b := newBrowser(t)
	for _, result := range []string{"reject", "down"} {
		departure := r.authorize(b, "login_hint", "mari@example.org").location(t)
		_, f := flightOf(t, memory, b.get(r.callback(departure, "result", result, "person", "ee-ik:60001019906")))
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"60001019906", "MARI", "mari@", "the state", "the nonce", "127.0.0.1", "back channel is down"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s: steps have %q: %s", result, secret, text)
			}
		}
		if len(f.Steps) < 3 {
			t.Errorf("%s: %+v", result, f)
		}
	}
}

// A stranger's errors are kept too, but not without bound.
func TestStrangersCannotFillTheStore(t *testing.T) {
	memory := store.NewMemory()
	r := newRig(t, options{store: memory})
	kept := 0
	for range 40 {
		a := newBrowser(t).get(r.server.URL + "/authorize?client_id=stranger")
		ref := shownReference.FindStringSubmatch(a.body)[1]
		if f, err := provider.LoadFlight(context.Background(), memory, ref, time.Now()); err == nil {
			kept++
			if len(f.Steps) != 1 || f.Steps[0].Reason != "client_unknown" {
				t.Errorf("%+v", f)
			}
		}
	}
	if kept != 30 {
		t.Errorf("%d references of one address were kept in a minute", kept)
	}
	for _, text := range []string{"", "x", "ABCDE-FGHI", "ABCDE-FGHI1", "../../etc"} {
		if _, err := provider.LoadFlight(context.Background(), memory, text, time.Now()); err == nil {
			t.Errorf("%q was found", text)
		}
	}
}
