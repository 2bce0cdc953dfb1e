// Package validation judges what all signature formats have in common, after
// EN 319 102-1: certificate paths and their revocation at a time, time-stamps,
// and whether algorithms were reliable then.
//
// A format finds the signing certificate, checks digests and the signature
// value, and asks a Judge for the rest. Time-stamps are judged from the newest to
// the oldest by the format, which knows what each of them covers; Proof carries
// the earliest time that they prove.
//
// One simplification: validation data is taken at its word about the time it was
// issued, without a proof of existence of its own. Trusted lists and
// qualification are not examined here.
package validation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/certpath"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/tsp"
)

// stampSkew is how far a time-stamp may lie ahead of our clock.
const stampSkew = 5 * time.Minute

// Judge judges in the context of one document. It remembers what it has asked
// authorities, and serves one goroutine.
type Judge struct {
	Options signing.VerifyOptions
	// embedded is the validation data of the document, material that with what was
	// given and fetched; given are the certificates of the former, parsed.
	embedded, material revocation.Material
	given              []*x509.Certificate
	asked              map[string]bool // certificates that were asked about
}

// New returns a Judge. Embedded is the validation data of the document.
func New(o signing.VerifyOptions, embedded revocation.Material) *Judge {
	j := &Judge{Options: o, asked: make(map[string]bool)}
	j.material.Add(o.Material)
	j.Embed(embedded)
	return j
}

// Embed adds validation data of the document, found later.
func (j *Judge) Embed(m revocation.Material) {
	j.embedded.Add(m)
	j.material.Add(m)
	j.given = Certificates(j.embedded.Certificates)
}

// Given are the certificates of the document.
func (j *Judge) Given() []*x509.Certificate { return j.given }

// Certificates parses certificates; those that cannot be read are left out.
func Certificates(raw [][]byte) []*x509.Certificate {
	var all []*x509.Certificate
	for _, der := range raw {
		if c, err := cms.ParseCertificate(der); err == nil {
			all = append(all, c)
		}
	}
	return all
}

// Proof is what is known about the time at which a signature existed.
type Proof struct {
	// Best is the best-signature-time: the earliest that a time-stamp proves, else
	// the time of validation (EN 319 102-1 5.5.4).
	Best time.Time
	// Timed tells that a time-stamp proves it.
	Timed bool
	// Since is the time of the latest content-time-stamp, before which the signature
	// was not made; zero without any.
	Since time.Time
}

// Begin is what is known before the time-stamps of a signature are looked at.
func Begin(o signing.VerifyOptions) Proof {
	p := Proof{Best: o.Now()}
	if o.Existed != nil {
		p.Before(*o.Existed)
	}
	return p
}

// Before takes a further proof of existence at a time.
func (p *Proof) Before(at time.Time) {
	p.Timed = true
	if at.Before(p.Best) {
		p.Best = at
	}
}

// After takes a content-time-stamp, which the signature covers: it was made
// afterwards.
func (p *Proof) After(t *signing.TimeStamp, token *tsp.Token) {
	if t.Indication == signing.TotalPassed && token.Time.After(p.Since) {
		p.Since = token.Time.Add(-token.Accuracy)
	}
}

// errUnrelied: every path leads to an anchor that could not be relied on then.
var errUnrelied = errors.New("the trust anchor could not be relied on at that time")

// reliedPath finds a path at a time whose anchor could be relied on at another time,
// and when it issued what stands below it. A list may have several certificates of one
// authority, with a history each.
func (j *Judge) reliedPath(ctx context.Context, c *x509.Certificate, candidates []*x509.Certificate, at, when time.Time) ([]*x509.Certificate, error) {
	relied := j.Options.Relied
	if relied == nil {
		return j.Path(ctx, c, candidates, at)
	}
	anchors := slices.DeleteFunc(slices.Clone(j.Options.Roots), func(anchor *x509.Certificate) bool { return !relied(anchor, when) })
	for len(anchors) > 0 {
		path, err := j.pathTo(ctx, anchors, c, candidates, at)
		if errors.Is(err, certpath.ErrNoPath) {
			break
		}
		if err != nil || len(path) == 1 || relied(path[len(path)-1], path[len(path)-2].NotBefore) {
			return path, err
		}
		anchors = slices.DeleteFunc(anchors, path[len(path)-1].Equal)
	}
	if _, err := j.Path(ctx, c, candidates, at); err != nil {
		return nil, err
	}
	return nil, errUnrelied
}

// responders are those that could be relied on at a time.
func (j *Judge) responders(at time.Time) []*x509.Certificate {
	if j.Options.Relied == nil {
		return j.Options.Responders
	}
	var all []*x509.Certificate
	for _, r := range j.Options.Responders {
		if j.Options.Relied(r, at) {
			all = append(all, r)
		}
	}
	return all
}

