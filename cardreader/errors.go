package cardreader

import (
	"errors"
	"fmt"
)

// What a program decides on. Each is wrapped with context by whoever met it.
var (
	// ErrNoService: the PC/SC daemon is not running or not installed.
	ErrNoService = errors.New("smart-card service is not running")
	// ErrNoReader: the service runs but knows no reader.
	ErrNoReader = errors.New("no smart-card reader is connected")
	// ErrNoCard: the readers are empty.
	ErrNoCard = errors.New("no card is inserted")
	// ErrReaderGone: the reader was unplugged, or is not the one named.
	ErrReaderGone = errors.New("smart-card reader was unplugged")
	// ErrCardRemoved: the card left in the middle of an operation.
	ErrCardRemoved = errors.New("card was removed")
	// ErrCardChanged: another card is in the reader than the one that was
	// chosen. It saw no PIN.
	ErrCardChanged = errors.New("another card was inserted")
	// ErrCardReset: another program reset the card; begin again from SELECT.
	ErrCardReset = errors.New("card was reset by another program")
	// ErrCardBusy: another program holds the card or a transaction on it.
	ErrCardBusy = errors.New("card is in use by another program")
	// ErrCardMute: the chip does not answer.
	ErrCardMute = errors.New("card does not answer")
	// ErrCardUnsupported: no driver recognises the card.
	ErrCardUnsupported = errors.New("card is not supported")
	// ErrCardProtocol: the card's answer breaks its own rules.
	ErrCardProtocol = errors.New("card answered against its protocol")
	// ErrCardUntrusted: the chip did not prove that it is genuine. It saw no PIN.
	ErrCardUntrusted = errors.New("card is not trusted")
	// ErrNotOffered: the card's family has no such function.
	ErrNotOffered = errors.New("card does not offer this")
	// ErrNoCredential: no certificate on the card fits what was asked.
	ErrNoCredential = errors.New("no matching certificate on the card")
)

// PINReason says why the card, or the check before it, did not take a PIN.
type PINReason string

// The reasons.
const (
	PINWrong   PINReason = "wrong"
	PINBlocked PINReason = "blocked"
	// PINFormat: refused before the card was asked; no try was used.
	PINFormat PINReason = "format"
	// PINMustChange: a transport PIN that has to be changed first.
	PINMustChange PINReason = "must-change"
	// PINUnchanged: the card refused a new value that is the old one.
	PINUnchanged PINReason = "unchanged"
	// PINCancelled and PINTimeout: the entry at the reader's own keys ended
	// without a PIN; no try was used.
	PINCancelled PINReason = "cancelled"
	PINTimeout   PINReason = "timeout"
	// PINDiffers: the reader was given two different new values; no try was used.
	PINDiffers PINReason = "differs"
)

// PINError is a PIN that was not accepted. It never holds the PIN.
type PINError struct {
	Reason PINReason
	// PIN is the ID of the PIN, as in PINStatus.
	PIN string
	// TriesLeft as in PINStatus; -1 is not known.
	TriesLeft int
}

func (e *PINError) Error() string {
	switch e.Reason {
	case PINWrong:
		return fmt.Sprintf("%s is wrong, tries left: %d", e.PIN, e.TriesLeft)
	case PINBlocked:
		return e.PIN + " is blocked"
	case PINFormat:
		return e.PIN + " has the wrong length or characters"
	case PINUnchanged:
		return e.PIN + " was not changed: the new value is the old one"
	case PINCancelled:
		return e.PIN + " was not entered: cancelled at the reader"
	case PINTimeout:
		return e.PIN + " was not entered in time"
	case PINDiffers:
		return e.PIN + " was not changed: the two entries of the new value differ"
	default:
		return e.PIN + " must be changed before first use"
	}
}
