package pades

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/attributes"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// examination is the verdict on one signature in the making. It follows the
// order of EN 319 102-1 5.3: format, signing certificate, digest and value,
// certificate path, acceptance. The first failure sets the sub-indication; later
// ones are still listed.
type examination struct {
	v      *verifier
	s      signedField
	shape  shape
	out    Signature
	index  int // of the signed revision
	proof  validation.Proof
	tokens []*tsp.Token // signature-time-stamps that are about the signature
	// answered tells that revocation is known for the whole path.
	answered   bool
	objections []signing.Finding
}

func (e *examination) fail(to Indication, sub SubIndication, code, format string, args ...any) {
	e.out.Fail(to, sub, code, format, args...)
}

func (e *examination) note(code, format string, args ...any) { e.out.Note(code, format, args...) }

// object holds something against a signature whose bytes and value may be right:
// what became of the document later, or a form that programs may read differently.
// It counts once the signer is known, see weigh.
func (e *examination) object(code, format string, args ...any) {
	if e.v.structure {
		e.fail(TotalFailed, FormatFailure, code, format, args...)
		return
	}
	e.objections = append(e.objections, signing.Finding{Code: code, Text: fmt.Sprintf(format, args...)})
}

// weigh refuses a signature for what was held against it. Whether one is accepted
// is asked after the path (EN 319 102-1 5.3.4, 5.2.8): without a signer who is known,
// nothing can be said about the signature but that, and the rest is named beside it.
func (e *examination) weigh() {
	e.out.Objected = len(e.objections) > 0
	unknown := e.out.SubIndication == NoCertificateChainFound || e.out.SubIndication == NoSigningCertificateFound
	for _, o := range e.objections {
		if unknown {
			e.note(o.Code, "%s", o.Text)
		} else {
			e.fail(TotalFailed, FormatFailure, o.Code, "%s", o.Text)
		}
	}
}

func (e *examination) run(ctx context.Context) error {
	e.out = Signature{
		Format:       signing.PAdES,
		Field:        e.s.field.Name,
		SubFilter:    e.s.dict.Get("SubFilter").Name(),
		Findings:     []Finding{},
		Integrity:    Unknown,
		Coverage:     Unclear,
		ChangesAfter: ChangesUndefined,
		TimeStamps:   []TimeStamp{},
	}
	if !e.v.structure {
		e.claims()
	}
	if !e.checkShape() {
		return nil
	}
	if e.checkRevision(); e.v.structure {
		return nil
	}
	check := e.checkCMS
	switch e.out.SubFilter {
	case subFilterSHA1:
		check = e.checkPKCS7SHA1
	case subFilterX509SHA1:
		check = e.checkX509
	}
	if err := check(ctx); err != nil {
		return err
	}
	e.weigh()
	e.acceptChanges()
	e.v.judge.Conclude(&e.out, e.answered)
	return nil
}

// claims copies what the signer wrote into the dictionary.
func (e *examination) claims() {
	d, dict := e.v.doc, e.s.dict
	text := func(key string) string {
		v, err := d.Value(dict, key)
		if err != nil {
			return ""
		}
		return v.Text()
	}
	e.out.Reason, e.out.Location = text("Reason"), text("Location")
	e.out.ContactInfo, e.out.ClaimedName = text("ContactInfo"), text("Name")
	if at, ok := parseDate(text("M")); ok {
		e.out.ClaimedTime = &at
	}
	r := new(restrictions)
	if err := r.read(d, dict); err == nil {
		e.out.CertificationLevel = int(r.permission)
	}
}

