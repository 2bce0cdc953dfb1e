package pades

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// appended is a document with something behind it.
type appended struct {
	src  io.ReaderAt
	size int64 // of src, in bytes
	tail []byte
}

// ReadAt reads across the seam.
func (a appended) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	if offset < a.size {
		want := min(int64(len(p)), a.size-offset)
		m, err := a.src.ReadAt(p[:want], offset)
		if int64(m) < want {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return m, err
		}
		n = m
	}
	if at := offset + int64(n) - a.size; n < len(p) && at >= 0 && at < int64(len(a.tail)) {
		n += copy(p[n:], a.tail[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// extender raises the level of a document by appending revisions.
type extender struct {
	services *Services
	src      io.ReaderAt
	size     int64
	reached  signing.Baseline
	// added is what is to be appended.
	added []byte
	// beginning is the digest of what the document begins with, if it is known.
	beginning *copied
	// stamp is the field of the newest document time-stamp that was added.
	stamp string
}

// view is the document with what was added so far.
func (x *extender) view() (io.ReaderAt, int64) {
	return appended{x.src, x.size, x.added}, x.size + int64(len(x.added))
}

// raise appends what the level needs beyond what was reached. An error that
// matches errUnreached leaves a whole document of the level in x.reached.
func (x *extender) raise(ctx context.Context, want signing.Baseline) error {
	if rank(want) <= rank(signing.BaselineB) || rank(want) <= rank(x.reached) && want != signing.BaselineLTA {
		return nil
	}
	if rank(x.reached) < rank(signing.BaselineT) {
		if err := x.addStamp(ctx); err != nil {
			return err
		}
		x.reached = signing.BaselineT
	}
	if rank(want) < rank(signing.BaselineLT) {
		return nil
	}
	if err := x.addStore(ctx); err != nil {
		return err
	}
	if rank(x.reached) < rank(signing.BaselineLT) {
		x.reached = signing.BaselineLT
	}
	if want != signing.BaselineLTA {
		return nil
	}
	if err := x.addStamp(ctx); err != nil {
		return err
	}
	x.reached = signing.BaselineLTA
	return nil
}

func (x *extender) addStamp(ctx context.Context) error {
	if x.services.TimeStamps == nil {
		return fmt.Errorf("%w: no time-stamping authority is configured", errUnreached)
	}
	src, size := x.view()
	tail, field, err := stampRevision(ctx, src, size, x.services, x.beginning)
	if err != nil {
		return err
	}
	x.added, x.stamp = append(x.added, tail...), field
	return nil
}

// addStore collects validation data about every signature and time-stamp of the
// document and appends it.
func (x *extender) addStore(ctx context.Context) error {
	src, size := x.view()
	v, err := open(ctx, src, size, VerifyOptions{Password: x.services.Password})
	if err != nil {
		return err
	}
	chains, err := v.chains()
	if err != nil {
		return err
	}
	all, err := validation.Collect(ctx, x.services, chains)
	if err != nil {
		return err
	}
	tail, err := storeRevision(ctx, src, size, x.services, all)
	if err != nil {
		return err
	}
	x.added = append(x.added, tail...)
	return nil
}

// finish writes what was added and describes the outcome.
func (x *extender) finish(dst io.Writer, r *Result, shortfall error) (*Result, error) {
	if shortfall != nil && !errors.Is(shortfall, errUnreached) {
		return nil, shortfall
	}
	if shortfall != nil {
		r.Shortfall = shortfall.Error()
	}
	if _, err := dst.Write(x.added); err != nil {
		return nil, fmt.Errorf("writing validation data: %w", err)
	}
	r.Baseline, r.Size = x.reached, x.size+int64(len(x.added))
	return r, nil
}

// extending returns the services that raise a fresh signature.
func (o *Options) extending() *Services {
	if o.Services == nil {
		return nil
	}
	s := *o.Services
	s.Password = o.Password
	return &s
}

// checkLevel refuses options that name no level or one that nobody serves.
func (o *Options) checkLevel() error { return o.Services.Check(o.Level) }

// checkRevoked asks about the certificate before the key is used, where the
// level asks anyway (threats P-55). That nobody answers is no reason to refuse.
func (o *Options) checkRevoked(ctx context.Context, cred signing.Credential) error {
	if rank(o.Level) < rank(signing.BaselineLT) {
		return nil
	}
	return validation.CheckRevoked(ctx, o.Services, cred)
}

// Extend writes a signed document raised to a level: time-stamp, validation data
// and archive time-stamp are appended as they are missing. A document of B-LTA
// is renewed: validation data for its last time-stamp, and a new one over all.
//
// It returns a *RefusedError where there is nothing to extend, or where a
// signature is not whole. When a service cannot be reached, what was reached is
// written and Shortfall says what is missing.
func Extend(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, level signing.Baseline, s *Services) (*Extension, error) {
	x, err := newExtender(ctx, src, size, level, s)
	if err != nil {
		return nil, err
	}
	before := x.reached
	shortfall, err := x.extend(ctx, level)
	if err != nil {
		return nil, err
	}
	if err := copySource(ctx, dst, src, size); err != nil {
		return nil, fmt.Errorf("copying the document: %w", err)
	}
	return x.extension(dst, before, shortfall)
}

// newExtender verifies a document and tells which level it has reached.
func newExtender(ctx context.Context, src io.ReaderAt, size int64, level signing.Baseline, s *Services) (*extender, error) {
	o := Options{Level: level, Services: s}
	if err := o.checkLevel(); err != nil {
		return nil, err
	}
	if rank(level) < rank(signing.BaselineT) {
		return nil, refuse(RefusedOption, "choose B-T, B-LT or B-LTA", "%q is no level to extend to", level)
	}
	report, err := Verify(ctx, src, size, VerifyOptions{Roots: s.Anchors, Time: s.Now(), Password: s.Password})
	if err != nil {
		return nil, err
	}
	reached, err := extendable(report)
	return &extender{services: s, src: src, size: size, reached: reached}, err
}

// extend raises the level and tells apart what was not reached from what failed.
func (x *extender) extend(ctx context.Context, level signing.Baseline) (shortfall, err error) {
	if err := x.raise(ctx, level); err != nil {
		if errors.Is(err, errUnreached) {
			return err, nil
		}
		return nil, err
	}
	return nil, nil
}

// extendable returns the lowest level among the signatures.
func extendable(r *Report) (signing.Baseline, error) {
	if len(r.Signatures) == 0 {
		return "", refuse(RefusedUnsigned, "sign the document first", "the document has no signature")
	}
	lowest := signing.BaselineLTA
	for _, s := range r.Signatures {
		if s.Indication == TotalFailed || s.Integrity != Intact {
			return "", refuse(RefusedBroken, "ask for an unbroken copy", "the signature in field %q is not whole", s.Field)
		}
		if s.Baseline == "" {
			return "", refuse(RefusedBroken, "have the document signed again", "the signature in field %q is of no baseline level", s.Field)
		}
		if rank(s.Baseline) < rank(lowest) {
			lowest = s.Baseline
		}
	}
	return lowest, nil
}

func (x *extender) extension(dst io.Writer, before signing.Baseline, shortfall error) (*Extension, error) {
	var r Result
	if _, err := x.finish(dst, &r, shortfall); err != nil {
		return nil, err
	}
	return &Extension{Before: before, After: r.Baseline, Shortfall: r.Shortfall, SourceSize: x.size, Size: r.Size}, nil
}
