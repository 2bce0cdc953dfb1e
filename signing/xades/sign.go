package xades

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/validation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// Sign prepares, signs and completes, and raises the level as the options say. The
// signer is called once at most, and only when nothing speaks against signing. On
// an error dst may hold part of the document; SignFile is the way to a file.
func Sign(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	p, err := prepare(ctx, src, size, cred, o)
	if err != nil {
		return nil, err
	}
	return p.sign(ctx, src, dst, cred, o)
}

// SignObjects signs files that stay where they are and writes a document that
// holds the signature. The resolver gives their octets by URI; it is needed for
// B-LTA alone.
func SignObjects(ctx context.Context, objects []Object, dst io.Writer, cred signing.Credential, resolver xmldsig.Resolver, o Options) (*signing.Result, error) {
	p, err := prepareObjects(ctx, objects, cred, o)
	if err != nil {
		return nil, err
	}
	p.resolver = resolver
	return p.sign(ctx, nil, dst, cred, o)
}

// sign makes the value, raises the level, and writes.
func (p *prepared) sign(ctx context.Context, src io.ReaderAt, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	raw, result, err := p.finish(ctx, cred, &o)
	if err != nil {
		return nil, err
	}
	if err := p.plan.write(ctx, src, dst, raw); err != nil {
		return nil, err
	}
	result.Size = p.plan.output(src, raw).size()
	return result, nil
}

// finish makes the value and raises the level: the ds:Signature as it will stand.
func (p *prepared) finish(ctx context.Context, cred signing.Credential, o *Options) ([]byte, *signing.Result, error) {
	if cred.Signer == nil {
		return nil, nil, signing.Refuse(signing.RefusedKey, "", "the credential has no key")
	}
	if o.Level.Rank() >= signing.BaselineLT.Rank() {
		if err := validation.CheckRevoked(ctx, o.Services, cred); err != nil {
			return nil, nil, err
		}
	}
	random := o.Rand
	if random == nil {
		random = rand.Reader
	}
	_, digest := p.plan.Digest()
	signature, err := cred.Signer.Sign(random, digest, p.plan.SignerOpts())
	if err != nil {
		return nil, nil, fmt.Errorf("making the signature value: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	raw, err := p.plan.signed(signature)
	if err != nil {
		return nil, nil, err
	}
	result := p.plan.Result()
	if o.Level.Rank() > signing.BaselineB.Rank() {
		if raw, err = p.raise(ctx, raw, cred, o, result); err != nil {
			return nil, nil, err
		}
	}
	return raw, result, nil
}

// raise raises a fresh signature as far as services reach.
func (p *prepared) raise(ctx context.Context, raw []byte, cred signing.Credential, o *Options, result *signing.Result) ([]byte, error) {
	e, err := p.plan.extension(raw)
	if err != nil {
		return nil, err
	}
	// The signature stands in a document, whose declarations do not touch the
	// exclusive form that time-stamps are made over.
	r := &raiser{
		extension: e, services: o.Services, signer: cred.Certificate, chain: cred.Chain,
		reached: result.Baseline,
	}
	r.references = func(ctx context.Context, to io.Writer) error { return p.octets(ctx, r.extension, to) }
	if len(p.plan.Envelops) > 0 {
		r.enveloped = func(ctx context.Context, to io.Writer) error {
			object, err := xmldsig.NewReference(xmldsig.Reference{
				HasURI: true, URI: "#" + p.plan.SignatureID + "-object", Digest: stampDigest,
				Transforms: []xmldsig.Transform{{Algorithm: string(stampForm)}},
			})
			if err != nil {
				return err
			}
			return p.document.Octets(ctx, nil, &object, to)
		}
	}
	err = r.raise(ctx, o.Level)
	if err != nil && !unreached(err) {
		return nil, err
	}
	if err != nil {
		result.Shortfall = err.Error()
	}
	result.Baseline = r.reached
	return r.fragment.Raw, nil
}

// octets writes what the references of the new signature digest: its own parts
// from the fragment, the data from the document or the resolver.
func (p *prepared) octets(ctx context.Context, e *extension, to io.Writer) error {
	sig, err := xmldsig.ReadSignature(p.fragment, byID(p.fragment.Element, p.plan.SignatureID))
	if err != nil {
		return err
	}
	doc := p.document
	if doc == nil {
		doc = xmldsig.Detached(p.resolver)
	}
	for i := range sig.References {
		r := &sig.References[i]
		kind, id := r.Kind()
		if kind == xmldsig.KindElement {
			if own := byID(p.fragment.Element, id); own != nil {
				octets, err := p.fragment.Canonical(own, r.Canonical().Method, r.Canonical().Prefixes...)
				if err != nil {
					return err
				}
				if _, err := to.Write(octets); err != nil {
					return err
				}
				continue
			}
		}
		if err := doc.Octets(ctx, nil, r, to); err != nil {
			return err
		}
	}
	return nil
}
