package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/batch"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// batching are the options for several documents.
type batching struct {
	Batch     bool   `help:"Sign each document for itself, also if there is only one. Several files, or a folder, are a batch without it."`
	Recursive bool   `help:"Also take the PDFs of folders below the named ones."`
	Manifest  string `placeholder:"FILE" help:"Where to remember what a batch has signed, so that it can go on after a break (default: eidagent-batch.jsonl beside the outputs)."`
}

// isBatch tells whether each of the files is signed for itself with one consent for
// all.
func (c *signCommand) isBatch() bool {
	if c.Batch || len(c.Files) > 1 {
		return true
	}
	info, err := os.Stat(c.Files[0])
	return err == nil && info.IsDir()
}

// batchStatus is how one document ended.
type batchStatus string

const (
	batchSigned  batchStatus = "signed"
	batchSkipped batchStatus = "skipped" // signed by an earlier run
	batchFailed  batchStatus = "failed"
	batchLeft    batchStatus = "left" // not reached
)

// batchFile is one document in the JSON of a batch.
type batchFile struct {
	File      string           `json:"file"`
	Output    string           `json:"output"`
	Status    batchStatus      `json:"status"`
	Baseline  signing.Baseline `json:"baseline,omitempty"`
	Shortfall string           `json:"shortfall,omitempty"`
	SHA256    string           `json:"sha256,omitempty"` // of the output
	Error     string           `json:"error,omitempty"`

	err error
}

// batchReport is the JSON of a batch.
type batchReport struct {
	Manifest string       `json:"manifest"`
	Signed   int          `json:"signed"`
	Skipped  int          `json:"skipped"`
	Failed   int          `json:"failed"`
	Left     int          `json:"left"`
	Files    []*batchFile `json:"files"`
}

// batchRun is a batch on its way.
type batchRun struct {
	c        *signCommand
	p        *program
	report   batchReport
	todo     []*batchFile // in the order of the request
	manifest *batch.Manifest
	bar      *progressBar
	stopped  error // why the manifest cannot be written
	untold   error // why a result cannot be printed
}

// newBatch collects the documents and leaves out those that are done. Outputs that
// are in the way are told before anybody is asked.
func (c *signCommand) newBatch(p *program) (*batchRun, error) {
	items, err := batch.Collect(c.Files, batch.Naming{Ending: ".pdf", Suffix: "-signed", Dir: c.Out, Recursive: c.Recursive})
	if err != nil {
		return nil, explainBatch(err)
	}
	if c.Out != "" {
		if err := os.MkdirAll(c.Out, 0o750); err != nil {
			return nil, err
		}
	}
	name := cmp.Or(c.Manifest, filepath.Join(cmp.Or(c.Out, filepath.Dir(items[0].Out)), batch.ManifestName))
	b := &batchRun{c: c, p: p, report: batchReport{Manifest: name}}
	if b.manifest, err = batch.OpenManifest(name); err != nil {
		return nil, explainManifest(err)
	}
	if err := b.collect(items); err != nil {
		return nil, errors.Join(err, b.manifest.Close())
	}
	return b, nil
}

// collect takes the items over that are not done.
func (b *batchRun) collect(items []batch.Item) error {
	if err := sweep(items); err != nil {
		return err
	}
	var taken []string
	for _, item := range items {
		f := &batchFile{File: item.In, Output: item.Out, Status: batchLeft}
		b.report.Files = append(b.report.Files, f)
		if r, done := b.manifest.Done(item); done {
			f.Status, f.Baseline, f.Shortfall, f.SHA256 = batchSkipped, r.Baseline, r.Shortfall, r.SHA256
			continue
		}
		b.todo = append(b.todo, f)
		if _, err := os.Lstat(item.Out); err == nil && !b.c.Force {
			taken = append(taken, item.Out)
		}
		if err := os.MkdirAll(filepath.Dir(item.Out), 0o750); err != nil {
			return err
		}
	}
	if len(taken) > 0 {
		const shown = 5
		hints := taken[:min(len(taken), shown)]
		return &problem{
			exit: exitOther, message: fmt.Sprintf("%d output files exist already, so nothing was signed", len(taken)),
			hints: append(hints, "Name a folder for the outputs with --out, or let them be replaced with --force."),
		}
	}
	return nil
}

