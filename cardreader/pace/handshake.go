package pace

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/securemessaging"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Dynamic authentication data of GENERAL AUTHENTICATE (ICAO Doc 9303-11 4.4.4.2).
const (
	tagDynamic      tlv.Tag = 0x7C
	tagNonce        tlv.Tag = 0x80
	tagMapIFD       tlv.Tag = 0x81
	tagMapICC       tlv.Tag = 0x82
	tagEphemeralIFD tlv.Tag = 0x83
	tagEphemeralICC tlv.Tag = 0x84
	tagTokenIFD     tlv.Tag = 0x85
	tagTokenICC     tlv.Tag = 0x86
	tagAuthority    tlv.Tag = 0x87 // for terminal authentication, ignored
	tagAuthorityOld tlv.Tag = 0x88

	tagPublicKey tlv.Tag = 0x7F49
	tagOID       tlv.Tag = 0x06
	tagPoint     tlv.Tag = 0x86

	// chained marks all steps but the last (ISO/IEC 7816-4 5.3.3).
	chained = 0x10

	tokenSize = 8 // bytes
)

// Options is what a run needs beside the card. Info and Password are required.
type Options struct {
	Info     Info
	Password *Password
	// AcceptLastTry goes on although the card says that a wrong password
	// suspends it. Set it only when the person said yes to that.
	AcceptLastTry bool
	// Rand gives the two private keys of the terminal; nil is crypto/rand.
	Rand io.Reader
}

// handshake is the state of one run. IFD is the terminal, ICC the card.
type handshake struct {
	Options
	card  cardreader.Transport
	curve *curve
	oid   []byte

	base             point  // G', the generator that the password leads to
	publicIFD        []byte // the ephemeral keys
	publicICC        []byte
	encKey, checkKey []byte
}

// Establish proves to the card that the terminal knows the password, and the
// reverse, and opens the channel. One call is one guess: it is never repeated.
//
// Errors: *cardreader.PINError when the card refused the password, named CAN or
// MRZ; ErrLastTry and ErrUnsupported before anything was tried;
// cardreader.ErrCardProtocol for values that an honest card does not send; an
// *apdu.StatusError for any other refusal; ErrOptions; those of t.
func Establish(ctx context.Context, t cardreader.Transport, o Options) (*securemessaging.Channel, error) {
	if o.Password == nil {
		return nil, fmt.Errorf("%w: password", ErrOptions)
	}
	c, err := o.Info.curve()
	if err != nil {
		return nil, err
	}
	if o.Info.keySize() == 0 {
		return nil, fmt.Errorf("%w: %v", ErrUnsupported, o.Info)
	}
	oid, err := o.Info.encodedOID()
	if err != nil {
		return nil, err
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	h := &handshake{Options: o, card: t, curve: c, oid: oid}
	defer h.wipe()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"choosing the password", h.choose},
		{"mapping the nonce", h.mapNonce},
		{"agreeing on a key", h.agree},
		{"exchanging tokens", h.exchangeTokens},
	} {
		if err := step.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	session, err := securemessaging.NewAES(h.encKey, h.checkKey)
	if err != nil {
		return nil, err
	}
	return securemessaging.New(t, session), nil
}

func (h *handshake) wipe() {
	clear(h.encKey)
	clear(h.checkKey)
}

// choose is MSE SET AT: variant, password, domain parameters. A card answers 63Cx
// to say how many tries are left, which is no refusal yet.
func (h *handshake) choose(ctx context.Context) error {
	data := tlv.Append(nil, 0x80, h.oid)
	data = tlv.Append(data, 0x83, []byte{h.Password.reference})
	data = tlv.Append(data, 0x84, []byte{byte(h.Info.Parameter)})
	command := apdu.Command{INS: 0x22, P1: 0xC1, P2: 0xA4, Data: data, Public: true}
	r, err := apdu.Exchange(ctx, h.card, command)
	if err != nil {
		return err
	}
	tries, counted := r.SW.Tries()
	switch {
	case r.SW.OK():
		return nil
	case counted && tries == 0, r.SW == apdu.SWBlocked:
		return h.refused(cardreader.PINBlocked, 0)
	case counted && tries == 1 && !h.AcceptLastTry:
		return ErrLastTry
	case counted:
		return nil
	case r.SW == apdu.SWWrongData, r.SW == apdu.SWReferenceNotFound:
		return fmt.Errorf("%w: %w", ErrUnsupported, statusError(command, r.SW))
	}
	return statusError(command, r.SW)
}

func (h *handshake) refused(reason cardreader.PINReason, tries int) error {
	return &cardreader.PINError{Reason: reason, PIN: h.Password.name, TriesLeft: tries}
}

func statusError(c apdu.Command, sw apdu.StatusWord) error {
	return &apdu.StatusError{CLA: c.CLA, INS: c.INS, P1: c.P1, P2: c.P2, SW: sw}
}

// step is GENERAL AUTHENTICATE with one object each way. objects is nil in the
// first step.
func (h *handshake) step(ctx context.Context, objects []byte, want tlv.Tag) ([]byte, error) {
	answer, err := apdu.Do(ctx, h.card, apdu.Command{
		CLA: chained, INS: 0x86, Data: tlv.Append(nil, tagDynamic, objects),
		Ne: apdu.MaxShortNe, Timeout: agreementTimeout,
	})
	if err != nil {
		return nil, err
	}
	return dynamic(answer, want)
}

