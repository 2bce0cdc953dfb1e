package signing

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/revocation"
)

// Indication is a main indication of EN 319 102-1 table 5.
type Indication string

// The main indications.
const (
	TotalPassed   Indication = "TOTAL_PASSED"
	TotalFailed   Indication = "TOTAL_FAILED"
	Indeterminate Indication = "INDETERMINATE"
)

// SubIndication is a sub-indication of EN 319 102-1 tables 5 and 6.
type SubIndication string

// The sub-indications that are given.
const (
	FormatFailure                 SubIndication = "FORMAT_FAILURE"
	HashFailure                   SubIndication = "HASH_FAILURE"
	SigCryptoFailure              SubIndication = "SIG_CRYPTO_FAILURE"
	SigConstraintsFailure         SubIndication = "SIG_CONSTRAINTS_FAILURE"
	CryptoConstraintsFailure      SubIndication = "CRYPTO_CONSTRAINTS_FAILURE"
	CryptoConstraintsFailureNoPOE SubIndication = "CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
	NoSigningCertificateFound     SubIndication = "NO_SIGNING_CERTIFICATE_FOUND"
	NoCertificateChainFound       SubIndication = "NO_CERTIFICATE_CHAIN_FOUND"
	CertificateChainGeneral       SubIndication = "CERTIFICATE_CHAIN_GENERAL_FAILURE"
	ChainConstraintsFailure       SubIndication = "CHAIN_CONSTRAINTS_FAILURE"
	OutOfBoundsNoPOE              SubIndication = "OUT_OF_BOUNDS_NO_POE"
	OutOfBoundsNotRevoked         SubIndication = "OUT_OF_BOUNDS_NOT_REVOKED"
	ExpiredFailure                SubIndication = "EXPIRED"
	TryLater                      SubIndication = "TRY_LATER"
	RevokedFailure                SubIndication = "REVOKED"
	RevokedNoPOE                  SubIndication = "REVOKED_NO_POE"
	RevokedCANoPOE                SubIndication = "REVOKED_CA_NO_POE"
	NotYetValid                   SubIndication = "NOT_YET_VALID"
	TimestampOrderFailure         SubIndication = "TIMESTAMP_ORDER_FAILURE"
	SignedDataNotFound            SubIndication = "SIGNED_DATA_NOT_FOUND"
)

// Integrity answers one question alone: are digest and signature value right
// for exactly the bytes that this signature names?
type Integrity string

// The answers.
const (
	Intact  Integrity = "INTACT"
	Broken  Integrity = "BROKEN"
	Unknown Integrity = "UNKNOWN" // could not be computed, see Reasons
)

// Coverage says how much of the file a signature covers.
type Coverage string

// The degrees of coverage.
const (
	WholeFile     Coverage = "WHOLE_FILE"
	WholeRevision Coverage = "WHOLE_REVISION" // a complete earlier state of the file
	Partial       Coverage = "PARTIAL"
	Unclear       Coverage = "UNCLEAR"
)

// Changes classifies what later revisions did to the signed one. The class is
// coarse: what is not recognised as harmless is ChangesUndefined.
type Changes string

// The classes, from harmless to unknown.
const (
	ChangesNone     Changes = "NONE"
	ChangesLTVOnly  Changes = "LTV_ONLY"  // validation data and document time-stamps
	ChangesFormFill Changes = "FORM_FILL" // further signatures, and form fields that were filled in
	// ChangesAnnotations: annotations other than signature widgets.
	ChangesAnnotations Changes = "ANNOTATIONS"
	ChangesOther       Changes = "OTHER"     // content, structure or the signature itself
	ChangesUndefined   Changes = "UNDEFINED" // not recognised as harmless
)

// Check is a stable word for something this package does not examine.
type Check string

// What is not checked yet. The report names those that would matter.
const (
	CheckRevocation  Check = "revocation"
	CheckTrustedList Check = "trusted_list"
	CheckChain       Check = "certificate_chain"
)

// Report is what Verify found in one document. It is built from verified bytes
// and never from an appearance.
type Report struct {
	// Format is that of the document: a container names its own.
	Format Format `json:"format"`
	Size   int64  `json:"size"` // bytes
	// Revisions and Encrypted are about a PDF.
	Revisions int  `json:"revisions,omitempty"`
	Encrypted bool `json:"encrypted,omitempty"`
	// Signatures stand in the order in which the document holds them, those of a
	// PDF in the order of the revisions they close.
	Signatures []Signature `json:"signatures"`
	// TimeStamps are about the document and not about one signature.
	TimeStamps []TimeStamp `json:"time_stamps"`
	// Warnings are findings about the file as a whole.
	Warnings []Finding `json:"warnings"`
	// NotChecked names what was not examined.
	NotChecked []Check `json:"not_checked"`
}

