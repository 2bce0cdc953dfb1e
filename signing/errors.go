package signing

import (
	"errors"
	"fmt"
)

// Errors that a caller of any format decides on. Structural ones come from the
// packages that read documents, and are wrapped.
var (
	// ErrRefused: signing would harm the document or mislead its reader. Every
	// *RefusedError matches it. No key has been used.
	ErrRefused = errors.New("signing refused")
	// ErrExists: the output exists and may not be replaced.
	ErrExists = errors.New("output exists already")
	// ErrOutput: the output cannot be written, or is no place to
	// write a document to (a directory, a device, the input itself).
	ErrOutput = errors.New("output cannot be written")
	// ErrSourceChanged: the document given to Complete is not the one that was
	// prepared.
	ErrSourceChanged = errors.New("document changed after it was prepared")
	// ErrWrongSignature: the value made by the signer does not verify under the
	// certificate, so nothing was written.
	ErrWrongSignature = errors.New("signature value does not match the certificate")
	// ErrUnreached: a service did not give what a level needs. The document is
	// finished at the level below.
	ErrUnreached = errors.New("service not reached")
	// ErrCheck: the finished output did not pass our own check and was
	// discarded.
	ErrCheck = errors.New("signed output did not pass its check")
)

// RefusalCode is a stable word for a reason to refuse signing.
type RefusalCode string

// The reasons to refuse, before any key is used.
const (
	RefusedCertifiedNoChanges RefusalCode = "certified_no_changes" // DocMDP P 1
	RefusedCertification      RefusalCode = "certification_not_first"
	RefusedPermission         RefusalCode = "protected"           // encryption grants no right to sign
	RefusedFieldLocked        RefusalCode = "field_locked"        // FieldMDP of an earlier signature
	RefusedFieldName          RefusalCode = "field_name"          // the named field cannot be signed
	RefusedSeedValue          RefusalCode = "seed_value"          // a required seed value cannot be met
	RefusedPrefixData         RefusalCode = "prefix_data"         // bytes before the header
	RefusedAmbiguous          RefusalCode = "ambiguous_structure" // duplicate keys, shared values
	RefusedTooLarge           RefusalCode = "too_large"           // offsets do not fit
	RefusedKey                RefusalCode = "key"                 // key kind or size not usable
	RefusedCertificate        RefusalCode = "certificate"         // expired, or not for signing
	RefusedOption             RefusalCode = "option"              // an option has no usable value
	RefusedUnsafe             RefusalCode = "unsafe_content"      // the document acts by itself
	RefusedHarm               RefusalCode = "would_harm"          // an earlier signature would suffer
	RefusedRevoked            RefusalCode = "revoked"             // the certificate is revoked or on hold
	RefusedUnsigned           RefusalCode = "unsigned"            // there is no signature to extend
	RefusedVisible            RefusalCode = "visible_mark"        // a mark cannot be drawn, or would harm
	RefusedBroken             RefusalCode = "broken_signature"    // a signature to extend is not whole
	RefusedEarlier            RefusalCode = "earlier_signature"   // an earlier signature would break
	RefusedInstructions       RefusalCode = "instructions"        // processing instructions in what is signed
)

// RefusedError says why a document is not signed and what its owner can do.
type RefusedError struct {
	Code   RefusalCode
	Why    string
	Advice string
}

// Error returns the reason followed by the advice.
func (e *RefusedError) Error() string {
	if e.Advice == "" {
		return "signing refused: " + e.Why
	}
	return fmt.Sprintf("signing refused: %s; %s", e.Why, e.Advice)
}

// Is makes errors.Is(err, ErrRefused) true.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// Refuse makes a *RefusedError.
func Refuse(code RefusalCode, advice, why string, args ...any) error {
	return &RefusedError{Code: code, Why: fmt.Sprintf(why, args...), Advice: advice}
}