// dynamic takes the expected object out of an answer, next to which only those
// in also may stand.
func dynamic(answer []byte, want tlv.Tag, also ...tlv.Tag) ([]byte, error) {
	outer, err := tlv.Parse(answer)
	if err != nil || len(outer) != 1 || outer[0].Tag != tagDynamic {
		return nil, fmt.Errorf("%w: no dynamic authentication data", cardreader.ErrCardProtocol)
	}
	inner, err := outer[0].Children()
	if err != nil || len(inner) == 0 || inner[0].Tag != want {
		return nil, fmt.Errorf("%w: object %v expected", cardreader.ErrCardProtocol, want)
	}
	for _, e := range inner[1:] {
		known := false
		for _, tag := range also {
			known = known || e.Tag == tag
		}
		if !known {
			return nil, fmt.Errorf("%w: object %v unexpected", cardreader.ErrCardProtocol, e.Tag)
		}
	}
	return inner[0].Value, nil
}

// mapNonce gets the encrypted nonce and turns it, with a first key agreement,
// into a generator that nobody else knows: G' = s·G + H.
func (h *handshake) mapNonce(ctx context.Context) error {
	encrypted, err := h.step(ctx, nil, tagNonce)
	if err != nil {
		return err
	}
	size := h.Info.keySize()
	if len(encrypted)%aes.BlockSize != 0 || len(encrypted) < size || len(encrypted) > maxNonce {
		return fmt.Errorf("%w: nonce of %d bytes", cardreader.ErrCardProtocol, len(encrypted))
	}
	key, err := h.Password.key(size)
	if err != nil {
		return fmt.Errorf("password: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	nonce := make([]byte, len(encrypted))
	defer clear(nonce)
	// The nonce is random and encrypted once: IV 0 (ICAO Doc 9303-11 4.4).
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(nonce, encrypted)

	_, _, shared, err := h.diffieHellman(ctx, h.curve.base, tagMapIFD, tagMapICC)
	if err != nil {
		return err
	}
	h.base = h.curve.add(h.curve.multiply(nonce, h.curve.base), shared)
	if h.base.infinite() {
		return fmt.Errorf("%w: mapping leads to infinity", cardreader.ErrCardProtocol)
	}
	return nil
}

// diffieHellman exchanges public keys on a generator. The card's has to be a
// point of the curve and another one than the terminal's.
func (h *handshake) diffieHellman(ctx context.Context, base point, send, want tlv.Tag) (own, other []byte, shared point, err error) {
	private, err := h.curve.draw(h.Rand)
	if err != nil {
		return nil, nil, point{}, err
	}
	defer clear(private)
	own = h.curve.encode(h.curve.multiply(private, base))
	other, err = h.step(ctx, tlv.Append(nil, send, own), want)
	if err != nil {
		return nil, nil, point{}, err
	}
	public, err := h.curve.parse(other)
	if err != nil {
		return nil, nil, point{}, fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
	}
	if bytes.Equal(own, other) {
		return nil, nil, point{}, fmt.Errorf("%w: card sent our own key", cardreader.ErrCardProtocol)
	}
	shared = h.curve.multiply(private, public)
	if shared.infinite() {
		return nil, nil, point{}, fmt.Errorf("%w: shared point at infinity", cardreader.ErrCardProtocol)
	}
	return own, other, shared, nil
}

// agree runs the second key agreement, on G', and derives the session keys from
// the x coordinate of the shared point.
func (h *handshake) agree(ctx context.Context) error {
	own, other, shared, err := h.diffieHellman(ctx, h.base, tagEphemeralIFD, tagEphemeralICC)
	if err != nil {
		return err
	}
	h.publicIFD, h.publicICC = own, bytes.Clone(other)
	secret := h.curve.encode(shared)
	defer clear(secret)
	x := secret[1 : 1+h.curve.size]
	size := h.Info.keySize()
	h.encKey, h.checkKey = derive(x, derivesEncryption, size), derive(x, derivesMAC, size)
	return nil
}

// token is the proof of knowing the keys: a CMAC over the other side's key.
func (h *handshake) token(public []byte) ([]byte, error) {
	content := tlv.Append(nil, tagOID, h.oid)
	content = tlv.Append(content, tagPoint, public)
	mac, err := securemessaging.CMAC(h.checkKey, tlv.Append(nil, tagPublicKey, content))
	if err != nil {
		return nil, err
	}
	return mac[:tokenSize], nil
}

// exchangeTokens is the guess: the card checks the terminal's token first, and
// counts a wrong one.
func (h *handshake) exchangeTokens(ctx context.Context) error {
	own, err := h.token(h.publicICC)
	if err != nil {
		return err
	}
	command := apdu.Command{
		INS: 0x86, Data: tlv.Append(nil, tagDynamic, tlv.Append(nil, tagTokenIFD, own)),
		Ne: apdu.MaxShortNe,
	}
	r, err := h.sendOnce(ctx, command)
	if err != nil {
		return err
	}
	tries, counted := r.SW.Tries()
	switch {
	case r.SW.OK():
	case counted && tries == 0, r.SW == apdu.SWBlocked:
		return h.refused(cardreader.PINBlocked, 0)
	case counted:
		return h.refused(cardreader.PINWrong, tries)
	case r.SW == 0x6300:
		return h.refused(cardreader.PINWrong, -1)
	default:
		return statusError(command, r.SW)
	}
	got, err := dynamic(r.Data, tagTokenICC, tagAuthority, tagAuthorityOld)
	if err != nil {
		return err
	}
	want, err := h.token(h.publicIFD)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return fmt.Errorf("%w: card does not know the password", cardreader.ErrCardProtocol)
	}
	return nil
}

// sendOnce is for the token: whatever the card answers, it is not sent again.
func (h *handshake) sendOnce(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	raw, err := c.Append(nil)
	if err != nil {
		return apdu.Response{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, agreementTimeout)
	defer cancel()
	answer, err := securemessaging.SendOnce(ctx, h.card, raw)
	if err != nil {
		return apdu.Response{}, err
	}
	return apdu.ParseResponse(answer)
}
