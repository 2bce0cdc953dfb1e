//go:build interop && linux

package origins_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/fixtures/powerloss"
)

// pairRecorded approves and forgets pairings, and says after each step which there are.
func pairRecorded(t *testing.T, folder string) {
	s, err := origins.Open(filepath.Join(folder, "pairings.json"), time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		id := fmt.Sprint("p", i)
		approve(t, s, id, "https://bank.es", origins.ScopeSign)
		fmt.Println("now", names(s))
		if i%3 != 2 {
			continue
		}
		if err := s.Forget(fmt.Sprint("p", i-1)); err != nil {
			t.Fatal(err)
		}
		fmt.Println("now", names(s))
	}
}

func names(s *origins.Store) string {
	var list []string
	for _, p := range s.List() {
		list = append(list, p.ID)
	}
	slices.Sort(list)
	return fmt.Sprintln(list)
}

// S-21: the power goes at any moment while pages are paired and forgotten. The agent
// starts, knows what it had said, or what it was about to say, and removes what is left.
func TestInteropPowerLossOfPairings(t *testing.T) {
	if folder := os.Getenv("EIDBRIDGE_PAIRINGS_FOLDER"); folder != "" {
		pairRecorded(t, folder)
		return
	}
	folder := t.TempDir()
	trace := powerloss.RecordTest(t, folder, "EIDBRIDGE_PAIRINGS_FOLDER")
	steps := []string{fmt.Sprintln([]string{})}
	at := []int{0}
	for _, m := range trace.Messages() {
		if text, ok := bytes.CutPrefix(m.Text, []byte("now ")); ok {
			steps, at = append(steps, string(text[:len(text)-1])), append(at, m.At)
		}
	}
	if len(steps) != 17 {
		t.Fatalf("%d steps", len(steps))
	}
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	states := func(trace *powerloss.Trace, model powerloss.Model) (wrong int) {
		moments, folder := trace.Moments(), t.TempDir()
		const number = 200
		for i := range number {
			moment := moments[i*len(moments)/number]
			state := trace.Cut(moment, model, mathrand.New(mathrand.NewPCG(seed, uint64(i))))
			if err := state.Write(folder); err != nil {
				t.Fatal(err)
			}
			step := 0
			for step+1 < len(at) && at[step+1] < moment {
				step++
			}
			s, err := origins.Open(filepath.Join(folder, "pairings.json"), time.Now, rand.Reader)
			if err == nil {
				if got := names(s); got != steps[step] && got != steps[min(step+1, len(steps)-1)] {
					err = fmt.Errorf("there are %s, said was %s", got, steps[step])
				}
			}
			if left, _ := filepath.Glob(filepath.Join(folder, ".*")); err == nil && len(left) > 0 {
				err = fmt.Errorf("left is %v", left)
			}
			if err != nil {
				if wrong++; wrong == 1 {
					t.Logf("%v, state %d, moment %d: %v", model, i, moment, err)
				}
			}
		}
		return wrong
	}
	for _, model := range []powerloss.Model{powerloss.Bare, powerloss.Journal} {
		if wrong := states(trace, model); wrong > 0 {
			t.Errorf("S-21 %v: %d states are wrong", model, wrong)
		}
		if wrong := states(trace.Unsynced(), model); wrong == 0 {
			t.Errorf("%v: nothing is noticed when nobody waits for the disk", model)
		}
	}
}
