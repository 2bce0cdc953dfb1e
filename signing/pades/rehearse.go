package pades

import (
	"context"
	"io"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// rehearse looks at the document as it will be, with an empty signature, and
// refuses before any key is used what would harm an earlier signature: what its
// permissions do not allow, or what nobody could tell from a harmful change because
// the document has parts that cannot be read. Check looks again at the end.
func (l *layout) rehearse(ctx context.Context, src io.ReaderAt) error {
	if rank(l.opts.Level) >= rank(signing.BaselineLT) {
		if err := l.comparable(ctx); err != nil {
			return err
		}
	}
	if l.earlier == 0 {
		return nil
	}
	whole := appended{src, l.doc.Size(), l.tail}
	doc, err := pdf.OpenProtected(ctx, whole, l.doc.Size()+int64(len(l.tail)), pdf.Limits{}, l.opts.Password)
	if err != nil {
		return err
	}
	before := &verifier{doc: l.doc, src: src}
	form, err := l.doc.Form()
	if err != nil {
		return err
	}
	if err := before.collect(form); err != nil {
		return err
	}
	looked := make(map[int]bool)
	for _, s := range before.signed {
		shape, err := readShape(s, l.doc.Size())
		if err != nil {
			continue // broken before, and no more so afterwards
		}
		_, index := before.coverage(shape)
		if index < 0 || looked[index] {
			continue
		}
		looked[index] = true
		now := compareRevisions(doc.At(index), doc)
		if !now.class.Harmless() && compareRevisions(l.doc.At(index), l.doc).class.Harmless() {
			return refuse(RefusedHarm, "sign a copy that was not signed before, or ask its author for one that may be signed further",
				"the signature in field %q would no longer be judged as it is: %s", s.field.Name, now.why)
		}
	}
	return ctx.Err()
}

// comparable refuses what cannot be extended once it is signed: an object that cannot
// be read may refer to anything, so that nobody could tell what the revision with the
// validation data means for the signature.
func (l *layout) comparable(ctx context.Context) error {
	for ref := range l.doc.Refs() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := l.doc.Object(ref); err != nil {
			return refuse(RefusedAmbiguous, "save the document again with a PDF program, or sign it at B-T",
				"its object %d cannot be read (%v), so nothing can be added behind the signature without putting that in doubt", ref.Number, err)
		}
	}
	return nil
}
