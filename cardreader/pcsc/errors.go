package pcsc

import (
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
)

// Error is a PC/SC return code. Unwrap gives the cardreader error that the code
// means, where it means one.
type Error struct {
	// Op is the call: "connect", "transmit".
	Op string
	// Code is the return code, 0x8010xxxx.
	Code uint32
}

// Return codes (pcsclite.h, winscard.h).
const (
	codeInvalidHandle      = 0x80100003
	codeInsufficientBuffer = 0x80100008
	codeUnknownReader      = 0x80100009
	codeTimeout            = 0x8010000A
	codeSharingViolation   = 0x8010000B
	codeNoSmartcard        = 0x8010000C
	codeProtoMismatch      = 0x8010000F
	codeNotReady           = 0x80100010
	codeCommError          = 0x80100013
	codeNotTransacted      = 0x80100016
	codeReaderUnavailable  = 0x80100017
	codeNoService          = 0x8010001D
	codeServiceStopped     = 0x8010001E
	codeNoReaders          = 0x8010002E
	codeUnsupportedCard    = 0x80100065
	codeUnresponsiveCard   = 0x80100066
	codeUnpoweredCard      = 0x80100067
	codeResetCard          = 0x80100068
	codeRemovedCard        = 0x80100069
	codeSecurityViolation  = 0x8010006A
)

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (PC/SC %08X)", e.Op, e.text(), e.Code)
}

func (e *Error) text() string {
	if meaning := e.Unwrap(); meaning != nil && e.Code != codeSecurityViolation {
		return meaning.Error()
	}
	switch e.Code {
	case codeSecurityViolation:
		return "access to the smart-card service is not permitted"
	case codeTimeout:
		return "nothing happened in time"
	case codeInvalidHandle:
		return "handle is no longer valid"
	case codeProtoMismatch:
		return "transmission protocol does not match"
	default:
		return "card service error"
	}
}

// Unwrap maps the code to what a program decides on, or nil.
func (e *Error) Unwrap() error {
	switch e.Code {
	case codeNoService, codeServiceStopped, codeSecurityViolation, codeInvalidHandle:
		// A handle becomes invalid when the service was restarted under it.
		return cardreader.ErrNoService
	case codeNoReaders:
		return cardreader.ErrNoReader
	case codeUnknownReader, codeReaderUnavailable:
		return cardreader.ErrReaderGone
	case codeNoSmartcard:
		return cardreader.ErrNoCard
	case codeRemovedCard:
		return cardreader.ErrCardRemoved
	case codeResetCard, codeUnpoweredCard:
		return cardreader.ErrCardReset
	case codeSharingViolation:
		return cardreader.ErrCardBusy
	case codeUnresponsiveCard, codeUnsupportedCard, codeCommError, codeNotTransacted, codeNotReady:
		return cardreader.ErrCardMute
	default:
		return nil
	}
}

func code(err error) uint32 {
	if e := asError(err); e != nil {
		return e.Code
	}
	return 0
}
