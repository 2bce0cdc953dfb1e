package pades

import "github.com/eidbridge/eidbridge/signing"

// Errors that a caller decides on, as those of package signing. Structural ones
// come from package pdf (ErrNotPDF, ErrEncrypted, *FormatError, *LimitError) and
// are wrapped.
var (
	ErrRefused        = signing.ErrRefused
	ErrExists         = signing.ErrExists
	ErrOutput         = signing.ErrOutput
	ErrSourceChanged  = signing.ErrSourceChanged
	ErrWrongSignature = signing.ErrWrongSignature
	ErrCheck          = signing.ErrCheck
	errUnreached      = signing.ErrUnreached
)

// RefusalCode and RefusedError are those of package signing.
type (
	RefusalCode  = signing.RefusalCode
	RefusedError = signing.RefusedError
)

// The reasons to refuse, before any key is used.
const (
	RefusedCertifiedNoChanges = signing.RefusedCertifiedNoChanges
	RefusedCertification      = signing.RefusedCertification
	RefusedHarm               = signing.RefusedHarm
	RefusedPermission         = signing.RefusedPermission
	RefusedFieldLocked        = signing.RefusedFieldLocked
	RefusedFieldName          = signing.RefusedFieldName
	RefusedSeedValue          = signing.RefusedSeedValue
	RefusedPrefixData         = signing.RefusedPrefixData
	RefusedAmbiguous          = signing.RefusedAmbiguous
	RefusedTooLarge           = signing.RefusedTooLarge
	RefusedKey                = signing.RefusedKey
	RefusedCertificate        = signing.RefusedCertificate
	RefusedOption             = signing.RefusedOption
	RefusedRevoked            = signing.RefusedRevoked
	RefusedUnsigned           = signing.RefusedUnsigned
	RefusedVisible            = signing.RefusedVisible
	RefusedBroken             = signing.RefusedBroken
)

func refuse(code RefusalCode, advice, why string, args ...any) error {
	return signing.Refuse(code, advice, why, args...)
}
