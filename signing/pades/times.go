package pades

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// maxTokens bounds the time-stamps of one signature.
const maxTokens = 8

// stampedRevision is a document time-stamp.
type stampedRevision struct {
	out   TimeStamp
	token *tsp.Token // nil when it cannot be read
	index int        // of the revision it closes, -1 for none
	right bool       // imprint and signature of the token
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
		if s := &v.stamps[i]; s.right {
			control, _ := v.proven(s.index)
			v.judge.Token(ctx, &s.out, s.token, control)
		}
	}
	return nil
}

func isStamp(s signedField) bool { return s.dict.Get("SubFilter").Name() == subFilterRFC3161 }

// readStamp reads a document time-stamp (EN 319 142-1 5.4.3) and compares it
// with the bytes it covers.
func (v *verifier) readStamp(ctx context.Context, s signedField) (stampedRevision, error) {
	stamp := stampedRevision{index: -1, out: validation.NewTimeStamp(DocumentStamp)}
	stamp.out.Field, stamp.out.Coverage = s.field.Name, Unclear
	broken := func(format string, args ...any) (stampedRevision, error) {
		stamp.out.Fail(TotalFailed, FormatFailure, findTimeStamp, format, args...)
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
	if view := v.doc.At(stamp.index); !view.Closed() || v.overridden(view, s) {
		return broken("the stamped revision is not complete in itself")
	}
	raw := shape.contents()
	_, padding, err := cms.ParsePadded(raw)
	if err != nil {
		return broken("%v", err)
	}
	raw = raw[:len(raw)-padding]
	if v.hashOnly != "" && v.hashOnly != s.field.Name {
		if stamp.token, err = tsp.Parse(raw, v.judge.Given()...); err != nil {
			return broken("%v", err)
		}
		validation.Describe(&stamp.out, stamp.token)
		return stamp, nil
	}
	var failure error
	stamp.token, stamp.right = v.judge.Read(&stamp.out, raw, func(hash crypto.Hash) []byte {
		h, from := v.beginning.digest(hash, shape.start)
		for _, r := range [][2]int64{{from, shape.start}, {shape.end, shape.total}} {
			if err := copyRange(ctx, h, v.src, r[0], r[1]); err != nil {
				failure = fmt.Errorf("reading the stamped bytes: %w", err)
				break
			}
		}
		return h.Sum(nil)
	})
	return stamp, failure
}

// proven returns the earliest time at which a revision is proven to have existed
// by a later document time-stamp: now without any. The accuracy of a time-stamp
// that was just made can reach beyond now.
func (v *verifier) proven(index int) (at time.Time, stamped bool) {
	at = v.opts.Now()
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

// checkTimes judges the time-stamps of a signature and finds its
// best-signature-time (5.5.4).
func (e *examination) checkTimes(ctx context.Context, si *cms.SignerInfo) {
	control, timed := e.v.proven(e.index)
	e.proof = validation.Proof{Best: control, Timed: timed}
	for i, raw := range si.UnsignedAttribute(cms.OIDSignatureTimeStamp) {
		t := validation.NewTimeStamp(SignatureStamp)
		if i == maxTokens {
			e.note(findTimeStamp, "the signature has more than %d time-stamps", maxTokens)
			break
		}
		token, right := e.v.judge.Read(&t, raw, func(hash crypto.Hash) []byte {
			h := hash.New()
			h.Write(si.Signature)
			return h.Sum(nil)
		})
		if token != nil && t.Integrity != Broken {
			e.tokens = append(e.tokens, token)
		}
		if right {
			e.v.judge.Token(ctx, &t, token, control)
		}
		if t.Indication == TotalPassed {
			e.proof.Before(*t.Time)
		}
		if t.Indication != TotalPassed {
			e.note(findTimeStamp, "a time-stamp of the signature proves nothing: %s", t.Findings[0].Text)
		}
		e.out.TimeStamps = append(e.out.TimeStamps, t)
	}
	if e.proof.Timed {
		at := e.proof.Best
		e.out.BestTime = &at
	}
}

// level finds the baseline level from what is in the file (EN 319 142-1 6.3). It
// says what the file carries, not whether that is relied on. A document time-stamp
// before any validation data proves the time of the signature, like a time-stamp in
// it; one that covers validation data for the signature is an archive time-stamp,
// whatever was added to the data later.
func (e *examination) level(ctx context.Context, message *cms.SignedData, signer *x509.Certificate) {
	if e.out.Baseline != signing.BaselineB {
		return
	}
	tokens := slices.Clone(e.tokens)
	var archives []stampedRevision
	for _, s := range e.v.stamps {
		if s.index <= e.index || s.token == nil || s.out.Integrity == Broken {
			continue
		}
		// The data may be in the revision of the time-stamp itself, which covers it.
		if slices.ContainsFunc(e.v.stored, func(r int) bool { return r >= e.index && r <= s.index }) {
			archives = append(archives, s)
		} else {
			tokens = append(tokens, s.token)
		}
	}
	if len(tokens) == 0 && len(archives) == 0 {
		return
	}
	e.out.Baseline = signing.BaselineT
	if len(e.v.stored) == 0 || slices.Max(e.v.stored) < e.index {
		return
	}
	if len(tokens) == 0 {
		// The oldest document time-stamp is that of B-T too; nothing asks for another.
		// What is known of its authority has to be there as well.
		first := slices.MinFunc(archives, func(a, b stampedRevision) int { return cmp.Compare(a.index, b.index) })
		tokens = append(tokens, first.token)
	}
	at := e.v.opts.Now()
	for _, t := range tokens {
		if t.Time.Before(at) {
			at = t.Time
		}
	}
	documented := func(j *validation.Judge) bool {
		if !j.Documented(ctx, signer, validation.Certificates(message.Certificates), at) {
			return false
		}
		return !slices.ContainsFunc(tokens, func(t *tsp.Token) bool {
			if t.Certificate == nil {
				return true
			}
			// Trusted lists have time-stamping units as anchors: where nobody says what is
			// trusted, one whose issuer is not there may be that.
			anchor := len(e.v.opts.Roots) == 0 && !j.HasIssuer(t.Certificate, t.Certificates...)
			return !anchor && !j.Documented(ctx, t.Certificate, t.Certificates, t.Time)
		})
	}
	if !documented(e.v.judge) {
		return
	}
	e.out.Baseline = signing.BaselineLT
	for _, s := range archives {
		covered, err := readStore(e.v.doc.At(s.index))
		if err == nil && documented(validation.New(e.v.opts, covered)) {
			e.out.Baseline = signing.BaselineLTA
			return
		}
	}
}

// storedAt returns the revisions that made or changed the document security store.
func (v *verifier) storedAt() []int {
	var changed []int
	var before []byte
	for i, r := range v.doc.Revisions() {
		view := v.doc.At(i)
		_, catalog, err := view.Root()
		if err != nil {
			continue
		}
		store, err := view.Value(catalog, "DSS")
		if err != nil || store.IsNull() {
			before = nil
			continue
		}
		// Its lists can be objects of their own, and grow there.
		grown := false
		pdf.Walk(store, func(_ string, ref pdf.Ref) { grown = grown || slices.Contains(r.Objects, ref.Number) })
		if grown || !bytes.Equal(store.Raw(), before) {
			changed = append(changed, i)
		}
		before = store.Raw()
	}
	return changed
}

// chains lists the certificates of all signers and time-stamping authorities.
func (v *verifier) chains() ([]validation.Chain, error) {
	var all []validation.Chain
	seen := make(map[string]bool)
	add := func(c *x509.Certificate, candidates []*x509.Certificate) {
		if c != nil && !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			all = append(all, validation.Chain{Certificate: c, Candidates: slices.Concat(candidates, v.judge.Given())})
		}
	}
	for _, s := range v.signed {
		shape, err := readShape(s, v.doc.Size())
		if err != nil {
			continue
		}
		if isStamp(s) {
			if token, err := tsp.ParsePadded(shape.contents(), v.judge.Given()...); err == nil {
				add(token.Certificate, token.Certificates)
			}
			continue
		}
		message, _, err := cms.ParsePadded(shape.contents())
		if err != nil || len(message.SignerInfos) != 1 {
			continue
		}
		si := &message.SignerInfos[0]
		// Only the certificate is wanted; that the digest is not looked at here
		// makes the answer an error that does not matter.
		result, _ := message.Verify(si, nil)
		if result != nil {
			add(result.Certificate, validation.Certificates(message.Certificates))
		}
		for _, raw := range si.UnsignedAttribute(cms.OIDSignatureTimeStamp) {
			if token, err := tsp.Parse(raw, v.judge.Given()...); err == nil {
				add(token.Certificate, token.Certificates)
			}
		}
	}
	return all, nil
}
