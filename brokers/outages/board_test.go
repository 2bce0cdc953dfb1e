package outages_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// desk is two replicas on one store.
type desk struct {
	t    *testing.T
	a, b *outages.Board
	now  time.Time
	log  bytes.Buffer
}

func newDesk(t *testing.T, s outages.Settings, fixed ...brokers.Outage) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	memory := store.NewMemory()
	for _, board := range []**outages.Board{&d.a, &d.b} {
		var err error
		if *board, err = outages.New(s, outages.Options{
			Store: memory, Audit: slog.New(slog.NewJSONHandler(&d.log, nil)), Now: func() time.Time { return d.now },
			Fixed: func(time.Time) []brokers.Outage { return fixed },
		}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *desk) learn() {
	d.t.Helper()
	if err := errors.Join(d.a.Learn(d.t.Context()), d.b.Learn(d.t.Context())); err != nil {
		d.t.Fatal(err)
	}
}

// out is whether a board has a method out of order now.
func (d *desk) out(b *outages.Board, upstream, method string) bool {
	for _, o := range b.At(d.now) {
		if o.Upstream == upstream && o.Applies(method, d.now) {
			return true
		}
	}
	return false
}

func TestOperatorsSwitchForAllReplicas(t *testing.T) {
	d := newDesk(t, outages.Settings{}, brokers.Outage{Upstream: "fixed"})
	id, err := d.a.Add(t.Context(), "console:alice", brokers.Outage{Upstream: "digid", Limit: brokers.Limit{Method: "midden", Until: d.now.Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if d.out(d.b, "digid", "midden") {
		t.Error("the other replica knew before it learned")
	}
	d.learn()
	for name, b := range map[string]*outages.Board{"first": d.a, "second": d.b} {
		if !d.out(b, "digid", "midden") || d.out(b, "digid", "hoog") || !d.out(b, "fixed", "any") {
			t.Errorf("%s replica: %+v", name, b.At(d.now))
		}
	}
	if !strings.Contains(d.log.String(), `"event":"outage.added"`) || !strings.Contains(d.log.String(), `"actor":"console:alice"`) {
		t.Errorf("log: %s", &d.log)
	}
	if err := d.b.Lift(t.Context(), "command:bob", id); err != nil {
		t.Fatal(err)
	}
	d.learn()
	if d.out(d.a, "digid", "midden") || !strings.Contains(d.log.String(), `"event":"outage.lifted"`) {
		t.Error("lifting was not learned or not told")
	}
	if err := d.b.Lift(t.Context(), "command:bob", id); !errors.Is(err, brokers.ErrNotFound) {
		t.Errorf("lifting again: %v", err)
	}
}

func TestAddRefusesWhatMakesNoSense(t *testing.T) {
	d := newDesk(t, outages.Settings{})
	for name, o := range map[string]brokers.Outage{
		"no upstream":          {},
		"ends before it began": {Upstream: "u", Limit: brokers.Limit{From: d.now.Add(time.Hour), Until: d.now}},
		"planned without end":  {Upstream: "u", Limit: brokers.Limit{From: d.now, Planned: true}},
		"over already":         {Upstream: "u", Limit: brokers.Limit{Until: d.now}},
	} {
		var invalid *outages.InvalidError
		if _, err := d.a.Add(t.Context(), "x", o); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// S-32: an upstream that fails is left alone for a pause that grows, on every
// replica, and its first answer brings it back.
func TestCircuitOpensAndCloses(t *testing.T) {
	d := newDesk(t, outages.Settings{Failures: 3, Pause: 10 * time.Second, LongestPause: 25 * time.Second})
	fail := func(b *outages.Board) { b.Failed(t.Context(), "idp", "") }
	fail(d.a)
	fail(d.a)
	if d.out(d.a, "idp", "m") {
		t.Fatal("out after two failures")
	}
	fail(d.a)
	d.learn()
	if !d.out(d.a, "idp", "m") || !d.out(d.b, "idp", "m") || d.out(d.a, "other", "m") {
		t.Fatal("three failures did not open the circuit of this upstream on both replicas")
	}
	// After the pause one failure is enough, and pauses double up to the longest.
	for i, pause := range []time.Duration{20 * time.Second, 25 * time.Second, 25 * time.Second} {
		d.now = d.now.Add(30 * time.Second)
		d.learn()
		board := []*outages.Board{d.b, d.a}[i%2]
		if d.out(d.a, "idp", "m") || d.out(d.b, "idp", "m") {
			t.Fatalf("pause %d did not end", i)
		}
		fail(board)
		d.now = d.now.Add(pause - time.Second)
		if !d.out(board, "idp", "m") {
			t.Errorf("pause %d is shorter than %s", i, pause)
		}
		d.learn()
		d.now = d.now.Add(time.Second)
		if d.out(board, "idp", "m") {
			t.Errorf("pause %d is longer than %s", i, pause)
		}
	}
	d.a.Worked(t.Context(), "idp")
	fail(d.a)
	if d.out(d.a, "idp", "m") {
		t.Error("one failure after a success opened the circuit")
	}
	if !strings.Contains(d.log.String(), `"event":"upstream.paused"`) || !strings.Contains(d.log.String(), `"event":"upstream.recovered"`) {
		t.Errorf("log: %s", &d.log)
	}
}

// A login that was under way when the circuit opened, and succeeds, ends the pause
// everywhere.
func TestSuccessEndsThePause(t *testing.T) {
	d := newDesk(t, outages.Settings{Failures: 1})
	d.a.Failed(t.Context(), "idp", "")
	d.learn()
	d.b.Worked(t.Context(), "idp")
	d.learn()
	if d.out(d.a, "idp", "m") || d.out(d.b, "idp", "m") {
		t.Error("the pause outlived an answer")
	}
}

// Nobody takes an upstream off the pages alone, and a share of failures below that
// of successes does not either.
func TestVisitorsCannotOpenTheCircuit(t *testing.T) {
	d := newDesk(t, outages.Settings{Failures: 5})
	for range 100 {
		d.a.Failed(t.Context(), "idp", "192.0.2.1")
	}
	if d.out(d.a, "idp", "m") {
		t.Error("one visitor opened the circuit")
	}
	d.now = d.now.Add(time.Hour)
	for range 20 {
		d.a.Worked(t.Context(), "idp")
	}
	for i := range 10 {
		d.a.Failed(t.Context(), "idp", fmt.Sprint("192.0.2.", i))
	}
	if d.out(d.a, "idp", "m") {
		t.Error("ten failures beside twenty successes opened the circuit")
	}
	for i := range 20 {
		d.a.Failed(t.Context(), "idp", fmt.Sprint("198.51.100.", i))
	}
	if !d.out(d.a, "idp", "m") {
		t.Error("thirty failures of many visitors beside twenty successes did not")
	}
	off := newDesk(t, outages.Settings{Never: true})
	for range 100 {
		off.a.Failed(t.Context(), "idp", "")
	}
	if off.out(off.a, "idp", "m") {
		t.Error("there was to be no circuit breaker")
	}
}

// brokenStore fails.
type brokenStore struct{ *store.Memory }

func (brokenStore) Outages(context.Context, time.Time) ([]brokers.Outage, error) {
	return nil, errors.New("down")
}
func (brokenStore) SaveOutage(context.Context, brokers.Outage) error { return errors.New("down") }

// Without the store a replica still leaves alone what it saw fail.
func TestCircuitWorksWithoutTheStore(t *testing.T) {
	now := time.Now()
	b, err := outages.New(outages.Settings{Failures: 1}, outages.Options{Store: brokenStore{store.NewMemory()}, Audit: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { b.Failed(t.Context(), "idp", "") })
	}
	all.Wait()
	if err := b.Learn(t.Context()); err == nil {
		t.Error("a store that fails was not told of")
	}
	if list := b.At(now); len(list) != 1 || !list[0].Automatic {
		t.Errorf("outages: %+v", list)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, s := range []outages.Settings{{Failures: -1}, {Window: time.Millisecond}, {Pause: time.Minute, LongestPause: time.Second}} {
		if s.Check() == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	if (outages.Settings{Pause: time.Hour}).Check() != nil {
		t.Error("a long pause alone was refused")
	}
}
