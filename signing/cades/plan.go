package cades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// Plan is a prepared signature: everything but the signature value and the
// content. It is plain data and survives JSON, so that the key can be on another
// machine. Whoever lets it leave the process authenticates it; Complete checks
// only that content and signature value fit it.
type Plan struct {
	// SourceSize is the length of the content, -1 where it is not at hand: a
	// countersignature of a detached signature.
	SourceSize int64 `json:"source_size"` // bytes
	Detached   bool  `json:"detached,omitempty"`
	// Message is the message that gets another signer, without its content; empty
	// for a first signature.
	Message []byte `json:"message,omitempty"`
	// Attached tells that Message has its content inside.
	Attached bool `json:"attached,omitempty"`
	// Counter is the number, from 1, of the signer that is countersigned; 0 makes a
	// signer beside the others.
	Counter int `json:"counter,omitempty"`
	// ContentDigests are the digests of the content by the names of their
	// algorithms: that of the signature and that of time-stamps.
	ContentDigests map[string][]byte `json:"content_digests"`
	// SignedAttributes is the DER whose digest the key signs.
	SignedAttributes []byte `json:"signed_attributes"`
	// Certificates holds the signing certificate, then its chain, in DER.
	Certificates [][]byte `json:"certificates"`
	// DigestAlgorithm is "SHA-256", "SHA-384" or "SHA-512".
	DigestAlgorithm string    `json:"digest_algorithm"`
	PSS             bool      `json:"pss,omitempty"`
	SigningTime     time.Time `json:"signing_time"`
	// EarlierSignatures goes into the Result.
	EarlierSignatures int `json:"earlier_signatures,omitempty"`
}

// Prepare reads the content once. The Signer of the credential may be nil. It
// returns a *signing.RefusedError where no good signature can be made.
func Prepare(ctx context.Context, content signing.Content, cred signing.Credential, o Options) (*Plan, error) {
	t, err := o.template(cred)
	if err != nil {
		return nil, err
	}
	p := newPlan(t, o)
	p.Detached = o.Detached
	if err := p.digest(ctx, content, t.Algorithm.Digest); err != nil {
		return nil, err
	}
	p.SignedAttributes, err = t.SignedAttributes(p.ContentDigests[p.DigestAlgorithm])
	return p, err
}

func newPlan(t *cms.Template, o Options) *Plan {
	p := &Plan{
		DigestAlgorithm: t.Algorithm.Digest.String(), PSS: o.PSS, SigningTime: t.SigningTime,
		Certificates: [][]byte{t.Certificate.Raw}, SourceSize: -1,
	}
	for _, c := range t.Chain {
		p.Certificates = append(p.Certificates, c.Raw)
	}
	return p
}

func (p *Plan) digest(ctx context.Context, content signing.Content, hash crypto.Hash) error {
	digests, size, err := signing.Digests(ctx, content, hash, stampDigest)
	if err != nil {
		return fmt.Errorf("reading the content: %w", err)
	}
	p.SourceSize, p.ContentDigests = size, make(map[string][]byte)
	for h, d := range digests {
		p.ContentDigests[h.String()] = d
	}
	return nil
}

// PrepareCoSignature prepares a further signer of a message, beside those that
// are there. Content is that of a detached message, nil where it is inside.
func PrepareCoSignature(ctx context.Context, src io.ReaderAt, size int64, content signing.Content, cred signing.Credential, o Options) (*Plan, error) {
	t, err := o.template(cred)
	if err != nil {
		return nil, err
	}
	m, content, err := open(src, size, content)
	if err != nil {
		return nil, err
	}
	switch {
	case m.ContentType != cms.OIDData:
		return nil, signing.Refuse(signing.RefusedOption, "sign the file inside a new signature", "the message holds something else than data")
	case content == nil:
		return nil, signing.Refuse(signing.RefusedOption, "name the signed file", "the signature does not hold what it signs")
	}
	if err := m.extendable(); err != nil {
		return nil, err
	}
	p := newPlan(t, o)
	if err := p.base(m); err != nil {
		return nil, err
	}
	if err := p.digest(ctx, content, t.Algorithm.Digest); err != nil {
		return nil, err
	}
	p.SignedAttributes, err = t.SignedAttributes(p.ContentDigests[p.DigestAlgorithm])
	return p, err
}

