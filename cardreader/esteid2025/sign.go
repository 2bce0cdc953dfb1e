package esteid2025

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Tags of the answer to GET DATA: A0 is the PIN, the first byte of DF21 its
// tries left, DF2F says whether the holder has changed it.
const (
	tagPIN       tlv.Tag = 0xA0
	tagTriesLeft tlv.Tag = 0xDF21
	tagChanged   tlv.Tag = 0xDF2F
)

// pin reads the counter of one PIN with GET DATA, which costs no try. Under T=0
// the command goes without Le, as every command with data does; that is the
// transport's work.
func (c *card) pin(ctx context.Context, r reference) (cardreader.PINStatus, error) {
	status, err := c.status(ctx, r)
	if err != nil {
		return cardreader.PINStatus{}, explain(ctx, fmt.Errorf("counter of %s: %w", r.id, err))
	}
	return status, nil
}

func (c *card) status(ctx context.Context, r reference) (cardreader.PINStatus, error) {
	answer, err := c.do(ctx, apdu.Command{
		INS: iso7816.GetData, P2: 0xFF, Data: []byte{0xA0, 0x03, 0x83, 0x01, r.number}, Ne: apdu.MaxShortNe,
	})
	if err != nil {
		return cardreader.PINStatus{}, err
	}
	tries, err := tlv.Find(answer, tagPIN, tagTriesLeft)
	if err != nil {
		return cardreader.PINStatus{}, err
	}
	if len(tries) == 0 {
		return cardreader.PINStatus{}, fmt.Errorf("%w: no counter", apdu.ErrProtocol)
	}
	status := cardreader.PINStatus{
		ID: r.id, TriesLeft: int(tries[0]), TriesMax: r.max,
		MinLength: r.min, MaxLength: pinBlock, Class: pin.Digits,
	}
	changed, err := tlv.Find(answer, tagPIN, tagChanged)
	switch {
	case errors.Is(err, tlv.ErrNotFound):
	case err != nil:
		return cardreader.PINStatus{}, err
	default:
		// The PUK cannot be changed and never has to be.
		status.MustChange = r.id != idPUK && len(changed) == 1 && changed[0] == 0
	}
	return status, nil
}

// Sign implements cardreader.Card. The order is that of the recordings: VERIFY,
// security environment, hash, signature.
func (c *card) Sign(ctx context.Context, credential cardreader.Credential, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	k, r, algorithm, err := c.signing(credential, hash, digest)
	if err != nil {
		return nil, err
	}
	if err := iso7816.CheckPIN(r.id, r.rule(), p); err != nil {
		return nil, err
	}
	return c.sign(ctx, k, algorithm, digest, func() error { return c.verify(ctx, r, p) })
}

// SignAtPad implements cardreader.PadSigner.
func (c *card) SignAtPad(ctx context.Context, credential cardreader.Credential, pad cardreader.PINPad, hash crypto.Hash, digest []byte) ([]byte, error) {
	k, r, algorithm, err := c.signing(credential, hash, digest)
	if err != nil {
		return nil, err
	}
	return c.sign(ctx, k, algorithm, digest, func() error {
		return iso7816.VerifyAtPad(ctx, pad, r.atPad())
	})
}

func (c *card) signing(credential cardreader.Credential, hash crypto.Hash, digest []byte) (key, reference, byte, error) {
	k, err := c.keyByID(credential.ID)
	if err != nil {
		return key{}, reference{}, 0, err
	}
	if err := iso7816.CheckDigest(hash, digest); err != nil {
		return key{}, reference{}, 0, err
	}
	algorithm, ok := k.scheme.identifier(hash)
	if !ok {
		return key{}, reference{}, 0, fmt.Errorf("%w: %v with this key", cardreader.ErrDigest, hash)
	}
	r, err := c.referenceByID(k.pin)
	return k, r, algorithm, err
}

func (c *card) sign(ctx context.Context, k key, algorithm byte, digest []byte, verify func() error) ([]byte, error) {
	value, err := c.compute(ctx, k, algorithm, digest, verify)
	if err == nil && !k.scheme.pss() {
		value, err = iso7816.SignatureDER(value, k.scheme.size)
	}
	if err != nil {
		return nil, explain(ctx, err)
	}
	return value, nil
}

func (c *card) compute(ctx context.Context, k key, algorithm byte, digest []byte, verify func() error) ([]byte, error) {
	if err := verify(); err != nil {
		return nil, err
	}
	_, err := c.do(ctx, apdu.Command{
		INS: iso7816.ManageSecurity, P1: setForComputation, P2: templateDST,
		Data: []byte{0x80, 0x01, algorithm, 0x84, 0x01, k.reference},
	})
	if err != nil {
		return nil, fmt.Errorf("setting the security environment: %w", err)
	}
	_, err = apdu.Do(ctx, c.transport, apdu.Command{
		INS: iso7816.PerformSecurity, P1: 0x90, P2: 0xA0,
		Data: append([]byte{0x90, byte(len(digest))}, digest...),
	})
	if err != nil {
		return nil, fmt.Errorf("handing over the hash: %w", err)
	}
	value, err := apdu.Do(ctx, c.transport, apdu.Command{
		INS: iso7816.PerformSecurity, P1: 0x9E, P2: 0x9A, Ne: apdu.MaxShortNe, Timeout: keyTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("computing the signature: %w", err)
	}
	return value, nil
}

// verify presents a PIN once.
func (c *card) verify(ctx context.Context, r reference, p *pin.PIN) error {
	return iso7816.WithBlock(p, pinBlock, pinPad, func(padded []byte) error {
		command := apdu.Command{INS: iso7816.Verify, P2: r.number, Data: padded}
		answer, err := apdu.Exchange(ctx, c.transport, command)
		if err != nil {
			return fmt.Errorf("verifying %s: %w", r.id, err)
		}
		return iso7816.Verified(r.id, command, answer.SW)
	})
}
