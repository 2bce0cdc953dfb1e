package validation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/certpath"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/ocsp"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/weakkey"
)

// Signer judges the path of the signing certificate and its revocation as of the
// best-signature-time (EN 319 102-1 5.2.6, 5.5.4). Only the signer's own path
// counts, and nothing from the document is trusted. It tells whether revocation
// is known for the whole path.
func (j *Judge) Signer(ctx context.Context, out *signing.Signature, c *x509.Certificate, candidates []*x509.Certificate, proof Proof) (answered bool) {
	if len(j.Options.Roots) == 0 {
		out.Fail(signing.Indeterminate, signing.NoCertificateChainFound, signing.FindNoChain, "no trust anchors were given, so it is not known whether the certificate can be relied on")
		if proof.Best.Before(c.NotBefore) || proof.Best.After(c.NotAfter) {
			out.Fail(signing.Indeterminate, signing.OutOfBoundsNoPOE, signing.FindValidity, "the certificate is outside its validity")
		}
		return false
	}
	if proof.Timed && proof.Best.Before(c.NotBefore) {
		out.Fail(signing.TotalFailed, signing.NotYetValid, signing.FindValidity, "the signature existed before its certificate was valid")
		return false
	}
	path, err := j.reliedPath(ctx, c, candidates, proof.Best, proof.Best)
	known := proof.Best // the time about which revocation must be known
	outside := errors.Is(err, certpath.ErrValidity)
	if outside {
		// Whether the certificate was revoked comes before its validity; any answer
		// from when it was valid counts (EN 319 102-1 5.2.6.4).
		for _, issuer := range upward(c, slices.Concat(candidates, j.given, j.Options.Intermediates, j.Options.Roots)) {
			if valid, failure := j.reliedPath(ctx, c, candidates, issuer.NotAfter, proof.Best); failure == nil {
				path, err, known = valid, nil, c.NotBefore
				break
			}
		}
	}
	if err != nil {
		sub, code, text := pathFailure(err)
		out.Fail(signing.Indeterminate, sub, code, "%s", text)
		return false
	}
	if out.Signer != nil {
		out.Signer.ChainBuilt = true
	}
	answered = j.revoked(ctx, out, path, known, proof)
	if !answered && !j.Options.WithoutRevocation {
		// Before validity, and before acceptance, which comes after the path
		// (EN 319 102-1 5.2.6.4).
		out.Fail(signing.Indeterminate, signing.TryLater, signing.FindRevocation, "nothing says whether the certificate had been revoked")
	}
	if outside {
		expired := path[0].NotAfter.Before(proof.Best)
		switch {
		case expired && proof.Since.After(path[0].NotAfter):
			out.Fail(signing.TotalFailed, signing.ExpiredFailure, signing.FindValidity, "the signature was made after its certificate had expired")
		case expired && answered:
			out.Fail(signing.Indeterminate, signing.OutOfBoundsNotRevoked, signing.FindValidity, "the certificate has expired without having been revoked, and nothing proves that it was used before")
		default:
			sub, code, text := pathFailure(certpath.ErrValidity)
			out.Fail(signing.Indeterminate, sub, code, "%s", text)
		}
	}
	if i := weakPath(path, proof.Best); i >= 0 {
		whose := "of the signer" // its name may hold a personal number
		if i > 0 {
			whose = fmt.Sprintf("of the issuer %q", path[i].Subject.CommonName)
		}
		out.Fail(signing.Indeterminate, weakSub(proof, cms.SHA1Trusted()), signing.FindWeak, "the certificate %s is signed over SHA-1, which is no longer reliable", whose)
	}
	return answered
}

// weakSub is the sub-indication of an algorithm that was reliable until some time
// before the best-signature-time. The signature may be older still, unless a
// content-time-stamp says that it is not (EN 319 102-1 5.5.4, 5.3.4).
func weakSub(p Proof, end time.Time) signing.SubIndication {
	if p.Since.After(end) {
		return signing.CryptoConstraintsFailure
	}
	return signing.CryptoConstraintsFailureNoPOE
}

// revoked judges the revocation of a path at a time, and tells whether it is known
// for all of it.
//
// A signature that existed after its certificate was revoked may have been made
// before, unless a content-time-stamp says that it was not: REVOKED_NO_POE is what
// EN 319 102-1 5.5.4 keeps, and 5.3.4 makes REVOKED of it.
func (j *Judge) revoked(ctx context.Context, out *signing.Signature, path []*x509.Certificate, at time.Time, proof Proof) (answered bool) {
	answered = true
	for i, c := range path[:max(0, len(path)-1)] {
		if revocation.Exempt(c) {
			continue
		}
		f := j.look(ctx, path, i, at)
		day := f.At.UTC().Format(time.DateOnly)
		switch {
		case f.State == revocation.Good, f.State != revocation.Unknown && proof.Timed && f.At.After(proof.Best):
			if i == 0 {
				out.Revocation = f.Source
			}
		case f.State == revocation.Unknown:
			answered = false
		case f.State == revocation.OnHold:
			out.Fail(signing.Indeterminate, signing.TryLater, signing.FindRevoked, "the certificate was suspended on %s", day)
		case i > 0:
			out.Fail(signing.Indeterminate, signing.RevokedCANoPOE, signing.FindRevoked, "the certificate of the issuer %q was revoked on %s", c.Subject.CommonName, day)
		case proof.Since.After(f.At):
			out.Fail(signing.TotalFailed, signing.RevokedFailure, signing.FindRevoked, "the certificate was revoked on %s, before the content that the signature covers was stamped", day)
		default:
			out.Fail(signing.Indeterminate, signing.RevokedNoPOE, signing.FindRevoked, "the certificate was revoked on %s, and nothing proves that the signature was made before", f.At.UTC().Format(time.DateTime))
		}
	}
	return answered
}

