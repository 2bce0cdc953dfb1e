package pades

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Output is what Check reads: a finished file.
type Output interface {
	io.ReaderAt
	io.Seeker
}

// Check examines an output of the plan as a stranger would: the bytes of the
// source stand unchanged before the new revision, the structure is valid, the
// new signature verifies and covers the whole file, and the earlier signatures
// are judged as before. Every failure matches ErrCheck.
func (p *Plan) Check(ctx context.Context, src io.ReaderAt, out Output) error {
	return p.check(ctx, src, out, nil)
}

// check is Check with what is known of the beginning of the output.
func (p *Plan) check(ctx context.Context, src io.ReaderAt, out Output, beginning *copied) error {
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	failed := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrCheck, fmt.Sprintf(format, args...))
	}
	if size != p.SourceSize+int64(len(p.Tail)) {
		return failed("the output has %d bytes", size)
	}
	doc, err := pdf.OpenProtected(ctx, out, size, pdf.Limits{}, p.password)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	after := &verifier{doc: doc, src: out, hashOnly: p.Field, beginning: beginning}
	report, err := after.report(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	var own *Signature
	earlier := make(map[string]Signature)
	for i, s := range report.Signatures {
		if s.Field == p.Field {
			own = &report.Signatures[i]
			continue
		}
		earlier[s.Field] = s
	}
	// The message digest was made while the source was read, or of an output that
	// was compared with it. That it holds proves that the earlier bytes are those of
	// the source.
	if own == nil || own.Integrity != Intact || own.Coverage != WholeFile || own.Indication == TotalFailed {
		return failed("the new signature does not verify over the whole file")
	}
	suspect := slices.ContainsFunc(report.Warnings, func(f Finding) bool { return f.Code == findRemoved })
	for _, s := range earlier {
		suspect = suspect || !s.Covered() || !s.ChangesAfter.Harmless()
	}
	if !suspect {
		return nil // none is harmed, however it was before
	}
	before, err := openForSigning(ctx, src, p.SourceSize, p.password)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	was, err := (&verifier{doc: before, src: src, hashOnly: p.Field}).report(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	for _, old := range was.Signatures {
		now, ok := earlier[old.Field]
		if !ok {
			return failed("the earlier signature in field %q is gone", old.Field)
		}
		if old.Covered() && (!now.Covered() || worse(old.ChangesAfter, now.ChangesAfter)) {
			return failed("the earlier signature in field %q would be harmed", old.Field)
		}
	}
	return nil
}

// worse tells whether a class of changes grew beyond what a further signature
// explains.
func worse(before, now Changes) bool { return before.Harmless() && !now.Harmless() }