// parseDate reads a date (7.9.4); missing parts are the smallest, a missing zone
// is UTC.
func parseDate(s string) (time.Time, bool) {
	if len(s) < len("D:2006") || s[:2] != "D:" {
		return time.Time{}, false
	}
	digits := 2
	for digits < len(s) && digits < len("D:20060102150405") && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	const layout = "D:20060102150405"
	at, err := time.Parse(layout[:digits], s[:digits])
	if err != nil {
		return time.Time{}, false
	}
	zone := s[digits:]
	if zone == "" || zone[0] == 'Z' {
		return at, true
	}
	var hours, minutes int
	if n, _ := fmt.Sscanf(zone[1:], "%02d'%02d", &hours, &minutes); n == 0 || hours > 23 || minutes > 59 {
		return at, true
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if zone[0] == '-' {
		offset = -offset
	}
	return at.Add(-offset).In(time.FixedZone("", int(offset/time.Second))), true
}

// checkShape judges dictionary, kind, ByteRange and Contents.
func (e *examination) checkShape() bool {
	dict := e.s.dict
	wrong := func(code, format string, args ...any) bool {
		e.fail(TotalFailed, FormatFailure, code, format, args...)
		return false
	}
	for _, name := range e.s.shared {
		e.object(findShared, "the field %q has the same signature", name)
	}
	kind := dict.Get("Type").Name()
	if dict.Kind() == pdf.Dictionary && kind != "Sig" && !dict.Get("Type").IsNull() {
		return wrong(findDictionary, "the signature dictionary has the type %q", kind)
	}
	shape, err := readShape(e.s, e.v.doc.Size())
	if err != nil {
		return wrong(findByteRange, "%v", err)
	}
	e.shape = shape
	e.out.ByteRange = shape.byteRange()
	// Any handler may judge an encoding that it knows (12.8.1). A handler that
	// nobody knows may have meant more than the encoding says (P-18).
	switch handler := dict.Get("Filter").Name(); handler {
	case "Adobe.PPKLite", "Adobe.PPKMS", "Entrust.PPKEF", "CICI.SignIt":
	case "":
		e.object(findSubFilter, "the signature dictionary names no handler")
	default:
		e.object(findSubFilter, "unknown signature handler %q", handler)
	}
	switch e.out.SubFilter {
	case subFilterCAdES, subFilterPKCS7:
	case subFilterSHA1, subFilterX509SHA1:
	default:
		e.object(findSubFilter, "unknown encoding %q", e.out.SubFilter)
	}
	return true
}

// checkRevision judges coverage and what came later.
func (e *examination) checkRevision() {
	e.out.Coverage, e.index = e.v.coverage(e.shape)
	if e.index < 0 {
		e.fail(TotalFailed, FormatFailure, findRevision, "the signed bytes do not end where a state of the document ends")
		return
	}
	e.out.Revision = e.index + 1
	if len(e.v.doc.Deviations()) > 0 {
		e.object(findRepaired, "the file breaks the rules of its format, so that programs may read different documents from it")
	}
	if e.v.ambiguous {
		e.object(findRepaired, "the file has second versions of some objects, so that programs may read different documents from it")
	}
	view := e.v.doc.At(e.index)
	if !view.Closed() {
		e.fail(TotalFailed, FormatFailure, findRevision, "the signed revision refers to bytes that were not signed")
	}
	if e.v.overridden(view, e.s) {
		e.fail(TotalFailed, FormatFailure, findOverridden, "a later revision replaced the signature dictionary")
	}
	if !e.v.sameFields(view, e.s) {
		e.fail(TotalFailed, FormatFailure, findOverridden, "a later revision gave the signature to another field")
	}
	e.checkChanges(view)
}

func (e *examination) checkChanges(view *pdf.Document) {
	set, ok := e.v.changes[e.index]
	if !ok {
		set = compareRevisions(view, e.v.doc)
		last := e.v.doc.Revisions()[len(e.v.doc.Revisions())-1]
		if !e.v.blank(last.End, e.v.doc.Size()) {
			set.raise(ChangesOther, "data was appended outside any revision")
		}
		e.v.changes[e.index] = set
	}
	e.out.ChangesAfter = set.class
	e.out.Findings = append(e.out.Findings, set.notes...)
	permission := e.permission(view)
	if set.active {
		e.fail(TotalFailed, FormatFailure, findActiveAdded, "scripts or actions were added after signing")
	}
	if set.locked != "" {
		e.object(findFieldLocked, "the form field %q was changed although a signature had locked it", set.locked)
	}
	switch set.class {
	case ChangesNone, ChangesLTVOnly:
	case ChangesFormFill:
		if permission == 1 {
			e.object(findCertification, "the certification allows no change, but the document was signed or filled in later")
		}
	case ChangesAnnotations:
		e.checkAnnotations(permission, set)
	case ChangesOther:
		if set.shown {
			e.fail(TotalFailed, FormatFailure, findChanged, "the document was changed after signing: %s", set.why)
		} else {
			e.object(findChanged, "the document was changed after signing: %s", set.why)
		}
	}
}

// checkAnnotations names what was laid over the pages.
func (e *examination) checkAnnotations(permission int64, set changeSet) {
	accepted := e.v.opts.AcceptAnnotations
	if permission == 1 || permission == 2 {
		accepted = false
		e.object(findCertification, "the certification allows no annotations, but some were added")
	}
	for _, what := range set.annotations {
		if accepted {
			e.note(findAnnotations, "annotations were accepted: %s", what)
		} else {
			e.object(findAnnotations, "annotations were added or changed after signing: %s", what)
		}
	}
}

// permission returns the strictest DocMDP in force in the signed revision.
func (e *examination) permission(view *pdf.Document) int64 {
	_, catalog, err := view.Root()
	if err != nil {
		return 0
	}
	form, err := view.Form()
	if err != nil {
		return 0
	}
	r, err := readRestrictions(view, form, catalog)
	if err != nil {
		return 0
	}
	return r.permission
}

// acceptChanges is the part of signature acceptance (5.2.8) that looks at
// changes; it comes after the certificate path.
func (e *examination) acceptChanges() {
	if e.out.ChangesAfter == ChangesUndefined {
		e.fail(Indeterminate, SigConstraintsFailure, findUnclassified, "the document was changed after signing in ways that were not recognised as harmless: %s", e.v.changes[e.index].why)
	}
}

// checkCMS judges the CMS, then path and acceptance.
func (e *examination) checkCMS(ctx context.Context) error {
	wrong := func(format string, args ...any) error {
		e.fail(TotalFailed, FormatFailure, findCMS, format, args...)
		return nil
	}
	message, err := e.message()
	switch {
	case err != nil:
		return wrong("%v", err)
	case len(message.SignerInfos) != 1:
		return wrong("the CMS has %d signers instead of one", len(message.SignerInfos))
	case !message.Detached():
		return wrong("the CMS carries content of its own")
	case message.ContentType != cms.OIDData:
		return wrong("the CMS is about another type of content")
	}
	si := &message.SignerInfos[0]
	digest, err := e.digest(ctx, si)
	if err != nil {
		return err
	}
	attributes.Read(si, &e.out)
	result, err := message.Verify(si, digest)
	e.describe(si, result)
	if unverified(err, si, result) {
		// Whose it would be comes first (EN 319 102-1 5.3.4).
		e.checkTimes(ctx, si)
		e.answered = e.v.judge.Signer(ctx, &e.out, result.Certificate, validation.Certificates(message.Certificates), e.proof)
	}
	if e.verdict(err) {
		e.checkTimes(ctx, si)
		e.answered = e.v.judge.Signer(ctx, &e.out, result.Certificate, validation.Certificates(message.Certificates), e.proof)
		e.accept(result)
	}
	e.baseline(message, si, result)
	if e.out.Integrity == Intact {
		e.level(ctx, message, result.Certificate)
	}
	return nil
}

// message reads the CMS. What stands behind it in the hole was signed by nobody
// (threats P-12).
func (e *examination) message() (*cms.SignedData, error) {
	contents := e.shape.contents()
	message, _, err := cms.ParsePadded(contents)
	if err == nil {
		return message, nil
	}
	s := cryptobyte.String(contents)
	var first cryptobyte.String
	if !s.ReadASN1Element(&first, asn1.SEQUENCE) || s.Empty() {
		return nil, err
	}
	if message, short := cms.Parse(first); short == nil {
		e.object(findCMS, "%v", err)
		return message, nil
	}
	return nil, err
}

// unverified tells whether a signature is of an algorithm that exists, and that is
// not verified here: DSA, Ed448, RSA over MD2, MD5 or RIPEMD, the plain ECDSA of
// BSI TR-03111, ML-DSA, or ECDSA over a curve that is not known.
func unverified(err error, si *cms.SignerInfo, r *cms.Verified) bool {
	if !errors.Is(err, cms.ErrAlgorithm) || r == nil || r.Certificate == nil {
		return false
	}
	const (
		nist = "2.16.840.1.101.3.4.3."
		pkcs = "1.2.840.113549.1.1."
	)
	switch oid := string(si.SignatureAlgorithm.Algorithm); oid {
	case "1.2.840.10040.4.3", nist + "1", nist + "2", nist + "3", nist + "4", nist + "17", nist + "18", nist + "19",
		"1.3.101.113", pkcs + "1", pkcs + "2", pkcs + "4":
		return true
	default:
		return r.Algorithm.Scheme == cms.ECDSA || strings.HasPrefix(oid, "1.3.36.3.3.1.") || strings.HasPrefix(oid, "0.4.0.127.0.7.1.1.4.1.")
	}
}

// digest makes the digest of the signed bytes; nil when its algorithm is not
// known or the examination leaves it out.
func (e *examination) digest(ctx context.Context, si *cms.SignerInfo) ([]byte, error) {
	hash, err := si.Digest()
	if err != nil || !hash.Available() || e.v.hashOnly != "" && e.v.hashOnly != e.s.field.Name {
		return nil, nil //nolint:nilerr // Verify reports the unknown digest
	}
	return e.signedDigest(ctx, hash)
}

func (e *examination) signedDigest(ctx context.Context, hash crypto.Hash) ([]byte, error) {
	h, from := e.v.beginning.digest(hash, e.shape.start)
	for _, r := range [][2]int64{{from, e.shape.start}, {e.shape.end, e.shape.total}} {
		if err := copyRange(ctx, h, e.v.src, r[0], r[1]); err != nil {
			return nil, fmt.Errorf("reading the signed bytes: %w", err)
		}
	}
	return h.Sum(nil), nil
}

func (e *examination) describe(si *cms.SignerInfo, r *cms.Verified) {
	if r == nil {
		return
	}
	if r.Digest != 0 {
		e.out.DigestAlgorithm = r.Digest.String()
	}
	if r.Algorithm.Scheme != "" {
		e.out.SignatureAlgorithm = r.Algorithm.String()
	} else {
		e.out.SignatureAlgorithm = string(si.SignatureAlgorithm.Algorithm)
	}
	if e.out.ClaimedTime == nil && !r.SigningTime.IsZero() {
		at := r.SigningTime
		e.out.ClaimedTime = &at
	}
	if r.Certificate != nil {
		e.out.Signer = signing.NewSigner(r.Certificate, e.v.opts.ShowIdentifiers)
	}
}

// verdict translates the outcome of the CMS check; true means that digest and
// value are right.
func (e *examination) verdict(err error) bool {
	switch {
	case err == nil:
		e.out.Integrity = Intact
		return true
	case errors.Is(err, cms.ErrFormat), errors.Is(err, cms.ErrLimit):
		e.fail(TotalFailed, FormatFailure, findCMS, "%v", err)
	case errors.Is(err, cms.ErrDigest):
		e.out.Integrity = Broken
		e.fail(TotalFailed, HashFailure, findDigest, "the signed bytes were changed: their digest is not the signed one")
	case errors.Is(err, cms.ErrSignature):
		e.out.Integrity = Broken
		e.fail(TotalFailed, SigCryptoFailure, findValue, "the signature value does not verify with the key of the signer")
	case errors.Is(err, cms.ErrNoCertificate):
		e.fail(Indeterminate, NoSigningCertificateFound, findNoCertificate, "the signature does not carry the certificate of the signer")
	case errors.Is(err, cms.ErrBinding):
		e.fail(Indeterminate, NoSigningCertificateFound, findBinding, "%v", err)
	default:
		e.fail(Indeterminate, CryptoConstraintsFailureNoPOE, findAlgorithm, "the signature cannot be checked: %v", err)
	}
	return false
}
