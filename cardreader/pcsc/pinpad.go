package pcsc

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// getFeatures is CM_IOCTL_GET_FEATURE_REQUEST (PC/SC part 10 2.2).
const getFeatures = 3400

// Features of a reader (PC/SC part 10 2.3).
const (
	featureVerify     = 0x06
	featureModify     = 0x07
	featureProperties = 0x12
)

// Properties of a reader (PC/SC part 10 2.6.14).
const (
	propertyLayout  = 0x01
	propertyMinPIN  = 0x06
	propertyMaxPIN  = 0x07
	propertyVendor  = 0x0B
	propertyProduct = 0x0C
	// propertyMaxAPDU is the most data that the reader takes in one APDU, in bytes.
	propertyMaxAPDU = 0x0A
)

// falsePad tells readers that announce keys they do not have, by their numbers or,
// where these do not differ from those of honest models, by the name of their
// driver: OMNIKEY 3x21 and 6121 (OpenSC pull request 1438, web-eid-app pull request
// 313), HID Smart@Link (CCID pull request 16), C3PO LTC31 v2 and the HP keyboard
// (OpenSC issue 201). The program can do without pads for others
// (cardreader.Cards.WithoutPads).
func falsePad(name string, vendor, product int) bool {
	for _, numbers := range [][2]int{{0x076B, 0x3031}, {0x076B, 0x6632}, {0x076B, 0x3A21}} {
		if vendor == numbers[0] && product == numbers[1] {
			return true
		}
	}
	for _, model := range []string{"C3PO LTC31 v2", "HP USB Smart Card Keyboard"} {
		if strings.HasPrefix(name, model) {
			return true
		}
	}
	return false
}

// pinPad is a reader with keys of its own.
type pinPad struct {
	connection     *connection
	verify, modify uint32 // control codes, 0 is not offered
	// display: the reader can show messages of its own.
	display  bool
	min, max int // digits, 0 is not known
}

// PINPad implements cardreader.PINPadProvider. A reader that does not know the
// question has no pad; one that answers it wrongly is an error, so that a program
// which relies on pads notices (threat C-48).
func (c *connection) PINPad(ctx context.Context) (cardreader.PINPad, error) {
	answer, err := c.ask(ctx, func() ([]byte, error) { return c.handle.control(getFeatures, nil) })
	if err != nil || len(answer) == 0 {
		return nil, c.broken
	}
	features, err := parseFeatures(answer)
	if err != nil {
		return nil, err
	}
	pad := &pinPad{connection: c, verify: features[featureVerify], modify: features[featureModify], display: true}
	if pad.verify == 0 || falsePad(c.reader, 0, 0) {
		return nil, nil
	}
	code, known := features[featureProperties]
	if !known {
		return pad, nil
	}
	answer, err = c.ask(ctx, func() ([]byte, error) { return c.handle.controlCode(code, nil) })
	if err != nil {
		return nil, c.broken
	}
	properties, err := parseProperties(answer)
	if err != nil {
		return nil, err
	}
	if falsePad(c.reader, properties[propertyVendor], properties[propertyProduct]) {
		return nil, nil
	}
	if layout, told := properties[propertyLayout]; told {
		pad.display = layout != 0
	}
	pad.min, pad.max = properties[propertyMinPIN], properties[propertyMaxPIN]
	return pad, nil
}

// TakesExtended implements apdu.Extender: under T=1, with a card that says so, and a
// reader that does not say otherwise.
func (c *connection) TakesExtended(ctx context.Context) bool {
	if c.broken != nil || c.handle.protocol() != protocolT1 || !apdu.ExtendedLengths(c.answer) {
		return false
	}
	answer, err := c.ask(ctx, func() ([]byte, error) { return c.handle.control(getFeatures, nil) })
	if err != nil {
		return c.broken == nil
	}
	features, err := parseFeatures(answer)
	code, known := features[featureProperties]
	if err != nil || !known {
		return err == nil
	}
	if answer, err = c.ask(ctx, func() ([]byte, error) { return c.handle.controlCode(code, nil) }); err != nil {
		return false
	}
	properties, err := parseProperties(answer)
	most, told := properties[propertyMaxAPDU]
	return err == nil && (!told || most > apdu.MaxShortNe)
}

// ask sends a control command. Only a call that did not come back breaks the
// connection: readers answer unknown functions with all kinds of errors.
func (c *connection) ask(ctx context.Context, call func() ([]byte, error)) (answer []byte, err error) {
	if c.broken != nil {
		return nil, c.broken
	}
	c.lost, err = c.service.workers.do(ctx, func() (err error) {
		answer, err = call()
		return err
	}, func() { c.giveBack(true) })
	if c.lost {
		c.broken = err
	}
	return answer, err
}

// parseFeatures reads entries of tag, length 4 and a big-endian control code.
func parseFeatures(answer []byte) (map[byte]uint32, error) {
	features := make(map[byte]uint32)
	for ; len(answer) > 0; answer = answer[6:] {
		if len(answer) < 6 || answer[1] != 4 {
			return nil, fmt.Errorf("%w: reader's feature list", cardreader.ErrCardProtocol)
		}
		tag, code := answer[0], binary.BigEndian.Uint32(answer[2:])
		if _, again := features[tag]; again || code == 0 {
			return nil, fmt.Errorf("%w: reader's feature list", cardreader.ErrCardProtocol)
		}
		features[tag] = code
	}
	return features, nil
}

