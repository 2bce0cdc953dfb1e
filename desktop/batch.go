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
			if q.ctx.Err() != nil {
				return nil, err
			}
			first = cmp.Or(first, err)
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
// pulled, a no, a list of what is signed that cannot be kept.
func (s *Service) sign(q *request, found *cardreader.Found, items []*item) ([]Signed, error) {
	made := newBundle(q)
	defer made.lot.Group.Discard()
	output := q.Output
	if len(items) > 1 || q.Written != nil {
		output.group = &made.lot.Group
	}
	var broken error
	for i, it := range items {
		asker := &asker{service: s, request: q, item: it, at: i + 1, of: len(items), agreed: len(items) > 1}
		var source cardreader.PINSource = asker
		if _, ok := s.Prompter.(ReaderPrompter); ok {
			source = &padAsker{asker}
		}
		made.lot.Begin(s.Now())
		signed, err := it.document.Sign(q.ctx, it.shown, signing.Credential{
			Signer:      s.Cards.Signer(q.ctx, found, source),
			Certificate: found.Credential.Certificate,
		}, output)
		signed.N, signed.Scan = it.n, it.shown.Scan
		full := made.lot.Add(attempt{it, DocumentResult{N: it.n, Shown: it.shown, Signed: signed, Err: err}}, s.Now())
		if err != nil && (len(items) == 1 || q.ctx.Err() != nil || !ofOneDocument(err)) {
			broken = err
			break
		}
		if full {
			if broken = made.place(q.ctx); broken != nil {
				break
			}
		}
	}
	broken = cmp.Or(broken, made.place(q.ctx))
	switch {
	case broken != nil:
		return made.signed, broken
	case len(made.signed) == 0:
		return nil, made.first
	}
	return made.signed, nil
}

// together is for how long a signed document of a batch waits for others, so that the
// disk is waited for once. What takes long to sign, as with a card or a time-stamp,
// does not wait: it is in place before the next one is begun, or a PIN is asked for.
const together = 100 * time.Millisecond

// attempt is a document that was signed or failed.
type attempt struct {
	item *item
	DocumentResult
}

// bundle is what was signed of a request, and what of it is yet to be put in place.
type bundle struct {
	q      *request
	lot    outfile.Lot[attempt]
	signed []Signed // what is in place
	first  error
}

func newBundle(q *request) *bundle {
	b := &bundle{q: q, lot: outfile.Lot[attempt]{Within: together, Failed: notInPlace}}
	if q.Written != nil {
		b.lot.Before = func(made []attempt) error { return q.Written(resultsOf(made)) }
	}
	return b
}

// notInPlace tells of an output that could not be put in place.
func notInPlace(a *attempt, failed map[string]error) {
	if err := failed[a.Signed.Path]; a.Err == nil && err != nil {
		a.Signed, a.Err = Signed{N: a.N, Scan: a.Signed.Scan}, err
	}
}

func resultsOf(made []attempt) []DocumentResult {
	results := make([]DocumentResult, len(made))
	for i, a := range made {
		results[i] = a.DocumentResult
	}
	return results
}

// place makes what waits durable and tells of it. The signatures are made; that the
// request is over does not undo them.
func (b *bundle) place(ctx context.Context) error {
	made, err := b.lot.Place(ctx)
	for _, a := range made {
		a.item.outcome = StateDone
		if a.Err == nil {
			b.signed = append(b.signed, a.Signed)
		} else {
			a.item.outcome = StateFailed
			b.first = cmp.Or(b.first, a.Err)
		}
	}
	if len(made) > 0 {
		b.q.report(resultsOf(made))
	}
	return err
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
