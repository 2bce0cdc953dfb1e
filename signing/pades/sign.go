package pades

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing"
)

// Sign prepares, signs and completes in one pass over the source. The signer is
// called once at most, and only when nothing speaks against signing. On an error
// dst may hold part of the document; SignFile is the way to a file.
func Sign(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, cred signing.Credential, o Options) (*Result, error) {
	plan, err := signTo(ctx, src, size, dst, cred, o)
	if err != nil {
		return nil, err
	}
	return plan.Result(), nil
}

func signTo(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, cred signing.Credential, o Options) (*Plan, error) {
	if cred.Signer == nil {
		return nil, refuse(RefusedKey, "", "the credential has no key")
	}
	l, err := newLayout(ctx, src, size, cred, o)
	if err != nil {
		return nil, err
	}
	h := l.template.Algorithm.Digest.New()
	if err := copySource(ctx, io.MultiWriter(dst, h), src, size); err != nil {
		return nil, fmt.Errorf("copying the document: %w", err)
	}
	plan, err := l.plan(h)
	if err != nil {
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
	tail, err := plan.signedTail(signature)
	if err != nil {
		return nil, err
	}
	if _, err := dst.Write(tail); err != nil {
		return nil, fmt.Errorf("writing the signature: %w", err)
	}
	return plan, nil
}
