//go:build interop && linux

package outfile_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/powerloss"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// groupContent is what a file of the recorded groups holds.
func groupContent(round, i int) string {
	return strings.Repeat(fmt.Sprintf("%d.%02d ", round, i), 300+400*i)
}

const grouped = 10 // files of a group

// groupRecorded makes two groups of files, new ones and, with odd numbers, such as
// replace one, and says when each is in place.
func groupRecorded(t *testing.T, folder string) {
	var g outfile.Group
	for round := range 2 {
		for i := range grouped {
			if round == 1 && i%2 == 0 {
				continue // it is there
			}
			out := filepath.Join(folder, fmt.Sprint("f", i))
			if err := begin(t, out, groupContent(round, i), round == 1).PlaceIn(t.Context(), &g); err != nil {
				t.Fatal(err)
			}
		}
		if failed := g.Sync(t.Context()); len(failed) > 0 {
			t.Fatal(failed)
		}
		fmt.Println("group", round)
	}
}

// S-21: the power goes at any moment while groups of files are put in place. Each file is
// the former or the new one, whole, or not there while nobody was told.
func TestInteropPowerLossOfGroups(t *testing.T) {
	if folder := os.Getenv("EIDBRIDGE_GROUP_FOLDER"); folder != "" {
		groupRecorded(t, folder)
		return
	}
	folder := t.TempDir()
	trace := powerloss.RecordTest(t, folder, "EIDBRIDGE_GROUP_FOLDER")
	told := make(map[int]int)
	for _, m := range trace.Messages() {
		for round := range 2 {
			if strings.HasPrefix(string(m.Text), fmt.Sprint("group ", round)) {
				told[round] = m.At
			}
		}
	}
	model, err := powerloss.ModelOf(folder)
	if err != nil || len(told) != 2 {
		t.Fatalf("%v, told of %d groups", err, len(told))
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %v", seed, model)
	states := func(trace *powerloss.Trace, number int) (wrong int) {
		moments := trace.Moments()
		for i := range number {
			moment := moments[i*len(moments)/number]
			state := trace.Cut(moment, model, rand.New(rand.NewPCG(seed, uint64(i))))
			if err := wholeGroups(state, moment, told); err != nil {
				if wrong++; wrong == 1 {
					t.Logf("state %d, moment %d: %v", i, moment, err)
				}
			}
		}
		return wrong
	}
	if wrong := states(trace, 1000); wrong > 0 {
		t.Errorf("S-21 %d of 1000 states are wrong", wrong)
	}
	if wrong := states(trace.Unsynced(), 200); wrong == 0 {
		t.Error("nothing is noticed when nobody waits for the disk")
	}
}

func wholeGroups(state powerloss.State, moment int, told map[int]int) error {
	for i := range grouped {
		name := fmt.Sprint("f", i)
		got, there := state[name]
		old, fresh := string(got) == groupContent(0, i), i%2 == 1 && string(got) == groupContent(1, i)
		switch {
		case !there && moment > told[0]:
			return fmt.Errorf("%s was told of and is not there", name)
		case there && !old && !fresh:
			return fmt.Errorf("%s is not whole: %d bytes", name, len(got))
		case i%2 == 1 && moment > told[1] && !fresh:
			return fmt.Errorf("%s was told of and is the former one", name)
		}
	}
	return nil
}
