package xades

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/validation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// ExtendOptions say how a document is read that is to be extended.
type ExtendOptions struct {
	// Resolver gives the octets of external references: without them such a
	// signature is not known to be whole, and is not extended.
	Resolver xmldsig.Resolver
	// Limits bound the document; IDAttributes names further attributes that hold
	// identifiers.
	Limits       xmltext.Limits
	IDAttributes []string
	// Overwrite lets ExtendFile replace an existing regular file.
	Overwrite bool
}

// Extend writes a signed document with every signature raised to a level:
// time-stamp, validation data and archive time-stamp are added as they are
// missing. A signature of B-LTA is renewed: validation data for its last
// time-stamp, and a new one over all. Countersignatures stay as they are.
//
// It returns a *signing.RefusedError where there is nothing to extend, where a
// signature is not whole, or where another signature covers one that would have
// to change. When a service cannot be reached, what was reached is written and
// Shortfall says what is missing.
func Extend(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, level signing.Baseline, s *signing.Services, o ExtendOptions) (*signing.Extension, error) {
	if level.Rank() < signing.BaselineT.Rank() {
		return nil, signing.Refuse(signing.RefusedOption, "choose B-T, B-LT or B-LTA", "%q is no level to extend to", level)
	}
	if err := s.Check(level); err != nil {
		return nil, err
	}
	doc, err := xmldsig.Open(ctx, src, size, xmldsig.Options{Limits: o.Limits, IDAttributes: o.IDAttributes, Resolver: o.Resolver, XPointer: true})
	if err != nil {
		return nil, err
	}
	r, err := report(ctx, doc, size, VerifyOptions{
		VerifyOptions: signing.VerifyOptions{Roots: s.Anchors, Intermediates: s.Candidates, Time: s.Now()}, Resolver: o.Resolver,
	})
	if err != nil {
		return nil, err
	}
	x := &extender{doc: doc, report: r, services: s, result: signing.Extension{SourceSize: size, Before: signing.BaselineLTA, After: signing.BaselineLTA}}
	if err := x.check(); err != nil {
		return nil, err
	}
	list := []Piece{{To: size}}
	for i, sig := range slices.Backward(doc.Signatures) {
		if sig.Outer != nil {
			continue
		}
		raw, err := x.raise(ctx, i, level)
		if err != nil {
			return nil, err
		}
		list = slices.Concat(clip(list, 0, sig.Start), []Piece{{Bytes: raw}}, clip(list, sig.End, 1<<62))
	}
	out := pieces{src, list}
	if err := out.writeTo(ctx, dst); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	x.result.Size = out.size()
	return &x.result, nil
}

// extender raises the signatures of a document.
type extender struct {
	doc      *xmldsig.Document
	report   *signing.Report
	services *signing.Services
	result   signing.Extension
}

// check refuses what cannot be extended without harm.
func (x *extender) check() error {
	found := false
	for i, s := range x.report.Signatures {
		sig := x.doc.Signatures[i]
		if sig.Outer != nil {
			continue
		}
		found = true
		switch {
		case s.Integrity != signing.Intact || s.Indication == signing.TotalFailed:
			return signing.Refuse(signing.RefusedBroken, "ask for an unbroken copy, and for the files that it is about", "signature %d is not whole", i+1)
		case s.Baseline == "":
			return signing.Refuse(signing.RefusedBroken, "have the document signed again", "signature %d is of no baseline level", i+1)
		}
		for j, other := range x.report.Signatures {
			if i != j && covers(other.Data, sig.Start, sig.End) {
				return signing.Refuse(signing.RefusedHarm, "put the document into a container with a time-stamp", "signature %d covers signature %d, which would have to change", j+1, i+1)
			}
		}
	}
	if !found {
		return signing.Refuse(signing.RefusedUnsigned, "sign the document first", "the document has no signature")
	}
	return nil
}

// covers tells whether data includes a stretch of the document.
func covers(data []signing.SignedData, from, to int64) bool {
	for i := range data {
		d := &data[i]
		if d.End == 0 || d.Start > from || d.End < to {
			continue
		}
		if !slices.ContainsFunc(d.Omitted, func(o [2]int64) bool { return o[0] <= from && to <= o[1] }) {
			return true
		}
	}
	return false
}

// raise returns a signature at the level that was reached.
func (x *extender) raise(ctx context.Context, i int, level signing.Baseline) ([]byte, error) {
	sig, verdict := x.doc.Signatures[i], &x.report.Signatures[i]
	e, err := newExtension(sig.Fragment, sig.Element)
	if err != nil {
		return nil, err
	}
	r := &raiser{
		extension: e, services: x.services, signer: verdict.Signer.Certificate, chain: validation.Certificates(sig.Certificates),
		reached: verdict.Baseline, form: propertiesForm(sig),
		references: func(ctx context.Context, to io.Writer) error {
			for j := range sig.References {
				if err := x.doc.Octets(ctx, sig, &sig.References[j], to); err != nil {
					return err
				}
			}
			return nil
		},
	}
	if verdict.Baseline.Rank() < x.result.Before.Rank() {
		x.result.Before = verdict.Baseline
	}
	err = r.raise(ctx, level)
	if err != nil && !unreached(err) {
		return nil, err
	}
	if err != nil {
		x.result.Shortfall = err.Error()
	}
	if r.reached.Rank() < x.result.After.Rank() {
		x.result.After = r.reached
	}
	return r.fragment.Raw, nil
}

// propertiesForm is the canonical form in which a signature refers to its signed
// properties. An archive time-stamp is made over the octets of that reference, but
// programs make them anew in the form that the time-stamp names as well; where both
// are the same, nobody can differ.
func propertiesForm(s *xmldsig.Signature) c14n.Method {
	for i := range s.References {
		if r := &s.References[i]; signedPropertiesType(r.Type) && r.Err == nil && len(r.Canonical().Prefixes) == 0 {
			return r.Canonical().Method.WithoutComments()
		}
	}
	return stampForm
}
