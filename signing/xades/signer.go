package xades

import (
	"crypto"
	"crypto/x509"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/validation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// maxTried bounds the certificates whose keys are tried on a signature value.
const maxTried = 64

// signer is the signing certificate of a signature.
type signer struct {
	certificate *x509.Certificate
	// reference is the entry of SigningCertificate(V2) that names it, nil if there
	// is none.
	reference *certificateReference
	// value is the error of the signature value under its key.
	value error
	// refused says that no certificate was found; the verdict says why.
	refused bool
}

// identify finds the signing certificate (EN 319 102-1 5.2.3): the one that
// SigningCertificate(V2) names by its digest. What stands in ds:KeyInfo and among
// the certificate values are candidates; keys without a certificate are ignored
// (threats ).
func (e *examination) identify() signer {
	candidates := validation.Certificates(e.s.Certificates)
	own := len(candidates)
	candidates = append(candidates, e.v.judge.Given()...)
	candidates = append(candidates, validation.Certificates(readMaterial(e.s.Element).Certificates)...)
	candidates = candidates[:min(len(candidates), maxTried)]
	var named signer // the first that is named
	for _, c := range candidates {
		r := e.named(c)
		if r == nil {
			continue
		}
		found := signer{certificate: c, reference: r, value: e.s.VerifyValue(c.PublicKey)}
		if named.certificate == nil || found.value == nil {
			named = found
		}
		if found.value == nil {
			break
		}
	}
	var other signer // one whose key fits although nothing names it
	if named.certificate == nil || named.value != nil {
		for _, c := range candidates[:min(own, len(candidates))] {
			if err := e.s.VerifyValue(c.PublicKey); err == nil {
				other = signer{certificate: c}
				break
			} else if other.certificate == nil && !e.properties.bound {
				other = signer{certificate: c, value: err}
			}
		}
	}
	switch {
	case named.certificate != nil && (named.value == nil || other.certificate == nil || other.value != nil):
		e.describe(named.certificate)
		return named
	case other.certificate != nil && !e.properties.bound:
		e.describe(other.certificate)
		return other
	case other.certificate != nil:
		e.out.Integrity = signing.Intact
		e.describe(other.certificate)
		e.out.Fail(signing.Indeterminate, signing.NoSigningCertificateFound, signing.FindBinding, "the certificate whose key made the signature is not the one that the signature names")
	case len(candidates) == 0 || own == 0:
		e.out.Fail(signing.Indeterminate, signing.NoSigningCertificateFound, signing.FindNoCertificate, "the signature does not carry the certificate of the signer")
	default:
		e.out.Fail(signing.Indeterminate, signing.NoSigningCertificateFound, signing.FindNoCertificate, "none of the certificates in the signature is the one it names")
	}
	return signer{refused: true}
}

// named finds the entry that names a certificate.
func (e *examination) named(c *x509.Certificate) *certificateReference {
	for i := range e.properties.certificates {
		if r := &e.properties.certificates[i]; r.matches(c.Raw) {
			return r
		}
	}
	return nil
}

func (e *examination) describe(c *x509.Certificate) {
	e.out.Signer = signing.NewSigner(c, e.v.options.ShowIdentifiers)
}

// accept is signature acceptance (5.2.8), and what keeps a signature from being
// one of the baseline.
func (e *examination) accept(s signer) {
	digests := []crypto.Hash{e.s.Algorithm.Digest}
	for i := range e.s.References {
		digests = append(digests, e.s.References[i].Digest)
	}
	validation.Accept(&e.out, s.certificate, e.proof, digests...)
	e.formal(s)
	switch {
	case !e.properties.bound:
		e.out.Fail(signing.Indeterminate, signing.SigConstraintsFailure, signing.FindNoBinding, "the signature does not name its certificate")
	case s.reference != nil && !s.reference.named(s.certificate):
		e.out.Fail(signing.Indeterminate, signing.SigConstraintsFailure, findIssuer, "issuer and serial number that the signature names are not those of its certificate")
	}
	for _, entry := range e.times.unfound {
		e.out.Fail(signing.Indeterminate, signing.SignedDataNotFound, findManifest, "the entry %q of the manifest cannot be found, so it is not known whether it was changed", entry)
	}
	for _, d := range e.s.Deviations {
		e.out.Note(findEncoding, "%s", d)
	}
	if known, ok := publishedPolicies()[e.properties.policy]; ok && string(known) != string(e.properties.policyDigest) {
		e.out.Fail(signing.Indeterminate, signing.SigConstraintsFailure, findPolicy, "the digest of the policy is not that of the document that was published")
	}
	if e.properties.policy != "" {
		e.out.Note(findPolicy, "the signature names a policy, whose rules are not examined")
	}
	e.coverage()
}

// formal finds what keeps a signature from being one of the baseline.
func (e *examination) formal(s signer) {
	switch {
	case !e.properties.bound:
		e.departs = "it does not name its certificate"
	case s.reference != nil && !s.reference.named(s.certificate):
		e.departs = "issuer and serial number in it are not those of its certificate"
	}
}

// coverage says so when parts of the document are not covered.
func (e *examination) coverage() {
	if e.counter() {
		return
	}
	for i := range e.out.Data {
		d := &e.out.Data[i]
		if d.Integrity == signing.Intact && d.Whole() {
			return
		}
	}
	// The document element is the signature itself where the data is elsewhere.
	if e.s.Depth > 1 && e.v.doc.Root.Local != "XAdESSignatures" {
		e.out.Note(findPartial, "the signature covers parts of the document, and not the rest")
	}
}

// baseline tells whether the signature has all of XAdES-B-B (EN 319 132-1 6.3).
// The property SigningCertificate of TS 101 903 is taken as well, as the baseline
// profile TS 103 171 had it.
func (e *examination) baseline(c *x509.Certificate) bool {
	q := qualifying(e.s.Element)
	switch {
	case e.departs != "":
	case q.Space != Namespace:
		e.departs = "its properties are of an old version of XAdES"
	case e.properties.time == nil:
		e.departs = "it has no signing time"
	case !carries(e.s, c):
		e.departs = "its certificate is not in ds:KeyInfo"
	default:
		for i := range e.s.References {
			r := &e.s.References[i]
			if signedPropertiesType(r.Type) || r.Type == typeCountersigned || r.Type == xmldsig.TypeManifest || e.keyInfo(i) || e.signatureProperties(i) || e.counter() {
				continue
			}
			if e.properties.formats[r.ID] == "" || r.ID == "" {
				e.departs = "it does not say of what type the signed data is"
			}
		}
	}
	if e.departs != "" {
		e.out.Note(signing.FindNotBaseline, "the signature is of no XAdES baseline level: %s", e.departs)
	}
	return e.departs == ""
}

// keyInfo tells whether a reference is about ds:KeyInfo.
func (e *examination) keyInfo(i int) bool {
	info := e.s.Element.Child(xmldsig.Namespace, "KeyInfo")
	return info != nil && e.outcomes[i].Start == e.s.Offset(info.Start)
}

// signatureProperties tells whether a reference is about ds:SignatureProperties, or one of
// them, which say something of the signature (XML Signature 1.1 5.2).
func (e *examination) signatureProperties(i int) bool {
	o := &e.outcomes[i]
	return o.Space == xmldsig.Namespace && (o.Local == "SignatureProperties" || o.Local == "SignatureProperty")
}

func carries(s *xmldsig.Signature, c *x509.Certificate) bool {
	for _, raw := range s.Certificates {
		if string(raw) == string(c.Raw) {
			return true
		}
	}
	return false
}
