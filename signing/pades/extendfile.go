package pades

import (
	"context"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// raiseFile raises the level of a signature in a temporary file and checks what
// was appended.
func raiseFile(ctx context.Context, temp *file, m *made, o Options) (*Result, error) {
	result := m.plan.Result()
	x := &extender{services: o.extending(), src: temp, size: result.Size, reached: result.Baseline, beginning: temp.copied}
	if m.shortfall == nil {
		m.shortfall = x.raise(ctx, o.Level)
	}
	result, err := x.finish(temp, result, m.shortfall)
	if err != nil {
		return nil, err
	}
	return result, x.check(ctx, temp)
}

// ExtendFile extends the file in and puts the result in place as out, under the
// rules of SignFile.
func ExtendFile(ctx context.Context, in, out string, level signing.Baseline, s *Services, overwrite bool) (*Extension, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	written := &file{begin: func() (*outfile.File, error) {
		return outfile.Create(out, info.Mode().Perm(), overwrite, info)
	}}
	defer written.close()
	if err := written.create(); err != nil { // before a large document is verified in vain
		return nil, err
	}
	x, err := newExtender(ctx, src, info.Size(), level, s)
	if err != nil {
		return nil, err
	}
	before := x.reached
	copying, err := written.copySource(ctx, stampDigest, src, info.Size())
	if err != nil {
		return nil, err
	}
	defer copying.stop()
	if _, err := copying.wait(stampDigest); err != nil {
		return nil, err
	}
	x.beginning = written.copied
	shortfall, err := x.extend(ctx, level)
	if err != nil {
		return nil, err
	}
	e, err := x.extension(written, before, shortfall)
	if err != nil {
		return nil, err
	}
	if err := x.check(ctx, written); err != nil {
		return nil, err
	}
	return e, written.Place(ctx)
}

func (x *extender) password() []byte {
	if x.services == nil {
		return nil
	}
	return x.services.Password
}

// check examines an extended output: the structure is valid, signatures are
// judged as before, and the new time-stamp is right for the bytes it covers.
func (x *extender) check(ctx context.Context, out io.ReaderAt) error {
	if len(x.added) == 0 {
		return nil
	}
	failed := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrCheck, fmt.Sprintf(format, args...))
	}
	// A name that no field has leaves out the digests of all that was there.
	only := x.stamp
	if only == "" {
		only = "\x00"
	}
	look := func(src io.ReaderAt, size int64) (*Report, error) {
		doc, err := pdf.OpenProtected(ctx, src, size, pdf.Limits{}, x.password())
		if err != nil {
			return nil, unchecked(ctx, err)
		}
		report, err := (&verifier{doc: doc, src: src, hashOnly: only, beginning: x.beginning}).report(ctx)
		if err != nil {
			return nil, unchecked(ctx, err)
		}
		return report, nil
	}
	before, err := look(x.src, x.size)
	if err != nil {
		return err
	}
	after, err := look(out, x.size+int64(len(x.added)))
	if err != nil {
		return err
	}
	if len(before.Signatures) != len(after.Signatures) || len(before.TimeStamps) > len(after.TimeStamps) {
		return failed("a signature is gone")
	}
	for i, s := range before.Signatures {
		now := after.Signatures[i]
		if now.Field != s.Field || s.Covered() && (!now.Covered() || worse(s.ChangesAfter, now.ChangesAfter)) {
			return failed("the signature in field %q would be harmed", s.Field)
		}
	}
	if x.stamp == "" {
		return nil
	}
	for _, s := range after.TimeStamps {
		// Validation data may have been added behind a time-stamp that makes B-T.
		if s.Field == x.stamp && s.Integrity == Intact && (s.Coverage == WholeFile || s.Coverage == WholeRevision) {
			return nil
		}
	}
	return failed("the new time-stamp is not right for the file")
}