// sweep removes what a run that was killed left beside the outputs.
func sweep(items []batch.Item) error {
	outs := make([]string, len(items))
	for i, item := range items {
		outs[i] = item.Out
	}
	_, err := outfile.Sweep(outs...)
	return err
}

func explainManifest(err error) error {
	p := &problem{exit: exitOther, message: err.Error(), hints: []string{"Name another place with --manifest."}}
	if errors.Is(err, batch.ErrInUse) {
		p.hints = []string{"Wait for the other run to end, then run the same command again."}
	}
	return p
}

func explainBatch(err error) error {
	switch {
	case errors.Is(err, batch.ErrNothing):
		return &problem{exit: exitUsage, message: "the folder holds no PDF", hints: []string{"--recursive also looks into the folders below it."}}
	case errors.Is(err, batch.ErrTwice):
		return &problem{exit: exitUsage, message: err.Error(), hints: []string{"Sign them in two runs, with another --out."}}
	case errors.Is(err, batch.ErrTooMany):
		return &problem{exit: exitUsage, message: err.Error()}
	}
	return err
}

// run signs what is left, with one consent.
func (b *batchRun) run(service *desktop.Service, open *passwords, wanted cardreader.Selection, output desktop.Output) error {
	defer func() { _ = b.manifest.Close() }()
	var documents []desktop.Document
	var asked []*batchFile
	for _, f := range b.todo {
		password, err := open.of(b.p.ctx, f.File)
		if err != nil {
			b.ended(f, err)
			if !ofDocument(err) {
				return err
			}
			continue
		}
		documents = append(documents, desktop.PDFFile(f.File, f.Output, desktop.FileOptions{Overwrite: b.c.Force, Password: password}))
		asked = append(asked, f)
	}
	var err error
	if len(documents) > 0 {
		b.bar = newProgressBar(b.p, len(documents), b.c.JSON)
		_, err = service.Do(b.p.ctx, desktop.Request{
			Door: desktop.DoorCommandLine, Kind: desktop.KindSign, Documents: documents, Output: output,
			Credential: desktop.Wanted{Reader: wanted.Reader, CertificateSHA256: wanted.CertificateSHA256},
			Locale:     b.c.Lang,
			Written:    func(results []desktop.DocumentResult) error { return b.write(asked, results) },
			Progress: func(results []desktop.DocumentResult) {
				for _, r := range results {
					b.take(asked[r.N-1], r)
				}
			},
		})
		b.bar.end()
	}
	return b.finish(err)
}

// ofDocument tells whether an error is about one document.
func ofDocument(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.exit == exitDocument
}

// write puts what is signed, and about to be in place, into the manifest.
func (b *batchRun) write(asked []*batchFile, results []desktop.DocumentResult) error {
	var records []batch.Record
	for _, r := range results {
		if r.Err != nil {
			continue
		}
		f := asked[r.N-1]
		records = append(records, batch.Record{
			Item:         batch.Item{In: f.File, Out: f.Output},
			SourceSHA256: hex.EncodeToString(r.Shown.SHA256[:]), SHA256: hex.EncodeToString(r.Signed.SHA256[:]),
			Baseline: r.Signed.Baseline, Shortfall: r.Signed.Shortfall, Time: time.Now().UTC().Truncate(time.Second),
		})
	}
	if err := b.manifest.Append(records...); err != nil {
		b.stopped = &problem{exit: exitOther, message: fmt.Sprintf("the manifest cannot be written: %v", err), hints: []string{
			"What it does not list was not put in place. Make room for it first.",
		}}
	}
	return b.stopped
}

// take takes a result over, and tells of it. What was interrupted, or is not in place
// for want of a manifest, is left.
func (b *batchRun) take(f *batchFile, r desktop.DocumentResult) {
	interrupted := b.p.ctx.Err() != nil && (errors.Is(r.Err, context.Canceled) || errors.Is(r.Err, desktop.ErrCancelled))
	if interrupted || r.Err != nil && errors.Is(r.Err, b.stopped) {
		return
	}
	if r.Err == nil {
		f.Status, f.Baseline, f.Shortfall = batchSigned, r.Signed.Baseline, r.Signed.Shortfall
		f.SHA256 = hex.EncodeToString(r.Signed.SHA256[:])
	}
	b.ended(f, r.Err)
}