// Path finds a path at a time among all certificates at hand.
func (j *Judge) Path(ctx context.Context, c *x509.Certificate, candidates []*x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	return j.pathTo(ctx, j.Options.Roots, c, candidates, at)
}

// pathTo is Path to some of the anchors, or without any to whatever certifies itself.
func (j *Judge) pathTo(ctx context.Context, anchors []*x509.Certificate, c *x509.Certificate, candidates []*x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	// A trust anchor is relied on as it stands (RFC 5280 6.1.1 d).
	if slices.ContainsFunc(anchors, c.Equal) {
		return []*x509.Certificate{c}, nil
	}
	return certpath.Find(ctx, c, certpath.Options{
		Anchors:    anchors,
		Candidates: slices.Concat(candidates, j.given, j.Options.Intermediates),
		Time:       at,
		Fetch:      j.Options.Fetch,
		Weak:       true,
	})
}

// weakPath finds a certificate of a path whose signature is not to be relied on,
// -1 for none. The anchor is relied on as it stands.
func weakPath(path []*x509.Certificate, at time.Time) int {
	if !at.After(cms.SHA1Trusted()) {
		return -1
	}
	return slices.IndexFunc(path[:max(0, len(path)-1)], weakSignature)
}

// pathFailure words the failure of a path.
func pathFailure(err error) (sub signing.SubIndication, code, text string) {
	switch {
	case errors.Is(err, certpath.ErrValidity):
		return signing.OutOfBoundsNoPOE, signing.FindValidity, "a certificate of the path is outside its validity, and nothing proves that it was used before"
	case errors.Is(err, certpath.ErrRule):
		return signing.CertificateChainGeneral, signing.FindChain, err.Error()
	default:
		return signing.NoCertificateChainFound, signing.FindNoChain, "no path leads from the certificate to a trust anchor"
	}
}

// look looks a certificate of a path up, and asks when that is allowed.
func (j *Judge) look(ctx context.Context, path []*x509.Certificate, i int, at time.Time) revocation.Finding {
	f := j.material.LookTrusting(path[i], path[i+1], at, j.responders(at))
	if f.State != revocation.Unknown || j.Options.Fetch == nil || j.asked[string(path[i].Raw)] {
		return f
	}
	j.asked[string(path[i].Raw)] = true
	found, _ := (&revocation.Collector{Fetch: j.Options.Fetch, Clock: j.Options.Now}).Collect(ctx, path[i:i+2])
	j.material.Add(found)
	return j.material.LookTrusting(path[i], path[i+1], at, j.responders(at))
}

// Token judges path and revocation of a token that fits its data
// (EN 319 102-1 5.4). The path must hold at the control time. Validation data
// must have been issued after the time-stamp, or be in force at it: later
// knowledge is what a further time-stamp is for. Without a failure the time-stamp
// is TOTAL_PASSED.
func (j *Judge) Token(ctx context.Context, t *signing.TimeStamp, token *tsp.Token, control time.Time) {
	if t.Time.After(control.Add(stampSkew)) {
		t.Fail(signing.Indeterminate, signing.TimestampOrderFailure, signing.FindTimeStamp, "its time lies in the future")
		return
	}
	if len(j.Options.Roots) == 0 {
		t.Fail(signing.Indeterminate, signing.NoCertificateChainFound, signing.FindNoChain, "no trust anchors were given, so it is not known whether the authority can be relied on")
		return
	}
	for _, h := range []crypto.Hash{token.Hash, token.Digest} {
		if end := reliable(h); !end.IsZero() && control.After(end) {
			t.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindWeak, "the digest %s is no longer reliable, and nothing proves that it was used before", h)
			return
		}
	}
	path, err := j.reliedPath(ctx, token.Certificate, token.Certificates, control, token.Time)
	if err != nil {
		sub, code, text := pathFailure(err)
		t.Fail(signing.Indeterminate, sub, code, "%s", text)
		return
	}
	if weakPath(path, control) >= 0 {
		t.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindWeak, "a certificate of the authority is signed over SHA-1, which is no longer reliable")
		return
	}
	for i, c := range path[:len(path)-1] {
		f := j.look(ctx, path, i, token.Time)
		switch {
		case f.State == revocation.Good:
		case f.State == revocation.Unknown && (revocation.Exempt(c) || j.Options.WithoutRevocation):
		case f.State == revocation.Unknown:
			t.Fail(signing.Indeterminate, signing.TryLater, signing.FindRevocation, "nothing says whether %q had been revoked", c.Subject.CommonName)
		case f.At.After(control):
		default:
			t.Fail(signing.Indeterminate, signing.RevokedNoPOE, signing.FindRevoked, "the certificate %q was revoked on %s", c.Subject.CommonName, f.At.Format(time.DateOnly))
		}
	}
	if t.Indication == "" {
		t.Indication = signing.TotalPassed
	}
}

