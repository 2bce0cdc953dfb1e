package cades

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/attributes"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
)

const (
	// maxCounterDepth bounds countersignatures of countersignatures.
	maxCounterDepth = 4
	// maxSignatures bounds the signatures of one message, countersignatures
	// included.
	maxSignatures = 64
	// maxTokens bounds the time-stamps of one kind of one signature.
	maxTokens = 16
)

// Codes of findings of this package.
const (
	findNoContent = "signed_data_not_found"
	findArchive   = "archive_time_stamp"
)

// FindOtherContent is the code of the warning that the content given is not the
// content inside the message.
const FindOtherContent = "other_content"

// errNoContent: the value is about content that is not at hand, so that nothing can
// be checked.
var errNoContent = errors.New("no content")

// Verify examines every signer and countersigner of a message in DER, BER or PEM.
// Content is that of a detached message, nil where it is not at hand; for a
// message with content inside, that one alone counts, and the report warns with
// FindOtherContent where it is not the one given.
//
// An error means that the message could not be read at all: cms.ErrFormat,
// cms.ErrLimit, or an error of src or content. A bad signature is no error but a
// verdict.
func Verify(ctx context.Context, src io.ReaderAt, size int64, content signing.Content, o signing.VerifyOptions) (*signing.Report, error) {
	m, signed, err := open(src, size, content)
	if err != nil {
		return nil, err
	}
	report, v, err := verify(ctx, m, signed, o)
	if err != nil {
		return nil, err
	}
	report.Size = size
	if content != nil && !m.Detached() {
		if err := v.compare(ctx, content); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// compare warns where the content that was given is not the one inside: whoever
// gave it takes it for what was signed.
func (v *verifier) compare(ctx context.Context, given signing.Content) error {
	digests, size, err := signing.Digests(ctx, given, stampDigest)
	if err != nil {
		return fmt.Errorf("reading the content that was given: %w", err)
	}
	if size != v.size || !bytes.Equal(digests[stampDigest], v.digests[stampDigest]) {
		v.report.Warnings = append(v.report.Warnings, signing.Finding{
			Code: FindOtherContent, Text: "the message carries its content, and the one that was given is another, which nobody signed here",
		})
	}
	return nil
}

// verifier examines one message.
type verifier struct {
	message *message
	judge   *validation.Judge
	// digests of the content by algorithm; nil when it is not at hand.
	digests map[crypto.Hash][]byte
	content signing.Content // nil when it is not at hand
	size    int64           // of the content in bytes, -1 when it is not at hand
	report  *signing.Report
	// answered tells that revocation is known for every signer.
	answered bool
	extra    [][]byte // certificates that were given, to find a signer's
}

func verify(ctx context.Context, m *message, content signing.Content, o signing.VerifyOptions) (*signing.Report, *verifier, error) {
	v := &verifier{
		message: m, judge: validation.New(o, m.material()), size: -1, answered: true,
		report: &signing.Report{
			Format: signing.CAdES, Signatures: []signing.Signature{}, TimeStamps: []signing.TimeStamp{},
			Warnings: []signing.Finding{}, NotChecked: []signing.Check{signing.CheckTrustedList},
		},
	}
	for _, c := range o.Roots {
		v.extra = append(v.extra, c.Raw)
	}
	for _, c := range o.Intermediates {
		v.extra = append(v.extra, c.Raw)
	}
	if len(o.Roots) == 0 {
		v.report.NotChecked = append(v.report.NotChecked, signing.CheckChain)
	}
	if v.content = content; content != nil {
		var err error
		if v.digests, v.size, err = signing.Digests(ctx, content, m.hashes()...); err != nil {
			return nil, nil, fmt.Errorf("reading the signed content: %w", err)
		}
	}
	for i := range m.SignerInfos {
		if err := v.examine(ctx, &m.SignerInfos[i], 0, 0, nil); err != nil {
			return nil, nil, err
		}
	}
	if !v.answered {
		v.report.NotChecked = append(v.report.NotChecked, signing.CheckRevocation)
	}
	return v.report, v, nil
}

// hashes lists the digests of the content that signers and archive time-stamps
// need, and the one that further time-stamps would need.
func (m *message) hashes() []crypto.Hash {
	all := []crypto.Hash{stampDigest}
	for i := range m.SignerInfos {
		si := &m.SignerInfos[i]
		if h, err := si.Digest(); err == nil {
			all = append(all, h)
		}
		for _, oid := range []cms.OID{cms.OIDArchiveTimeStampV3, cms.OIDContentTimeStamp} {
			for _, raw := range append(si.UnsignedAttribute(oid), si.Attribute(oid)...) {
				if token, err := tsp.Inspect(raw); err == nil {
					all = append(all, token.Hash)
				}
			}
		}
	}
	return all
}

// examination is the verdict on one signature in the making, in the order of
// EN 319 102-1 5.3. The first failure sets the sub-indication; later ones are
// still listed.
type examination struct {
	v      *verifier
	si     *cms.SignerInfo
	parent int // number of the signature that is countersigned, 0 for none
	out    signing.Signature
	proof  validation.Proof
	// stamped and archived tell what time-stamps are there, whether they are relied
	// on or not.
	stamped, archived bool
}

// examine judges a signer and those who countersigned it. inherited is what is
// proven about the signature that it countersigns.
func (v *verifier) examine(ctx context.Context, si *cms.SignerInfo, parent, depth int, inherited *validation.Proof) error {
	if len(v.report.Signatures) == maxSignatures {
		return fmt.Errorf("%w: signatures", cms.ErrLimit)
	}
	e := &examination{v: v, si: si, parent: parent, out: signing.Signature{
		Format: signing.CAdES, Integrity: signing.Unknown, Countersigns: parent,
		Findings: []signing.Finding{}, TimeStamps: []signing.TimeStamp{},
	}}
	e.proof = validation.Begin(v.judge.Options)
	if inherited != nil {
		e.proof = *inherited
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	e.run(ctx)
	v.report.Signatures = append(v.report.Signatures, e.out)
	number := len(v.report.Signatures)
	for _, raw := range si.UnsignedAttribute(cms.OIDCounterSignature) {
		counter, err := cms.ParseSignerInfo(raw)
		if err != nil || depth == maxCounterDepth {
			v.report.Warnings = append(v.report.Warnings, signing.Finding{
				Code: signing.FindCMS, Text: "a countersignature cannot be read, so it is not judged",
			})
			continue
		}
		if err := v.examine(ctx, &counter, number, depth+1, e.counterProof(raw)); err != nil {
			return err
		}
	}
	return nil
}

func (e *examination) run(ctx context.Context) {
	result, err := e.check()
	e.describe(result)
	if e.verdict(err) {
		e.checkTimes(ctx)
		answered := e.v.judge.Signer(ctx, &e.out, result.Certificate, validation.Certificates(e.v.message.Certificates), e.proof)
		e.v.answered = e.v.answered && answered
		e.accept(result)
		e.v.judge.Conclude(&e.out, answered)
	} else {
		e.v.answered = false
	}
	if result != nil {
		e.level(result)
	}
}

// check verifies digest and value. Content that is not at hand is reported
// first; the value can be checked without it.
func (e *examination) check() (*cms.Verified, error) {
	if e.parent > 0 {
		digest, err := e.parentDigest()
		if err != nil {
			return nil, err
		}
		return e.v.message.VerifyCounter(e.si, digest, e.v.extra...)
	}
	hash, err := e.si.Digest()
	if err != nil {
		return &cms.Verified{}, err
	}
	digest, ok := e.v.digests[hash]
	if !ok && e.v.digests == nil {
		e.out.Fail(signing.Indeterminate, signing.SignedDataNotFound, findNoContent, "the file that was signed is not at hand")
		if e.si.SignedAttributes == nil {
			return nil, errNoContent
		}
		if digest, err = e.si.MessageDigest(); err != nil {
			return &cms.Verified{}, err
		}
	}
	return e.v.message.Verify(e.si, digest, e.v.extra...)
}

func (e *examination) parentDigest() ([]byte, error) {
	hash, err := e.si.Digest()
	if err != nil {
		return nil, err
	}
	if !hash.Available() {
		return nil, fmt.Errorf("digest %s: %w", hash, cms.ErrAlgorithm)
	}
	h := hash.New()
	h.Write(e.v.parentOf(e.si))
	return h.Sum(nil), nil
}

// parentOf finds the signature value that a countersignature is about.
func (v *verifier) parentOf(counter *cms.SignerInfo) []byte {
	want := string(counter.Fields())
	var found []byte
	var visit func(si *cms.SignerInfo, depth int)
	visit = func(si *cms.SignerInfo, depth int) {
		for _, raw := range si.UnsignedAttribute(cms.OIDCounterSignature) {
			child, err := cms.ParseSignerInfo(raw)
			if err != nil || depth == maxCounterDepth {
				continue
			}
			if string(child.Fields()) == want && found == nil {
				found = si.Signature
			}
			visit(&child, depth+1)
		}
	}
	for i := range v.message.SignerInfos {
		visit(&v.message.SignerInfos[i], 0)
	}
	return found
}

func (e *examination) describe(r *cms.Verified) {
	attributes.Read(e.si, &e.out)
	if r == nil {
		return
	}
	if r.Digest != 0 {
		e.out.DigestAlgorithm = r.Digest.String()
	}
	if r.Algorithm.Scheme != "" {
		e.out.SignatureAlgorithm = r.Algorithm.String()
	} else {
		e.out.SignatureAlgorithm = string(e.si.SignatureAlgorithm.Algorithm)
	}
	if !r.SigningTime.IsZero() {
		at := r.SigningTime
		e.out.ClaimedTime = &at
	}
	if r.Certificate != nil {
		e.out.Signer = signing.NewSigner(r.Certificate, e.v.judge.Options.ShowIdentifiers)
	}
}

// verdict translates the outcome of the check; true means that value and, where
// it is at hand, content are right.
func (e *examination) verdict(err error) bool {
	out := &e.out
	switch {
	case err == nil:
		if out.Indication == "" {
			out.Integrity = signing.Intact
		}
		return true
	case errors.Is(err, cms.ErrNoCertificate), errors.Is(err, cms.ErrBinding):
		e.unidentified(err)
	case errors.Is(err, errNoContent): // said already
	case errors.Is(err, cms.ErrFormat), errors.Is(err, cms.ErrLimit):
		out.Fail(signing.TotalFailed, signing.FormatFailure, signing.FindCMS, "%v", err)
	case errors.Is(err, cms.ErrDigest):
		out.Integrity = signing.Broken
		out.Fail(signing.TotalFailed, signing.HashFailure, signing.FindDigest, "the signed content was changed: its digest is not the signed one")
	case errors.Is(err, cms.ErrSignature) && out.SubIndication == signing.SignedDataNotFound:
		// That data is missing is found first (EN 319 102-1 5.2.7.4).
		out.Integrity = signing.Broken
		out.Note(signing.FindValue, "the signature value does not verify with the key of the signer")
	case errors.Is(err, cms.ErrSignature):
		out.Integrity = signing.Broken
		out.Fail(signing.TotalFailed, signing.SigCryptoFailure, signing.FindValue, "the signature value does not verify with the key of the signer")
	default:
		out.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindAlgorithm, "the signature cannot be checked: %v", err)
	}
	return false
}

// unidentified is the verdict where the certificate of the signer is not known, which
// comes before what is signed (EN 319 102-1 5.3.4).
func (e *examination) unidentified(err error) {
	out := &e.out
	out.Indication, out.SubIndication = "", ""
	if errors.Is(err, cms.ErrNoCertificate) {
		out.Fail(signing.Indeterminate, signing.NoSigningCertificateFound, signing.FindNoCertificate, "the signature does not carry the certificate of the signer")
	} else {
		first, _, _ := strings.Cut(err.Error(), "\n")
		out.Fail(signing.Indeterminate, signing.NoSigningCertificateFound, signing.FindBinding, "%s", first)
	}
	if errors.Is(err, cms.ErrDigest) {
		out.Integrity = signing.Broken
		out.Note(signing.FindDigest, "the signed content was changed: its digest is not the signed one")
	}
}

// accept is signature acceptance (EN 319 102-1 5.2.8).
func (e *examination) accept(r *cms.Verified) {
	if !r.SignedAttributes {
		e.out.Fail(signing.Indeterminate, signing.SigConstraintsFailure, signing.FindNoAttributes, "nothing but the content is signed, so the value may have been made for another purpose")
	} else if !r.Bound {
		e.out.Note(signing.FindNoBinding, "the signature does not name its certificate")
	}
	if r.Misnamed {
		e.out.Fail(signing.Indeterminate, signing.SigConstraintsFailure, signing.FindBinding, "issuer and serial number that the signature names are not those of its certificate")
	}
	if !r.Sorted {
		e.out.Note(signing.FindCMS, "the signed attributes are not in DER order")
	}
	validation.Accept(&e.out, r.Certificate, e.proof, r.Digest, r.Algorithm.Digest)
}
