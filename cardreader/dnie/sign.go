package dnie

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/securemessaging"
)

// The card's only PIN: P2 of VERIFY, 8 to 16 letters, digits and signs, three
// tries. There is no PUK.
const (
	pinID          = "PIN"
	pinReference   = 0x00
	pinMin, pinMax = 8, 16
	pinTries       = 3
)

func pinRule() pin.Rule { return pin.Rule{Min: pinMin, Max: pinMax, Class: pin.Printable} }

// MSE SET for a signature, and PSO COMPUTE DIGITAL SIGNATURE over a DigestInfo
// (ISO/IEC 7816-8 11.5).
const (
	setForComputation = 0x41
	templateDST       = 0xB6
	tagKeyReference   = 0x84
	psoSignature      = 0x9E
	psoInput          = 0x9A
)

// PIN asks for the tries that are left by VERIFY without data, which costs none,
// inside the PIN channel.
func (c *card) PIN(ctx context.Context, id string) (cardreader.PINStatus, error) {
	if id != pinID {
		return cardreader.PINStatus{}, fmt.Errorf("%w: no %q", cardreader.ErrNoCredential, id)
	}
	tries, err := c.triesLeft(ctx)
	if err != nil {
		return cardreader.PINStatus{}, explain(ctx, fmt.Errorf("counter of the PIN: %w", err))
	}
	return cardreader.PINStatus{
		ID: pinID, TriesLeft: tries, TriesMax: pinTries,
		MinLength: pinMin, MaxLength: pinMax, Class: pin.Printable,
	}, nil
}

func (c *card) triesLeft(ctx context.Context) (int, error) {
	if err := c.secure(ctx); err != nil {
		return 0, err
	}
	command := apdu.Command{INS: iso7816.Verify, P2: pinReference, Ne: apdu.MaxShortNe, Public: true}
	r, err := c.exchange(ctx, command)
	if err != nil {
		r.SW, err = c.unprotected(err)
	}
	if err != nil {
		return 0, err
	}
	tries, counted := r.SW.Tries()
	switch {
	case counted:
		return tries, nil
	case r.SW == apdu.SWBlocked:
		return 0, nil
	case r.SW.OK():
		// Another program left the PIN verified, which gave back all tries (ISO/IEC
		// 7816-4 11.6.6).
		return pinTries, nil
	default:
		return 0, statusError(command, r.SW)
	}
}

// unprotected gives the status of a refused PIN that came in clear, which some
// cards may do, and puts an end to the channel. Nothing else is believed without
// protection, a success least of all.
func (c *card) unprotected(err error) (apdu.StatusWord, error) {
	var lost *securemessaging.LostError
	if !errors.As(err, &lost) {
		return 0, err
	}
	if _, counted := lost.SW.Tries(); !counted && lost.SW != apdu.SWBlocked {
		return 0, err
	}
	// Another role than any: the next use begins from the start.
	c.channel.role = 0
	return lost.SW, nil
}

func statusError(c apdu.Command, sw apdu.StatusWord) error {
	return &apdu.StatusError{CLA: c.CLA, INS: c.INS, P1: c.P1, P2: c.P2, SW: sw}
}

// Sign implements cardreader.Card with RSASSA-PKCS1-v1_5 over SHA-256, SHA-384 or
// SHA-512. The card forgets the PIN after each signature.
func (c *card) Sign(ctx context.Context, credential cardreader.Credential, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	info, err := iso7816.DigestInfo(hash, digest)
	if err != nil {
		return nil, err
	}
	if err := iso7816.CheckPIN(pinID, pinRule(), p); err != nil {
		return nil, err
	}
	signature, err := c.sign(ctx, credential, p, info)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return signature, nil
}

func (c *card) sign(ctx context.Context, wanted cardreader.Credential, p *pin.PIN, info []byte) ([]byte, error) {
	key, err := c.key(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if err := c.secure(ctx); err != nil {
		return nil, err
	}
	if err := c.verify(ctx, p); err != nil {
		return nil, err
	}
	if c.channel.role != cwa14890.RoleUser {
		// The PIN channel takes the PIN, the user channel uses the keys.
		if err := c.establish(ctx, c.channel.proof, c.channel.set, cwa14890.RoleUser); err != nil {
			return nil, err
		}
	}
	_, err = c.do(ctx, apdu.Command{
		INS: iso7816.ManageSecurity, P1: setForComputation, P2: templateDST, Public: true,
		Data: []byte{tagKeyReference, byte(len(key.reference)), key.reference[0], key.reference[1]},
	})
	if err != nil {
		return nil, fmt.Errorf("choosing the key: %w", err)
	}
	// No Ne: with one, a 6Cxx would have the command sent again.
	value, err := c.do(ctx, apdu.Command{
		INS: iso7816.PerformSecurity, P1: psoSignature, P2: psoInput, Data: info, Timeout: keyTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("computing the signature: %w", err)
	}
	public, ok := key.Certificate.PublicKey.(*rsa.PublicKey)
	if !ok || len(value) != public.Size() {
		return nil, fmt.Errorf("%w: signature of %d bytes", cardreader.ErrCardProtocol, len(value))
	}
	return value, nil
}

// key is the credential's key: remembered for a chip that is known, else read
// from the card.
func (c *card) key(ctx context.Context, wanted cardreader.Credential) (credential, error) {
	known := c.bound.memory()
	if kept, ok := known.credentials[wanted.ID]; ok && c.channel.open() && c.channel.proof.chip == known.proof.chip {
		return kept, nil
	}
	return c.credential(ctx, wanted.ID)
}

// verify presents the PIN once, as it is, without padding.
func (c *card) verify(ctx context.Context, p *pin.PIN) error {
	command := apdu.Command{INS: iso7816.Verify, P2: pinReference}
	var r apdu.Response
	err := p.Use(func(secret []byte) (err error) {
		command.Data = secret
		r, err = c.exchange(ctx, command)
		command.Data = nil
		return err
	})
	if err != nil {
		r.SW, err = c.unprotected(err)
	}
	if err != nil {
		return fmt.Errorf("verifying the PIN: %w", err)
	}
	return iso7816.Verified(pinID, command, r.SW)
}