// Read reads a raw token about data whose digest the function returns, and
// compares the two. What the token says is returned even where it is not right;
// verified tells that it is, but for path and revocation.
func (j *Judge) Read(t *signing.TimeStamp, raw []byte, digest func(crypto.Hash) []byte) (token *tsp.Token, verified bool) {
	token, err := tsp.Parse(raw, j.given...)
	if err == nil {
		return token, Match(t, token, digest(token.Hash))
	}
	token, failure := tsp.Inspect(raw)
	if failure == nil {
		at := token.Time.Add(token.Accuracy)
		t.Time = &at
	}
	switch {
	case failure != nil:
		t.Fail(signing.TotalFailed, signing.FormatFailure, signing.FindTimeStamp, "%v", failure)
		return nil, false
	case token.Verify(digest(token.Hash)) != nil:
		t.Integrity = signing.Broken
		t.Fail(signing.TotalFailed, signing.HashFailure, signing.FindTimeStamp, "the time-stamp is about other data")
	case errors.Is(err, cms.ErrNoCertificate), errors.Is(err, cms.ErrBinding):
		t.Fail(signing.Indeterminate, signing.NoSigningCertificateFound, signing.FindTimeStamp, "%v", err)
	case errors.Is(err, cms.ErrSignature):
		t.Integrity = signing.Broken
		t.Fail(signing.TotalFailed, signing.SigCryptoFailure, signing.FindTimeStamp, "%v", err)
	case errors.Is(err, cms.ErrDigest):
		t.Integrity = signing.Broken
		t.Fail(signing.TotalFailed, signing.HashFailure, signing.FindTimeStamp, "%v", err)
	default:
		t.Fail(signing.Indeterminate, signing.SigConstraintsFailure, signing.FindTimeStamp, "%v", err)
	}
	return token, false
}

// Match compares a token with the digest of the data it should be about, and
// records what it says.
func Match(t *signing.TimeStamp, token *tsp.Token, digest []byte) bool {
	Describe(t, token)
	if token.Verify(digest) != nil {
		t.Integrity = signing.Broken
		t.Fail(signing.TotalFailed, signing.HashFailure, signing.FindTimeStamp, "the time-stamp is about other data")
		return false
	}
	t.Integrity = signing.Intact
	return true
}

// Describe records what a token says. The time is the latest that it can mean.
func Describe(t *signing.TimeStamp, token *tsp.Token) {
	at := token.Time.Add(token.Accuracy)
	t.Time, t.Authority = &at, token.Certificate.Subject.CommonName
}

// NewTimeStamp begins the verdict on a time-stamp.
func NewTimeStamp(kind signing.StampKind) signing.TimeStamp {
	return signing.TimeStamp{Kind: kind, Integrity: signing.Unknown, Findings: []signing.Finding{}}
}

// Documented tells whether the document itself carries path and revocation
// information about a certificate as of a time. The anchor of the path need not
// be in it, and an anchor is relied on without any. Where nobody says what is trusted,
// every issuer may be an anchor.
func (j *Judge) Documented(ctx context.Context, c *x509.Certificate, candidates []*x509.Certificate, at time.Time) bool {
	if slices.ContainsFunc(j.Options.Roots, c.Equal) {
		return true
	}
	path, err := certpath.Find(ctx, c, certpath.Options{
		Anchors: j.Options.Roots, Candidates: slices.Concat(candidates, j.given, j.Options.Intermediates), Time: at,
	})
	if err != nil {
		path = upward(c, slices.Concat(candidates, j.given))
	}
	if len(path) < 2 {
		return false
	}
	issued := path[:len(path)-1]
	if len(j.Options.Roots) == 0 {
		issued = path[:1]
	}
	for i, c := range issued {
		if !revocation.Exempt(c) && j.embedded.LookTrusting(c, path[i+1], at, j.Options.Responders).State == revocation.Unknown {
			return false
		}
	}
	return true
}

// HasIssuer tells whether the document, or what else is given, holds an issuer of
// a certificate, or the certificate is its own.
func (j *Judge) HasIssuer(c *x509.Certificate, more ...*x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) || len(upward(c, slices.Concat(more, j.given))) > 1
}

// upward follows the issuers of a certificate as far as they are at hand.
func upward(c *x509.Certificate, candidates []*x509.Certificate) []*x509.Certificate {
	const most = 8
	path := []*x509.Certificate{c}
	for len(path) < most && !bytes.Equal(c.RawIssuer, c.RawSubject) {
		i := slices.IndexFunc(candidates, func(issuer *x509.Certificate) bool {
			return bytes.Equal(issuer.RawSubject, c.RawIssuer) && cms.CheckCertificate(c, issuer) == nil
		})
		if i < 0 {
			break
		}
		c = candidates[i]
		path = append(path, c)
	}
	return path
}
