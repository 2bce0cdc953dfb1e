package pades

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/certpath"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/tsp"
)

// maxTokens bounds the time-stamps of one signature.
const maxTokens = 8

// stampedRevision is a document time-stamp.
type stampedRevision struct {
	out   TimeStamp
	token *tsp.Token // nil when it cannot be read
	index int        // of the revision it closes, -1 for none
}

// judgeStamps judges the document time-stamps from the newest to the oldest, so
// that each is judged as of the time that a later one proves (EN 319 102-1 5.6).
func (v *verifier) judgeStamps(ctx context.Context) error {
	for _, s := range v.signed {
		if !isStamp(s) {
			continue
		}
		stamp, err := v.readStamp(ctx, s)
		if err != nil {
			return err
		}
		v.stamps = append(v.stamps, stamp)
	}
	slices.SortStableFunc(v.stamps, func(a, b stampedRevision) int { return cmp.Compare(b.index, a.index) })
	for i := range v.stamps {
		if s := &v.stamps[i]; s.token != nil && s.out.Integrity == Intact {
			control, _ := v.proven(s.index)
			v.judgeToken(ctx, &s.out, s.token, control)
		}
	}
	return nil
}

func isStamp(s signedField) bool { return s.dict.Get("SubFilter").Name() == subFilterRFC3161 }

// readStamp reads a document time-stamp (EN 319 142-1 5.4.3) and compares it
// with the bytes it covers.
func (v *verifier) readStamp(ctx context.Context, s signedField) (stampedRevision, error) {
	stamp := stampedRevision{index: -1, out: newTimeStamp(DocumentStamp)}
	stamp.out.Field, stamp.out.Coverage = s.field.Name, Unclear
	broken := func(format string, args ...any) (stampedRevision, error) {
		stamp.out.fail(TotalFailed, FormatFailure, findTimeStamp, format, args...)
		return stamp, nil
	}
	shape, err := readShape(s, v.doc.Size())
	if err != nil {
		return broken("%v", err)
	}
	stamp.out.ByteRange = shape.byteRange()
	if stamp.out.Coverage, stamp.index = v.coverage(shape); stamp.index < 0 {
		return broken("the stamped bytes do not end where a state of the document ends")
	}
	stamp.out.Revision = stamp.index + 1
	if !v.doc.At(stamp.index).Closed() || s.ref != (pdf.Ref{}) && !pdf.SameObject(v.doc.At(stamp.index), v.doc, s.ref.Number) {
		return broken("the stamped revision is not complete in itself")
	}
	if stamp.token, err = tsp.ParsePadded(shape.contents, v.given...); err != nil {
		return broken("%v", err)
	}
	stamp.out.describe(stamp.token)
	if v.hashOnly != "" && v.hashOnly != s.field.Name {
		return stamp, nil
	}
	h := stamp.token.Hash.New()
	for _, r := range [][2]int64{{0, shape.start}, {shape.end, shape.total}} {
		if err := copyRange(ctx, h, v.src, r[0], r[1]); err != nil {
			return stamp, fmt.Errorf("reading the stamped bytes: %w", err)
		}
	}
	stamp.out.match(stamp.token, h.Sum(nil))
	return stamp, nil
}

// proven returns the earliest time at which a revision is proven to have existed
// by a later document time-stamp: now without any. The accuracy of a time-stamp
// that was just made can reach beyond now.
func (v *verifier) proven(index int) (at time.Time, stamped bool) {
	at = v.opts.now()
	for _, s := range v.stamps {
		if s.index <= index || s.out.Indication != TotalPassed {
			continue
		}
		if stamped = true; s.out.Time.Before(at) {
			at = *s.out.Time
		}
	}
	return at, stamped
}

func newTimeStamp(kind StampKind) TimeStamp {
	return TimeStamp{Kind: kind, Integrity: Unknown, Findings: []Finding{}}
}

