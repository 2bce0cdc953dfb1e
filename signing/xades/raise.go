package xades

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// raiser raises a signature to a level.
type raiser struct {
	*extension
	services *signing.Services
	// signer is the signing certificate, chain what came with it.
	signer *x509.Certificate
	chain  []*x509.Certificate
	// references writes the octets of all references of the signature.
	references func(ctx context.Context, to io.Writer) error
	// enveloped writes the canonical ds:Object that is not in the fragment; nil for
	// none.
	enveloped func(ctx context.Context, to io.Writer) error
	reached   signing.Baseline
	// form is the canonical form for archive time-stamps; empty is stampForm.
	form c14n.Method
}

// raise adds what the level needs beyond what was reached. An error that matches
// signing.ErrUnreached leaves a whole signature of the level in r.reached. A
// signature of B-LTA is renewed.
func (r *raiser) raise(ctx context.Context, want signing.Baseline) error {
	if want.Rank() <= signing.BaselineB.Rank() || want.Rank() <= r.reached.Rank() && want != signing.BaselineLTA {
		return nil
	}
	if r.reached.Rank() < signing.BaselineT.Rank() {
		token, err := r.stamp(ctx, r.services.TimeStamps)
		if err != nil {
			return err
		}
		if err := r.putStamp(token); err != nil {
			return err
		}
		r.reached = signing.BaselineT
	}
	if want.Rank() < signing.BaselineLT.Rank() {
		return nil
	}
	if err := r.addMaterial(ctx); err != nil {
		return err
	}
	if r.reached.Rank() < signing.BaselineLT.Rank() {
		r.reached = signing.BaselineLT
	}
	if want != signing.BaselineLTA {
		return nil
	}
	if err := r.addArchive(ctx); err != nil {
		return err
	}
	r.reached = signing.BaselineLTA
	return nil
}

// addMaterial collects validation data about the signer and about every
// time-stamp, and adds what is not there yet. That of a time-stamp goes into a
// property of its own.
func (r *raiser) addMaterial(ctx context.Context) error {
	have := readMaterial(r.signature)
	given := validation.Certificates(have.Certificates)
	collect := func(c *x509.Certificate, with []*x509.Certificate) (revocation.Material, error) {
		return validation.Collect(ctx, r.services, []validation.Chain{{Certificate: c, Candidates: slices.Concat(with, given)}})
	}
	type part struct {
		id       string
		material revocation.Material
	}
	var parts []part
	for _, s := range readStamps(r.signature) {
		token, err := tsp.Parse(s.token, given...)
		if err != nil {
			continue
		}
		m, err := collect(token.Certificate, token.Certificates)
		if err != nil {
			return err
		}
		parts = append(parts, part{s.property.ID(), m})
	}
	own, err := collect(r.signer, r.chain)
	if err != nil {
		return err
	}
	// The certificates that the signature carries already need no second place.
	for _, c := range append([]*x509.Certificate{r.signer}, r.chain...) {
		have.Certificates = append(have.Certificates, c.Raw)
	}
	fresh := func(m revocation.Material) revocation.Material {
		before := have
		m = revocation.Material{
			Certificates: missing(m.Certificates, before.Certificates),
			OCSPs:        missing(m.OCSPs, before.OCSPs), CRLs: missing(m.CRLs, before.CRLs),
		}
		have.Add(m)
		return m
	}
	own = fresh(own)
	// CertificateValues and RevocationValues may be there once.
	q := r.properties()
	once := r.unsigned() == nil || r.unsigned().Child(q.Space, "CertificateValues") == nil && r.unsigned().Child(q.Space, "RevocationValues") == nil
	for _, p := range parts {
		if err := r.putStampMaterial(fresh(p.material), p.id); err != nil {
			return err
		}
	}
	if once {
		return r.putMaterial(own)
	}
	return r.putStampMaterial(own, "")
}

