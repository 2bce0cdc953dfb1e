package pades

import "github.com/eidbridge/eidbridge/signing"

// The words of a report are those of package signing.
type (
	Indication    = signing.Indication
	SubIndication = signing.SubIndication
	Integrity     = signing.Integrity
	Coverage      = signing.Coverage
	Changes       = signing.Changes
	Check         = signing.Check
	Report        = signing.Report
	Finding       = signing.Finding
	Signature     = signing.Signature
	StampKind     = signing.StampKind
	TimeStamp     = signing.TimeStamp
	Signer        = signing.Signer
	VerifyOptions = signing.VerifyOptions
	Result        = signing.Result
	Extension     = signing.Extension
)

// The values of those words.
const (
	TotalPassed                   = signing.TotalPassed
	TotalFailed                   = signing.TotalFailed
	Indeterminate                 = signing.Indeterminate
	FormatFailure                 = signing.FormatFailure
	HashFailure                   = signing.HashFailure
	SigCryptoFailure              = signing.SigCryptoFailure
	SigConstraintsFailure         = signing.SigConstraintsFailure
	CryptoConstraintsFailure      = signing.CryptoConstraintsFailure
	CryptoConstraintsFailureNoPOE = signing.CryptoConstraintsFailureNoPOE
	NoSigningCertificateFound     = signing.NoSigningCertificateFound
	NoCertificateChainFound       = signing.NoCertificateChainFound
	OutOfBoundsNoPOE              = signing.OutOfBoundsNoPOE
	TryLater                      = signing.TryLater
	RevokedFailure                = signing.RevokedFailure
	RevokedNoPOE                  = signing.RevokedNoPOE
	RevokedCANoPOE                = signing.RevokedCANoPOE
	NotYetValid                   = signing.NotYetValid
	TimestampOrderFailure         = signing.TimestampOrderFailure
	Intact                        = signing.Intact
	Broken                        = signing.Broken
	Unknown                       = signing.Unknown
	WholeFile                     = signing.WholeFile
	WholeRevision                 = signing.WholeRevision
	Partial                       = signing.Partial
	Unclear                       = signing.Unclear
	ChangesNone                   = signing.ChangesNone
	ChangesLTVOnly                = signing.ChangesLTVOnly
	ChangesFormFill               = signing.ChangesFormFill
	ChangesAnnotations            = signing.ChangesAnnotations
	ChangesOther                  = signing.ChangesOther
	ChangesUndefined              = signing.ChangesUndefined
	CheckRevocation               = signing.CheckRevocation
	CheckTrustedList              = signing.CheckTrustedList
	CheckChain                    = signing.CheckChain
	DocumentStamp                 = signing.DocumentStamp
	SignatureStamp                = signing.SignatureStamp
)
