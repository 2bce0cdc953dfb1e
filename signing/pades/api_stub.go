package pades

import (
	"context"
	"crypto"
	"errors"
	"io"

	"github.com/eidbridge/eidbridge/signing"
)

// Plan is a prepared signature. It is plain data and survives JSON.
type Plan struct{}

// Prepare decides on the new revision and passes over the document once. The
// Signer of the credential may be nil.
func Prepare(ctx context.Context, src io.ReaderAt, size int64, cred signing.Credential, o Options) (*Plan, error) {
	return nil, errors.ErrUnsupported
}

// Digest returns what the key has to sign.
func (p *Plan) Digest() (crypto.Hash, []byte) { return 0, nil }

// SignerOpts returns the options for crypto.Signer.
func (p *Plan) SignerOpts() crypto.SignerOpts { return crypto.SHA256 }

// Complete writes the signed document.
func (p *Plan) Complete(ctx context.Context, src io.ReaderAt, dst io.Writer, signature []byte) error {
	return errors.ErrUnsupported
}

// Sign prepares, signs once and completes in one pass.
func Sign(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, cred signing.Credential, o Options) (*Result, error) {
	return nil, errors.ErrUnsupported
}

// SignFile signs the file in and puts the result in place atomically as out.
func SignFile(ctx context.Context, in, out string, cred signing.Credential, o Options) (*Result, error) {
	return nil, errors.ErrUnsupported
}

// Verify examines every signature of a document.
func Verify(ctx context.Context, src io.ReaderAt, size int64, o VerifyOptions) (*Report, error) {
	return nil, errors.ErrUnsupported
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error { return errors.ErrUnsupported }