func missing(all, have [][]byte) [][]byte {
	var kept [][]byte
	for _, piece := range all {
		if !slices.ContainsFunc(have, func(h []byte) bool { return string(h) == string(piece) }) {
			kept = append(kept, piece)
		}
	}
	return kept
}

// addArchive adds xades141:ArchiveTimeStamp.
func (r *raiser) addArchive(ctx context.Context) error {
	h, form := stampDigest.New(), cmp.Or(r.form, stampForm)
	over := archive{form: form, references: func(to io.Writer) error { return r.references(ctx, to) }}
	if r.enveloped != nil {
		over.enveloped = func(to io.Writer) error { return r.enveloped(ctx, to) }
	}
	if err := over.imprint(h, r.fragment, r.signature); err != nil {
		return err
	}
	token, err := r.services.TimeStamps.Stamp(ctx, stampDigest, h.Sum(nil))
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrUnreached, err)
	}
	property, _ := stampProperty(prefix141+":ArchiveTimeStamp", r.declarations(prefix141, prefix, xmldsig.Prefix), form, token.Raw)
	return r.put(property)
}

// isStamp knows the properties that hold time-stamps over the signature.
func isStamp(e *xmldsig.Element) bool {
	return e.Local == "SignatureTimeStamp" && isXAdES(e.Space) || isArchive(e)
}

func isArchive(e *xmldsig.Element) bool {
	return e.Local == "ArchiveTimeStamp" && (e.Space == Namespace141 || isXAdES(e.Space))
}

// heldStamp is a token in a property.
type heldStamp struct {
	property *xmldsig.Element
	token    []byte
}

// maxTokens bounds the time-stamps of one signature.
const maxTokens = 32

// readStamps reads the time-stamps over a signature in the order of the document.
func readStamps(signature *xmldsig.Element) []heldStamp {
	q := qualifying(signature)
	if q == nil {
		return nil
	}
	unsigned := q.Find(q.Space, "UnsignedProperties", "UnsignedSignatureProperties")
	if unsigned == nil {
		return nil
	}
	var all []heldStamp
	for _, p := range unsigned.Children {
		if isStamp(p) {
			all = append(all, tokens(p)...)
		}
	}
	return all[:min(len(all), maxTokens)]
}

// tokens reads the tokens of a time-stamp property; one that is not base64 is
// nil.
func tokens(property *xmldsig.Element) []heldStamp {
	var all []heldStamp
	for _, c := range property.Children {
		if c.Local == "EncapsulatedTimeStamp" {
			raw, _ := xmldsig.Base64(c.Text)
			all = append(all, heldStamp{property, raw})
		}
	}
	return all
}

// readMaterial reads the validation data in the unsigned properties.
func readMaterial(signature *xmldsig.Element) revocation.Material {
	var m revocation.Material
	q := qualifying(signature)
	if q == nil {
		return m
	}
	unsigned := q.Find(q.Space, "UnsignedProperties", "UnsignedSignatureProperties")
	if unsigned == nil {
		return m
	}
	for _, p := range unsigned.Children {
		switch p.Local {
		case "CertificateValues", "AttrAuthoritiesCertValues", "RevocationValues", "AttributeRevocationValues", "TimeStampValidationData", "AnyValidationData":
		default:
			continue
		}
		var found revocation.Material
		p.Walk(func(e *xmldsig.Element) {
			var to *[][]byte
			switch e.Local {
			case "EncapsulatedX509Certificate":
				to = &found.Certificates
			case "EncapsulatedOCSPValue":
				to = &found.OCSPs
			case "EncapsulatedCRLValue":
				to = &found.CRLs
			default:
				return
			}
			if der, err := xmldsig.Base64(e.Text); err == nil {
				*to = append(*to, der)
			}
		})
		m.Add(found)
	}
	return m
}

// unreached tells whether an error leaves a signature of a lower level.
func unreached(err error) bool { return errors.Is(err, signing.ErrUnreached) }
