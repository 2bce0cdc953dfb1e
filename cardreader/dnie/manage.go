package dnie

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// changeWithOld begins the data of the card's own form of CHANGE REFERENCE DATA:
// 01, then old and new value, each after its length.
const changeWithOld = 0x01

// ChangePIN implements cardreader.PINChanger inside the PIN channel, by the
// command that the open drivers know (class 90). Cards in the field are said to
// keep it for the kiosks of the police; a card that refuses it, before or without
// looking at the PIN, is cardreader.ErrNotOffered.
func (c *card) ChangePIN(ctx context.Context, id string, old, replacement *pin.PIN) error {
	if id != pinID {
		return fmt.Errorf("%w: no %q", cardreader.ErrNoCredential, id)
	}
	for _, p := range []*pin.PIN{old, replacement} {
		if err := iso7816.CheckPIN(pinID, pinRule(), p); err != nil {
			return err
		}
	}
	return explain(ctx, c.change(ctx, old, replacement))
}

func (c *card) change(ctx context.Context, old, replacement *pin.PIN) error {
	if err := c.secure(ctx); err != nil {
		return err
	}
	if _, err := c.selectPath(ctx, pathPIN()); err != nil {
		return notOffered(fmt.Errorf("selecting the PIN: %w", err))
	}
	var memory [1 + 2*(1+pinMax)]byte
	defer clear(memory[:])
	data := append(memory[:0], changeWithOld)
	for _, p := range []*pin.PIN{old, replacement} {
		if err := p.Use(func(secret []byte) error {
			data = append(append(data, byte(len(secret))), secret...)
			return nil
		}); err != nil {
			return err
		}
	}
	command := apdu.Command{CLA: claMaker, INS: iso7816.ChangeReferenceData, P2: pinReference}
	withData := command
	withData.Data = data
	r, err := c.exchange(ctx, withData)
	if err != nil {
		r.SW, err = c.unprotected(err)
	}
	if err != nil {
		return fmt.Errorf("changing the PIN: %w", err)
	}
	return notOffered(iso7816.Verified(pinID, command, r.SW))
}

// notOffered tells the refusals of a function from those of a PIN.
func notOffered(err error) error {
	var status *apdu.StatusError
	if !errors.As(err, &status) {
		return err
	}
	switch status.SW {
	case apdu.SWSecurityNotSatisfied, apdu.SWConditionsOfUse, swCommandNotAllowed, apdu.SWFileNotFound,
		swFunctionNotSupported, swInstructionUnknown, swClassUnknown:
		return fmt.Errorf("%w: %w", cardreader.ErrNotOffered, err)
	default:
		return err
	}
}

// Refusals of a command as such (ISO/IEC 7816-4 table 6).
const (
	swCommandNotAllowed    apdu.StatusWord = 0x6986
	swFunctionNotSupported apdu.StatusWord = 0x6A81
	swInstructionUnknown   apdu.StatusWord = 0x6D00
	swClassUnknown         apdu.StatusWord = 0x6E00
)
