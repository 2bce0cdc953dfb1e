package desktop

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// DocumentResult is how one document of a request ended.
type DocumentResult struct {
	// N counts from 1 in the order of the request.
	N int
	// Shown is what the person saw of it; empty when it could not be read.
	Shown Description
	// Signed is set when Err is nil.
	Signed Signed
	Err    error
}

// item is a described document on its way.
type item struct {
	n        int // from 1, in the order of the request
	document Document
	shown    Description
	outcome  State // empty until it is signed or failed
}

// describe reads all documents. One of several that cannot be signed is reported
// and left out; the others go on.
func (s *Service) describe(q *request) ([]*item, error) {
	var items []*item
	var first error
	for i, d := range q.Documents {
		shown, err := d.Describe(q.ctx)
		if err == nil && shown.Scan != nil && shown.Scan.Ambiguous() {
			err = signing.Refuse(signing.RefusedAmbiguous, "save the document again with a PDF program",
				"the file has two versions of some of its objects, so programs may show different documents")
		}
		if err == nil && shown.Active() && !s.AllowActive {
			err = unsafe(shown)
		}
		if err != nil {
			if len(q.Documents) == 1 || q.ctx.Err() != nil {
				return nil, err
			}
			if first == nil {
				first = err
			}
			q.report([]DocumentResult{{N: i + 1, Err: err}})
			continue
		}
		items = append(items, &item{n: i + 1, document: d, shown: shown})
	}
	if len(items) == 0 {
		return nil, first
	}
	q.mu.Lock()
	q.items = items
	q.mu.Unlock()
	return items, nil
}

// unsafe refuses a document that acts by itself: what the person saw of it may not be
// what others will see (threats P-53).
func unsafe(shown Description) error {
	var kinds []string
	for _, f := range shown.Scan.Active() {
		kinds = append(kinds, f.Text)
	}
	return signing.Refuse(signing.RefusedUnsafe, "ask for a document without active content",
		"the document has %s", strings.Join(kinds, ", "))
}

// report hands results to the door that wants to know at once.
func (q *request) report(results []DocumentResult) {
	if q.Progress != nil {
		q.Progress(results)
	}
}

// agree puts the list of all documents of a batch before the person, once. Every
// document is bound to the digest that was shown, so that the time a batch takes
// changes nothing of what was agreed to (threats L-38, L-39).
func (s *Service) agree(q *request, found *cardreader.Found, items []*item) error {
	asker := &asker{service: s, request: q, item: items[0], of: len(items)}
	consent := asker.consent(cardreader.PINRequest{
		Card: found.Inserted.Info, Reader: found.Inserted.Reader.Name, Credential: found.Credential,
		Status: cardreader.PINStatus{ID: found.Credential.PIN, TriesLeft: -1},
	})
	for _, it := range items {
		consent.Documents = append(consent.Documents, it.shown)
	}
	return s.ask(q.ctx, func() error { return s.Prompter.Approve(q.ctx, consent) })
}

// sign makes the signatures one after the other. What is wrong with one document
// does not stop the rest; anything else does: a PIN that was wrong, a card that was
// pulled, a no.
func (s *Service) sign(q *request, found *cardreader.Found, items []*item) ([]Signed, error) {
	made := &bundle{q: q}
	defer made.group.Discard()
	output := q.Output
	if len(items) > 1 {
		output.group = &made.group
	}
	var broken error
	for i, it := range items {
		asker := &asker{service: s, request: q, item: it, at: i + 1, of: len(items), agreed: len(items) > 1}
		var source cardreader.PINSource = asker
		if _, ok := s.Prompter.(ReaderPrompter); ok {
			source = &padAsker{asker}
		}
		made.begin(s.Now())
		signed, err := it.document.Sign(q.ctx, it.shown, signing.Credential{
			Signer:      s.Cards.Signer(q.ctx, found, source),
			Certificate: found.Credential.Certificate,
		}, output)
		signed.N, signed.Scan = it.n, it.shown.Scan
		made.add(q.ctx, it, signed, err, s.Now())
		if err != nil && (len(items) == 1 || q.ctx.Err() != nil || !ofOneDocument(err)) {
			broken = err
			break
		}
	}
	made.place(q.ctx)
	switch {
	case broken != nil:
		return made.signed, broken
	case len(made.signed) == 0:
		return nil, made.first
	}
	return made.signed, nil
}

// Documents of a batch are put in place together, so that the disk is waited for once.
// What takes long to sign, as with a card or a time-stamp, does not wait for others:
// after together it is in place before the next one is begun, or a PIN is asked for.
const (
	mostTogether = 32 // open files
	together     = 100 * time.Millisecond
)

// bundle is what was signed of a request, and what of it is yet to be put in place.
type bundle struct {
	q       *request
	group   outfile.Group
	waiting []DocumentResult
	items   []*item   // likewise
	since   time.Time // when the first of them was begun
	signed  []Signed  // what is in place
	first   error
}

func (b *bundle) begin(now time.Time) {
	if len(b.waiting) == 0 {
		b.since = now
	}
}

func (b *bundle) add(ctx context.Context, it *item, signed Signed, err error, now time.Time) {
	b.items = append(b.items, it)
	b.waiting = append(b.waiting, DocumentResult{N: it.n, Shown: it.shown, Signed: signed, Err: err})
	if len(b.waiting) == mostTogether || now.Sub(b.since) >= together {
		b.place(ctx)
	}
}

// place makes what waits durable and tells of it. The signatures are made; that the
// request is over does not undo them.
func (b *bundle) place(ctx context.Context) {
	failed := b.group.Sync(context.WithoutCancel(ctx))
	results := b.waiting
	for i := range results {
		r := &results[i]
		if err := failed[r.Signed.Path]; r.Err == nil && err != nil {
			r.Signed, r.Err = Signed{N: r.N, Scan: r.Signed.Scan}, err
		}
		b.items[i].outcome = StateDone
		if r.Err == nil {
			b.signed = append(b.signed, r.Signed)
		} else {
			b.items[i].outcome = StateFailed
			b.first = cmp.Or(b.first, r.Err)
		}
	}
	b.waiting, b.items = nil, nil
	if len(results) > 0 {
		b.q.report(results)
	}
}

// ofOneDocument tells whether an error says nothing of the next document.
func ofOneDocument(err error) bool {
	if isDocumentError(err) {
		return true
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return true
	}
	for _, e := range []error{pades.ErrExists, pades.ErrOutput, pades.ErrCheck, pades.ErrSourceChanged, ErrInvalid, ErrTooLarge} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