// ended prints one result: outputs with the level they have, or what went wrong.
func (b *batchRun) ended(f *batchFile, err error) {
	if err != nil {
		f.Status, f.err = batchFailed, err
		e := explain(err)
		f.Error = e.message
		_ = b.bar.line(b.p.stderr, "eidagent: %s: %s", harmless(f.File), harmless(e.message))
	} else if !b.c.JSON {
		b.untold = cmp.Or(b.untold, b.bar.line(b.p.stdout, "%s\t%s", f.Output, f.Baseline))
	}
	b.bar.step(f.File)
}

// finish sums up. The exit code is that of what ended the batch, else of the worst
// document.
func (b *batchRun) finish(err error) error {
	short := 0
	var failed error
	for _, f := range b.report.Files {
		switch f.Status {
		case batchSigned:
			b.report.Signed++
		case batchSkipped:
			b.report.Skipped++
		case batchFailed:
			b.report.Failed++
			failed = cmp.Or(failed, f.err)
		case batchLeft:
			b.report.Left++
		}
		if f.Shortfall != "" {
			short++
		}
	}
	if b.c.JSON {
		if err := b.p.printJSON(b.report); err != nil {
			return err
		}
	}
	r := b.report
	fmt.Fprintf(b.p.stderr, "eidagent: %d signed, %d signed before, %d failed, %d left\n", r.Signed, r.Skipped, r.Failed, r.Left)
	if short > 0 {
		fmt.Fprintf(b.p.stderr, "eidagent: hint: %d have a lower level than asked for. Nothing has to be signed again; later: eidagent extend FILE\n", short)
	}
	if r.Left > 0 {
		fmt.Fprintln(b.p.stderr, "eidagent: hint: Run the same command again for the rest; what is signed is not signed again.")
	}
	switch {
	case err != nil:
		return b.explain(err)
	case failed != nil:
		return quiet(explain(failed).exit)
	case b.untold != nil:
		return b.untold
	case short > 0:
		return quiet(exitShort)
	}
	return nil
}

// explain words what ended the batch, unless it is told of a document already.
func (b *batchRun) explain(err error) error {
	p := *explain(err)
	for _, f := range b.report.Files {
		if f.Error == p.message {
			p.message = ""
			break
		}
	}
	if b.report.Signed == 0 {
		return &p
	}
	p.message = strings.ReplaceAll(p.message, "nothing was signed", "the rest was not signed")
	p.hints = slices.Clone(p.hints)
	for i, hint := range p.hints {
		p.hints[i] = strings.ReplaceAll(hint, "Nothing was signed", "The rest was not signed")
	}
	return &p
}

// progressBar is one line of a terminal that is written again and again. A nil one,
// or one without a terminal, only passes lines on.
type progressBar struct {
	p         *program
	at, total int
	shown     bool
}

func newProgressBar(p *program, total int, quiet bool) *progressBar {
	f, ok := p.stderr.(*os.File)
	if quiet || !ok || !term.IsTerminal(int(f.Fd())) {
		return &progressBar{p: p}
	}
	return &progressBar{p: p, total: total}
}

// line prints a line of its own.
func (b *progressBar) line(w io.Writer, format string, args ...any) error {
	b.clear()
	_, err := fmt.Fprintf(w, format+"\n", args...)
	return err
}

const barWidth = 24

// step shows that one more is done.
func (b *progressBar) step(name string) {
	if b == nil || b.total == 0 {
		return
	}
	b.at++
	b.clear()
	full := barWidth * b.at / b.total
	fmt.Fprintf(b.p.stderr, "[%s%s] %d/%d %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full),
		b.at, b.total, prompt.Quote(filepath.Base(name), 40))
	b.shown = true
}

func (b *progressBar) clear() {
	if b != nil && b.shown {
		fmt.Fprint(b.p.stderr, "\r\x1b[K")
		b.shown = false
	}
}

// end leaves the line.
func (b *progressBar) end() { b.clear() }
