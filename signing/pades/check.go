package pades

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing/cms"
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
// are judged as before. Every failure matches ErrCheck, and pdf.ErrEncrypted as well where
// the document does not open, see Unlock; once ctx is done, its error is
// returned, which says nothing of the output.
func (p *Plan) Check(ctx context.Context, src io.ReaderAt, out Output) error {
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	if size != p.SourceSize+int64(len(p.Tail)) {
		return checkFailed("the output has %d bytes", size)
	}
	if err := p.checkStructure(ctx, src, out); err != nil {
		return err
	}
	return p.checkValue(ctx, out, nil)
}

func checkFailed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCheck, fmt.Sprintf(format, args...))
}

// unchecked is why an output could not be checked.
func unchecked(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrCheck, err)
}

// checkStructure is the part of Check that asks nothing of the signature but its
// place. It may be done before there is a signature, see rehearsed.
func (p *Plan) checkStructure(ctx context.Context, src, out io.ReaderAt) error {
	doc, err := pdf.OpenProtected(ctx, out, p.SourceSize+int64(len(p.Tail)), pdf.Limits{}, p.password)
	if err != nil {
		return unchecked(ctx, err)
	}
	if doc.Locked() {
		return unchecked(ctx, pdf.ErrEncrypted)
	}
	report, err := (&verifier{doc: doc, src: out, structure: true}).report(ctx)
	if err != nil {
		return unchecked(ctx, err)
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
	if own == nil || own.Coverage != WholeFile || own.Indication == TotalFailed || !slices.Equal(own.ByteRange, p.byteRange()) {
		return checkFailed("the new signature does not cover the whole file")
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
		return unchecked(ctx, err)
	}
	was, err := (&verifier{doc: before, src: src, structure: true}).report(ctx)
	if err != nil {
		return unchecked(ctx, err)
	}
	for _, old := range was.Signatures {
		now, ok := earlier[old.Field]
		if !ok {
			return checkFailed("the earlier signature in field %q is gone", old.Field)
		}
		if old.Covered() && (!now.Covered() || worse(old.ChangesAfter, now.ChangesAfter)) {
			return checkFailed("the earlier signature in field %q would be harmed", old.Field)
		}
	}
	return nil
}

func (p *Plan) byteRange() []int64 {
	return []int64{0, p.SourceSize + int64(p.HoleStart), p.SourceSize + int64(p.HoleEnd), int64(len(p.Tail) - p.HoleEnd)}
}

// rehearsed is the output as it will be, but for the digits in the hole: source
// holds the document. What checkStructure says of it holds for an output that
// checkValue finds to be the same.
func (p *Plan) rehearsed(source io.ReaderAt) io.ReaderAt {
	tail := bytes.Clone(p.Tail)
	copy(tail[p.HoleStart:], "<30") // an empty one would pass for an empty signature
	return appended{source, p.SourceSize, tail}
}

// checkValue is the other part of Check: the new revision in the output is that of
// the plan, and the message in its hole is a signature of the signer over the output.
// The message digest was made while the source was read, or of an output that was
// compared with it, so that it proves the earlier bytes to be those of the source.
// What is known of the beginning of the output is not read again.
func (p *Plan) checkValue(ctx context.Context, out io.ReaderAt, beginning *copied) error {
	tail := make([]byte, len(p.Tail))
	if err := readFull(out, tail, p.SourceSize); err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	if !bytes.Equal(tail[:p.HoleStart+1], p.Tail[:p.HoleStart+1]) || !bytes.Equal(tail[p.HoleEnd-1:], p.Tail[p.HoleEnd-1:]) {
		return checkFailed("the output does not hold what was written")
	}
	h, from := beginning.digest(p.hash(), p.SourceSize)
	if err := copyRange(ctx, h, out, from, p.SourceSize); err != nil {
		return unchecked(ctx, err)
	}
	h.Write(tail[:p.HoleStart])
	h.Write(tail[p.HoleEnd:])
	digits := tail[p.HoleStart+1 : p.HoleEnd-1]
	if _, err := hex.Decode(digits, digits); err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	message, _, err := cms.ParsePadded(digits[:len(digits)/2])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	if len(message.SignerInfos) != 1 || !message.Detached() || message.ContentType != cms.OIDData {
		return checkFailed("the new signature has not the form that was meant")
	}
	verified, err := message.Verify(&message.SignerInfos[0], h.Sum(nil))
	if errors.Is(err, cms.ErrSignature) {
		return fmt.Errorf("%w: %w: %w", ErrCheck, ErrWrongSignature, err)
	}
	if err != nil {
		return fmt.Errorf("%w: the new signature does not verify over the whole file: %w", ErrCheck, err)
	}
	if !verified.SignedAttributes || !verified.Bound || len(p.Certificates) == 0 || !bytes.Equal(verified.Raw, p.Certificates[0]) {
		return checkFailed("the new signature is not bound to its certificate")
	}
	return nil
}

// worse tells whether a class of changes grew beyond what a further signature
// explains.
func worse(before, now Changes) bool { return before.Harmless() && !now.Harmless() }
