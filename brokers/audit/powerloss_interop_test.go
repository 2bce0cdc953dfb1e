//go:build interop && linux

package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/fixtures/powerloss"
)

// recordedFolder is where the program that is recorded writes its log.
const recordedFolder = "EIDBRIDGE_AUDIT_FOLDER"

func recordedOptions(folder string, outside func(string)) audit.Options {
	seed := sha256.Sum256([]byte("power"))
	return audit.Options{Path: filepath.Join(folder, "audit.jsonl"), Key: ed25519.NewKeyFromSeed(seed[:]), Lines: 12, Size: 24 << 10, Outside: outside}
}

// writeRecorded opens a log twice and fills several files. Checkpoints go to the
// standard output, which is where a copy is kept.
func writeRecorded(folder string) error {
	for range 2 {
		l, err := audit.Open(recordedOptions(folder, func(compact string) { fmt.Println("checkpoint", compact) }))
		if err != nil {
			return err
		}
		for i := range 150 {
			err := l.Record("login.done", "ok", slog.Int("login", i), slog.String("text", strings.Repeat("x", i*7%400)))
			if err != nil {
				return err
			}
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// S-21: the power goes at any moment while a log is written, checked and put aside. The
// next start goes on, and the whole chain verifies and holds every checkpoint that was
// told before.
func TestInteropPowerLossOfTheAuditLog(t *testing.T) {
	if folder := os.Getenv(recordedFolder); folder != "" {
		if err := writeRecorded(folder); err != nil {
			t.Fatal(err)
		}
		return
	}
	folder := t.TempDir()
	trace := powerloss.RecordTest(t, folder, recordedFolder)
	told := func(moment int) (kept []string) {
		for _, m := range trace.Messages() {
			if compact, ok := strings.CutPrefix(string(m.Text), "checkpoint "); ok && m.At < moment {
				kept = append(kept, strings.TrimSpace(compact))
			}
		}
		return kept
	}
	if n := len(told(trace.End())); n < 20 {
		t.Fatalf("%d checkpoints were told", n)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	states := func(trace *powerloss.Trace, model powerloss.Model, number int) (wrong, recovered int) {
		moments, folder := trace.Moments(), t.TempDir()
		for i := range number {
			moment := moments[i*len(moments)/number]
			state := trace.Cut(moment, model, rand.New(rand.NewPCG(seed, uint64(i))))
			if err := state.Write(folder); err != nil {
				t.Fatal(err)
			}
			mended, err := goOn(folder, told(moment))
			if err != nil {
				if wrong++; wrong == 1 {
					t.Logf("%v, state %d, moment %d: %v", model, i, moment, err)
				}
			}
			if mended {
				recovered++
			}
		}
		return wrong, recovered
	}
	for _, model := range []powerloss.Model{powerloss.Bare, powerloss.Journal} {
		wrong, recovered := states(trace, model, 300)
		if wrong > 0 || recovered == 0 {
			t.Errorf("S-21 %v: %d of 300 states are wrong, %d had lines to be removed", model, wrong, recovered)
		}
		if wrong, _ := states(trace.Unsynced(), model, 100); wrong == 0 {
			t.Errorf("%v: nothing is noticed when nobody waits for the disk", model)
		}
	}
}

// goOn starts with what the power cut left and verifies all that there is then.
func goOn(folder string, kept []string) (recovered bool, err error) {
	options := recordedOptions(folder, func(compact string) { kept = append(kept, compact) })
	l, err := audit.Open(options)
	if err != nil {
		return false, err
	}
	err = errors.Join(l.Record("login.done", "after"), l.Close())
	if err != nil {
		return false, err
	}
	names, err := filepath.Glob(options.Path + "*")
	if err != nil {
		return false, err
	}
	number := func(name string) int { // of its last line
		if n, err := strconv.Atoi(strings.TrimPrefix(name, options.Path+".")); err == nil {
			return n
		}
		return 1 << 30 // the file that is written
	}
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	var files []io.Reader
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return false, err
		}
		recovered = recovered || name == options.Path && bytes.Contains(data, []byte(`"audit.recovered"`))
		files = append(files, bytes.NewReader(data))
	}
	_, err = audit.Verify(options.Key.Public().(ed25519.PublicKey), kept, files...)
	return recovered, err
}
