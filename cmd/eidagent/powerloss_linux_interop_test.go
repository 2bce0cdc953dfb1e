//go:build interop

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/fixtures/powerloss"
	"github.com/eidbridge/eidbridge/signing/batch"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// recordedDesk is a desk whose documents lie in a folder that is recorded, on the
// temporary disk or in memory, so that both orders of package outfile are met where
// the disk has a journal.
type recordedDesk struct {
	*desk
	folder string
	key    string
}

func newRecordedDesk(t *testing.T, beside string) *recordedDesk {
	t.Helper()
	d := newDesk(t)
	folder, err := os.MkdirTemp(beside, "powerloss-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return &recordedDesk{d, folder, d.keyFile()}
}

// record runs the program and returns what it did to the folder.
func (d *recordedDesk) record(args ...string) *powerloss.Trace {
	d.t.Helper()
	c := d.command(append([]string{"--p12", d.key, "sign", "--pin-fd", "0"}, args...)...)
	c.Stdin = strings.NewReader("secreto\n")
	r, err := powerloss.Record(d.folder, filepath.Join(d.dir, fmt.Sprintf("log-%d", time.Now().UnixNano())), c)
	if err != nil {
		d.t.Fatal(err)
	}
	if out, err := c.CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	trace, err := r.Parse()
	if err != nil {
		d.t.Fatal(err)
	}
	return trace
}

func (d *recordedDesk) scan(name string, size int64) []byte {
	d.t.Helper()
	var scan bytes.Buffer
	if err := pdfs.WriteScan(&scan, rand.NewChaCha8([32]byte{21}), size); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.folder, name), scan.Bytes(), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return scan.Bytes()
}

