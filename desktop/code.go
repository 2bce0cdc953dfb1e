package desktop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/advisory"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// What a caller of the service decides on, beside the errors of cardreader and
// signing.
var (
	// ErrDeclined: the person said no.
	ErrDeclined = errors.New("request was declined")
	// ErrTimeout: the question stood too long without an answer.
	ErrTimeout = errors.New("no answer in time")
	// ErrCancelled: the one who asked took the request back.
	ErrCancelled = errors.New("request was cancelled")
	// ErrNoPrompt: there is no way to ask the person.
	ErrNoPrompt = errors.New("no way to ask for the PIN")
	// ErrUnknownRequest: no request with this identifier, or no longer.
	ErrUnknownRequest = errors.New("no such request")
	// ErrInvalid is a request that makes no sense, told before anybody is asked.
	ErrInvalid = errors.New("request is not valid")
	// ErrCertificateExpired: the certificate is outside its validity.
	ErrCertificateExpired = errors.New("certificate is not valid at this time")
	// ErrTooLarge is a document over MaxDocument.
	ErrTooLarge = errors.New("document is too large")
)

// BusyError is a request that is not taken now.
type BusyError struct {
	// RetryAfter is when another attempt makes sense.
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("too many requests, try again in %s", e.RetryAfter)
}

// Code is the stable word for an outcome that is not done, as in the agent's own
// API.
type Code string

// The codes of ended requests.
const (
	CodeUserDeclined       Code = "user_declined"
	CodeUserTimeout        Code = "user_timeout"
	CodeNoReader           Code = "no_reader"
	CodeNoCard             Code = "no_card"
	CodeCardUnsupported    Code = "card_unsupported"
	CodeCardRemoved        Code = "card_removed"
	CodeNoCertificate      Code = "no_matching_certificate"
	CodeCertificateExpired Code = "certificate_expired"
	CodePINWrong           Code = "pin_wrong"
	CodePINBlocked         Code = "pin_blocked"
	CodePINMustChange      Code = "pin_must_change"
	CodeFormatUnsupported  Code = "format_unsupported"
	CodeDocumentUnsafe     Code = "document_unsafe"
	CodeDocumentTooLarge   Code = "document_too_large"
	CodeSigningFailed      Code = "signing_failed"
	CodeInternal           Code = "internal"
)

// CodeOf finds the code of an error; empty for nil and for a cancelled request,
// which has its own state.
func CodeOf(err error) Code {
	if err == nil || errors.Is(err, ErrCancelled) {
		return ""
	}
	if pinError, ok := errors.AsType[*cardreader.PINError](err); ok {
		switch pinError.Reason {
		case cardreader.PINBlocked:
			return CodePINBlocked
		case cardreader.PINMustChange:
			return CodePINMustChange
		case cardreader.PINCancelled:
			return CodeUserDeclined
		case cardreader.PINTimeout:
			return CodeUserTimeout
		default:
			return CodePINWrong
		}
	}
	if _, ok := errors.AsType[*advisory.ForbiddenError](err); ok {
		return CodeNoCertificate
	}
	if refused, ok := errors.AsType[*signing.RefusedError](err); ok && (refused.Code == signing.RefusedUnsafe || refused.Code == signing.RefusedAmbiguous) {
		return CodeDocumentUnsafe
	}
	if isDocumentError(err) {
		return CodeFormatUnsupported
	}
	if _, ok := errors.AsType[*cardreader.AmbiguousError](err); ok {
		return CodeNoCertificate
	}
	for _, row := range []struct {
		err  error
		code Code
	}{
		{ErrDeclined, CodeUserDeclined},
		{ErrTimeout, CodeUserTimeout},
		{context.DeadlineExceeded, CodeUserTimeout},
		{cardreader.ErrNoService, CodeNoReader},
		{cardreader.ErrNoReader, CodeNoReader},
		{cardreader.ErrReaderGone, CodeNoReader},
		{cardreader.ErrNoCard, CodeNoCard},
		{cardreader.ErrCardRemoved, CodeCardRemoved},
		{cardreader.ErrCardChanged, CodeCardRemoved},
		{cardreader.ErrCardUnsupported, CodeCardUnsupported},
		{cardreader.ErrCardMute, CodeCardUnsupported},
		{cardreader.ErrNoCredential, CodeNoCertificate},
		{ErrCertificateExpired, CodeCertificateExpired},
		{ErrTooLarge, CodeDocumentTooLarge},
		{cardreader.ErrCardReset, CodeSigningFailed},
		{cardreader.ErrCardBusy, CodeSigningFailed},
		{cardreader.ErrCardProtocol, CodeSigningFailed},
		{pades.ErrWrongSignature, CodeSigningFailed},
		{pades.ErrCheck, CodeSigningFailed},
		{pades.ErrSourceChanged, CodeSigningFailed},
	} {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return CodeInternal
}

// isDocumentError tells whether the document itself is why it cannot be signed.
func isDocumentError(err error) bool {
	if errors.Is(err, pdf.ErrNotPDF) || errors.Is(err, pdf.ErrEncrypted) || errors.Is(err, pades.ErrRefused) {
		return true
	}
	for _, sentinel := range []error{
		asic.ErrFormat, asic.ErrNotContainer, asic.ErrSigned, cms.ErrFormat, cms.ErrLimit, xmldsig.ErrFormat, xmldsig.ErrLimit,
		archive.ErrFormat, archive.ErrLimit, archive.ErrName, archive.ErrEncrypted, archive.ErrAmbiguous, archive.ErrCorrupt,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	if _, ok := errors.AsType[*xmltext.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pdf.FormatError](err); ok {
		return true
	}
	_, ok := errors.AsType[*pdf.LimitError](err)
	return ok
}

// stateOf is the final state that an outcome leads to.
func stateOf(err error) State {
	switch {
	case err == nil:
		return StateDone
	case errors.Is(err, ErrCancelled):
		return StateCancelled
	case errors.Is(err, ErrDeclined):
		return StateDeclined
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return StateExpired
	default:
		return StateFailed
	}
}
