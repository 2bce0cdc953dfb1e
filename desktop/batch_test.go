package desktop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// several is a request for n documents, whose results it keeps.
func several(n int) (desktop.Request, *[]desktop.DocumentResult) {
	r := request("1.pdf")
	for i := 2; i <= n; i++ {
		r.Documents = append(r.Documents, fakeDocument{name: fmt.Sprintf("%d.pdf", i)})
	}
	results := new([]desktop.DocumentResult)
	r.Progress = func(d []desktop.DocumentResult) { *results = append(*results, d...) }
	return r, results
}

// L-38: one consent lists all documents; then each signature takes its PIN.
func TestBatchHasOneConsentAndAPINForEachSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		r, results := several(4)
		s, err := b.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Signed) != 4 || s.Signed[3].N != 4 || len(*results) != 4 || (*results)[2].Signed.Name != "3.pdf" {
			t.Errorf("signed %+v, results %+v", s.Signed, *results)
		}
		c := b.prompter.consents
		if len(c) != 5 || len(c[0].Documents) != 4 || c[0].PIN != "PIN2" || c[0].TriesLeft != -1 || c[0].Documents[2].Name != "3.pdf" {
			t.Fatalf("%d questions, the first %+v", len(c), c[0])
		}
		for i, q := range c[1:] {
			if q.At != i+1 || q.Of != 4 || q.Documents != nil || q.Document.Name != fmt.Sprintf("%d.pdf", i+1) || q.TriesLeft != 3 {
				t.Errorf("question %d: %+v", i, q)
			}
		}
		if b.cards.asked != 4 || len(b.cards.verified) != 4 {
			t.Errorf("asked %d times, verified %d times", b.cards.asked, len(b.cards.verified))
		}
		e := b.journal.only(t)
		if len(e.Documents) != 4 || e.Documents[3].Outcome != desktop.StateDone || e.Outcome != desktop.StateDone {
			t.Errorf("entry %+v", e)
		}
	})
}

// L-38: a bad document among good ones is reported and the rest is signed; it is not
// on the list that is agreed to when it cannot even be read.
func TestBatchGoesOnAfterABadDocument(t *testing.T) {
	b := newBench(t)
	r, results := several(4)
	r.Documents[0] = fakeDocument{name: "1.pdf", describeErr: pdf.ErrNotPDF}
	r.Documents[2] = fakeDocument{name: "3.pdf", signErr: &signing.RefusedError{Code: signing.RefusedOption, Why: "test"}}
	s, err := b.Do(t.Context(), r)
	if err != nil || len(s.Signed) != 2 || s.Signed[0].N != 2 || s.Signed[1].N != 4 {
		t.Fatalf("%v, %+v", err, s.Signed)
	}
	if n := len(b.prompter.consents[0].Documents); n != 3 {
		t.Errorf("%d documents were listed", n)
	}
	outcome := ""
	for _, d := range *results {
		outcome += fmt.Sprintf("%d:%v ", d.N, d.Err == nil)
	}
	if outcome != "1:false 2:true 3:false 4:true " {
		t.Errorf("results %s", outcome)
	}
}

// A wrong PIN, a pulled card or a no ends a batch at once: what was signed stays, and
// no further try is spent.
func TestBatchEndsAtOnceWithThePIN(t *testing.T) {
	for _, row := range []struct {
		name    string
		err     error
		decline bool
		state   desktop.State
	}{
		{"wrong PIN", &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN2", TriesLeft: 2}, false, desktop.StateFailed},
		{"card pulled", cardreader.ErrCardRemoved, false, desktop.StateFailed},
		{"declined", nil, true, desktop.StateDeclined},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r, results := several(5)
			r.Documents[1] = fakeDocument{name: "2.pdf", then: func() {
				b.cards.set(func() { b.cards.signErr = row.err })
				if row.decline {
					b.prompter.mu.Lock()
					b.prompter.err = desktop.ErrDeclined
					b.prompter.mu.Unlock()
				}
			}}
			s, err := b.Do(t.Context(), r)
			if err == nil || s.State != row.state || len(s.Signed) != 2 || len(*results) != 3 || b.cards.asked != 3 {
				t.Errorf("%v, state %s, %d signed, %d results, %d times asked", err, s.State, len(s.Signed), len(*results), b.cards.asked)
			}
			if e := b.journal.only(t); e.Documents[1].Outcome != desktop.StateDone || e.Documents[2].Outcome != desktop.StateFailed || e.Documents[4].Outcome != "" {
				t.Errorf("entry %+v", e)
			}
		})
	}
}

// What is signed quickly is told of together; what takes long, as with a card, before
// the next one is begun.
func TestBatchWaitsForTheDiskTogether(t *testing.T) {
	for _, row := range []struct {
		takes time.Duration
		want  string
	}{
		{0, "[32 32 6]"},
		{20 * time.Millisecond, "[5 5 5 5 5 5 5 5 5 5 5 5 5 5]"},
		{time.Second, fmt.Sprint(slices.Repeat([]int{1}, 70))},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			r, results := several(70)
			for i := range r.Documents {
				r.Documents[i] = fakeDocument{name: "x.pdf", takes: row.takes}
			}
			var told []int
			r.Progress = func(d []desktop.DocumentResult) {
				told = append(told, len(d))
				*results = append(*results, d...)
			}
			s, err := b.Do(t.Context(), r)
			if err != nil || len(s.Signed) != 70 || fmt.Sprint(told) != row.want {
				t.Errorf("%v: %v, %d signed, told of %v", row.takes, err, len(s.Signed), told)
			}
			for i, d := range *results {
				if d.N != i+1 {
					t.Fatalf("%v: result %d is of document %d", row.takes, i+1, d.N)
				}
			}
		})
	}
}