// Finding is a reason with a stable code and a sentence.
type Finding struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Signature is the verdict on one signature.
type Signature struct {
	Format Format `json:"format"`
	// Field is the form field of a PDF signature.
	Field         string        `json:"field,omitempty"`
	Indication    Indication    `json:"indication"`
	SubIndication SubIndication `json:"sub_indication,omitempty"`
	Findings      []Finding     `json:"findings"`
	Integrity     Integrity     `json:"integrity"`
	// Coverage and ChangesAfter are about a PDF and its revisions.
	Coverage     Coverage `json:"coverage,omitempty"`
	ChangesAfter Changes  `json:"changes_after,omitempty"`
	// Objected tells that a finding speaks against the signature although its bytes
	// are right. It decides once the signer is known.
	Objected bool `json:"objected,omitempty"`
	// Revision counts from 1; the revision of a PDF that this signature closes, 0 if
	// none.
	Revision  int     `json:"revision,omitempty"`
	ByteRange []int64 `json:"byte_range,omitempty"` // offset, length, offset, length
	SubFilter string  `json:"sub_filter,omitempty"`
	// Baseline is the level whose content the file has for this signature; empty
	// below B-B. It says nothing about whether that content is relied on.
	Baseline           Baseline `json:"baseline,omitempty"`
	DigestAlgorithm    string   `json:"digest_algorithm,omitempty"`
	SignatureAlgorithm string   `json:"signature_algorithm,omitempty"`
	// ClaimedTime is /M or the CMS signing-time: the word of the signer.
	ClaimedTime *time.Time `json:"claimed_time,omitempty"`
	// BestTime is the earliest time at which time-stamps prove that the signature
	// existed; nil when none does.
	BestTime *time.Time `json:"best_signature_time,omitempty"`
	// TimeStamps are the signature-time-stamps.
	TimeStamps []TimeStamp `json:"time_stamps"`
	// Revocation is "OCSP" or "CRL" when one of them says that the certificate was
	// good at the best-signature-time.
	Revocation  string `json:"revocation,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Location    string `json:"location,omitempty"`
	ContactInfo string `json:"contact_info,omitempty"`
	ClaimedName string `json:"claimed_name,omitempty"`
	// Policy is the identifier of the explicit signature policy; what it demands is
	// not examined.
	Policy string `json:"policy,omitempty"`
	// Commitments and Roles are claims of the signer.
	Commitments []Commitment `json:"commitments,omitempty"`
	Roles       []string     `json:"roles,omitempty"`
	// Countersigns is the number, from 1, of the signature in this report whose
	// value is signed here.
	Countersigns int `json:"countersigns,omitempty"`
	// File is the file of a container that holds the signature, Signed names the
	// files that it is about.
	File   string   `json:"file,omitempty"`
	Signed []string `json:"signed,omitempty"`
	// Data is what an XML signature covers, as far as it was found.
	Data []SignedData `json:"signed_data,omitempty"`
	// CertificationLevel is DocMDP P (1 to 3) of a certification, else 0.
	CertificationLevel int     `json:"certification_level,omitempty"`
	Signer             *Signer `json:"signer,omitempty"`
}

// StampKind says what a time-stamp is about.
type StampKind string

// The kinds.
const (
	DocumentStamp  StampKind = "document"
	SignatureStamp StampKind = "signature"
	ContentStamp   StampKind = "content" // made over the content, before signing
	ArchiveStamp   StampKind = "archive" // over signature and validation data
)

// TimeStamp is the verdict on a time-stamp.
type TimeStamp struct {
	Kind          StampKind     `json:"kind"`
	Indication    Indication    `json:"indication"`
	SubIndication SubIndication `json:"sub_indication,omitempty"`
	Findings      []Finding     `json:"findings"`
	// Integrity says whether the token is about the data it stands with.
	Integrity Integrity `json:"integrity"`
	// Time is the latest time that the token can mean: genTime and accuracy.
	Time      *time.Time `json:"time,omitempty"`
	Authority string     `json:"authority,omitempty"`
	// File is the file of a container that holds the time-stamp.
	File string `json:"file,omitempty"`
	// Field, Coverage, Revision and ByteRange are those of a document time-stamp.
	Field     string   `json:"field,omitempty"`
	Coverage  Coverage `json:"coverage,omitempty"`
	Revision  int      `json:"revision,omitempty"`
	ByteRange []int64  `json:"byte_range,omitempty"`
}

// Signer summarises the certificate that the signature is bound to.
type Signer struct {
	Certificate *x509.Certificate `json:"-"`
	SHA256      string            `json:"sha256"` // lower-case hex of the certificate
	Subject     string            `json:"subject"`
	CommonName  string            `json:"common_name,omitempty"`
	GivenName   string            `json:"given_name,omitempty"`
	Surname     string            `json:"surname,omitempty"`
	Pseudonym   string            `json:"pseudonym,omitempty"`
	// SerialNumber is the subject attribute (EN 319 412-1 5.1.3), masked unless
	// VerifyOptions.ShowIdentifiers is set.
	SerialNumber string    `json:"serial_number,omitempty"`
	Organization string    `json:"organization,omitempty"`
	Country      string    `json:"country,omitempty"`
	Issuer       string    `json:"issuer"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
	KeyUsage     []string  `json:"key_usage"`
	// QCStatements are words such as "QcCompliance", "QcSSCD", "QcType eSign":
	// what the certificate says of itself, not what a trusted list confirms.
	QCStatements []string `json:"qc_statements"`
	// ChainBuilt tells whether a path to one of VerifyOptions.Roots was found.
	ChainBuilt bool `json:"chain_built"`
}

