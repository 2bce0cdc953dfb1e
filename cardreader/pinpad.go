package cardreader

import (
	"context"
	"crypto"
)

// PINPadProvider is a Connection whose reader may have keys of its own.
type PINPadProvider interface {
	// PINPad returns the reader's pad, nil when it has none or announces one
	// falsely. No command is sent to the card.
	PINPad(ctx context.Context) (PINPad, error)
}

// PINPad is a reader on which a PIN is typed, so that it never enters the
// computer (PC/SC part 10).
type PINPad interface {
	// CanChange tells whether Change works on this reader.
	CanChange() bool
	// Verify lets the holder type a PIN, puts it into e's command and returns
	// the card's status word, or the reader's own: 6400 for no entry in time,
	// 6401 for cancelled, 6403 for a wrong length. It blocks while the holder
	// types, at most e.Timeout.
	Verify(ctx context.Context, e PadEntry) (sw uint16, err error)
	// Change is the same for CHANGE REFERENCE DATA and RESET RETRY COUNTER with
	// an old (or PUK) and a new value; 6402 is a new value typed differently
	// the second time.
	Change(ctx context.Context, e PadEntry) (sw uint16, err error)
}

// PadEntry tells a reader how to build the command. All PINs are ASCII digits,
// left-justified in a block of a fixed length.
type PadEntry struct {
	// Command is the whole command APDU with pad bytes in place of the digits.
	Command []byte
	// Min and Max bound the entry in digits.
	Min, Max int
	// NewOffset is where the new value's block begins in the data field; only
	// for Change.
	NewOffset int
	// Unblock asks for no old value: only for Change.
	Unblock bool
	// Language is a Windows language identifier (LANGID) for the reader's
	// display; 0 is the reader's own choice.
	Language uint16
}

// PadSigner is a Card whose PIN may be typed at the reader. Families that encrypt
// the PIN for the card, such as the DNIe, are none.
type PadSigner interface {
	// SignAtPad is Sign with the PIN typed on pad.
	SignAtPad(ctx context.Context, c Credential, pad PINPad, hash crypto.Hash, digest []byte) ([]byte, error)
}

// PadChanger is a Card whose PINs may get a new value at the reader. A refusal is
// told as by PINChanger and PINUnblocker.
type PadChanger interface {
	// ChangePINAtPad is PINChanger.ChangePIN with both values typed on pad.
	ChangePINAtPad(ctx context.Context, id string, pad PINPad) error
	// UnblockPINAtPad is PINUnblocker.UnblockPIN with PUK and new value typed on
	// pad.
	UnblockPINAtPad(ctx context.Context, id string, pad PINPad) error
}

// PadPrompter is a PINSource that can tell the holder to use the reader's keys.
// A source without it is asked for the PIN itself, whatever the reader has.
type PadPrompter interface {
	// EnterAtReader shows the request and returns at once, except that with one
	// try left it gets an explicit yes first. No connection is held. An error
	// ends the operation; done takes the hint away.
	EnterAtReader(ctx context.Context, r PINRequest) (done func(), err error)
}

// PadChangePrompter is a PINChangeSource that can tell the holder to use the
// reader's keys. A source without it is asked for both values itself, whatever
// the reader has.
type PadChangePrompter interface {
	// ChangeAtReader shows what is going to happen and returns at once, except
	// that with one try of r.Checked left it gets an explicit yes first. No
	// connection is held. An error ends the operation; done takes the hint away.
	ChangeAtReader(ctx context.Context, r PINChangeRequest) (done func(), err error)
}

// pad is the pad of a connection that a card may use, or nil.
func (s *session) pad(ctx context.Context) (PINPad, error) {
	provider, ok := s.connection.(PINPadProvider)
	if !ok || s.withoutPad {
		return nil, nil
	}
	return provider.PINPad(ctx)
}

// presentPad is the pad that was there when the holder was told to use it.
func (s *session) presentPad(ctx context.Context) (PINPad, error) {
	pad, err := s.pad(ctx)
	if err == nil && pad == nil {
		err = ErrReaderGone
	}
	return pad, err
}

// padUsable: the reader has a pad and the card's family allows it.
func (s *session) padUsable(ctx context.Context) (bool, error) {
	if _, ok := s.Card.(PadSigner); !ok {
		return false, nil
	}
	pad, err := s.pad(ctx)
	return pad != nil, err
}

// padChangeable is padUsable for a new value.
func (s *session) padChangeable(ctx context.Context) (bool, error) {
	if _, ok := s.Card.(PadChanger); !ok {
		return false, nil
	}
	pad, err := s.pad(ctx)
	return pad != nil && pad.CanChange(), err
}