// Of files that are put in place together one may find its place taken meanwhile; the
// others are not affected, and nothing is left of it.
func TestBatchTellsOfAPlaceThatIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where no time passes
		b := newBench(t)
		r, results := several(3)
		dir := t.TempDir()
		name := func(n int) string { return filepath.Join(dir, fmt.Sprint(n, ".pdf")) }
		for i := range r.Documents {
			in := filepath.Join(dir, fmt.Sprint("in", i, ".pdf"))
			if err := os.WriteFile(in, pdfs.Classic(), 0o600); err != nil {
				t.Fatal(err)
			}
			r.Documents[i] = desktop.PDFFile(in, name(i), desktop.FileOptions{})
		}
		r.Output = output()
		taken := []byte("somebody else's")
		b.cards.then = func() {
			if b.cards.asked == 3 {
				if err := os.WriteFile(name(1), taken, 0o600); err != nil {
					t.Error(err)
				}
			}
		}
		s, err := b.Do(t.Context(), r)
		if err != nil || len(s.Signed) != 2 || s.Signed[0].Path != name(0) || s.Signed[1].Path != name(2) {
			t.Fatalf("%v, %+v", err, s.Signed)
		}
		if got := *results; len(got) != 3 || !errors.Is(got[1].Err, signing.ErrExists) || got[1].Signed.Path != "" || got[0].Err != nil || got[2].Err != nil {
			t.Errorf("results %+v", got)
		}
		if e := b.journal.only(t); e.Documents[1].Outcome != desktop.StateFailed || e.Documents[2].Outcome != desktop.StateDone {
			t.Errorf("entry %+v", e)
		}
		if got, err := os.ReadFile(name(1)); err != nil || !bytes.Equal(got, taken) {
			t.Errorf("what was there is %q (%v)", got, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 6 {
			t.Errorf("%v, left: %v", err, entries)
		}
	})
}

// A no to the list signs nothing and asks for no PIN.
func TestDeclinedBatchSignsNothing(t *testing.T) {
	b := newBench(t)
	b.prompter.err = desktop.ErrDeclined
	r, results := several(3)
	s, err := b.Do(t.Context(), r)
	if !errors.Is(err, desktop.ErrDeclined) || s.Signed != nil || len(*results) != 0 || b.cards.asked != 0 || len(b.prompter.consents) != 1 {
		t.Errorf("%v, %+v", err, s)
	}
}

// A batch may take longer than a single request, as each document waits for a PIN.
func TestBatchLivesLonger(t *testing.T) {
	b := newBench(t)
	r, _ := several(20)
	s, err := b.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if life := s.Expires.Sub(s.Created); life != desktop.DefaultExpiry+20*desktop.ConsentTime {
		t.Errorf("life of %s", life)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Documents are written down before they are in place. When that fails, none of them
// is, and nothing more is signed.
func TestBatchIsWrittenDownFirst(t *testing.T) {
	full := errors.New("the disk is full")
	for _, row := range []struct {
		refused error
		signed  int
	}{{nil, 70}, {full, 32}} {
		synctest.Test(t, func(t *testing.T) { // where no time passes
			b := newBench(t)
			r, results := several(70)
			dir := t.TempDir()
			for i := range r.Documents {
				in := filepath.Join(dir, fmt.Sprint("in", i))
				if err := os.WriteFile(in, pdfs.Classic(), 0o600); err != nil {
					t.Fatal(err)
				}
				r.Documents[i] = desktop.PDFFile(in, filepath.Join(dir, fmt.Sprint("out", i)), desktop.FileOptions{})
			}
			r.Output = output()
			written := 0
			r.Written = func(d []desktop.DocumentResult) error {
				for _, r := range d {
					if _, err := os.Lstat(r.Signed.Path); r.Err != nil || !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%d is written down: %v, %v", r.N, r.Err, err)
					}
				}
				if written += len(d); written > 32 {
					return row.refused
				}
				return nil
			}
			s, err := b.Do(t.Context(), r)
			if !errors.Is(err, row.refused) || len(s.Signed) != row.signed {
				t.Errorf("%v, %d signed", err, len(s.Signed))
			}
			refused := 0
			for _, r := range *results {
				if r.Err != nil && errors.Is(r.Err, row.refused) && r.Signed.Path == "" {
					refused++
				}
			}
			if refused != written-row.signed || len(*results) != written {
				t.Errorf("%d results, %d written down, %d refused", len(*results), written, refused)
			}
			if outputs, err := filepath.Glob(filepath.Join(dir, "out*")); err != nil || len(outputs) != row.signed {
				t.Errorf("%d are in place, %v", len(outputs), err)
			}
		})
	}
}

// A single document that cannot be read is told of like one of many.
func TestBatchOfOneTellsOfABadDocument(t *testing.T) {
	b := newBench(t)
	r, results := several(1)
	r.Documents[0] = fakeDocument{name: "1.pdf", describeErr: pdf.ErrNotPDF}
	if _, err := b.Do(t.Context(), r); !errors.Is(err, pdf.ErrNotPDF) || len(*results) != 1 || !errors.Is((*results)[0].Err, pdf.ErrNotPDF) {
		t.Errorf("%v, %+v", err, *results)
	}
}