// VerifyOptions sets the context of a verification. The zero value has no trust
// anchors, so an intact signature ends at NO_CERTIFICATE_CHAIN_FOUND.
type VerifyOptions struct {
	// Roots are the trust anchors; nil or empty means there are none.
	Roots []*x509.Certificate
	// Responders are trusted to answer about any certificate (RFC 6960 4.2.2.2), as
	// the OCSP services of a trusted list are.
	Responders []*x509.Certificate
	// Relied tells whether one of Roots or Responders could be relied on at a time, as
	// trusted lists say; nil means that all could at any time. An authority is relied
	// on if it could be when it issued the certificate below it, and at the
	// best-signature-time or the time of the time-stamp (TS 119 615 4.4, 4.5).
	Relied func(c *x509.Certificate, at time.Time) bool
	// Intermediates may help to build a path; they are not trusted.
	Intermediates []*x509.Certificate
	// Time is the moment of validation; zero means now.
	Time time.Time
	// Existed is a time at which the signatures are known to have existed, by proof
	// that is not in the document; nil for none.
	Existed *time.Time
	// Password opens an encrypted document.
	Password []byte
	// Material is validation data beside that of the document.
	Material revocation.Material
	// Fetch asks authorities where neither the document nor Material answers; nil
	// asks nobody. The addresses come from the certificates.
	Fetch *fetch.Client
	// WithoutRevocation accepts a path although nothing says whether its
	// certificates were revoked. Without it such a signature is
	// INDETERMINATE/TRY_LATER (EN 319 102-1 5.2.6.4). A revocation that is known
	// counts all the same.
	WithoutRevocation bool
	// AcceptAnnotations takes annotations that were added to a PDF after signing, or
	// changed, where no certification forbids them; they are named all the same.
	// Without it such a signature is TOTAL_FAILED/FORMAT_FAILURE, as they can cover what
	// was signed (threats P-30).
	AcceptAnnotations bool
	// ShowIdentifiers puts the subject serialNumber into the report unmasked.
	ShowIdentifiers bool
}

// Now is the moment of validation.
func (o VerifyOptions) Now() time.Time {
	if o.Time.IsZero() {
		return time.Now()
	}
	return o.Time
}

// Require takes TOTAL_PASSED from signatures below a baseline level, as policies
// do that want evidence to last. Countersignatures are left as they are.
func (r *Report) Require(level Baseline) {
	for i := range r.Signatures {
		s := &r.Signatures[i]
		if s.Indication == TotalPassed && s.Countersigns == 0 && s.Baseline.Rank() < level.Rank() {
			s.Fail(Indeterminate, SigConstraintsFailure, FindLevel, "the signature is below level %s", level)
		}
	}
}

// Passed tells whether the document carries at least one signature and every
// one of them is TOTAL_PASSED.
func (r *Report) Passed() bool {
	for _, s := range r.Signatures {
		if s.Indication != TotalPassed {
			return false
		}
	}
	return len(r.Signatures) > 0
}

// Intact tells whether the document carries at least one signature, every one
// of them is INTACT over whole revisions, and nothing unexplained was changed
// after the last of them. It says nothing about who signed.
func (r *Report) Intact() bool {
	for _, s := range r.Signatures {
		if s.Integrity != Intact || s.Indication == TotalFailed || s.Objected {
			return false
		}
		if s.Format == PAdES && (!s.Covered() || !s.ChangesAfter.Harmless()) {
			return false
		}
	}
	return len(r.Signatures) > 0
}

// Covered tells whether a PDF signature covers a whole state of the file.
func (s *Signature) Covered() bool { return s.Coverage == WholeFile || s.Coverage == WholeRevision }

// Harmless tells whether the changes leave what was signed as it was.
func (c Changes) Harmless() bool {
	return c == ChangesNone || c == ChangesLTVOnly || c == ChangesFormFill
}

// Fail records a finding and, if it is the first of its weight, the verdict.
func (s *Signature) Fail(to Indication, sub SubIndication, code, format string, args ...any) {
	s.Note(code, format, args...)
	if s.Indication == TotalFailed || s.Indication == to && s.SubIndication != "" {
		return
	}
	s.Indication, s.SubIndication = to, sub
}

// Note records a finding that leaves the verdict as it is.
func (s *Signature) Note(code, format string, args ...any) {
	s.Findings = append(s.Findings, Finding{Code: code, Text: fmt.Sprintf(format, args...)})
}

// Fail records a finding and, if it is the first, the verdict.
func (t *TimeStamp) Fail(to Indication, sub SubIndication, code, format string, args ...any) {
	t.Findings = append(t.Findings, Finding{Code: code, Text: fmt.Sprintf(format, args...)})
	if t.Indication == "" {
		t.Indication, t.SubIndication = to, sub
	}
}
