package pcsc

import (
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
)

// system is what this package needs of PC/SC. Its errors are *Error.
type system interface {
	establish() (session, error)
}

// session is one resource manager context (SCARDCONTEXT).
type session interface {
	readers() ([]string, error)
	// status fills in state and ATR of the slots, after waiting up to timeout
	// for a difference to known. Two calls with the same role must not run at
	// the same time.
	status(role string, slots []slot, timeout time.Duration) error
	connect(reader string) (handle, error)
	cancel() error
	release() error
}

// handle is one card connection (SCARDHANDLE).
type handle interface {
	protocol() protocol
	begin() error
	reconnect() error
	atr() ([]byte, error)
	transmit(command []byte) ([]byte, error)
	// control sends a command to the reader; number is that of the function,
	// before the system's own encoding (SCARD_CTL_CODE).
	control(number uint32, in []byte) ([]byte, error)
	// controlCode sends one that the reader named in full.
	controlCode(code uint32, in []byte) ([]byte, error)
	end(reset bool) error
	disconnect(reset bool) error
}

// protocol is the active transmission protocol.
type protocol int

const (
	protocolOther protocol = iota
	protocolT0
	protocolT1
)

// slot is a SCARD_READERSTATE.
type slot struct {
	name string
	// known is the state of the caller's last look, 0 for none.
	known uint32
	now   uint32
	atr   []byte
}

// Bits of a slot's state (SCARD_STATE, pcsclite.h); the upper half counts events.
const (
	stateUnknown     = 0x0004
	stateUnavailable = 0x0008
	statePresent     = 0x0020
	stateExclusive   = 0x0080
	stateMute        = 0x0200
)

// reader is what the slot means to a user; false when it is gone.
func (s slot) reader() (cardreader.Reader, bool) {
	r := cardreader.Reader{Name: s.name}
	switch {
	case s.now&(stateUnknown|stateUnavailable) != 0:
		return r, false
	case s.now&stateMute != 0:
		r.State = cardreader.ReaderMute
	case s.now&statePresent == 0:
		r.State = cardreader.ReaderEmpty
	case s.now&stateExclusive != 0:
		r.State = cardreader.ReaderExclusive
	default:
		r.State = cardreader.ReaderPresent
	}
	if s.now&statePresent != 0 && len(s.atr) <= maxATR {
		r.ATR = s.atr
	}
	return r, true
}