// parseProperties reads entries of tag, length and a little-endian number. Longer
// values are texts and left out.
func parseProperties(answer []byte) (map[byte]int, error) {
	properties := make(map[byte]int)
	for len(answer) > 0 {
		if len(answer) < 2 || int(answer[1]) > len(answer)-2 {
			return nil, fmt.Errorf("%w: reader's properties", cardreader.ErrCardProtocol)
		}
		value := answer[2 : 2+int(answer[1])]
		if len(value) <= 4 {
			number := 0
			for i, b := range value {
				number |= int(b) << (8 * i)
			}
			properties[answer[0]] = number
		}
		answer = answer[2+len(value):]
	}
	return properties, nil
}

// CanChange implements cardreader.PINPad.
func (p *pinPad) CanChange() bool { return p.modify != 0 }

// Verify implements cardreader.PINPad with VERIFY_PIN_DIRECT.
func (p *pinPad) Verify(ctx context.Context, e cardreader.PadEntry) (uint16, error) {
	structure, err := p.verifyStructure(e)
	if err != nil {
		return 0, err
	}
	return p.enter(ctx, p.verify, structure)
}

// Change implements cardreader.PINPad with MODIFY_PIN_DIRECT.
func (p *pinPad) Change(ctx context.Context, e cardreader.PadEntry) (uint16, error) {
	if p.modify == 0 {
		return 0, fmt.Errorf("changing a PIN at the reader: %w", cardreader.ErrNotOffered)
	}
	structure, err := p.modifyStructure(e)
	if err != nil {
		return 0, err
	}
	return p.enter(ctx, p.modify, structure)
}

// enter waits for the holder. The answer is a status word.
func (p *pinPad) enter(ctx context.Context, code uint32, structure []byte) (uint16, error) {
	answer, err := p.connection.ask(ctx, func() ([]byte, error) { return p.connection.handle.controlCode(code, structure) })
	if err != nil {
		return 0, err
	}
	if len(answer) != 2 {
		return 0, fmt.Errorf("%w: reader's answer of %d bytes", cardreader.ErrCardProtocol, len(answer))
	}
	return binary.BigEndian.Uint16(answer), nil
}

// Fields of the two structures (PC/SC part 10 2.5.2 and 2.5.3).
const (
	formatASCII = 0x02
	// endOnKey: the entry ends with the reader's OK key.
	endOnKey = 0x02
	// Messages: none, or those of the reader's own; for a change three in order.
	messagesNone    = 0x00
	messagesDefault = 0xFF
	messagesChange  = 0x03
	// Confirmation: the new value twice, and the current one before.
	confirmNew     = 0x01
	confirmCurrent = 0x02
)

// bounds are those of the PIN within those of the reader.
func (p *pinPad) bounds(e cardreader.PadEntry) (lo, hi byte, err error) {
	shortest, longest := max(e.Min, p.min), e.Max
	if p.max != 0 {
		longest = min(longest, p.max)
	}
	if _, err := apdu.ParseCommand(e.Command); err != nil {
		return 0, 0, err
	}
	if shortest < 0 || longest > 0xFF || shortest > longest {
		return 0, 0, fmt.Errorf("PIN of %d to %d digits at the reader: %w", shortest, longest, cardreader.ErrNotOffered)
	}
	return byte(shortest), byte(longest), nil
}

// verifyStructure is PIN_VERIFY_STRUCTURE, packed, numbers little endian.
func (p *pinPad) verifyStructure(e cardreader.PadEntry) ([]byte, error) {
	shortest, longest, err := p.bounds(e)
	if err != nil {
		return nil, err
	}
	messages := byte(messagesDefault)
	if !p.display {
		messages = messagesNone
	}
	s := []byte{
		padTimeout, padTimeout, formatASCII, 0x00, 0x00,
		longest, shortest, endOnKey, messages,
	}
	s = binary.LittleEndian.AppendUint16(s, e.Language)
	s = append(s, 0x00, 0x00, 0x00, 0x00) // message index, T=1 prologue
	s = binary.LittleEndian.AppendUint32(s, uint32(len(e.Command)))
	return append(s, e.Command...), nil
}

// modifyStructure is PIN_MODIFY_STRUCTURE.
func (p *pinPad) modifyStructure(e cardreader.PadEntry) ([]byte, error) {
	shortest, longest, err := p.bounds(e)
	if err != nil {
		return nil, err
	}
	if e.NewOffset < 0 || e.NewOffset > 0xFF {
		return nil, fmt.Errorf("new value at %d: %w", e.NewOffset, cardreader.ErrNotOffered)
	}
	confirm, indexes := byte(confirmNew|confirmCurrent), []byte{0, 1, 2}
	messages := byte(messagesChange)
	if e.Unblock {
		confirm, indexes, messages = confirmNew, []byte{1, 2, 0}, 2
	}
	if !p.display {
		messages = messagesNone
	}
	s := []byte{
		padTimeout, padTimeout, formatASCII, 0x00, 0x00,
		0x00, byte(e.NewOffset), longest, shortest, confirm, endOnKey, messages,
	}
	s = binary.LittleEndian.AppendUint16(s, e.Language)
	s = append(s, indexes...)
	s = append(s, 0x00, 0x00, 0x00) // T=1 prologue
	s = binary.LittleEndian.AppendUint32(s, uint32(len(e.Command)))
	return append(s, e.Command...), nil
}
