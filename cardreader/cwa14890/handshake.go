package cwa14890

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/securemessaging"
)

// Key references on the DNIe (OpenSC 0.23.0 src/libopensc/cwa-dnie.c,
// root_ca_keyref and icc_priv_keyref).
const (
	rootKeyHigh, rootKeyLow = 0x02, 0x0F
	chipKeyHigh, chipKeyLow = 0x02, 0x1F
)

// Sizes of the values in the handshake, in bytes.
const (
	challengeSize = 8
	seedSize      = 32
	paddingSize   = recoveredSize - seedSize // the random part before the seed
)

// Options is what a handshake needs beside the card. All but Rand are required.
type Options struct {
	// Chip is the verified key of this card's chip.
	Chip *Chip
	// Serial is SN.ICC: for the DNIe 00 and the seven bytes of the chip's
	// serial number (command 90 B8 00 00 07).
	Serial [challengeSize]byte
	// Terminal is the key of the channel to be opened.
	Terminal *Terminal
	// MACLength is 4 for DNIe 1.x and 2.0 (byte 15 of the ATR below 04), 8 for
	// 3.0 and later.
	MACLength int
	// Rand gives the terminal's challenge (8 bytes), padding (74) and key seed
	// (32), in this order; nil is crypto/rand. Whoever can predict it can read
	// the channel, PIN included.
	Rand io.Reader
}

// handshake is the state of one mutual authentication. The names are those of
// CWA 14890-1: ICC is the card, IFD the terminal.
type handshake struct {
	Options
	card cardreader.Transport

	rndIFD, rndICC [challengeSize]byte
	kIFD, kICC     [seedSize]byte
}

// Establish authenticates chip and terminal to each other and opens the channel.
// The Master File has to be selected. t may be a channel itself: the handshake
// then runs inside of it, and the new channel takes its place.
//
// Errors: ErrUntrusted when the chip does not prove its key; ErrGeneration when
// the card does not know the terminal's authority; an *apdu.StatusError, with the
// step, for any other refusal; cardreader.ErrCardProtocol for values that cannot
// be; ErrOptions; those of t. After an error t is as usable as its own state
// allows, and nothing is to be sent in clear that belongs into the channel.
func Establish(ctx context.Context, t cardreader.Transport, o Options) (*securemessaging.Channel, error) {
	if o.Chip == nil || o.Terminal == nil || o.Terminal.exponent == nil {
		return nil, fmt.Errorf("%w: chip and terminal", ErrOptions)
	}
	if o.MACLength != 4 && o.MACLength != 8 {
		return nil, fmt.Errorf("%w: MAC of %d bytes", ErrOptions, o.MACLength)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	h := &handshake{Options: o, card: t}
	defer h.wipe()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"presenting the authority", h.presentAuthority},
		{"presenting the terminal", h.presentTerminal},
		{"choosing the keys", h.chooseKeys},
		{"authenticating the chip", h.authenticateChip},
		{"authenticating the terminal", h.authenticateTerminal},
	} {
		if err := step.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	session, err := h.session()
	if err != nil {
		return nil, err
	}
	return securemessaging.New(t, session), nil
}

func (h *handshake) wipe() {
	clear(h.kIFD[:])
	clear(h.kICC[:])
}

// setVerificationKey is MSE SET, digital signature template: the public key for
// the next certificate.
func (h *handshake) setVerificationKey(ctx context.Context, reference []byte) error {
	_, err := apdu.Do(ctx, h.card, apdu.Command{
		INS: 0x22, P1: 0x81, P2: 0xB6, Public: true,
		Data: append([]byte{0x83, byte(len(reference))}, reference...),
	})
	return err
}

// verifyCertificate is PSO VERIFY CERTIFICATE: the card checks and keeps the key.
func (h *handshake) verifyCertificate(ctx context.Context, c *Certificate) error {
	_, err := apdu.Do(ctx, h.card, apdu.Command{INS: 0x2A, P2: 0xAE, Public: true, Data: c.raw})
	return err
}

func (h *handshake) presentAuthority(ctx context.Context) error {
	if err := h.setVerificationKey(ctx, []byte{rootKeyHigh, rootKeyLow}); err != nil {
		return err
	}
	err := h.verifyCertificate(ctx, h.Terminal.authority)
	var refused *apdu.StatusError
	if errors.As(err, &refused) && refused.SW == apdu.SWWrongData {
		return fmt.Errorf("%w: %w", ErrGeneration, err)
	}
	return err
}

