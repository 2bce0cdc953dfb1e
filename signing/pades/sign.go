package pades

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing"
)

// Sign prepares, signs and completes in one pass over the source, then raises
// the level as the options say; a level of B-LTA costs a second pass. The signer is
// called once at most, and only when nothing speaks against signing. On an error
// dst may hold part of the document; SignFile is the way to a file.
func Sign(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, cred signing.Credential, o Options) (*Result, error) {
	made, err := signTo(ctx, src, size, stream{dst}, cred, o)
	if err != nil {
		return nil, err
	}
	result := made.plan.Result()
	e := &extender{services: o.extending(), src: appended{src, size, made.tail}, size: result.Size, reached: result.Baseline}
	if made.shortfall == nil {
		made.shortfall = e.raise(ctx, o.Level)
	}
	return e.finish(dst, result, made.shortfall)
}

// made is a signature that was written, before its level is raised.
type made struct {
	plan *Plan
	tail []byte
	// shortfall is why the signature has no time-stamp although it should.
	shortfall error
}

func signTo(ctx context.Context, src io.ReaderAt, size int64, dst sink, cred signing.Credential, o Options) (*made, error) {
	if cred.Signer == nil {
		return nil, refuse(RefusedKey, "", "the credential has no key")
	}
	if err := o.checkLevel(); err != nil {
		return nil, err
	}
	l, err := beginLayout(cred, o)
	if err != nil {
		return nil, err
	}
	copying, err := dst.copySource(ctx, l.template.Algorithm.Digest, src, size)
	if err != nil {
		return nil, err
	}
	defer copying.stop()
	if err := l.decide(ctx, copying.source(), size); err != nil {
		return nil, err
	}
	plan := l.plan()
	dst.planned(ctx, plan)
	h, err := copying.wait(l.template.Algorithm.Digest)
	if err != nil {
		return nil, err
	}
	if err := plan.digest(h); err != nil {
		return nil, err
	}
	if err := o.checkRevoked(ctx, cred); err != nil {
		return nil, err
	}
	random := o.Rand
	if random == nil {
		random = rand.Reader
	}
	_, digest := plan.Digest()
	signature, err := cred.Signer.Sign(random, digest, l.template.Algorithm.SignerOpts())
	if err != nil {
		return nil, fmt.Errorf("making the signature value: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := &made{plan: plan}
	if rank(o.Level) >= rank(signing.BaselineT) {
		m.shortfall = plan.TimeStamp(ctx, o.Services.TimeStamps, signature)
		if m.shortfall != nil && !errors.Is(m.shortfall, errUnreached) {
			return nil, m.shortfall
		}
		if m.shortfall != nil && l.mustStamp {
			return nil, fmt.Errorf("the field accepts no signature without a time-stamp: %w", m.shortfall)
		}
	}
	if m.tail, err = dst.tail(plan, signature); err != nil {
		return nil, err
	}
	if _, err := dst.Write(m.tail); err != nil {
		return nil, fmt.Errorf("writing the signature: %w", err)
	}
	return m, nil
}
