package pkcs11

import (
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
)

// What a caller decides on, beside the errors of cardreader.
var (
	// ErrModule: the file cannot be loaded, or is no PKCS #11 module.
	ErrModule = errors.New("PKCS #11 module cannot be loaded")
	// ErrPath: the file is not where a module may be: named absolutely, and out
	// of reach of other users.
	ErrPath = errors.New("PKCS #11 module is in an unsafe place")
	// ErrCgo: this program was built without cgo, which modules need.
	ErrCgo = errors.New("this build cannot load PKCS #11 modules")
)

// Error is what a function of the module returned.
type Error struct {
	// Function is its name: "C_Sign".
	Function string
	// Code is a CKR value.
	Code uint
}

func (e *Error) Error() string {
	if name, ok := codeNames()[e.Code]; ok {
		return fmt.Sprintf("%s: %s", e.Function, name)
	}
	return fmt.Sprintf("%s: return value %#x", e.Function, e.Code)
}

// Return values that somebody may meet with a card (PKCS #11 5.1, header of
// version 2.40).
const (
	ckrOK                  = 0x000
	ckrHostMemory          = 0x002
	ckrSlotIDInvalid       = 0x003
	ckrGeneralError        = 0x005
	ckrFunctionFailed      = 0x006
	ckrDeviceError         = 0x030
	ckrDeviceMemory        = 0x031
	ckrDeviceRemoved       = 0x032
	ckrFunctionCanceled    = 0x050
	ckrNotSupported        = 0x054
	ckrKeyFunction         = 0x068
	ckrMechanismInvalid    = 0x070
	ckrPINIncorrect        = 0x0a0
	ckrPINInvalid          = 0x0a1
	ckrPINLenRange         = 0x0a2
	ckrPINExpired          = 0x0a3
	ckrPINLocked           = 0x0a4
	ckrTokenNotPresent     = 0x0e0
	ckrTokenNotRecognized  = 0x0e1
	ckrUserNotLoggedIn     = 0x101
	ckrUserPINNotInit      = 0x102
	ckrBufferTooSmall      = 0x150
	ckrCryptokiInitialized = 0x191
	ckrFunctionRejected    = 0x200
)

func codeNames() map[uint]string {
	return map[uint]string{ //nolint:gosec // words about PINs
		ckrOK: "no objection, but no result either", ckrHostMemory: "the computer has no memory left",
		ckrSlotIDInvalid: "the slot is gone", ckrGeneralError: "general error of the module",
		ckrFunctionFailed: "the function failed", ckrDeviceError: "error of the card or its reader",
		ckrDeviceMemory: "the card has no memory left", ckrDeviceRemoved: "the card was removed",
		ckrFunctionCanceled: "cancelled at the reader", ckrNotSupported: "the module has no such function",
		ckrKeyFunction: "the key may not sign", ckrMechanismInvalid: "the card has no such signature algorithm",
		ckrPINIncorrect: "wrong PIN", ckrPINInvalid: "PIN with wrong characters", ckrPINLenRange: "PIN of a wrong length",
		ckrPINExpired: "the PIN has to be changed", ckrPINLocked: "the PIN is blocked",
		ckrTokenNotPresent: "no card in the reader", ckrTokenNotRecognized: "the module does not know this card",
		ckrUserNotLoggedIn: "the login was lost", ckrUserPINNotInit: "the PIN was never set",
		ckrBufferTooSmall: "the module cannot fit its answer into any buffer", ckrCryptokiInitialized: "initialized twice",
		ckrFunctionRejected: "refused at the reader",
	}
}

// Flags of a token (PKCS #11 3.2, CK_TOKEN_INFO).
const (
	flagLoginRequired = 0x0000_0004
	flagPINPad        = 0x0000_0100 // CKF_PROTECTED_AUTHENTICATION_PATH
	flagPINCountLow   = 0x0001_0000
	flagPINFinalTry   = 0x0002_0000
	flagPINLocked     = 0x0004_0000
	flagPINToChange   = 0x0008_0000
)

// triesLeft is all that a token tells: -1 is not known.
func triesLeft(flags uint) int {
	switch {
	case flags&flagPINLocked != 0:
		return 0
	case flags&flagPINFinalTry != 0:
		return 1
	default:
		return -1
	}
}

// meaning gives a failure the sentinel that programs decide on, and keeps the
// module's own return value reachable as *Error. pin is the name of the PIN.
func meaning(a answer, pin string) error {
	f := a.Error
	e := &Error{Function: f.Function, Code: f.Code}
	refused := func(r cardreader.PINReason, left int) error {
		return &cardreader.PINError{Reason: r, PIN: pin, TriesLeft: left}
	}
	switch f.Kind {
	case kindLoad:
		return ErrModule
	case kindCgo:
		return ErrCgo
	case kindChanged:
		return cardreader.ErrCardChanged
	case kindSpent:
		return fmt.Errorf("%w: it used up a try meanwhile", cardreader.ErrCardBusy)
	case kindPanic:
		return fmt.Errorf("%w: the module cannot be worked with", cardreader.ErrCardProtocol)
	}
	switch f.Code {
	case ckrPINIncorrect:
		if a.Flags&flagPINLocked != 0 {
			return refused(cardreader.PINBlocked, 0)
		}
		return refused(cardreader.PINWrong, triesLeft(a.Flags))
	case ckrPINLocked:
		return refused(cardreader.PINBlocked, 0)
	case ckrPINInvalid, ckrPINLenRange:
		return refused(cardreader.PINFormat, triesLeft(a.Flags))
	case ckrPINExpired, ckrUserPINNotInit:
		return refused(cardreader.PINMustChange, triesLeft(a.Flags))
	case ckrFunctionCanceled, ckrFunctionRejected:
		return refused(cardreader.PINCancelled, triesLeft(a.Flags))
	case ckrDeviceRemoved, ckrTokenNotPresent, ckrSlotIDInvalid:
		return fmt.Errorf("%w: %w", cardreader.ErrCardRemoved, e)
	case ckrTokenNotRecognized:
		return fmt.Errorf("%w: %w", cardreader.ErrCardUnsupported, e)
	case ckrUserNotLoggedIn:
		return fmt.Errorf("%w: %w", cardreader.ErrCardReset, e)
	case ckrMechanismInvalid, ckrKeyFunction, ckrNotSupported:
		return fmt.Errorf("%w: %w", cardreader.ErrNotOffered, e)
	default:
		return fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, e)
	}
}