func weakSignature(c *x509.Certificate) bool {
	return c.SignatureAlgorithm == x509.SHA1WithRSA || c.SignatureAlgorithm == x509.ECDSAWithSHA1
}

// Accept looks at the key usage, which is a constraint on the path (5.2.6.4 5), and
// at the algorithms (5.2.8). The digests are all that the signature relies on.
func Accept(out *signing.Signature, c *x509.Certificate, proof Proof, digests ...crypto.Hash) {
	at := proof.Best
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageContentCommitment|x509.KeyUsageDigitalSignature) == 0 {
		out.Fail(signing.Indeterminate, signing.ChainConstraintsFailure, signing.FindKeyUsage, "the certificate is not meant for signatures")
	}
	for _, d := range digests {
		if end := reliable(d); !end.IsZero() && at.After(end) {
			out.Fail(signing.Indeterminate, weakSub(proof, end), signing.FindWeak, "the digest %s is no longer reliable", d)
			break
		}
	}
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
		if end := reliableRSA(key.N.BitLen()); !end.IsZero() && at.After(end) {
			out.Fail(signing.Indeterminate, weakSub(proof, end), signing.FindWeak, "an RSA key of %d bits is no longer reliable", key.N.BitLen())
		}
	}
	if weakkey.Guessable(c.PublicKey) {
		// Whoever has the certificate can compute the key, since 2017 at the latest; no
		// time of signing is early enough to tell the holder from others.
		out.Fail(signing.Indeterminate, signing.CryptoConstraintsFailure, signing.FindWeak, "the key of the certificate can be computed from it (CVE-2017-15361)")
	}
}

// reliable returns until when a digest was acceptable (TS 119 312 v1.5.1), zero
// for no end.
func reliable(h crypto.Hash) time.Time {
	switch h {
	case crypto.MD5:
		return time.Date(2004, 8, 1, 0, 0, 0, 0, time.UTC)
	case crypto.SHA1:
		return time.Date(2012, 8, 1, 0, 0, 0, 0, time.UTC)
	case crypto.SHA224, crypto.SHA3_224: // the latter is not listed, and no stronger
		return time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}
}

// reliableRSA is the same for RSA keys by size in bits.
func reliableRSA(bits int) time.Time {
	switch {
	case bits < 1024:
		return time.Date(2010, 8, 1, 0, 0, 0, 0, time.UTC)
	case bits < 1900:
		return time.Date(2019, 10, 1, 0, 0, 0, 0, time.UTC)
	case bits < 3000:
		return time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}
}

// Conclude gives a signature without a failure its indication: without word of
// revocation that is TRY_LATER, unless the options leave revocation out.
func (j *Judge) Conclude(out *signing.Signature, answered bool) {
	switch {
	case out.Indication != "":
	case answered || j.Options.WithoutRevocation:
		out.Indication = signing.TotalPassed
	default:
		out.Fail(signing.Indeterminate, signing.TryLater, signing.FindRevocation, "nothing says whether the certificate had been revoked")
	}
}

// TimeMark looks for an OCSP answer about the signing certificate whose nonce is
// the digest of the signature value: the time-mark of BDOC 2 (its section 6.2),
// which proves that the signature existed when the answer was made. Only an answer
// that the certificate is good is a time-mark.
func (j *Judge) TimeMark(c *x509.Certificate, candidates []*x509.Certificate, value []byte) (at time.Time, marked bool) {
	path := upward(c, slices.Concat(candidates, j.given, j.Options.Roots, j.Options.Intermediates))
	if len(path) < 2 {
		return at, false
	}
	for _, raw := range j.embedded.OCSPs {
		r, err := ocsp.Parse(raw, c, path[1], j.Options.Responders...)
		if err == nil {
			// The responder could be relied on when it answered.
			r, err = ocsp.Parse(raw, c, path[1], j.responders(r.ProducedAt)...)
		}
		if err == nil && r.Status == ocsp.Good && marks(r.Nonce, value) && (!marked || r.ProducedAt.Before(at)) {
			at, marked = r.ProducedAt, true
		}
	}
	return at, marked
}

// marks tells whether a nonce is a DigestInfo (RFC 8017 9.2) of the value, or its
// bare SHA-256.
func marks(nonce, value []byte) bool {
	sum := sha256.Sum256(value)
	if bytes.Equal(nonce, sum[:]) {
		return true
	}
	in := cryptobyte.String(nonce)
	var info, digest cryptobyte.String
	if !in.ReadASN1(&info, asn1.SEQUENCE) || !in.Empty() {
		return false
	}
	algorithm, ok := cms.ReadAlgorithm(&info)
	if !ok || !info.ReadASN1(&digest, asn1.OCTET_STRING) || !info.Empty() {
		return false
	}
	hash, err := algorithm.Digest()
	if err != nil || !hash.Available() || hash == crypto.SHA1 {
		return false
	}
	h := hash.New()
	h.Write(value)
	return bytes.Equal(digest, h.Sum(nil))
}
