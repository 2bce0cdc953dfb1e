package iso7816

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// MaxBlock bounds a padded PIN in bytes.
const MaxBlock = 64

// WithBlock calls f with the PIN, left-justified and filled up with pad to size
// bytes, and wipes the block afterwards. f must not keep it.
func WithBlock(p *pin.PIN, size int, pad byte, f func(block []byte) error) error {
	return withBlocks([]*pin.PIN{p}, size, pad, f)
}

// WithBlocks is the same for an old and a new value one after the other, the
// data field of CHANGE REFERENCE DATA.
func WithBlocks(a, b *pin.PIN, size int, pad byte, f func(blocks []byte) error) error {
	return withBlocks([]*pin.PIN{a, b}, size, pad, f)
}

func withBlocks(pins []*pin.PIN, size int, pad byte, f func([]byte) error) error {
	if size <= 0 || size > MaxBlock {
		return pin.ErrFormat
	}
	var memory [2 * MaxBlock]byte
	blocks := memory[:len(pins)*size]
	defer clear(memory[:])
	for i := range blocks {
		blocks[i] = pad
	}
	for i, p := range pins {
		err := p.Use(func(secret []byte) error {
			if len(secret) > size {
				return pin.ErrFormat
			}
			copy(blocks[i*size:], secret)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return f(blocks)
}

// CheckPIN checks an entry against a rule before the card is asked. A refusal is
// a *cardreader.PINError.
func CheckPIN(id string, rule pin.Rule, p *pin.PIN) error {
	err := rule.Check(p)
	if errors.Is(err, pin.ErrFormat) {
		return &cardreader.PINError{Reason: cardreader.PINFormat, PIN: id, TriesLeft: -1}
	}
	return err
}

// Status words of a reader with keys of its own (PC/SC part 10 2.5.2).
const (
	swPadTimeout   apdu.StatusWord = 0x6400
	swPadCancelled apdu.StatusWord = 0x6401
	swPadDiffers   apdu.StatusWord = 0x6402
	swPadLength    apdu.StatusWord = 0x6403
)

// Verified gives every status word of a command that checks the PIN or PUK id
// its meaning: nil for 9000 alone, a *cardreader.PINError for a refusal, an
// *apdu.StatusError for all else.
func Verified(id string, c apdu.Command, sw apdu.StatusWord) error {
	if sw.OK() {
		return nil
	}
	if tries, ok := sw.Tries(); ok {
		if tries == 0 {
			return &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: id}
		}
		return &cardreader.PINError{Reason: cardreader.PINWrong, PIN: id, TriesLeft: tries}
	}
	switch sw {
	case apdu.SWBlocked, apdu.SWReferenceDataUnusable:
		return &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: id}
	case apdu.SWWrongLength, apdu.SWWrongData:
		return &cardreader.PINError{Reason: cardreader.PINFormat, PIN: id, TriesLeft: -1}
	default:
		return &apdu.StatusError{CLA: c.CLA, INS: c.INS, P1: c.P1, P2: c.P2, SW: sw}
	}
}

// Changed is Verified for CHANGE REFERENCE DATA, where 6985 and 6A80 are a new
// value that the card does not take: with lengths and characters checked before,
// that is the old one.
func Changed(id string, c apdu.Command, sw apdu.StatusWord) error {
	switch sw {
	case apdu.SWConditionsOfUse, apdu.SWWrongData:
		return &cardreader.PINError{Reason: cardreader.PINUnchanged, PIN: id, TriesLeft: -1}
	default:
		return Verified(id, c, sw)
	}
}

// EnteredAtPad is Verified for a PIN typed at the reader, whose own status words
// come first.
func EnteredAtPad(id string, c apdu.Command, sw apdu.StatusWord) error {
	if err := refusedByPad(id, sw); err != nil {
		return err
	}
	return Verified(id, c, sw)
}

// refusedByPad gives the reader's own status words their meaning, nil for those of
// the card. No try was used.
func refusedByPad(id string, sw apdu.StatusWord) error {
	refused := &cardreader.PINError{PIN: id, TriesLeft: -1}
	switch sw {
	case swPadTimeout:
		refused.Reason = cardreader.PINTimeout
	case swPadCancelled:
		refused.Reason = cardreader.PINCancelled
	case swPadDiffers:
		refused.Reason = cardreader.PINDiffers
	case swPadLength:
		refused.Reason = cardreader.PINFormat
	default:
		return nil
	}
	return refused
}

// PadPIN is a PIN that is typed at the reader.
type PadPIN struct {
	ID        string
	Reference byte
	Rule      pin.Rule
	// Block and Pad as in WithBlock.
	Block int
	Pad   byte
}

// entry is the template of a command that carries the blocks of PINs.
func entry(command apdu.Command, pins ...PadPIN) (cardreader.PadEntry, apdu.Command, error) {
	e := cardreader.PadEntry{Min: pins[0].Rule.Min, Max: pins[0].Rule.Max}
	for _, p := range pins {
		e.NewOffset = len(command.Data)
		command.Data = append(command.Data, bytes.Repeat([]byte{p.Pad}, p.Block)...)
		// The reader has one rule for all values that it asks for.
		e.Min, e.Max = min(e.Min, p.Rule.Min), max(e.Max, p.Rule.Max)
	}
	raw, err := command.Append(nil)
	e.Command = raw
	return e, command, err
}

// VerifyAtPad has the reader ask for the PIN and verify it once.
func VerifyAtPad(ctx context.Context, pad cardreader.PINPad, p PadPIN) error {
	e, command, err := entry(apdu.Command{INS: Verify, P2: p.Reference}, p)
	if err != nil {
		return err
	}
	sw, err := pad.Verify(ctx, e)
	if err != nil {
		return fmt.Errorf("verifying %s at the reader: %w", p.ID, err)
	}
	return EnteredAtPad(p.ID, command, apdu.StatusWord(sw))
}

// ChangeAtPad has the reader ask for the present value and twice for the new one,
// and change it once by CHANGE REFERENCE DATA.
func ChangeAtPad(ctx context.Context, pad cardreader.PINPad, p PadPIN) error {
	e, command, err := entry(apdu.Command{INS: ChangeReferenceData, P2: p.Reference}, p, p)
	if err != nil {
		return err
	}
	sw, err := pad.Change(ctx, e)
	if err != nil {
		return fmt.Errorf("changing %s at the reader: %w", p.ID, err)
	}
	if err := refusedByPad(p.ID, apdu.StatusWord(sw)); err != nil {
		return err
	}
	return Changed(p.ID, command, apdu.StatusWord(sw))
}

// UnblockAtPad has the reader ask for the PUK and twice for the new value, in one
// RESET RETRY COUNTER with both.
func UnblockAtPad(ctx context.Context, pad cardreader.PINPad, puk, target PadPIN) error {
	e, command, err := entry(apdu.Command{INS: ResetRetryCounter, P2: target.Reference}, puk, target)
	if err != nil {
		return err
	}
	sw, err := pad.Change(ctx, e)
	if err != nil {
		return fmt.Errorf("unblocking %s at the reader: %w", target.ID, err)
	}
	return EnteredAtPad(puk.ID, command, apdu.StatusWord(sw))
}

// ResetAtPad has the reader ask twice for the new value, in RESET RETRY COUNTER
// with that alone (P1 02), for cards on which the PUK was verified before.
func ResetAtPad(ctx context.Context, pad cardreader.PINPad, target PadPIN) error {
	e, command, err := entry(apdu.Command{INS: ResetRetryCounter, P1: 0x02, P2: target.Reference}, target)
	if err != nil {
		return err
	}
	e.Unblock = true
	sw, err := pad.Change(ctx, e)
	if err != nil {
		return fmt.Errorf("unblocking %s at the reader: %w", target.ID, err)
	}
	if err := refusedByPad(target.ID, apdu.StatusWord(sw)); err != nil || apdu.StatusWord(sw).OK() {
		return err
	}
	return &apdu.StatusError{CLA: command.CLA, INS: command.INS, P1: command.P1, P2: command.P2, SW: apdu.StatusWord(sw)}
}