// shared is memory that looks like a disk, or the temporary folder without it.
func shared() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// cuts goes through so many states of a trace, each in a folder that check may work in,
// and counts those that are wrong.
func cuts(t *testing.T, trace *powerloss.Trace, model powerloss.Model, states int, check func(moment int, state powerloss.State, folder string) error) (wrong int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d: %d states, %v", seed, states, model)
	moments := trace.Moments()
	var mu sync.Mutex
	var first error
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		folder, err := os.MkdirTemp(shared(), "powerloss-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		all.Go(func() {
			for i := w; i < states; i += workers {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				moment := moments[i*len(moments)/states]
				state := trace.Cut(moment, model, random)
				err := state.Write(folder)
				if err == nil {
					err = check(moment, state, folder)
				}
				if err != nil {
					mu.Lock()
					if wrong++; first == nil {
						first = fmt.Errorf("state %d, moment %d: %w", i, moment, err)
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if first != nil {
		t.Logf("%d states are wrong; one of them: %v", wrong, first)
	}
	return wrong
}

// told is the moment at which the program says that the output is there.
func told(t *testing.T, trace *powerloss.Trace, text string) int {
	t.Helper()
	for _, m := range trace.Messages() {
		if bytes.Contains(m.Text, []byte(text)) {
			return m.At
		}
	}
	t.Fatalf("the program never said %q", text)
	return 0
}

// S-21: the power goes at any moment while an output is made or replaced. There is the
// former file or a whole new one, or none where there was none; a new one for sure once
// it was told of; the document is as it was, and what is left beside is swept.
func TestInteropPowerLossWhileSigning(t *testing.T) {
	for _, beside := range []string{os.TempDir(), shared()} {
		for _, force := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, replaced: %v", beside, force), func(t *testing.T) {
				d := newRecordedDesk(t, beside)
				original := d.scan("scan.pdf", 100<<10)
				out := filepath.Join(d.folder, "out.pdf")
				args := []string{"--out", out, filepath.Join(d.folder, "scan.pdf")}
				if force {
					d.run(0, strings.NewReader("secreto\n"), append([]string{"--p12", d.key, "sign", "--pin-fd", "0", "--reason", "former"}, args...)...)
					args = append([]string{"--force"}, args...)
				}
				former, _ := os.ReadFile(out) // there may be none
				trace := d.record(args...)
				fresh, err := os.ReadFile(out)
				if err != nil || bytes.Equal(fresh, former) || !bytes.HasPrefix(fresh, original) {
					t.Fatalf("the output: %v", err)
				}
				model, err := powerloss.ModelOf(d.folder)
				if err != nil {
					t.Fatal(err)
				}
				at := told(t, trace, "out.pdf")
				if err := trace.WholeBeforeNamed("out.pdf", at, model); err != nil {
					t.Error("S-21", err)
				}
				if err := trace.Durable("out.pdf", at); err != nil {
					t.Error("S-21", err)
				}
				check := func(moment int, state powerloss.State, folder string) error {
					now, there := state["out.pdf"]
					switch {
					case !bytes.Equal(state["scan.pdf"], original):
						return fmt.Errorf("the document itself was changed")
					case bytes.Equal(now, fresh):
					case moment > at:
						return fmt.Errorf("the output was told of and is not there: %d bytes", len(now))
					case there != force || !bytes.Equal(now, former):
						return fmt.Errorf("the output is neither the former nor a new one: %d bytes", len(now))
					}
					if _, err := outfile.Sweep(filepath.Join(folder, "out.pdf")); err != nil {
						return err
					}
					left, err := os.ReadDir(folder)
					want := len(state)
					for name := range state {
						if strings.HasSuffix(name, ".part") {
							want--
						}
					}
					if err == nil && len(left) != want {
						err = fmt.Errorf("left after the sweep: %v", left)
					}
					return err
				}
				if wrong := cuts(t, trace, model, 400, check); wrong > 0 {
					t.Errorf("S-21 %d states are wrong", wrong)
				}
				if wrong := cuts(t, trace.Unsynced(), model, 200, check); wrong == 0 {
					t.Error("nothing is noticed when nobody waits for the disk")
				}
			})
		}
	}
}

// S-21: the power goes at any moment of a batch. Every output is whole and in the
// manifest, or not there; it is there once it was told of; and the manifest can be gone
// on with.
func TestInteropPowerLossInABatch(t *testing.T) {
	d := newRecordedDesk(t, shared())
	const documents = 12
	originals := make(map[string][]byte)
	for i := range documents {
		name := fmt.Sprintf("scan-%02d.pdf", i)
		originals[name] = d.scan(name, int64(4+i)<<10)
	}
	trace := d.record("--batch", d.folder)
	model, err := powerloss.ModelOf(d.folder)
	if err != nil {
		t.Fatal(err)
	}
	outputs, toldAt := make(map[string]string), make(map[string]int)
	for name := range originals {
		out := strings.TrimSuffix(name, ".pdf") + "-signed.pdf"
		data, err := os.ReadFile(filepath.Join(d.folder, out))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		outputs[out], toldAt[out] = hex.EncodeToString(sum[:]), told(t, trace, out+"\t")
		if err := trace.WholeBeforeNamed(out, toldAt[out], model); err != nil {
			t.Error("S-21", err)
		}
		if err := trace.Durable(out, toldAt[out]); err != nil {
			t.Error("S-21", err)
		}
		if err := trace.Durable(batch.ManifestName, toldAt[out]); err != nil {
			t.Error("S-21", err)
		}
	}
	check := func(moment int, state powerloss.State, folder string) error {
		manifest, err := batch.OpenManifest(filepath.Join(folder, batch.ManifestName))
		if err != nil {
			return err
		}
		defer func() { _ = manifest.Close() }() // once more harms nothing
		for name, original := range originals {
			if !bytes.Equal(state[name], original) {
				return fmt.Errorf("%s was changed", name)
			}
			out := strings.TrimSuffix(name, ".pdf") + "-signed.pdf"
			data, there := state[out]
			sum := sha256.Sum256(data)
			if there && hex.EncodeToString(sum[:]) != outputs[out] {
				return fmt.Errorf("%s is not whole: %d bytes", out, len(data))
			}
			_, done := manifest.Done(batch.Item{In: filepath.Join(folder, name), Out: filepath.Join(folder, out)})
			if (there || moment > toldAt[out]) && !done {
				return fmt.Errorf("%s; there: %v, told of: %v, in the manifest: %v", out, there, moment > toldAt[out], done)
			}
		}
		record := batch.Record{Item: batch.Item{In: filepath.Join(folder, "scan-00.pdf"), Out: filepath.Join(folder, "scan-01.pdf")}}
		for _, digest := range []struct {
			name string
			into *string
		}{{"scan-00.pdf", &record.SourceSHA256}, {"scan-01.pdf", &record.SHA256}} {
			if *digest.into, err = batch.Digest(filepath.Join(folder, digest.name)); err != nil {
				return err
			}
		}
		if err := errors.Join(manifest.Append(record), manifest.Close()); err != nil {
			return err
		}
		again, err := batch.OpenManifest(filepath.Join(folder, batch.ManifestName))
		if err != nil {
			return err
		}
		defer func() { _ = again.Close() }()
		if _, done := again.Done(record.Item); !done {
			return fmt.Errorf("what the manifest was told after the restart is lost")
		}
		return nil
	}
	if wrong := cuts(t, trace, model, 400, check); wrong > 0 {
		t.Errorf("S-21 %d states are wrong", wrong)
	}
	if wrong := cuts(t, trace.Unsynced(), model, 100, check); wrong == 0 {
		t.Error("nothing is noticed when nobody waits for the disk")
	}
}
