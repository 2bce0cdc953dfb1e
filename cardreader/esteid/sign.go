package esteid

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
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
		return cardreader.PINStatus{}, cardreader.Classify(ctx, fmt.Errorf("counter of %s: %w", r.id, err))
	}
	return status, nil
}

func (c *card) counter(ctx context.Context, r reference) (cardreader.PINStatus, error) {
	var err error
	if r.application == nil {
		err = c.selectMain(ctx)
	} else {
		err = c.selectApplication(ctx, r.application())
	}
	if err != nil {
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

// Sign implements cardreader.Card. The order is that of the recordings: select
// the key's application, security environment, VERIFY, signature.
func (c *card) Sign(ctx context.Context, credential cardreader.Credential, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	k, err := keyByID(credential.ID)
	if err != nil {
		return nil, err
	}
	r, err := referenceByID(k.pin)
	if err != nil {
		return nil, err
	}
	if len(digest) == 0 || len(digest) != hash.Size() {
		return nil, fmt.Errorf("%w: %d bytes for %v", cardreader.ErrDigest, len(digest), hash)
	}
	if err := r.rule().Check(p); err != nil {
		if errors.Is(err, pin.ErrFormat) {
			return nil, &cardreader.PINError{Reason: cardreader.PINFormat, PIN: r.id, TriesLeft: -1}
		}
		return nil, err
	}
	signature, err := c.sign(ctx, k, r, p, digest)
	if err != nil {
		return nil, cardreader.Classify(ctx, err)
	}
	return signature, nil
}

func (c *card) sign(ctx context.Context, k key, r reference, p *pin.PIN, digest []byte) ([]byte, error) {
	if err := c.selectApplication(ctx, k.application()); err != nil {
		return nil, fmt.Errorf("selecting the application of the %s key: %w", k.id, err)
	}
	_, err := c.do(ctx, apdu.Command{
		INS: insManageSecurity, P1: setForComputation, P2: k.template,
		Data: []byte(k.environment),
	})
	if err != nil {
		return nil, fmt.Errorf("setting the security environment: %w", err)
	}
	if err := c.verify(ctx, r, p); err != nil {
		return nil, err
	}
	value, err := apdu.Do(ctx, c.transport, apdu.Command{
		INS: k.ins, P1: k.p1, P2: k.p2,
		Data: fit(digest), Ne: apdu.MaxShortNe, Timeout: keyTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("computing the signature: %w", err)
	}
	return signatureDER(value)
}

// verify presents the PIN once. The block is ASCII filled up with FF to twelve
// bytes.
func (c *card) verify(ctx context.Context, r reference, p *pin.PIN) error {
	var padded [pinBlock]byte
	defer clear(padded[:])
	for i := range padded {
		padded[i] = 0xFF
	}
	if err := p.Use(func(secret []byte) error {
		copy(padded[:], secret)
		return nil
	}); err != nil {
		return err
	}
	answer, err := apdu.Exchange(ctx, c.transport, apdu.Command{INS: insVerify, P2: r.number, Data: padded[:]})
	if err != nil {
		return fmt.Errorf("verifying %s: %w", r.id, err)
	}
	return verified(r, answer.SW)
}

// verified gives every status word of VERIFY its meaning. Only 9000 is a
// success.
func verified(r reference, sw apdu.StatusWord) error {
	if sw.OK() {
		return nil
	}
	if tries, ok := sw.Tries(); ok {
		if tries == 0 {
			return &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: r.id}
		}
		return &cardreader.PINError{Reason: cardreader.PINWrong, PIN: r.id, TriesLeft: tries}
	}
	switch sw {
	case apdu.SWBlocked, apdu.SWReferenceDataUnusable:
		return &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: r.id}
	case apdu.SWWrongLength, apdu.SWWrongData:
		return &cardreader.PINError{Reason: cardreader.PINFormat, PIN: r.id, TriesLeft: -1}
	default:
		return &apdu.StatusError{INS: insVerify, P2: r.number, SW: sw}
	}
}

// fit brings a digest to the 48 bytes that the card takes. ECDSA uses the
// leftmost bits of a longer hash and the number that a shorter one is (FIPS
// 186-5 6.4.1), so zeros in front and a cut at the end change no value.
func fit(digest []byte) []byte {
	if len(digest) >= field {
		return digest[:field]
	}
	fitted := make([]byte, field)
	copy(fitted[field-len(digest):], digest)
	return fitted
}

// signatureDER turns the card's r and s into an ECDSA-Sig-Value (RFC 3279
// 2.2.3).
func signatureDER(raw []byte) ([]byte, error) {
	if len(raw) != 2*field {
		return nil, fmt.Errorf("%w: signature of %d bytes", apdu.ErrProtocol, len(raw))
	}
	r, s := new(big.Int).SetBytes(raw[:field]), new(big.Int).SetBytes(raw[field:])
	if r.Sign() == 0 || s.Sign() == 0 {
		return nil, fmt.Errorf("%w: signature with a zero", apdu.ErrProtocol)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.Bytes()
}
