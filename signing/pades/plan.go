package pades

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// Plan is a prepared signature: everything but the signature value and the
// document. It is plain data and survives JSON, so that the key can be on
// another machine. Whoever lets it leave the process authenticates it; Complete
// checks only that document and signature value fit it.
type Plan struct {
	SourceSize int64 `json:"source_size"` // bytes
	// Tail is the new revision with an empty hole for the CMS.
	Tail []byte `json:"tail"`
	// HoleStart and HoleEnd delimit the /Contents string in Tail, brackets
	// included.
	HoleStart int `json:"hole_start"`
	HoleEnd   int `json:"hole_end"`
	// MessageDigest is the digest of the signed byte ranges.
	MessageDigest []byte `json:"message_digest"`
	// SignedAttributes is the DER whose digest the key signs.
	SignedAttributes []byte `json:"signed_attributes"`
	// Certificates holds the signing certificate, then its chain, in DER.
	Certificates [][]byte `json:"certificates"`
	// DigestAlgorithm is "SHA-256", "SHA-384" or "SHA-512".
	DigestAlgorithm string `json:"digest_algorithm"`
	PSS             bool   `json:"pss,omitempty"`
	// Field, NewField, SigningTime and EarlierSignatures go into the Result.
	Field             string    `json:"field"`
	NewField          bool      `json:"new_field"`
	SigningTime       time.Time `json:"signing_time"`
	EarlierSignatures int       `json:"earlier_signatures"`
	// Token is the signature-time-stamp that Complete embeds; TimeStamp sets it.
	Token []byte `json:"token,omitempty"`

	// password opens the document for Check. It does not leave the process, see Unlock.
	password []byte
	// made is the template of a plan that was prepared here.
	made *cms.Template
}

// Prepare decides on the new revision and passes over the document once. The
// Signer of the credential may be nil. It returns a *RefusedError where signing
// would do harm, and the errors of package pdf where the document cannot be
// read.
func Prepare(ctx context.Context, src io.ReaderAt, size int64, cred signing.Credential, o Options) (*Plan, error) {
	l, err := newLayout(ctx, src, size, cred, o)
	if err != nil {
		return nil, err
	}
	h := l.template.Algorithm.Digest.New()
	if err := copySource(ctx, h, src, size); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	p := l.plan()
	return p, p.digest(h)
}

// digest finishes the message digest, of which h has seen the source, and builds the
// signed attributes.
func (p *Plan) digest(h hash.Hash) error {
	h.Write(p.Tail[:p.HoleStart])
	h.Write(p.Tail[p.HoleEnd:])
	p.MessageDigest = h.Sum(nil)
	var err error
	p.SignedAttributes, err = p.made.SignedAttributes(p.MessageDigest)
	return err
}

// Digest returns what the key has to sign: the digest of the signed attributes
// and its algorithm.
func (p *Plan) Digest() (crypto.Hash, []byte) {
	hash := p.hash()
	if hash == 0 {
		return 0, nil
	}
	h := hash.New()
	h.Write(p.SignedAttributes)
	return hash, h.Sum(nil)
}

// SignerOpts returns the options for crypto.Signer.
func (p *Plan) SignerOpts() crypto.SignerOpts {
	t, err := p.template()
	if err != nil {
		return crypto.Hash(0)
	}
	return t.Algorithm.SignerOpts()
}

func (p *Plan) hash() crypto.Hash { return cms.SigningDigest(p.DigestAlgorithm) }

// template rebuilds the CMS template from a plan that was elsewhere.
func (p *Plan) template() (*cms.Template, error) {
	if p.made != nil {
		return p.made, nil
	}
	return cms.Rebuild(p.Certificates, p.DigestAlgorithm, p.PSS)
}

// Unlock gives a plan that was prepared elsewhere the password of its document, which
// Check needs where the document does not open without: a plan that is stored or sent
// does not contain it. The caller wipes it when the plan is done with.
func (p *Plan) Unlock(password []byte) { p.password = password }

// Complete writes the signed document: the source unchanged and the new
// revision behind it. It returns ErrWrongSignature, before anything is written,
// when the value does not verify, and ErrSourceChanged when the source is not
// what was prepared; dst is then incomplete and has to be discarded.
func (p *Plan) Complete(ctx context.Context, src io.ReaderAt, dst io.Writer, signature []byte) error {
	tail, err := p.signedTail(signature)
	if err != nil {
		return err
	}
	h := p.hash().New()
	if err := copySource(ctx, io.MultiWriter(dst, h), src, p.SourceSize); err != nil {
		return copyFailed(err)
	}
	h.Write(p.Tail[:p.HoleStart])
	h.Write(p.Tail[p.HoleEnd:])
	if string(h.Sum(nil)) != string(p.MessageDigest) {
		return ErrSourceChanged
	}
	if _, err := dst.Write(tail); err != nil {
		return fmt.Errorf("writing the signature: %w", err)
	}
	return nil
}

