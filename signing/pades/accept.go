package pades

import (
	"crypto"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// accept is signature acceptance (5.2.8): attributes and algorithms.
func (e *examination) accept(r *cms.Verified) {
	if !r.SignedAttributes {
		e.fail(Indeterminate, SigConstraintsFailure, findNoAttributes, "nothing but the bytes is signed, so the value may have been made for another purpose")
	} else if !r.Bound && e.out.SubFilter == subFilterCAdES {
		e.fail(Indeterminate, SigConstraintsFailure, findNoBinding, "the signature does not name its certificate")
	}
	switch {
	case r.Algorithm.Scheme == cms.Ed25519 && r.SignedAttributes && r.Digest != crypto.SHA512: // RFC 8419 3.1
		e.fail(Indeterminate, CryptoConstraintsFailure, findAlgorithm, "an Ed25519 signature goes with the digest SHA-512, not %s", r.Digest)
	case r.Algorithm.Scheme != cms.Ed25519 && r.SignedAttributes && r.Digest != r.Algorithm.Digest: // RFC 8933 3.1, threats P-26
		e.fail(Indeterminate, CryptoConstraintsFailure, findAlgorithm, "the document was digested with %s, and the signature is over %s", r.Digest, r.Algorithm.Digest)
	}
	if r.Misnamed {
		e.fail(Indeterminate, SigConstraintsFailure, findBinding, "issuer and serial number that the signature names are not those of its certificate")
	}
	if !r.Sorted && e.out.SubFilter == subFilterCAdES {
		e.fail(Indeterminate, SigConstraintsFailure, findCMS, "the signed attributes are not in DER order")
	}
	validation.Accept(&e.out, r.Certificate, e.proof, r.Digest, r.Algorithm.Digest)
}

// baseline tells whether the signature has all of PAdES-B-B
// (EN 319 142-1 6.3).
func (e *examination) baseline(message *cms.SignedData, si *cms.SignerInfo, r *cms.Verified) {
	if e.out.SubFilter != subFilterCAdES || r == nil {
		return
	}
	dict := e.s.dict
	// Either attribute will do: that of version 1 names certificates by SHA-1.
	v1, v2 := len(si.Attribute(cms.OIDSigningCertificate)), len(si.Attribute(cms.OIDSigningCertificateV2))
	if message.Indefinite || !r.Bound || r.Misnamed || !r.Sorted || !r.SigningTime.IsZero() || v1 > 1 || v2 > 1 || v1+v2 == 0 ||
		dict.Get("M").IsNull() || !dict.Get("Cert").IsNull() {
		e.note(findNotBaseline, "the signature departs from PAdES baseline B-B")
		return
	}
	if e.out.Reason != "" && len(si.Attribute(cms.OIDCommitmentType))+len(si.Attribute(cms.OIDSignaturePolicy)) > 0 {
		e.note(findNotBaseline, "the signature has both a reason and a commitment type or policy")
		return
	}
	e.out.Baseline = signing.BaselineB
}
