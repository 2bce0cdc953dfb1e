package pades

import (
	"context"
	"errors"
	"io"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// openForSigning opens a document, and rebuilds one whose cross-reference chain
// is broken where that can be done without guessing. A document that cannot is
// refused as ambiguous when it has all that a reader needs to guess, else with
// the error of its structure.
func openForSigning(ctx context.Context, src io.ReaderAt, size int64, password []byte) (*pdf.Document, error) {
	doc, err := pdf.OpenProtected(ctx, src, size, pdf.Limits{}, password)
	if err == nil {
		if doc.Locked() {
			return doc, nil
		}
		err = leads(doc)
	}
	var format *pdf.FormatError
	if err == nil || !errors.As(err, &format) && !errors.Is(err, pdf.ErrMissing) {
		return doc, err
	}
	rebuilt, again := pdf.Rebuild(ctx, src, size, pdf.Limits{}, password)
	var ambiguous *pdf.AmbiguousError
	switch {
	case errors.As(again, &ambiguous) && ambiguous.Cut:
		return nil, refuse(RefusedAmbiguous, "get the file once more from where it came from", "a part of the file is cut off (%v): %s", err, ambiguous.What)
	case errors.As(again, &ambiguous):
		return nil, refuse(RefusedAmbiguous, "save the document again with a PDF program",
			"the table of contents of the file is broken (%v), and it cannot be restored without guessing: %s", err, ambiguous.What)
	case again != nil && ctx.Err() != nil:
		return nil, again
	case again != nil || !rebuilt.Locked() && leads(rebuilt) != nil:
		if doc != nil && !doc.Sound() {
			return nil, refuse(RefusedAmbiguous, "save the document again with a PDF program", "%v", err)
		}
		return nil, err
	}
	return rebuilt, nil
}

// leads tells whether the chain leads to what signing needs.
func leads(doc *pdf.Document) error {
	if !doc.Sound() {
		return &pdf.FormatError{Offset: -1, What: "the cross-reference chain breaks the rules of the format"}
	}
	if _, _, err := doc.Root(); err != nil {
		return err
	}
	if _, err := doc.Form(); err != nil {
		return err
	}
	_, err := doc.FirstPage()
	return err
}
