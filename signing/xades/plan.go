package xades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// Plan is a prepared signature: everything but the signature value and the
// document. It is plain data and survives JSON, so that the key can be on another
// machine. Whoever lets it leave the process authenticates it; Complete checks
// only that document and signature value fit it.
type Plan struct {
	// SourceSize and SourceDigest (SHA-256) bind the document; zero without one.
	SourceSize   int64  `json:"source_size"` // bytes
	SourceDigest []byte `json:"source_digest,omitempty"`
	// Before and After are what the signature stands between.
	Before []Piece `json:"before,omitempty"`
	After  []Piece `json:"after,omitempty"`
	// Signature is the ds:Signature in US-ASCII, with an empty value.
	Signature []byte `json:"signature"`
	// Envelops is put in before the end-tag of the signature.
	Envelops []Piece `json:"envelops,omitempty"`
	// Encoding is that of the document.
	Encoding string `json:"encoding,omitempty"`
	// SignatureID and ValueID are the identifiers of ds:Signature and
	// ds:SignatureValue.
	SignatureID string `json:"signature_id"`
	ValueID     string `json:"value_id"`
	// SignedInfo is the canonical ds:SignedInfo, whose digest the key signs.
	SignedInfo []byte `json:"signed_info"`
	// Certificates holds the signing certificate, then its chain, in DER.
	Certificates [][]byte `json:"certificates"`
	// DigestAlgorithm is "SHA-256", "SHA-384" or "SHA-512".
	DigestAlgorithm string `json:"digest_algorithm"`
	PSS             bool   `json:"pss,omitempty"`
	// SigningTime and EarlierSignatures go into the Result.
	SigningTime       time.Time `json:"signing_time"`
	EarlierSignatures int       `json:"earlier_signatures"`
	// Token is the signature-time-stamp that Complete embeds; TimeStamp sets it.
	Token []byte `json:"token,omitempty"`

	certificate *x509.Certificate // the first of Certificates, nil after a journey
}

func (m *maker) plan(made *made) *Plan {
	p := &Plan{
		Signature: made.signature, SignatureID: m.id, ValueID: (&xmldsig.Template{ID: m.id}).ValueID(),
		SignedInfo: made.signedInfo, Certificates: [][]byte{m.certificate.Raw},
		DigestAlgorithm: m.algorithm.Digest.String(), PSS: m.algorithm.Scheme == cms.RSAPSS,
		SigningTime: m.time, certificate: m.certificate,
	}
	for _, c := range m.chain {
		p.Certificates = append(p.Certificates, c.Raw)
	}
	return p
}

// Digest returns what the key has to sign: the digest of the canonical
// ds:SignedInfo and its algorithm.
func (p *Plan) Digest() (crypto.Hash, []byte) {
	_, a, err := p.signer()
	if err != nil {
		return 0, nil
	}
	h := a.Digest.New()
	h.Write(p.SignedInfo)
	return a.Digest, h.Sum(nil)
}

// SignerOpts returns the options for crypto.Signer.
func (p *Plan) SignerOpts() crypto.SignerOpts {
	_, a, err := p.signer()
	if err != nil {
		return crypto.Hash(0)
	}
	return a.SignerOpts()
}

func (p *Plan) signer() (*x509.Certificate, cms.Algorithm, error) {
	if len(p.Certificates) == 0 {
		return nil, cms.Algorithm{}, errors.New("plan without certificate")
	}
	c := p.certificate
	if c == nil || !bytes.Equal(c.Raw, p.Certificates[0]) {
		var err error
		if c, err = x509.ParseCertificate(p.Certificates[0]); err != nil {
			return nil, cms.Algorithm{}, fmt.Errorf("certificate in the plan: %w", err)
		}
	}
	hash := digestNamed(p.DigestAlgorithm)
	if hash == 0 || hash == crypto.SHA1 {
		return nil, cms.Algorithm{}, errors.New("plan without digest algorithm")
	}
	a, err := cms.AlgorithmFor(c.PublicKey, hash, p.PSS)
	return c, a, err
}

// value verifies what the signer returned and turns it into what stands in XML:
// ECDSA values arrive as DER.
func (p *Plan) value(signature []byte) ([]byte, error) {
	c, a, err := p.signer()
	if err != nil {
		return nil, err
	}
	if err := a.Verify(c.PublicKey, p.SignedInfo, signature); err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrWrongSignature, err)
	}
	if key, ok := c.PublicKey.(*ecdsa.PublicKey); ok {
		return xmldsig.RawECDSA(key.Curve, signature)
	}
	return signature, nil
}

