package cades

import (
	"cmp"
	"context"
	"crypto"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// archive is an archive time-stamp with what it covers.
type archive struct {
	out   signing.TimeStamp
	token *tsp.Token
	// index says what it covers; one of version 2 has none and covers all but later
	// archive time-stamps.
	index *hashIndex
	later func(*tsp.Token) bool
	raw   []byte
	right bool // imprint and signature of the token
}

// covers tells whether it covers an unsigned attribute.
func (a *archive) covers(oid cms.OID, value []byte) bool {
	if a.index == nil {
		return a.later != nil && !laterArchive(oid, value, a.later)
	}
	return a.index.covers(oid, value)
}

// checkTimes judges the time-stamps of a signature, the archive time-stamps from
// the newest to the oldest, each as of the time that a later one proves
// (EN 319 102-1 5.6), and finds the best-signature-time.
func (e *examination) checkTimes(ctx context.Context) {
	archives := e.archives(ctx)
	slices.SortStableFunc(archives, func(a, b *archive) int { return cmp.Compare(b.at(), a.at()) })
	now := e.proof.Best
	for i, a := range archives {
		if a.right {
			e.v.judge.Token(ctx, &a.out, a.token, proven(archives[:i], now, a.kind(), a.raw))
		}
		if a.out.Indication == signing.TotalPassed {
			e.proof.Before(*a.out.Time)
		} else {
			e.out.Note(findArchive, "an archive time-stamp of the signature proves nothing: %s", a.out.Findings[0].Text)
		}
	}
	for _, raw := range e.some(cms.OIDSignatureTimeStamp) {
		t := validation.NewTimeStamp(signing.SignatureStamp)
		token, right := e.v.judge.Read(&t, raw, func(h crypto.Hash) []byte { return digestOf(h, e.si.Signature) })
		// One after the certificate ended makes no level B-T (EN 319 122-1 6.3).
		e.stamped = e.stamped || token != nil && t.Integrity != signing.Broken && !e.ended(token.Time)
		if right {
			e.v.judge.Token(ctx, &t, token, proven(archives, now, cms.OIDSignatureTimeStamp, raw))
		}
		if t.Indication == signing.TotalPassed {
			e.proof.Before(*t.Time)
		} else {
			e.out.Note(signing.FindTimeStamp, "a time-stamp of the signature proves nothing: %s", t.Findings[0].Text)
		}
		e.out.TimeStamps = append(e.out.TimeStamps, t)
	}
	e.contentStamps(ctx, now)
	for _, a := range slices.Backward(archives) {
		e.out.TimeStamps = append(e.out.TimeStamps, a.out)
	}
	if e.proof.Timed {
		at := e.proof.Best
		e.out.BestTime = &at
	}
}

// ended tells whether the certificate of the signer had ended at a time.
func (e *examination) ended(at time.Time) bool {
	return e.out.Signer != nil && at.After(e.out.Signer.NotAfter)
}

// contentStamps judges content-time-stamps, which prove that the signature is not
// older than they are.
func (e *examination) contentStamps(ctx context.Context, now time.Time) {
	for i, raw := range e.si.Attribute(cms.OIDContentTimeStamp) {
		if i == maxTokens {
			break
		}
		t := validation.NewTimeStamp(signing.ContentStamp)
		if token, right := e.v.judge.Read(&t, raw, func(h crypto.Hash) []byte { return e.v.digests[h] }); right {
			e.v.judge.Token(ctx, &t, token, now)
			e.proof.After(&t, token)
		}
		e.out.TimeStamps = append(e.out.TimeStamps, t)
	}
}

// some returns the values of an attribute up to a bound, and says when there are
// more.
func (e *examination) some(oid cms.OID) [][]byte {
	all := e.si.UnsignedAttribute(oid)
	if len(all) > maxTokens {
		e.out.Note(signing.FindTimeStamp, "the signature has more than %d time-stamps of one kind", maxTokens)
		all = all[:maxTokens]
	}
	return all
}

func digestOf(h crypto.Hash, data []byte) []byte {
	if !h.Available() {
		return nil
	}
	s := h.New()
	s.Write(data)
	return s.Sum(nil)
}

// kind is the attribute that it is the value of.
func (a *archive) kind() cms.OID {
	if a.index == nil {
		return cms.OIDArchiveTimeStampV2
	}
	return cms.OIDArchiveTimeStampV3
}

func (a *archive) at() int64 {
	if a.out.Time == nil {
		return 0
	}
	return a.out.Time.UnixNano()
}

// proven is the earliest time at which an unsigned attribute is proven to have
// existed by archive time-stamps that cover it.
func proven(archives []*archive, now time.Time, oid cms.OID, value []byte) time.Time {
	for _, a := range archives {
		if a.out.Indication == signing.TotalPassed && a.covers(oid, value) && a.out.Time.Before(now) {
			now = *a.out.Time
		}
	}
	return now
}

// archives reads the archive time-stamps and compares them with what they cover.
func (e *examination) archives(ctx context.Context) []*archive {
	var all []*archive
	for _, raw := range e.some(cms.OIDArchiveTimeStampV3) {
		all = append(all, e.archive(raw))
	}
	for _, raw := range e.some(cms.OIDArchiveTimeStampV2) {
		all = append(all, e.archiveV2(ctx, raw))
	}
	return all
}

func (e *examination) archive(raw []byte) *archive {
	a := &archive{out: validation.NewTimeStamp(signing.ArchiveStamp), raw: raw}
	e.archived = true
	message, err := cms.Parse(raw)
	if err == nil {
		a.index, err = readHashIndex(message)
	}
	if err != nil {
		a.out.Fail(signing.TotalFailed, signing.FormatFailure, findArchive, "%v", err)
		return a
	}
	a.token, a.right = e.v.judge.Read(&a.out, raw, func(h crypto.Hash) []byte {
		content, ok := e.v.digests[h]
		if !ok || !h.Available() {
			return nil
		}
		return a.index.imprint(e.v.message, e.si, h, content)
	})
	if a.right && a.index.missing(e.v.message, e.si) {
		a.right = false
		a.out.Integrity = signing.Broken
		a.out.Fail(signing.TotalFailed, signing.HashFailure, findArchive, "it covers something that is no longer there")
	}
	return a
}

// counterProof is what archive time-stamps of this signature prove about one of
// its countersignatures.
func (e *examination) counterProof(raw []byte) *validation.Proof {
	proof := validation.Begin(e.v.judge.Options)
	for i := range e.out.TimeStamps {
		t := &e.out.TimeStamps[i]
		if t.Kind != signing.ArchiveStamp || t.Indication != signing.TotalPassed {
			continue
		}
		for _, value := range e.si.UnsignedAttribute(cms.OIDArchiveTimeStampV3) {
			message, err := cms.Parse(value)
			if err != nil {
				continue
			}
			if token, err := tsp.Inspect(value); err != nil || !token.Time.Add(token.Accuracy).Equal(*t.Time) {
				continue
			}
			if index, err := readHashIndex(message); err == nil && index.covers(cms.OIDCounterSignature, raw) {
				proof.Before(*t.Time)
			}
		}
	}
	return &proof
}

// level finds the baseline level from what the message holds (EN 319 122-1 6). It
// says what is there, not whether that is relied on.
func (e *examination) level(r *cms.Verified) {
	if !e.baseline(r) {
		e.out.Note(signing.FindNotBaseline, "the signature departs from CAdES baseline B-B")
		return
	}
	e.out.Baseline = signing.BaselineB
	if !e.stamped {
		return
	}
	e.out.Baseline = signing.BaselineT
	for _, oid := range []cms.OID{cms.OIDCertificateRefs, cms.OIDRevocationRefs, cms.OIDCertificateValues, cms.OIDRevocationValues} {
		if len(e.si.UnsignedAttribute(oid)) > 0 {
			return
		}
	}
	// Whether the material is complete depends on where paths end, which the
	// message does not say; path and revocation are judged apart.
	if r.Certificate == nil || len(e.v.message.CRLs) == 0 || !e.v.judge.HasIssuer(r.Certificate) {
		return
	}
	e.out.Baseline = signing.BaselineLT
	if e.archived {
		e.out.Baseline = signing.BaselineLTA
	}
}

// baseline tells whether the signature has all of CAdES-B-B (EN 319 122-1 6.3).
func (e *examination) baseline(r *cms.Verified) bool {
	v1, v2 := e.si.Attribute(cms.OIDSigningCertificate), e.si.Attribute(cms.OIDSigningCertificateV2)
	counter := e.parent > 0
	return r.SignedAttributes && r.Bound && !r.Misnamed && r.Sorted && !r.SigningTime.IsZero() &&
		len(v1)+len(v2) >= 1 && len(v2) <= 1 && len(v1) <= 1 &&
		(counter && len(e.si.Attribute(cms.OIDContentType)) == 0 || !counter && e.v.message.ContentType == cms.OIDData) &&
		slices.ContainsFunc(e.v.message.Certificates, func(c []byte) bool { return slices.Equal(c, r.Raw) })
}
