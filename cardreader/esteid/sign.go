package esteid

import (
	"context"
	"crypto"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// field is the size of P-384's field and order in bytes: what the card signs is
// one of them, what it answers are two, r and s.
const field = 48

// Tags of the answer to GET DATA, as recorded from a real card: 70, BF81xx, A0,
// then 9A the maximum and 9B the tries left.
const (
	tagObject    tlv.Tag = 0x70
	tagReference tlv.Tag = 0xBF8100
	tagCounters  tlv.Tag = 0xA0
	tagTriesMax  tlv.Tag = 0x9A
	tagTriesLeft tlv.Tag = 0x9B
)

// pin reads the counter of one PIN with GET DATA, which costs no try. VERIFY
// without data is not used: it is not part of this card's description.
func (c *card) pin(ctx context.Context, r reference) (cardreader.PINStatus, error) {
	status, err := c.counter(ctx, r)
	if err != nil {
		return cardreader.PINStatus{}, c.explain(ctx, fmt.Errorf("counter of %s: %w", r.id, err))
	}
	return status, nil
}

func (c *card) counter(ctx context.Context, r reference) (cardreader.PINStatus, error) {
	if err := c.enter(ctx, r.application); err != nil {
		return cardreader.PINStatus{}, err
	}
	// 4D is the extended header list that names 70, BF81xx, A0.
	number := r.number & 0x0F
	answer, err := c.do(ctx, apdu.Command{
		INS: insGetData, P1: 0x3F, P2: 0xFF,
		Data: []byte{0x4D, 0x08, 0x70, 0x06, 0xBF, 0x81, number, 0x02, 0xA0, 0x80},
		Ne:   apdu.MaxShortNe,
	})
	if err != nil {
		return cardreader.PINStatus{}, err
	}
	status := cardreader.PINStatus{ID: r.id, MinLength: r.min, MaxLength: pinBlock, Class: pin.Digits}
	counters, err := tlv.Find(answer, tagObject, tagReference|tlv.Tag(number), tagCounters)
	if err != nil {
		return cardreader.PINStatus{}, err
	}
	if status.TriesMax, err = count(counters, tagTriesMax); err != nil {
		return cardreader.PINStatus{}, err
	}
	if status.TriesLeft, err = count(counters, tagTriesLeft); err != nil {
		return cardreader.PINStatus{}, err
	}
	return status, nil
}

func count(counters []byte, tag tlv.Tag) (int, error) {
	value, err := tlv.Find(counters, tag)
	if err != nil {
		return 0, err
	}
	if len(value) != 1 {
		return 0, fmt.Errorf("%w: counter of %d bytes", apdu.ErrProtocol, len(value))
	}
	return int(value[0]), nil
}

// Sign implements cardreader.Card. The order is that of the recordings: the
// key's application, security environment, VERIFY, signature.
func (c *card) Sign(ctx context.Context, credential cardreader.Credential, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	k, r, err := c.signing(credential)
	if err != nil {
		return nil, err
	}
	if err := iso7816.CheckDigest(hash, digest); err != nil {
		return nil, err
	}
	if err := iso7816.CheckPIN(r.id, r.rule(), p); err != nil {
		return nil, err
	}
	return c.sign(ctx, k, digest, func() error { return c.verify(ctx, r, p) })
}

// SignAtPad implements cardreader.PadSigner.
func (c *card) SignAtPad(ctx context.Context, credential cardreader.Credential, pad cardreader.PINPad, hash crypto.Hash, digest []byte) ([]byte, error) {
	k, r, err := c.signing(credential)
	if err != nil {
		return nil, err
	}
	if err := iso7816.CheckDigest(hash, digest); err != nil {
		return nil, err
	}
	return c.sign(ctx, k, digest, func() error {
		return iso7816.VerifyAtPad(ctx, pad, r.atPad())
	})
}

func (c *card) signing(credential cardreader.Credential) (key, reference, error) {
	k, err := c.keyByID(credential.ID)
	if err != nil {
		return key{}, reference{}, err
	}
	r, err := c.referenceByID(k.pin)
	return k, r, err
}

func (c *card) sign(ctx context.Context, k key, digest []byte, verify func() error) ([]byte, error) {
	value, err := c.compute(ctx, k, iso7816.Fit(digest, field), verify)
	if err == nil {
		value, err = iso7816.SignatureDER(value, field)
	}
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return value, nil
}

// compute has the key work on input once.
func (c *card) compute(ctx context.Context, k key, input []byte, verify func() error) ([]byte, error) {
	if err := c.enter(ctx, k.application); err != nil {
		return nil, err
	}
	_, err := c.do(ctx, apdu.Command{
		INS: insManageSecurity, P1: setForComputation, P2: k.template,
		Data: []byte{0x80, 0x01, k.algorithm, 0x84, 0x01, k.reference},
	})
	if err != nil {
		return nil, fmt.Errorf("setting the security environment: %w", err)
	}
	if err := verify(); err != nil {
		return nil, err
	}
	value, err := apdu.Do(ctx, c.transport, apdu.Command{
		INS: k.ins, P1: k.p1, P2: k.p2, Data: input, Ne: apdu.MaxShortNe, Timeout: keyTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("computing the signature: %w", err)
	}
	return value, nil
}

// verify presents a PIN or PUK once.
func (c *card) verify(ctx context.Context, r reference, p *pin.PIN) error {
	return iso7816.WithBlock(p, pinBlock, pinPad, func(padded []byte) error {
		command := apdu.Command{INS: insVerify, P2: r.number, Data: padded}
		answer, err := apdu.Exchange(ctx, c.transport, command)
		if err != nil {
			return fmt.Errorf("verifying %s: %w", r.id, err)
		}
		return iso7816.Verified(r.id, command, answer.SW)
	})
}