func (t *TimeStamp) fail(to Indication, sub SubIndication, code, format string, args ...any) {
	t.Findings = append(t.Findings, Finding{Code: code, Text: fmt.Sprintf(format, args...)})
	if t.Indication == "" {
		t.Indication, t.SubIndication = to, sub
	}
}

// describe copies what the token says. The time is the latest that it can mean.
func (t *TimeStamp) describe(token *tsp.Token) {
	at := token.Time.Add(token.Accuracy)
	t.Time, t.Authority = &at, token.Certificate.Subject.CommonName
}

func (t *TimeStamp) match(token *tsp.Token, digest []byte) {
	if token.Verify(digest) != nil {
		t.Integrity = Broken
		t.fail(TotalFailed, HashFailure, findTimeStamp, "the time-stamp is about other data")
		return
	}
	t.Integrity = Intact
}

// judgeToken judges path and revocation of a token that fits its data
// (EN 319 102-1 5.4). The path must hold at the control time. Validation data
// must have been issued after the time-stamp, or be in force at it: later
// knowledge is what a further time-stamp is for.
func (v *verifier) judgeToken(ctx context.Context, t *TimeStamp, token *tsp.Token, control time.Time) {
	if t.Time.After(control.Add(stampSkew)) {
		t.fail(Indeterminate, TimestampOrderFailure, findTimeStamp, "its time lies in the future")
		return
	}
	if len(v.opts.Roots) == 0 {
		t.fail(Indeterminate, NoCertificateChainFound, findNoChain, "no trust anchors were given, so it is not known whether the authority can be relied on")
		return
	}
	path, err := v.path(ctx, token.Certificate, token.Certificates, control)
	if err != nil {
		sub, code, text := pathFailure(err)
		t.fail(Indeterminate, sub, code, "%s", text)
		return
	}
	for i, c := range path[:len(path)-1] {
		f := v.look(ctx, path, i, token.Time)
		switch {
		case f.State == revocation.Good:
		case f.State == revocation.Unknown && (revocation.Exempt(c) || v.opts.WithoutRevocation):
		case f.State == revocation.Unknown:
			t.fail(Indeterminate, TryLater, findRevocation, "nothing says whether %q had been revoked", c.Subject.CommonName)
		case f.At.After(control):
		default:
			t.fail(Indeterminate, RevokedNoPOE, findRevoked, "the certificate %q was revoked on %s", c.Subject.CommonName, f.At.Format(time.DateOnly))
		}
	}
	if t.Indication == "" {
		t.Indication = TotalPassed
	}
}

// stampSkew is how far a time-stamp may lie ahead of our clock.
const stampSkew = 5 * time.Minute

// path finds a path at a time among all certificates at hand.
func (v *verifier) path(ctx context.Context, c *x509.Certificate, candidates []*x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	return certpath.Find(ctx, c, certpath.Options{
		Anchors:    v.opts.Roots,
		Candidates: slices.Concat(candidates, v.given, v.opts.Intermediates),
		Time:       at,
		Fetch:      v.opts.Fetch,
	})
}

// pathFailure words the failure of a path.
func pathFailure(err error) (sub SubIndication, code, text string) {
	switch {
	case errors.Is(err, certpath.ErrValidity):
		return OutOfBoundsNoPOE, findValidity, "a certificate of the path is outside its validity, and nothing proves that it was used before"
	case errors.Is(err, certpath.ErrRule):
		return NoCertificateChainFound, findChain, err.Error()
	default:
		return NoCertificateChainFound, findNoChain, "no path leads from the certificate to a trust anchor"
	}
}

