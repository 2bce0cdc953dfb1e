package desktop

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/signing"
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
			q.report(DocumentResult{N: i + 1, Err: err})
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

// report hands a result to the door that wants to know at once.
func (q *request) report(r DocumentResult) {
	if q.Progress != nil {
		q.Progress(r)
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
	var all []Signed
	var first error
	for i, it := range items {
		asker := &asker{service: s, request: q, item: it, at: i + 1, of: len(items), agreed: len(items) > 1}
		var source cardreader.PINSource = asker
		if _, ok := s.Prompter.(ReaderPrompter); ok {
			source = &padAsker{asker}
		}
		signed, err := it.document.Sign(q.ctx, it.shown, signing.Credential{
			Signer:      s.Cards.Signer(q.ctx, found, source),
			Certificate: found.Credential.Certificate,
		}, q.Output)
		it.outcome = StateDone
		if err != nil {
			it.outcome = StateFailed
		}
		signed.N, signed.Scan = it.n, it.shown.Scan
		q.report(DocumentResult{N: it.n, Shown: it.shown, Signed: signed, Err: err})
		if err == nil {
			all = append(all, signed)
			continue
		}
		if len(items) == 1 || q.ctx.Err() != nil || !ofOneDocument(err) {
			return all, err
		}
		if first == nil {
			first = err
		}
	}
	if len(all) == 0 {
		return nil, first
	}
	return all, nil
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