func (h *handshake) presentTerminal(ctx context.Context) error {
	if err := h.setVerificationKey(ctx, h.Terminal.issuer[:]); err != nil {
		return err
	}
	return h.verifyCertificate(ctx, h.Terminal.own)
}

// chooseKeys is MSE SET, authentication template: the terminal's public key and
// the chip's private one.
func (h *handshake) chooseKeys(ctx context.Context) error {
	data := append([]byte{0x83, holderSize}, h.Terminal.holder[:]...)
	data = append(data, 0x84, 2, chipKeyHigh, chipKeyLow)
	_, err := apdu.Do(ctx, h.card, apdu.Command{INS: 0x22, P1: 0xC1, P2: 0xA4, Public: true, Data: data})
	return err
}

// authenticateChip is INTERNAL AUTHENTICATE: the chip signs both serial number
// and challenge of the terminal together with its key seed, and encrypts that
// for the terminal.
func (h *handshake) authenticateChip(ctx context.Context) error {
	if _, err := io.ReadFull(h.Rand, h.rndIFD[:]); err != nil {
		return fmt.Errorf("random numbers: %w", err)
	}
	challenge := slices.Concat(h.rndIFD[:], h.Terminal.holder[holderSize-referenceSize:])
	answer, err := apdu.Do(ctx, h.card, apdu.Command{INS: 0x88, Data: challenge, Timeout: privateKeyTimeout})
	if err != nil {
		return err
	}
	signature, err := h.Terminal.key.power(answer, h.Terminal.exponent)
	if err != nil {
		return fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
	}
	defer clear(signature)
	recovered, hash, err := h.Chip.key.recover(signature)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	defer clear(recovered)
	if !matches(hash, recovered, challenge) {
		return fmt.Errorf("%w: chip signed another challenge", ErrUntrusted)
	}
	copy(h.kICC[:], recovered[paddingSize:])
	return nil
}

// authenticateTerminal is GET CHALLENGE and EXTERNAL AUTHENTICATE: the same in
// the other direction.
func (h *handshake) authenticateTerminal(ctx context.Context) error {
	challenge, err := apdu.Do(ctx, h.card, apdu.Command{INS: 0x84, Ne: challengeSize})
	if err != nil {
		return err
	}
	if len(challenge) != challengeSize {
		return fmt.Errorf("%w: challenge of %d bytes", cardreader.ErrCardProtocol, len(challenge))
	}
	copy(h.rndICC[:], challenge)
	recovered := make([]byte, recoveredSize)
	defer clear(recovered)
	if _, err := io.ReadFull(h.Rand, recovered); err != nil {
		return fmt.Errorf("random numbers: %w", err)
	}
	copy(h.kIFD[:], recovered[paddingSize:])
	rest := slices.Concat(h.rndICC[:], h.Serial[:])
	signature, err := h.Terminal.key.sign(h.Terminal.exponent, recovered, rest)
	if err != nil {
		return err
	}
	defer clear(signature)
	// The smaller signature is below half of the terminal's modulus, and thus
	// below the chip's, which has as many bits.
	data, err := h.Chip.key.public(signature)
	if err != nil {
		return err
	}
	_, err = apdu.Do(ctx, h.card, apdu.Command{INS: 0x82, Data: data, Timeout: privateKeyTimeout})
	return err
}

// session derives the keys (CWA 14890-1 clause 8: SHA-1 over seed and counter;
// no parity is set) and the first counter.
func (h *handshake) session() (*securemessaging.Session, error) {
	seed := make([]byte, seedSize)
	defer clear(seed)
	for i := range seed {
		seed[i] = h.kICC[i] ^ h.kIFD[i]
	}
	enc, mac := digest(seed, []byte{0, 0, 0, 1}), digest(seed, []byte{0, 0, 0, 2})
	defer clear(enc)
	defer clear(mac)
	counter := slices.Concat(h.rndICC[4:], h.rndIFD[4:])
	return securemessaging.NewDES(enc[:16], mac[:16], counter, h.MACLength)
}