// PrepareCounterSignature prepares a countersignature of a signer, numbered from
// 1 as the message holds them (RFC 5652 11.4). Content is that of a detached
// message; it may be nil. B-LTA is no level of a countersignature: the archive
// time-stamp of the signer that it is in covers it.
func PrepareCounterSignature(ctx context.Context, src io.ReaderAt, size int64, content signing.Content, signer int, cred signing.Credential, o Options) (*Plan, error) {
	if o.Level == signing.BaselineLTA {
		return nil, signing.Refuse(signing.RefusedOption, "choose B-LT, then extend the message to B-LTA", "a countersignature has no archive time-stamp of its own")
	}
	o.MediaType = ""
	t, err := o.template(cred)
	if err != nil {
		return nil, err
	}
	t.Counter = true
	m, content, err := open(src, size, content)
	if err != nil {
		return nil, err
	}
	if signer < 1 || signer > len(m.SignerInfos) {
		return nil, signing.Refuse(signing.RefusedOption, fmt.Sprintf("choose one of 1 to %d", len(m.SignerInfos)), "there is no signer %d", signer)
	}
	if err := m.extendable(); err != nil {
		return nil, err
	}
	if len(m.SignerInfos[signer-1].UnsignedAttribute(cms.OIDArchiveTimeStampV3)) > 0 {
		return nil, signing.Refuse(signing.RefusedOption, "sign beside it instead", "the signature is archived, so that it takes no countersignature any more")
	}
	p := newPlan(t, o)
	p.Counter = signer
	if err := p.base(m); err != nil {
		return nil, err
	}
	if content != nil {
		if err := p.digest(ctx, content, t.Algorithm.Digest); err != nil {
			return nil, err
		}
	}
	h := t.Algorithm.Digest.New()
	h.Write(m.SignerInfos[signer-1].Signature)
	p.SignedAttributes, err = t.SignedAttributes(h.Sum(nil))
	return p, err
}

// base records the message to which the signature is added.
func (p *Plan) base(m *message) error {
	raw, err := m.bare()
	if err != nil {
		return err
	}
	p.Message, p.Attached, p.Detached = raw, !m.Detached(), m.Detached()
	p.EarlierSignatures = len(m.SignerInfos)
	return nil
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

// template rebuilds the CMS template from the plan.
func (p *Plan) template() (*cms.Template, error) {
	t, err := cms.Rebuild(p.Certificates, p.DigestAlgorithm, p.PSS)
	if err == nil {
		t.Counter = p.Counter > 0
	}
	return t, err
}

// Signed is a signature around a value, whose level can still be raised before
// it is written.
type Signed struct {
	plan    *Plan
	message *message
	signer  int // index of the new signer, or of the countersigned one
	// counter is the new countersignature until WriteTo puts it in, nil for none.
	counter *cms.SignerInfo
	reached signing.Baseline
	// Shortfall says why a level was not reached; empty when it was.
	Shortfall string
}

// Embed puts the signature value into the message. It returns
// signing.ErrWrongSignature when the value does not verify.
func (p *Plan) Embed(signature []byte) (*Signed, error) {
	t, err := p.template()
	if err != nil {
		return nil, err
	}
	if err := t.VerifySignature(p.SignedAttributes, signature); err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrWrongSignature, err)
	}
	s := &Signed{plan: p, reached: signing.BaselineB}
	if p.Message == nil {
		return s, s.first(t, signature)
	}
	data, err := cms.Open(bytes.NewReader(p.Message), int64(len(p.Message)))
	if err != nil {
		return nil, fmt.Errorf("message in the plan: %w", err)
	}
	if p.Attached {
		data.Attach()
	}
	s.message = &message{SignedData: data, digests: p.digests()}
	added, err := t.SignerInfo(p.SignedAttributes, signature)
	if err != nil {
		return nil, err
	}
	if err := data.AddCertificates(p.Certificates...); err != nil {
		return nil, err
	}
	if p.Counter > 0 {
		if p.Counter > len(data.SignerInfos) {
			return nil, errors.New("plan for a signer that is not there")
		}
		s.signer, s.counter = p.Counter-1, &added
		return s, nil
	}
	if err := data.AddSigner(added); err != nil {
		return nil, err
	}
	s.signer = s.message.find(added.Fields())
	return s, nil
}