// signed returns the ds:Signature with its value, and with the time-stamp if the
// plan has one.
func (p *Plan) signed(signature []byte) ([]byte, error) {
	value, err := p.value(signature)
	if err != nil {
		return nil, err
	}
	raw, err := xmldsig.SetValue(p.Signature, p.ValueID, value)
	if err != nil || p.Token == nil {
		return raw, err
	}
	e, err := p.extension(raw)
	if err != nil {
		return nil, err
	}
	if err := e.putStamp(p.Token); err != nil {
		return nil, err
	}
	return e.fragment.Raw, nil
}

// extension looks at the signature as at one that is to be raised.
func (p *Plan) extension(raw []byte) (*extension, error) {
	f, err := xmldsig.NewFragment(raw, "", nil)
	if err != nil {
		return nil, err
	}
	return newExtension(f, f.Element)
}

// output is the signed document.
func (p *Plan) output(src io.ReaderAt, signature []byte) pieces {
	out := pieces{src: src}
	out.list = append(out.list, p.Before...)
	if len(p.Envelops) > 0 {
		head, found := bytes.CutSuffix(signature, []byte(closing))
		if found {
			out.list = append(append(out.list, Piece{Bytes: head}), p.Envelops...)
			signature = []byte(closing)
		}
	}
	out.list = append(out.list, Piece{Bytes: xmldsig.Encode(signature, p.Encoding)})
	out.list = append(out.list, p.After...)
	return out
}

// Complete writes the signed document; src is nil for PrepareObjects. It returns
// signing.ErrWrongSignature, before anything is written, when the value does not
// verify, and signing.ErrSourceChanged when the source is not what was prepared;
// dst is then incomplete and has to be discarded. The signature value is as
// crypto.Signer makes it.
func (p *Plan) Complete(ctx context.Context, src io.ReaderAt, dst io.Writer, signature []byte) error {
	raw, err := p.signed(signature)
	if err != nil {
		return err
	}
	return p.write(ctx, src, dst, raw)
}

// write writes the document with a finished signature.
func (p *Plan) write(ctx context.Context, src io.ReaderAt, dst io.Writer, raw []byte) error {
	if p.SourceDigest == nil {
		return p.output(src, raw).writeTo(ctx, dst)
	}
	for _, piece := range p.output(src, raw).list {
		if piece.Bytes == nil && (piece.From < 0 || piece.To > p.SourceSize || piece.From > piece.To) {
			return errors.New("plan with an impossible piece")
		}
	}
	watch := &watched{src: src, size: p.SourceSize, hash: sha256.New()}
	if err := p.output(watch, raw).writeTo(ctx, dst); err != nil {
		return fmt.Errorf("writing the document: %w", err)
	}
	return watch.check(ctx, p.SourceDigest)
}

// watched hashes the source while it is copied. What lies between the copied
// stretches is read for the hash alone.
type watched struct {
	src  io.ReaderAt
	size int64
	at   int64
	hash hash.Hash
}

func (w *watched) ReadAt(b []byte, at int64) (int, error) {
	if at > w.at {
		if err := copyRange(context.Background(), w.hash, w.src, w.at, at); err != nil {
			return 0, err
		}
		w.at = at
	}
	n, err := w.src.ReadAt(b, at)
	if at == w.at {
		w.hash.Write(b[:n])
		w.at += int64(n)
	}
	return n, err
}

func (w *watched) check(ctx context.Context, digest []byte) error {
	if err := copyRange(ctx, w.hash, w.src, w.at, w.size); err != nil {
		return err
	}
	if !bytes.Equal(w.hash.Sum(nil), digest) {
		return signing.ErrSourceChanged
	}
	return nil
}

// stampDigest is the digest that time-stamps are made over, stampForm the
// canonical form that goes before.
const (
	stampDigest = crypto.SHA256
	stampForm   = c14n.Exclusive10
)

// TimeStamp gets a signature-time-stamp over a signature value, for Complete to
// embed. On an error the plan is as before, and Complete makes B-B.
func (p *Plan) TimeStamp(ctx context.Context, stamps signing.Stamper, signature []byte) error {
	value, err := p.value(signature)
	if err != nil {
		return err
	}
	raw, err := xmldsig.SetValue(p.Signature, p.ValueID, value)
	if err != nil {
		return err
	}
	e, err := p.extension(raw)
	if err != nil {
		return err
	}
	token, err := e.stamp(ctx, stamps)
	if err != nil {
		return err
	}
	p.Token = token
	return nil
}

// Result describes the signature that Complete makes of the plan.
func (p *Plan) Result() *signing.Result {
	r := &signing.Result{
		Format:            signing.XAdES,
		Baseline:          signing.BaselineB,
		DigestAlgorithm:   p.DigestAlgorithm,
		SigningTime:       p.SigningTime,
		SourceSize:        p.SourceSize,
		EarlierSignatures: p.EarlierSignatures,
	}
	if p.Token != nil {
		r.Baseline = signing.BaselineT
	}
	if _, a, err := p.signer(); err == nil {
		r.SignatureAlgorithm = a.String()
	}
	return r
}
