package outfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// made is a result of these tests.
type made struct {
	out string
	err error
}

func newLot() *outfile.Lot[made] {
	return &outfile.Lot[made]{Within: time.Minute, Failed: func(m *made, failed map[string]error) {
		if err := failed[m.out]; m.err == nil {
			m.err = err
		}
	}}
}

// Results are told of before their files have names, and are placed although the context
// is done; what failed before or fails with its name takes nothing along.
func TestLotIsToldOfBeforeItIsPlaced(t *testing.T) {
	folder := t.TempDir()
	l := newLot()
	ctx, cancel := context.WithCancel(t.Context())
	bad := errors.New("bad")
	now := time.Now()
	for _, name := range []string{"a", "b", "", "c"} {
		l.Begin(now)
		m := made{err: bad}
		if name != "" {
			m = made{out: filepath.Join(folder, name)}
			if err := begin(t, m.out, name, name == "c").PlaceIn(ctx, &l.Group); err != nil {
				t.Fatal(err)
			}
		}
		if l.Add(m, now) {
			t.Error("it is full")
		}
	}
	cancel()
	told := 0
	l.Before = func(results []made) error {
		told++
		for i, want := range []error{nil, nil, bad, nil} {
			if !errors.Is(results[i].err, want) {
				t.Errorf("result %d before: %v", i, results[i].err)
			}
			if _, err := os.Lstat(results[i].out); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s before: %v", results[i].out, err)
			}
		}
		write(t, filepath.Join(folder, "b"), "late")
		return nil
	}
	results, err := l.Place(ctx)
	if err != nil || told != 1 || len(results) != 4 || results[0].err != nil || !errors.Is(results[1].err, signing.ErrExists) || !errors.Is(results[2].err, bad) || results[3].err != nil {
		t.Errorf("%v, told %d times, %v", err, told, results)
	}
	holds(t, folder, "a=a", "b=late", "c=c")
	if results, err := l.Place(ctx); results != nil || err != nil || told != 1 {
		t.Errorf("an empty lot: %v, %v, told %d times", results, err, told)
	}
}

// What cannot be written down is not placed.
func TestLotIsRefused(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "1"), "old")
	l := newLot()
	for i := range 2 {
		m := made{out: filepath.Join(folder, fmt.Sprint(i))}
		if err := begin(t, m.out, "new", true).PlaceIn(t.Context(), &l.Group); err != nil {
			t.Fatal(err)
		}
		l.Add(m, time.Time{})
	}
	refused := errors.New("no")
	l.Before = func([]made) error { return refused }
	results, err := l.Place(t.Context())
	if !errors.Is(err, refused) || len(results) != 2 || !errors.Is(results[0].err, refused) || !errors.Is(results[1].err, refused) {
		t.Errorf("%v, %v", err, results)
	}
	holds(t, folder, "1=old")
}

// A lot is full with the results that it may have open, or when the first of them was
// begun long ago.
func TestLotIsFull(t *testing.T) {
	l := newLot()
	start := time.Now()
	for i := range 32 {
		l.Begin(start)
		if full := l.Add(made{}, start.Add(59*time.Second)); full != (i == 31) {
			t.Errorf("full after %d: %v", i+1, full)
		}
	}
	if results, err := l.Place(t.Context()); len(results) != 32 || err != nil {
		t.Errorf("%d, %v", len(results), err)
	}
	l.Begin(start)
	if l.Add(made{}, start.Add(59*time.Second)) {
		t.Error("full too early")
	}
	l.Begin(start.Add(30 * time.Second))
	if !l.Add(made{}, start.Add(time.Minute)) {
		t.Error("not full after a minute")
	}
}

// sweeping sweeps a folder again and again until it is told to stop.
func sweeping(t *testing.T, outs ...string) (stop func()) {
	ended := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
			}
			if _, err := outfile.Sweep(outs...); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return func() {
		close(ended)
		work.Wait()
	}
}

// Who sweeps a folder takes nothing from who begins an output in it.
func TestSweepLeavesWhatIsBegun(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	defer sweeping(t, out, filepath.Join(folder, "other"))()
	for range 2000 {
		f, err := outfile.Create(out, 0o600, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(f.Name()); err != nil {
			t.Error("swept: ", err)
		}
		f.Discard()
	}
}

// Nor from who is about to replace a file in it, alone or with a group.
func TestSweepLeavesWhatIsPlaced(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	defer sweeping(t, out)()
	for i := range 400 {
		f, err := outfile.Create(out, 0o600, true)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			err = f.Place(t.Context())
		} else {
			var g outfile.Group
			if err = f.PlaceIn(t.Context(), &g); err == nil {
				err = g.Sync(t.Context())[out]
			}
		}
		f.Discard()
		if err != nil {
			t.Fatalf("output %d: %v", i, err)
		}
	}
}
