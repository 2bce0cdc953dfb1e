package esteid2025

import (
	"context"
	"crypto/ecdh"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// ChangePIN implements cardreader.PINChanger; with a transport PIN it activates
// the card. The PUK cannot be replaced.
func (e *estonian) ChangePIN(ctx context.Context, id string, old, replacement *pin.PIN) error {
	r, err := e.changeable(id)
	if err != nil {
		return err
	}
	for _, p := range []*pin.PIN{old, replacement} {
		if err := iso7816.CheckPIN(id, r.rule(), p); err != nil {
			return err
		}
	}
	err = iso7816.WithBlocks(old, replacement, pinBlock, pinPad, func(blocks []byte) error {
		command := apdu.Command{INS: iso7816.ChangeReferenceData, P2: r.number, Data: blocks}
		answer, err := apdu.Exchange(ctx, e.transport, command)
		if err != nil {
			return fmt.Errorf("changing %s: %w", id, err)
		}
		return iso7816.Changed(id, command, answer.SW)
	})
	return explain(ctx, err)
}

// CanChangePIN implements cardreader.PINChangeLimiter.
func (e *estonian) CanChangePIN(id string) error {
	_, err := e.changeable(id)
	return err
}

func (e *estonian) changeable(id string) (reference, error) {
	r, err := e.referenceByID(id)
	if err == nil && id == idPUK {
		err = fmt.Errorf("changing or unblocking the PUK: %w", cardreader.ErrNotOffered)
	}
	return r, err
}

// PUK implements cardreader.PINUnblocker.
func (e *estonian) PUK(id string) (string, error) {
	_, err := e.changeable(id)
	return idPUK, err
}

// UnblockPIN implements cardreader.PINUnblocker: one RESET RETRY COUNTER with PUK
// and new value.
func (e *estonian) UnblockPIN(ctx context.Context, id string, puk, replacement *pin.PIN) error {
	target, err := e.changeable(id)
	if err != nil {
		return err
	}
	unblocking, err := e.referenceByID(idPUK)
	if err != nil {
		return err
	}
	if err := iso7816.CheckPIN(idPUK, unblocking.rule(), puk); err != nil {
		return err
	}
	if err := iso7816.CheckPIN(id, target.rule(), replacement); err != nil {
		return err
	}
	err = iso7816.WithBlocks(puk, replacement, pinBlock, pinPad, func(blocks []byte) error {
		command := apdu.Command{INS: iso7816.ResetRetryCounter, P2: target.number, Data: blocks}
		answer, err := apdu.Exchange(ctx, e.transport, command)
		if err != nil {
			return fmt.Errorf("unblocking %s: %w", id, err)
		}
		return iso7816.Verified(idPUK, command, answer.SW)
	})
	return explain(ctx, err)
}

// ChangePINAtPad implements cardreader.PadChanger.
func (e *estonian) ChangePINAtPad(ctx context.Context, id string, pad cardreader.PINPad) error {
	r, err := e.changeable(id)
	if err != nil {
		return err
	}
	return explain(ctx, iso7816.ChangeAtPad(ctx, pad, r.atPad()))
}

// UnblockPINAtPad implements cardreader.PadChanger.
func (e *estonian) UnblockPINAtPad(ctx context.Context, id string, pad cardreader.PINPad) error {
	target, err := e.changeable(id)
	if err != nil {
		return err
	}
	unblocking, err := e.referenceByID(idPUK)
	if err != nil {
		return err
	}
	return explain(ctx, iso7816.UnblockAtPad(ctx, pad, unblocking.atPad(), target.atPad()))
}

// PersonalData implements cardreader.PersonalDataReader.
func (e *estonian) PersonalData(ctx context.Context) (*cardreader.PersonalData, error) {
	_, err := e.do(ctx, apdu.Command{INS: iso7816.Select, P1: selectFromRoot, P2: noAnswer, Data: []byte(pathPersonalData)})
	if err != nil {
		return nil, explain(ctx, fmt.Errorf("personal data: %w", err))
	}
	data, err := esteid.ReadPersonalData(ctx, e.transport)
	if err != nil {
		return nil, explain(ctx, fmt.Errorf("personal data: %w", err))
	}
	return data, nil
}

// Agree implements cardreader.Agreer with the authentication key. The commands
// are those of OpenSC's card-esteid2025.c.
func (e *estonian) Agree(ctx context.Context, credential cardreader.Credential, p *pin.PIN, peer *ecdh.PublicKey) ([]byte, error) {
	k, err := e.keyByID(credential.ID)
	if err != nil {
		return nil, err
	}
	if k.usage != cardreader.UsageAuthentication {
		return nil, fmt.Errorf("%s key: %w", k.id, cardreader.ErrNotOffered)
	}
	if peer.Curve() != ecdh.P384() {
		return nil, fmt.Errorf("%w: peer is on another curve", cardreader.ErrNoCredential)
	}
	r, err := e.referenceByID(k.pin)
	if err != nil {
		return nil, err
	}
	if err := iso7816.CheckPIN(r.id, r.rule(), p); err != nil {
		return nil, err
	}
	shared, err := e.agree(ctx, k, r, p, peer)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return shared, nil
}

func (e *estonian) agree(ctx context.Context, k key, r reference, p *pin.PIN, peer *ecdh.PublicKey) ([]byte, error) {
	if err := e.verify(ctx, r, p); err != nil {
		return nil, err
	}
	_, err := e.do(ctx, apdu.Command{
		INS: iso7816.ManageSecurity, P1: setForComputation, P2: templateCT, Data: []byte{0x84, 0x01, k.reference},
	})
	if err != nil {
		return nil, fmt.Errorf("setting the security environment: %w", err)
	}
	shared, err := apdu.Do(ctx, e.transport, apdu.Command{
		INS: iso7816.PerformSecurity, P1: 0x80, P2: 0x86,
		Data: append([]byte{0x00}, peer.Bytes()...), Ne: apdu.MaxShortNe, Timeout: keyTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("agreeing on a secret: %w", err)
	}
	if len(shared) != k.scheme.size {
		clear(shared)
		return nil, fmt.Errorf("%w: shared secret of %d bytes", apdu.ErrProtocol, len(shared))
	}
	return shared, nil
}
