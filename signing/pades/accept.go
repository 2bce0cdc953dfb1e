package pades

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// checkPath builds a certificate path to one of the roots as of the
// best-signature-time (5.2.6). Only the signer's own path counts, and nothing
// from the message is trusted.
func (e *examination) checkPath(ctx context.Context, message *cms.SignedData, r *cms.Verified) {
	if len(e.v.opts.Roots) == 0 {
		e.fail(Indeterminate, NoCertificateChainFound, findNoChain, "no trust anchors were given, so it is not known whether the certificate can be relied on")
		e.checkValidity(r.Certificate, e.best)
		return
	}
	if e.timed && e.best.Before(r.Certificate.NotBefore) {
		e.fail(TotalFailed, NotYetValid, findValidity, "the signature existed before its certificate was valid")
		return
	}
	path, err := e.v.path(ctx, r.Certificate, parsed(message.Certificates), e.best)
	if err != nil {
		sub, code, text := pathFailure(err)
		e.fail(Indeterminate, sub, code, "%s", text)
		return
	}
	e.out.Signer.ChainBuilt = true
	e.path = path
	e.checkRevocation(ctx)
}

func (e *examination) checkValidity(c *x509.Certificate, now time.Time) {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		e.fail(Indeterminate, OutOfBoundsNoPOE, findValidity, "the certificate is outside its validity")
	}
}

// accept is signature acceptance (5.2.8): attributes and algorithms.
func (e *examination) accept(r *cms.Verified) {
	c := r.Certificate
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageContentCommitment|x509.KeyUsageDigitalSignature) == 0 {
		e.fail(Indeterminate, SigConstraintsFailure, findKeyUsage, "the certificate is not meant for signatures")
	}
	if !r.SignedAttributes {
		e.fail(Indeterminate, SigConstraintsFailure, findNoAttributes, "nothing but the bytes is signed, so the value may have been made for another purpose")
	} else if !r.Bound && e.out.SubFilter == subFilterCAdES {
		e.fail(Indeterminate, SigConstraintsFailure, findNoBinding, "the signature does not name its certificate")
	}
	if !r.Sorted && e.out.SubFilter == subFilterCAdES {
		e.fail(Indeterminate, SigConstraintsFailure, findCMS, "the signed attributes are not in DER order")
	}
	weak := slices.Contains([]crypto.Hash{crypto.SHA1, crypto.SHA224}, r.Digest) || r.Algorithm.Digest == crypto.SHA1
	if weak {
		e.fail(Indeterminate, CryptoConstraintsFailure, findWeak, "the digest %s is no longer reliable", r.Digest)
	}
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 1900 { // TS 119 312
		e.fail(Indeterminate, CryptoConstraintsFailure, findWeak, "an RSA key of %d bits is no longer reliable", key.N.BitLen())
	}
}

// baseline tells whether the signature has all of PAdES-B-B
// (EN 319 142-1 6.3).
func (e *examination) baseline(message *cms.SignedData, si *cms.SignerInfo, r *cms.Verified) {
	if e.out.SubFilter != subFilterCAdES || r == nil {
		return
	}
	dict := e.s.dict
	if message.Indefinite || !r.Bound || !r.Sorted || !r.SigningTime.IsZero() || len(si.Attribute(cms.OIDSigningCertificateV2)) != 1 ||
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
