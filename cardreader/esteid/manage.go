package esteid

import (
	"context"
	"crypto/ecdh"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// ChangePIN implements cardreader.PINChanger, for the PUK as well.
func (c *card) ChangePIN(ctx context.Context, id string, old, replacement *pin.PIN) error {
	r, err := c.referenceByID(id)
	if err != nil {
		return err
	}
	for _, p := range []*pin.PIN{old, replacement} {
		if err := iso7816.CheckPIN(id, r.rule(), p); err != nil {
			return err
		}
	}
	if err := c.enter(ctx, r.application); err != nil {
		return c.explain(ctx, err)
	}
	err = iso7816.WithBlocks(old, replacement, pinBlock, pinPad, func(blocks []byte) error {
		command := apdu.Command{INS: insChange, P2: r.number, Data: blocks}
		answer, err := apdu.Exchange(ctx, c.transport, command)
		if err != nil {
			return fmt.Errorf("changing %s: %w", id, err)
		}
		return iso7816.Changed(id, command, answer.SW)
	})
	return c.explain(ctx, err)
}

// PUK implements cardreader.PINUnblocker.
func (c *card) PUK(id string) (string, error) {
	if _, err := c.referenceByID(id); err != nil {
		return "", err
	}
	if id == idPUK {
		return "", fmt.Errorf("unblocking the PUK: %w", cardreader.ErrNotOffered)
	}
	return idPUK, nil
}

// UnblockPIN implements cardreader.PINUnblocker: VERIFY of the PUK, then RESET
// RETRY COUNTER with the new value alone. The PUK stays verified when PIN2's
// application is selected.
func (c *card) UnblockPIN(ctx context.Context, id string, puk, replacement *pin.PIN) error {
	if _, err := c.PUK(id); err != nil {
		return err
	}
	target, err := c.referenceByID(id)
	if err != nil {
		return err
	}
	unblocking, err := c.referenceByID(idPUK)
	if err != nil {
		return err
	}
	if err := iso7816.CheckPIN(idPUK, unblocking.rule(), puk); err != nil {
		return err
	}
	if err := iso7816.CheckPIN(id, target.rule(), replacement); err != nil {
		return err
	}
	return c.explain(ctx, c.unblock(ctx, target, unblocking,
		func() error { return c.verify(ctx, unblocking, puk) },
		func() error { return c.reset(ctx, target, replacement) }))
}

// unblock has the PUK verified in its application and the new value set in that of
// its PIN.
func (c *card) unblock(ctx context.Context, target, unblocking reference, verify, reset func() error) error {
	if err := c.enter(ctx, unblocking.application); err != nil {
		return err
	}
	if err := verify(); err != nil {
		return err
	}
	if err := c.enter(ctx, target.application); err != nil {
		return err
	}
	return reset()
}

func (c *card) reset(ctx context.Context, target reference, replacement *pin.PIN) error {
	return iso7816.WithBlock(replacement, pinBlock, pinPad, func(padded []byte) error {
		_, err := apdu.Do(ctx, c.transport, apdu.Command{INS: insReset, P1: 0x02, P2: target.number, Data: padded})
		if err != nil {
			return fmt.Errorf("unblocking %s: %w", target.id, err)
		}
		return nil
	})
}

// ChangePINAtPad implements cardreader.PadChanger.
func (c *card) ChangePINAtPad(ctx context.Context, id string, pad cardreader.PINPad) error {
	r, err := c.referenceByID(id)
	if err != nil {
		return err
	}
	if err := c.enter(ctx, r.application); err != nil {
		return c.explain(ctx, err)
	}
	return c.explain(ctx, iso7816.ChangeAtPad(ctx, pad, r.atPad()))
}

// UnblockPINAtPad implements cardreader.PadChanger: two entries, of the PUK and of
// the new value.
func (c *card) UnblockPINAtPad(ctx context.Context, id string, pad cardreader.PINPad) error {
	if _, err := c.PUK(id); err != nil {
		return err
	}
	target, err := c.referenceByID(id)
	if err != nil {
		return err
	}
	unblocking, err := c.referenceByID(idPUK)
	if err != nil {
		return err
	}
	return c.explain(ctx, c.unblock(ctx, target, unblocking,
		func() error { return iso7816.VerifyAtPad(ctx, pad, unblocking.atPad()) },
		func() error { return iso7816.ResetAtPad(ctx, pad, target.atPad()) }))
}

// PersonalData implements cardreader.PersonalDataReader.
func (c *card) PersonalData(ctx context.Context) (*cardreader.PersonalData, error) {
	if err := c.enter(ctx, mainApplication); err != nil {
		return nil, c.explain(ctx, err)
	}
	c.at = elsewhere
	_, err := c.do(ctx, apdu.Command{INS: insSelect, P1: selectPathHere, P2: noAnswer, Data: []byte(pathPersonalData)})
	if err != nil {
		return nil, c.explain(ctx, fmt.Errorf("personal data: %w", err))
	}
	data, err := ReadPersonalData(ctx, c.transport)
	if err != nil {
		return nil, c.explain(ctx, fmt.Errorf("personal data: %w", err))
	}
	return data, nil
}

// Agree implements cardreader.Agreer with the authentication key. The commands
// are those of OpenSC's card-esteid2018.c.
func (c *card) Agree(ctx context.Context, credential cardreader.Credential, p *pin.PIN, peer *ecdh.PublicKey) ([]byte, error) {
	k, r, err := c.signing(credential)
	if err != nil {
		return nil, err
	}
	if k.usage != cardreader.UsageAuthentication {
		return nil, fmt.Errorf("%s key: %w", k.id, cardreader.ErrNotOffered)
	}
	if peer.Curve() != ecdh.P384() {
		return nil, fmt.Errorf("%w: peer is on another curve", cardreader.ErrNoCredential)
	}
	if err := iso7816.CheckPIN(r.id, r.rule(), p); err != nil {
		return nil, err
	}
	shared, err := c.agree(ctx, k, r, p, peer)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return shared, nil
}

func (c *card) agree(ctx context.Context, k key, r reference, p *pin.PIN, peer *ecdh.PublicKey) ([]byte, error) {
	if err := c.enter(ctx, k.application); err != nil {
		return nil, err
	}
	_, err := c.do(ctx, apdu.Command{
		INS: insManageSecurity, P1: setForComputation, P2: templateCT,
		Data: []byte{0x80, 0x04, 0xFF, 0x30, 0x04, 0x00, 0x84, 0x01, k.reference},
	})
	if err != nil {
		return nil, fmt.Errorf("setting the security environment: %w", err)
	}
	if err := c.verify(ctx, r, p); err != nil {
		return nil, err
	}
	shared, err := apdu.Do(ctx, c.transport, apdu.Command{
		INS: insPerformSecurity, P1: 0x80, P2: 0x86,
		Data: append([]byte{0x00}, peer.Bytes()...), Ne: apdu.MaxShortNe, Timeout: keyTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("agreeing on a secret: %w", err)
	}
	if len(shared) != field {
		clear(shared)
		return nil, fmt.Errorf("%w: shared secret of %d bytes", apdu.ErrProtocol, len(shared))
	}
	return shared, nil
}