// look looks a certificate of a path up, and asks when that is allowed.
func (v *verifier) look(ctx context.Context, path []*x509.Certificate, i int, at time.Time) revocation.Finding {
	f := v.material.Look(path[i], path[i+1], at)
	if f.State != revocation.Unknown || v.opts.Fetch == nil || v.asked[string(path[i].Raw)] {
		return f
	}
	v.asked[string(path[i].Raw)] = true
	now := v.opts.now
	found, _ := (&revocation.Collector{Fetch: v.opts.Fetch, Clock: now}).Collect(ctx, path[i:i+2])
	v.material.Add(found)
	return v.material.Look(path[i], path[i+1], at)
}

// checkTimes judges the time-stamps of a signature and finds its
// best-signature-time (5.5.4).
func (e *examination) checkTimes(ctx context.Context, si *cms.SignerInfo) {
	control, timed := e.v.proven(e.index)
	e.best, e.timed = control, timed
	for i, raw := range si.UnsignedAttribute(cms.OIDSignatureTimeStamp) {
		t := newTimeStamp(SignatureStamp)
		if i == maxTokens {
			e.note(findTimeStamp, "the signature has more than %d time-stamps", maxTokens)
			break
		}
		token, err := tsp.Parse(raw, e.v.given...)
		if err != nil {
			t.fail(TotalFailed, FormatFailure, findTimeStamp, "%v", err)
		} else {
			h := token.Hash.New()
			h.Write(si.Signature)
			t.describe(token)
			if t.match(token, h.Sum(nil)); t.Integrity == Intact {
				e.tokens = append(e.tokens, token)
				e.v.judgeToken(ctx, &t, token, control)
			}
		}
		if t.Indication == TotalPassed {
			e.timed = true
			if t.Time.Before(e.best) {
				e.best = *t.Time
			}
		}
		if t.Indication != TotalPassed {
			e.note(findTimeStamp, "a time-stamp of the signature proves nothing: %s", t.Findings[0].Text)
		}
		e.out.TimeStamps = append(e.out.TimeStamps, t)
	}
	if e.timed {
		at := e.best
		e.out.BestTime = &at
	}
}

// checkRevocation looks up every certificate of the signer's path as of the
// best-signature-time (5.2.6, 5.5.4).
func (e *examination) checkRevocation(ctx context.Context) {
	e.answered = true
	for i, c := range e.path[:max(0, len(e.path)-1)] {
		if revocation.Exempt(c) {
			continue
		}
		f := e.v.look(ctx, e.path, i, e.best)
		switch {
		case f.State == revocation.Good, f.State != revocation.Unknown && e.timed && f.At.After(e.best):
			if i == 0 {
				e.out.Revocation = f.Source
			}
		case f.State == revocation.Unknown:
			e.answered = false
		case f.State == revocation.OnHold:
			e.fail(Indeterminate, TryLater, findRevoked, "the certificate was suspended on %s", f.At.UTC().Format(time.DateOnly))
		case i > 0:
			e.fail(Indeterminate, RevokedCANoPOE, findRevoked, "the certificate of the issuer %q was revoked on %s", c.Subject.CommonName, f.At.UTC().Format(time.DateOnly))
		case e.timed:
			e.fail(TotalFailed, RevokedFailure, findRevoked, "the certificate was revoked on %s, before the time at which the signature is proven to have existed", f.At.UTC().Format(time.DateTime))
		default:
			e.fail(Indeterminate, RevokedNoPOE, findRevoked, "the certificate was revoked on %s, and nothing proves that the signature was made before", f.At.UTC().Format(time.DateTime))
		}
	}
}