// signedTail verifies the value and returns the new revision with the CMS in
// its hole.
func (p *Plan) signedTail(signature []byte) ([]byte, error) {
	if err := p.verifyValue(signature); err != nil {
		return nil, err
	}
	return p.filledTail(signature)
}

func (p *Plan) verifyValue(signature []byte) error {
	t, err := p.template()
	if err != nil {
		return err
	}
	if err := t.VerifySignature(p.SignedAttributes, signature); err != nil {
		return fmt.Errorf("%w: %w", ErrWrongSignature, err)
	}
	return nil
}

// filledTail returns the new revision with a value that is yet to be verified.
func (p *Plan) filledTail(signature []byte) ([]byte, error) {
	t, err := p.template()
	if err != nil {
		return nil, err
	}
	if p.HoleStart < 0 || p.HoleEnd < p.HoleStart+2 || p.HoleEnd > len(p.Tail) {
		return nil, errors.New("plan with an impossible hole")
	}
	message, err := t.Assemble(p.SignedAttributes, signature)
	if err == nil && p.Token != nil {
		message, err = stamped(message, p.Token)
	}
	if err != nil {
		return nil, err
	}
	room := p.HoleEnd - p.HoleStart - len("<>")
	if hex.EncodedLen(len(message)) > room {
		return nil, fmt.Errorf("CMS of %d bytes does not fit its hole of %d", len(message), room/2)
	}
	tail := append([]byte(nil), p.Tail...)
	hex.Encode(tail[p.HoleStart+1:], message)
	return tail, nil
}

// stamped returns a CMS with a signature-time-stamp (EN 319 122-1 5.3).
func stamped(message, token []byte) ([]byte, error) {
	parsed, err := cms.Parse(message)
	if err != nil {
		return nil, err
	}
	if err := parsed.SignerInfos[0].AddUnsigned(cms.OIDSignatureTimeStamp, token); err != nil {
		return nil, err
	}
	return parsed.Append(nil)
}

// TimeStamp gets a signature-time-stamp over a signature value, for Complete to
// embed. The plan must have been prepared for B-T or a higher level. On an error
// the plan is as before, and Complete makes B-B.
func (p *Plan) TimeStamp(ctx context.Context, stamps Stamper, signature []byte) error {
	t, err := p.template()
	if err != nil {
		return err
	}
	if err := p.verifyValue(signature); err != nil {
		return err
	}
	h := stampDigest.New()
	h.Write(signature)
	token, err := stamps.Stamp(ctx, stampDigest, h.Sum(nil))
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreached, err)
	}
	message, err := t.Assemble(p.SignedAttributes, signature)
	if err == nil {
		message, err = stamped(message, token.Raw)
	}
	if err != nil {
		return err
	}
	if room := (p.HoleEnd - p.HoleStart - len("<>")) / 2; len(message) > room {
		return fmt.Errorf("%w: with its time-stamp of %d bytes the signature does not fit its hole", errUnreached, len(token.Raw))
	}
	p.Token = token.Raw
	return nil
}

// Result describes the signature that Complete makes of the plan.
func (p *Plan) Result() *Result {
	r := &Result{
		Format:            signing.PAdES,
		Baseline:          signing.BaselineB,
		Field:             p.Field,
		NewField:          p.NewField,
		DigestAlgorithm:   p.DigestAlgorithm,
		SigningTime:       p.SigningTime,
		SourceSize:        p.SourceSize,
		Size:              p.SourceSize + int64(len(p.Tail)),
		EarlierSignatures: p.EarlierSignatures,
	}
	if p.Token != nil {
		r.Baseline = signing.BaselineT
	}
	if t, err := p.template(); err == nil {
		r.SignatureAlgorithm = t.Algorithm.String()
	}
	return r
}

// copyBuffer is what a pass over a document holds, in bytes.
const copyBuffer = 256 << 10

// copySource writes size bytes of src to dst and looks at the context between
// pieces.
func copySource(ctx context.Context, dst io.Writer, src io.ReaderAt, size int64) error {
	return copyRange(ctx, dst, src, 0, size)
}

func copyFailed(err error) error { return fmt.Errorf("copying the document: %w", err) }

func copyRange(ctx context.Context, dst io.Writer, src io.ReaderAt, from, to int64) error {
	buf := make([]byte, min(copyBuffer, max(0, to-from)))
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buf[:min(int64(len(buf)), to-from)]
		if err := readFull(src, piece, from); err != nil {
			return err
		}
		if _, err := dst.Write(piece); err != nil {
			return err
		}
		from += int64(len(piece))
	}
	return nil
}
