// Package batch signs many documents: it collects them from names and folders,
// gives each output its name, remembers in a manifest what is done so that a batch
// which was broken off, at whatever moment, goes on where it ended, and runs signatures
// side by side where the key allows that.
//
// It knows no consent and no card. Where a person signs, package desktop asks and
// signs one document after the other, and the manifest is fed from its results.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// Item is a document and the place of its signed form.
type Item struct{ In, Out string }

// Naming says which files of a folder are taken and what outputs are called.
type Naming struct {
	// Ending is that of files to be taken from folders, in any case: ".pdf".
	Ending string
	// Suffix comes between the name of a file and its ending: "-signed".
	Suffix string
	// Dir takes the outputs; empty leaves each beside its input.
	Dir string
	// Recursive descends into folders below those that are named. In Dir the
	// outputs then lie in folders of the same names.
	Recursive bool
}

// Errors of Collect.
var (
	// ErrNothing: the folders hold no file that could be signed.
	ErrNothing = errors.New("no document to sign")
	// ErrTwice: two inputs would have the same output.
	ErrTwice = errors.New("two documents would have the same output")
	// ErrTooMany: there are more than Max documents.
	ErrTooMany = errors.New("too many documents")
)

// Max bounds a batch.
const Max = 10_000

// Collect lists the documents that paths name, files and folders, in the order of the
// paths and of names within folders. In folders it passes over hidden files, links,
// and outputs of an earlier run whose inputs are there too.
func Collect(paths []string, n Naming) ([]Item, error) {
	var items []Item
	seen := make(map[string]bool)
	outputs := make(map[string]string)
	add := func(in, below string) error {
		in = filepath.Clean(in)
		if seen[in] {
			return nil
		}
		seen[in] = true
		item := Item{In: in, Out: n.output(in, below)}
		if other, taken := outputs[item.Out]; taken {
			return fmt.Errorf("%w: %s and %s", ErrTwice, other, in)
		}
		outputs[item.Out] = in
		if items = append(items, item); len(items) > Max {
			return fmt.Errorf("%w: at most %d", ErrTooMany, Max)
		}
		return nil
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			if err := add(path, "."); err != nil {
				return nil, err
			}
			continue
		}
		files, err := n.files(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if err := add(filepath.Join(path, file), filepath.Dir(file)); err != nil {
				return nil, err
			}
		}
	}
	if len(items) == 0 {
		return nil, ErrNothing
	}
	return items, nil
}

// output names the signed form of a file that lies in a folder below the one that was
// named.
func (n Naming) output(in, below string) string {
	ending := filepath.Ext(in)
	if !strings.EqualFold(ending, n.Ending) {
		ending = ""
	}
	name := strings.TrimSuffix(filepath.Base(in), ending) + n.Suffix + cmp.Or(ending, n.Ending)
	if n.Dir == "" {
		return filepath.Join(filepath.Dir(in), name)
	}
	return filepath.Join(n.Dir, below, name)
}

// isOutput tells whether a folder is the one that takes the outputs.
func (n Naming) isOutput(path string) bool {
	a, err1 := os.Stat(path)
	b, err2 := os.Stat(n.Dir)
	return n.Dir != "" && err1 == nil && err2 == nil && os.SameFile(a, b)
}

// files lists what is taken of a folder, relative to it and sorted.
func (n Naming) files(dir string) ([]string, error) {
	found := make(map[string]bool)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		hidden := relative != "." && strings.HasPrefix(d.Name(), ".")
		switch {
		case d.IsDir() && relative != "." && (hidden || !n.Recursive || n.isOutput(path)):
			return fs.SkipDir
		case hidden || !d.Type().IsRegular() || !strings.EqualFold(filepath.Ext(path), n.Ending):
			return nil
		}
		if found[relative] = true; len(found) > 2*Max {
			return fmt.Errorf("%w in %s: at most %d", ErrTooMany, dir, Max)
		}
		return nil
	})
	var files []string
	for file := range found {
		stem := strings.TrimSuffix(file, filepath.Ext(file))
		original, signed := strings.CutSuffix(stem, n.Suffix)
		if signed && n.Suffix != "" && found[original+filepath.Ext(file)] {
			continue
		}
		files = append(files, file)
	}
	slices.Sort(files)
	return files, err
}

// Sign makes the signed form of one document, hands it over to the group, and
// describes it.
type Sign func(context.Context, Item, *outfile.Group) (Record, error)

// Outcome is how one document ended.
type Outcome struct {
	Item
	Record // empty with an error
	Err    error
}

// groupTime bounds what is signed again after a break: documents are put in place in
// groups, so that the disk is waited for once a group.
const groupTime = time.Second

// Run signs all items, with as many workers as the key may be used by at once. It
// tells of all that are in place, and durable, or failed: several at once, in calls
// that do not overlap, in no order. It ends early with ctx alone, whose error it
// returns; what is signed by then is still put in place.
func Run(ctx context.Context, items []Item, workers int, sign Sign, tell func([]Outcome)) error {
	return run(ctx, items, workers, sign, tell, func(...Record) error { return nil })
}

// Run is the function Run, and writes down what is signed before it is in place. It
// ends early as well with the manifest, when that cannot be written: what it does not
// have is not put in place. It does not leave out what is Done.
func (m *Manifest) Run(ctx context.Context, items []Item, workers int, sign Sign, tell func([]Outcome)) error {
	return run(ctx, items, workers, sign, tell, m.Append)
}

func run(ctx context.Context, items []Item, workers int, sign Sign, tell func([]Outcome), write func(...Record) error) error {
	own, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	var mu sync.Mutex
	var work sync.WaitGroup
	next := make(chan Item)
	w := worker{
		sign: sign, broken: broken,
		tell: func(o []Outcome) {
			mu.Lock()
			defer mu.Unlock()
			tell(o)
		},
		write: func(o []Outcome) error {
			mu.Lock()
			defer mu.Unlock()
			return write(records(o)...)
		},
	}
	for range max(1, min(workers, len(items))) {
		work.Go(func() { w.work(own, next) })
	}
	for _, item := range items {
		select {
		case next <- item:
			continue
		case <-own.Done():
		}
		break
	}
	close(next)
	work.Wait()
	return cmp.Or(ctx.Err(), context.Cause(own))
}

// worker signs one document after the other. Its functions are for several goroutines.
type worker struct {
	sign   Sign
	write  func([]Outcome) error
	tell   func([]Outcome)
	broken func(error)
}

func (w worker) work(ctx context.Context, next <-chan Item) {
	lot := outfile.Lot[Outcome]{Within: groupTime, Failed: failed, Before: w.write}
	defer lot.Group.Discard()
	place := func() {
		outcomes, err := lot.Place(ctx)
		if err != nil {
			w.broken(err)
		}
		if len(outcomes) > 0 {
			w.tell(outcomes)
		}
	}
	for item := range next {
		lot.Begin(time.Now())
		record, err := w.sign(ctx, item, &lot.Group)
		if lot.Add(Outcome{item, record, err}, time.Now()) {
			place()
		}
	}
	place()
}

// failed tells of an output that could not be put in place.
func failed(o *Outcome, errs map[string]error) {
	if err := errs[o.Out]; o.Err == nil && err != nil {
		*o = Outcome{Item: o.Item, Err: err}
	}
}

// records are those of outcomes that are signed.
func records(outcomes []Outcome) []Record {
	var signed []Record
	for _, o := range outcomes {
		if o.Err == nil {
			signed = append(signed, o.Record)
		}
	}
	return signed
}
