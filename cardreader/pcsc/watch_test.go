package pcsc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
)

// watching runs Watch and hands its events over one by one.
func watching(t *testing.T, f *fakeSystem) (next func() string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- newService(f).Watch(ctx, func(e cardreader.Event) {
			select {
			case events <- fmt.Sprint(e.Kind, " ", e.Reader.Name):
			case <-ctx.Done():
			}
		})
	}()
	stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch = %v, want Canceled", err)
		}
		if n := f.open(); n != 0 {
			t.Errorf("%d contexts left open", n)
		}
	}
	return func() string { return <-events }, stop
}

func expect(t *testing.T, next func() string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := next(); got != w {
			t.Errorf("event %q, want %q", got, w)
		}
	}
}

func TestWatchReportsReadersAndCards(t *testing.T) {
	f := newFakeSystem()
	f.names = []string{"a"}
	f.states["a"] = slot{now: 0x00010022, atr: []byte{0x3B}}
	next, stop := watching(t, f)
	expect(t, next, "reader-added a", "card-inserted a")
	f.set(func() { f.states["a"] = slot{now: 0x00020012} })
	expect(t, next, "card-removed a")
	f.set(func() { f.states["a"] = slot{now: 0x00030022} })
	expect(t, next, "card-inserted a")
	// Threat C-20: pulled and inserted between two looks; only the counter moved.
	f.set(func() { f.states["a"] = slot{now: 0x00050022} })
	expect(t, next, "card-removed a", "card-inserted a")
	f.set(func() { f.names = []string{"a", "b"}; f.states["b"] = slot{now: 0x12} })
	expect(t, next, "reader-added b")
	f.set(func() { f.names = []string{"b"}; delete(f.states, "a") })
	expect(t, next, "card-removed a", "reader-removed a")
	stop()
}

// Threat C-14: the service goes away and comes back.
func TestWatchOutlivesTheService(t *testing.T) {
	f := newFakeSystem()
	f.names = []string{"a"}
	f.states["a"] = slot{now: 0x00010022}
	next, stop := watching(t, f)
	expect(t, next, "reader-added a", "card-inserted a")
	f.set(func() { f.down = codeServiceStopped })
	expect(t, next, "card-removed a", "reader-removed a")
	f.set(func() { f.down = 0 })
	expect(t, next, "reader-added a", "card-inserted a")
	stop()
}

func TestWatchWorksWithoutReaderAnnouncements(t *testing.T) {
	f := newFakeSystem()
	f.pnp = false
	f.names = []string{"a"}
	f.states["a"] = slot{now: 0x12}
	next, stop := watching(t, f)
	expect(t, next, "reader-added a")
	f.set(func() { f.states["a"] = slot{now: 0x22} })
	expect(t, next, "card-inserted a")
	stop()
}

func TestWatchStartsWithoutAnyReader(t *testing.T) {
	f := newFakeSystem()
	next, stop := watching(t, f)
	eventually(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.statuses > 0 })
	f.set(func() { f.names = []string{"a"}; f.states["a"] = slot{now: 0x12} })
	expect(t, next, "reader-added a")
	stop()
}

// Threat C-20: 200 insertions and removals, some of them only told by the counter,
// while others connect. Nothing is missed, and goroutines, contexts and connections
// return to what they were.
func TestStormOfInsertionsLeavesNothingBehind(t *testing.T) {
	f := newFakeSystem()
	f.names = []string{"a"}
	f.states["a"] = slot{now: 0x12}
	f.handle = newFakeHandle()
	before := runtime.NumGoroutine()
	next, stop := watching(t, f)
	expect(t, next, "reader-added a")
	service := newService(f)
	for cycle := range uint32(200) {
		// The counter wraps round on the way (16 bits).
		counter := (0xFFC0 + 2*cycle) << 16
		f.set(func() { f.states["a"] = slot{now: counter | 0x22, atr: []byte{0x3B}} })
		expect(t, next, "card-inserted a")
		conn, err := service.Connect(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		f.set(func() { f.states["a"] = slot{now: counter + 1<<16 | 0x12} })
		expect(t, next, "card-removed a")
		if err := conn.Close(cycle%2 == 0); err != nil {
			t.Error(err)
		}
	}
	stop()
	eventually(t, func() bool { return runtime.NumGoroutine() <= before })
	if n := f.open(); n != 0 {
		t.Errorf("%d contexts left open", n)
	}
}
