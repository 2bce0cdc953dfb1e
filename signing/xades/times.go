package xades

import (
	"context"
	"crypto"
	"crypto/x509"
	"io"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/validation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// times is what the time-stamps of a signature say.
type times struct {
	// stamped and archived tell what time-stamps are there, relied on or not.
	stamped, archived bool
	// marked tells that a time-mark takes the place of a time-stamp.
	marked bool
	// unfound are entries of manifests whose data is not at hand.
	unfound []string
}

// judgeTimes judges the time-stamps from the newest to the oldest, so that each
// is judged as of the time that a later one proves (EN 319 102-1 5.6), and finds
// the best-signature-time.
func (e *examination) judgeTimes(ctx context.Context) error {
	e.proof = validation.Begin(e.v.options.VerifyOptions)
	held := readStamps(e.s.Element)
	judged := make([]signing.TimeStamp, len(held))
	for i, h := range slices.Backward(held) {
		judged[i] = e.judgeStamp(ctx, h)
		if err := ctx.Err(); err != nil {
			return err
		}
		if judged[i].Indication == signing.TotalPassed {
			e.proof.Before(*judged[i].Time)
		}
	}
	e.timeMark()
	content := e.content(ctx)
	for _, t := range append(content, judged...) {
		if t.Indication != signing.TotalPassed && len(t.Findings) > 0 {
			e.out.Note(signing.FindTimeStamp, "a time-stamp of the signature proves nothing: %s", t.Findings[0].Text)
		}
		e.out.TimeStamps = append(e.out.TimeStamps, t)
	}
	if e.proof.Timed {
		at := e.proof.Best
		e.out.BestTime = &at
	}
	return nil
}

// judgeStamp judges one time-stamp as of the best-signature-time so far.
func (e *examination) judgeStamp(ctx context.Context, h heldStamp) signing.TimeStamp {
	kind := signing.SignatureStamp
	if isArchive(h.property) {
		kind = signing.ArchiveStamp
	}
	t := validation.NewTimeStamp(kind)
	form, prefixes, err := e.form(h.property)
	if err != nil {
		t.Fail(signing.TotalFailed, signing.FormatFailure, signing.FindTimeStamp, "%v", err)
		return t
	}
	var failure error
	token, verified := e.v.judge.Read(&t, h.token, func(hash crypto.Hash) []byte {
		sum := hash.New()
		if kind == signing.ArchiveStamp {
			over := archive{before: h.property, form: form, prefixes: prefixes, references: e.octets(ctx), covered: e.covered}
			failure = over.imprint(sum, e.s.Fragment, e.s.Element)
		} else {
			var octets []byte
			octets, failure = e.s.Canonical(e.s.Element.Child(xmldsig.Namespace, "SignatureValue"), form, prefixes...)
			sum.Write(octets)
		}
		return sum.Sum(nil)
	})
	if ctx.Err() != nil {
		return t
	}
	if failure != nil {
		t.Integrity, verified = signing.Unknown, false
		t.Fail(signing.Indeterminate, signing.SignedDataNotFound, signing.FindTimeStamp, "what it is about cannot be computed: %v", failure)
	}
	// A time-stamp of another signature is none of this one (threats X-58). One after
	// the certificate ended makes no level B-T (EN 319 132-1 6.3).
	if token != nil && t.Integrity != signing.Broken {
		e.times.stamped = e.times.stamped || kind == signing.SignatureStamp && !token.Time.After(e.signer.NotAfter)
		e.times.archived = e.times.archived || kind == signing.ArchiveStamp
	}
	if verified {
		e.v.judge.Token(ctx, &t, token, e.proof.Best)
	}
	return t
}

// policyTimeMark is the policy of BDOC 2 with time-marks.
const policyTimeMark = "urn:oid:1.3.6.1.4.1.10015.1000.3.2.1"

// timeMark takes the time-mark of Estonian signatures that have no time-stamp.
func (e *examination) timeMark() {
	if e.times.stamped || e.properties.policy != policyTimeMark || e.signer == nil {
		return
	}
	if at, marked := e.v.judge.TimeMark(e.signer, validation.Certificates(e.s.Certificates), e.s.Value); marked {
		e.times.marked = true
		e.proof.Before(at)
	}
}

// content judges the time-stamps over the data (EN 319 132-1 5.2.8). They prove
// nothing about the signature.
func (e *examination) content(ctx context.Context) []signing.TimeStamp {
	var all []signing.TimeStamp
	for _, property := range e.properties.stamps {
		for _, h := range tokens(property) {
			t := validation.NewTimeStamp(signing.ContentStamp)
			var failure error
			token, verified := e.v.judge.Read(&t, h.token, func(hash crypto.Hash) []byte {
				sum := hash.New()
				for i := range e.s.References {
					r := &e.s.References[i]
					if signedPropertiesType(r.Type) || !included(property, r.ID) {
						continue
					}
					if failure == nil {
						failure = e.v.doc.Octets(ctx, e.s, r, sum)
					}
				}
				return sum.Sum(nil)
			})
			if failure != nil {
				verified = false
				t.Fail(signing.Indeterminate, signing.SignedDataNotFound, signing.FindTimeStamp, "what it is about cannot be computed: %v", failure)
			}
			if verified {
				e.v.judge.Token(ctx, &t, token, e.proof.Best)
				e.proof.After(&t, token)
			}
			all = append(all, t)
		}
	}
	return all
}

// included tells whether a time-stamp over data is about a reference: all of
// them, or those that Include names.
func included(property *xmldsig.Element, id string) bool {
	if property.Local == "AllDataObjectsTimeStamp" {
		return true
	}
	for _, i := range property.Children {
		if uri, _ := i.Attr("", "URI"); i.Local == "Include" && id != "" && uri == "#"+id {
			return true
		}
	}
	return false
}

// form is the canonical form that a time-stamp property names; C14N 1.0 is what
// is meant where it names none.
func (e *examination) form(property *xmldsig.Element) (c14n.Method, []string, error) {
	m := property.Child(xmldsig.Namespace, "CanonicalizationMethod")
	if m == nil {
		return c14n.Inclusive10, nil, nil
	}
	c, err := xmldsig.ReadCanonicalization(m)
	return c.Method, c.Prefixes, err
}

// octets writes what all references of the signature digest.
func (e *examination) octets(ctx context.Context) func(io.Writer) error {
	return func(to io.Writer) error {
		for i := range e.s.References {
			if err := e.v.doc.Octets(ctx, e.s, &e.s.References[i], to); err != nil {
				return err
			}
		}
		return nil
	}
}

// covered tells whether a reference covers a ds:Object of the signature.
func (e *examination) covered(object *xmldsig.Element) bool {
	at := e.s.Offset(object.Start)
	for i := range e.outcomes {
		if e.outcomes[i].Err == nil && e.outcomes[i].Depth > 0 && e.outcomes[i].Start == at {
			return true
		}
	}
	return false
}

// level finds the baseline level from what is in the document (EN 319 132-1 6.3):
// what it carries, not whether that is relied on.
func (e *examination) level(c *x509.Certificate, candidates []*x509.Certificate) {
	if !e.baseline(c) {
		return
	}
	e.out.Baseline = signing.BaselineB
	if !e.times.stamped && !e.times.marked {
		return
	}
	e.out.Baseline = signing.BaselineT
	if p := e.unsigned(); p != nil && slices.ContainsFunc(p.Children, referencesOnly) {
		return
	}
	// Whether the material is complete depends on where paths end, which the
	// document does not say; path and revocation are judged apart.
	held := readMaterial(e.s.Element)
	if len(held.OCSPs)+len(held.CRLs) == 0 || !e.v.judge.HasIssuer(c, candidates...) {
		return
	}
	e.out.Baseline = signing.BaselineLT
	if e.times.archived {
		e.out.Baseline = signing.BaselineLTA
	}
}

// referencesOnly tells whether an unsigned property is one of those that B-LT and
// B-LTA exclude (EN 319 132-1 6.3): references to validation data, and time-stamps
// over them.
func referencesOnly(e *xmldsig.Element) bool {
	switch strings.TrimSuffix(e.Local, "V2") {
	case "CompleteCertificateRefs", "CompleteRevocationRefs", "AttributeCertificateRefs", "AttributeRevocationRefs", "SigAndRefsTimeStamp", "RefsOnlyTimeStamp":
		return true
	}
	return false
}

// unsigned is UnsignedSignatureProperties, nil if there is none.
func (e *examination) unsigned() *xmldsig.Element {
	q := qualifying(e.s.Element)
	if q == nil {
		return nil
	}
	return q.Find(q.Space, "UnsignedProperties", "UnsignedSignatureProperties")
}