func (s *Signed) first(t *cms.Template, signature []byte) error {
	raw, err := t.Assemble(s.plan.SignedAttributes, signature)
	if err != nil {
		return err
	}
	data, err := cms.Parse(raw)
	if err != nil {
		return err
	}
	if !s.plan.Detached {
		data.Attach()
	}
	s.message = &message{SignedData: data, digests: s.plan.digests()}
	return nil
}

// digests maps the digests of the plan to their algorithms.
func (p *Plan) digests() map[crypto.Hash][]byte {
	all := make(map[crypto.Hash][]byte)
	for name, d := range p.ContentDigests {
		if h := cms.SigningDigest(name); h != 0 {
			all[h] = d
		}
	}
	return all
}

// Raise raises the new signature to a level. When a service cannot be reached the
// level below stays, and Shortfall says why.
func (s *Signed) Raise(ctx context.Context, level signing.Baseline, services *signing.Services) error {
	if err := services.Check(level); err != nil {
		return err
	}
	x := &extender{services: services, message: s.message, only: s.signer, reached: s.reached}
	var err error
	if s.counter != nil {
		err = x.raiseCounter(ctx, s.counter, level)
	} else {
		err = x.raise(ctx, level)
	}
	s.reached = x.reached
	if errors.Is(err, signing.ErrUnreached) {
		s.Shortfall = err.Error()
		return nil
	}
	return err
}

// WriteTo writes the message. Content is needed where the message holds it; it is
// compared with the one that was prepared, and dst is to be discarded on
// signing.ErrSourceChanged.
func (s *Signed) WriteTo(ctx context.Context, dst io.Writer, content signing.Content) (size int64, err error) {
	if s.counter != nil {
		der, err := s.counter.DER()
		if err != nil {
			return 0, err
		}
		if err := s.message.SignerInfos[s.signer].AddUnsigned(cms.OIDCounterSignature, der); err != nil {
			return 0, err
		}
		s.counter = nil
	}
	return s.message.write(ctx, dst, content, s.plan.SourceSize)
}

// Complete writes the message around a signature value at level B-B: Embed and
// WriteTo in one.
func (p *Plan) Complete(ctx context.Context, content signing.Content, dst io.Writer, signature []byte) error {
	s, err := p.Embed(signature)
	if err != nil {
		return err
	}
	_, err = s.WriteTo(ctx, dst, content)
	return err
}

// Result describes the signature; size is that of the output in bytes.
func (s *Signed) Result(size int64) *signing.Result {
	r := &signing.Result{
		Format: signing.CAdES, Baseline: s.reached, Shortfall: s.Shortfall,
		DigestAlgorithm: s.plan.DigestAlgorithm, SigningTime: s.plan.SigningTime,
		SourceSize: max(0, s.plan.SourceSize), Size: size, EarlierSignatures: s.plan.EarlierSignatures,
	}
	if t, err := s.plan.template(); err == nil {
		r.SignatureAlgorithm = t.Algorithm.String()
	}
	return r
}

// use signs with the key of a credential, once.
func (p *Plan) use(ctx context.Context, cred signing.Credential, random io.Reader) ([]byte, error) {
	if cred.Signer == nil {
		return nil, signing.Refuse(signing.RefusedKey, "", "the credential has no key")
	}
	if random == nil {
		random = rand.Reader
	}
	_, digest := p.Digest()
	value, err := cred.Signer.Sign(random, digest, p.SignerOpts())
	if err != nil {
		return nil, fmt.Errorf("making the signature value: %w", err)
	}
	return value, ctx.Err()
}