// level finds the baseline level from what is in the file (EN 319 142-1 6.3). It
// says what the file carries, not whether that is relied on.
func (e *examination) level(ctx context.Context, message *cms.SignedData, signer *x509.Certificate) {
	if e.out.Baseline != signing.BaselineB {
		return
	}
	tokens := slices.Clone(e.tokens)
	var archive bool
	for _, s := range e.v.stamps {
		if s.index <= e.index || s.token == nil || s.out.Integrity != Intact {
			continue
		}
		if s.index > e.v.stored && e.v.stored >= 0 {
			archive = true
		} else {
			tokens = append(tokens, s.token)
		}
	}
	if len(tokens) == 0 && !archive {
		return
	}
	e.out.Baseline = signing.BaselineT
	at := e.v.opts.now()
	for _, t := range tokens {
		if t.Time.Before(at) {
			at = t.Time
		}
	}
	known := len(tokens) > 0 && e.v.stored >= e.index && e.v.documented(ctx, signer, parsed(message.Certificates), at)
	for _, t := range tokens {
		known = known && e.v.documented(ctx, t.Certificate, t.Certificates, t.Time)
	}
	if !known {
		return
	}
	e.out.Baseline = signing.BaselineLT
	if archive {
		e.out.Baseline = signing.BaselineLTA
	}
}

// documented tells whether the file itself carries path and revocation
// information about a certificate as of a time.
func (v *verifier) documented(ctx context.Context, c *x509.Certificate, candidates []*x509.Certificate, at time.Time) bool {
	path, err := certpath.Find(ctx, c, certpath.Options{
		Anchors: v.opts.Roots, Candidates: slices.Concat(candidates, v.given, v.opts.Intermediates), Time: at,
	})
	if err != nil {
		path, err = certpath.Find(ctx, c, certpath.Options{Candidates: slices.Concat(candidates, v.given), Time: at})
	}
	if err != nil || len(path) < 2 {
		return false
	}
	for i, c := range path[:len(path)-1] {
		if !revocation.Exempt(c) && v.embedded.Look(c, path[i+1], at).State == revocation.Unknown {
			return false
		}
	}
	return true
}

// storedAt returns the newest revision that changed the document security store,
// -1 without a store.
func (v *verifier) storedAt() int {
	store := func(d *pdf.Document) []byte {
		_, catalog, err := d.Root()
		if err != nil {
			return nil
		}
		value, err := d.Value(catalog, "DSS")
		if err != nil || value.IsNull() {
			return nil
		}
		return value.Raw()
	}
	last := len(v.doc.Revisions()) - 1
	newest := store(v.doc)
	if newest == nil {
		return -1
	}
	for last > 0 && bytes.Equal(store(v.doc.At(last-1)), newest) {
		last--
	}
	return last
}

func parsed(raw [][]byte) []*x509.Certificate {
	var all []*x509.Certificate
	for _, der := range raw {
		if c, err := x509.ParseCertificate(der); err == nil {
			all = append(all, c)
		}
	}
	return all
}

// chain is a certificate whose path validation data is needed about.
type chain struct {
	certificate *x509.Certificate
	candidates  []*x509.Certificate
}

// chains lists the certificates of all signers and time-stamping authorities.
func (v *verifier) chains() ([]chain, error) {
	var all []chain
	seen := make(map[string]bool)
	add := func(c *x509.Certificate, candidates []*x509.Certificate) {
		if c != nil && !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			all = append(all, chain{c, slices.Concat(candidates, v.given)})
		}
	}
	for _, s := range v.signed {
		shape, err := readShape(s, v.doc.Size())
		if err != nil {
			continue
		}
		if isStamp(s) {
			if token, err := tsp.ParsePadded(shape.contents, v.given...); err == nil {
				add(token.Certificate, token.Certificates)
			}
			continue
		}
		message, _, err := cms.ParsePadded(shape.contents)
		if err != nil || len(message.SignerInfos) != 1 {
			continue
		}
		si := &message.SignerInfos[0]
		// Only the certificate is wanted; that the digest is not looked at here
		// makes the answer an error that does not matter.
		result, _ := message.Verify(si, nil)
		if result != nil {
			add(result.Certificate, parsed(message.Certificates))
		}
		for _, raw := range si.UnsignedAttribute(cms.OIDSignatureTimeStamp) {
			if token, err := tsp.Parse(raw, v.given...); err == nil {
				add(token.Certificate, token.Certificates)
			}
		}
	}
	return all, nil
}
