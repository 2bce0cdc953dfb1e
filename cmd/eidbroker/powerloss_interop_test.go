//go:build interop && linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/powerloss"
)

// noteRecorded makes a key, as the first start does, notes what was seen of a database
// again and again, and says what is there.
func noteRecorded(t *testing.T, dir directory) {
	fresh := func() ([]byte, error) { return []byte("the key, which nobody must lose"), nil }
	keep := func(path string, data []byte) error { return writeNew(path, data, 0o600) }
	if _, err := readSecretAnd(dir.file("audit.key"), true, fresh, keep); err != nil {
		t.Fatal(err)
	}
	fmt.Println("key")
	for i := range 20 {
		if err := (seen{Epoch: i, At: time.Date(2026, 11, 28, 0, 0, i, 0, time.UTC)}).write(dir); err != nil {
			t.Fatal(err)
		}
		fmt.Println("seen", i)
	}
}

// S-21: the power goes at any moment while keys are made and the database is watched.
// The next start finds whole files, and none older than it was told of.
func TestInteropPowerLossBesideTheDatabase(t *testing.T) {
	if folder := os.Getenv("EIDBRIDGE_SEEN_FOLDER"); folder != "" {
		noteRecorded(t, directory(folder))
		return
	}
	folder := t.TempDir()
	trace := powerloss.RecordTest(t, folder, "EIDBRIDGE_SEEN_FOLDER")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const number = 200
	states := func(trace *powerloss.Trace, model powerloss.Model) (wrong int) {
		moments, folder := trace.Moments(), directory(t.TempDir())
		for i := range number {
			moment := moments[i*len(moments)/number]
			state := trace.Cut(moment, model, rand.New(rand.NewPCG(seed, uint64(i))))
			if err := state.Write(string(folder)); err != nil {
				t.Fatal(err)
			}
			if err := foundAgain(folder, trace, moment); err != nil {
				if wrong++; wrong == 1 {
					t.Logf("%v, state %d, moment %d: %v", model, i, moment, err)
				}
			}
		}
		return wrong
	}
	for _, model := range []powerloss.Model{powerloss.Bare, powerloss.Journal} {
		if wrong := states(trace, model); wrong > 0 {
			t.Errorf("S-21 %v: %d of %d states are wrong", model, wrong, number)
		}
		if wrong := states(trace.Unsynced(), model); wrong == 0 {
			t.Errorf("%v: nothing is noticed when nobody waits for the disk", model)
		}
	}
}

// foundAgain reads what was said to be there before a moment, and notes anew.
func foundAgain(dir directory, trace *powerloss.Trace, moment int) error {
	key, epoch := false, -1
	for _, m := range trace.Messages() {
		switch {
		case m.At >= moment:
		case bytes.HasPrefix(m.Text, []byte("key")):
			key = true
		case bytes.HasPrefix(m.Text, []byte("seen ")):
			epoch++
		}
	}
	text, err := os.ReadFile(dir.file("audit.key"))
	if there := err == nil; there && string(text) != "the key, which nobody must lose" || key && !there {
		return fmt.Errorf("the key is %q: %w", text, err)
	}
	last, err := readSeen(dir)
	if err != nil {
		return err
	}
	if last.Epoch < max(epoch, 0) || last.Epoch > epoch+1 {
		return fmt.Errorf("seen was %d, read is %d", epoch, last.Epoch)
	}
	if err := (seen{Epoch: 99}).write(dir); err != nil {
		return err
	}
	if left, err := filepath.Glob(dir.file("." + seenFile + ".*")); err != nil || len(left) > 0 {
		return fmt.Errorf("left is %v, %w", left, err)
	}
	return nil
}
