package pkcs15

import (
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// pinObject is an entry of an authentication object directory file (PKCS #15
// 6.8).
type pinObject struct {
	auth      string
	label     string
	unblockBy string // identifier of the object that unblocks it
	flags     bits
	form      pinForm
	min       int
	max       int
	stored    int
	reference byte
	pad       byte
	path      path
}

// pinForm is how the characters become bytes (PinType).
type pinForm int

const (
	formBCD pinForm = iota
	formDigits
	formUTF8
	formHalfNibble
	formISO9564
)

// Bits of a PIN's flags.
const (
	flagLocal           = 1
	flagChangeDisabled  = 2
	flagUnblockDisabled = 3
	flagNeedsPadding    = 5
	flagUnblocking      = 6
	flagSecurityOfficer = 7
	flagConfidential    = 10
)

// parsePINObject gives false for authentication by other means.
func parsePINObject(e tlv.Element) (pinObject, bool, error) {
	if e.Tag != tagSequence {
		return pinObject{}, false, nil
	}
	o, err := parseObject(e)
	if err != nil {
		return pinObject{}, false, err
	}
	p := pinObject{label: o.label, unblockBy: o.auth, pad: 0xFF}
	if id, ok := value(o.class, tagOctets); ok {
		p.auth = string(id)
	}
	integers, octets := 0, 0
	for _, part := range o.typed {
		switch part.Tag {
		case tagBits:
			p.flags, err = parseBits(part.Value)
		case tagEnumerated:
			var n int
			n, err = number(part.Value)
			p.form = pinForm(n)
		case tagInteger:
			err = p.length(integers, part.Value)
			integers++
		case tagContext0:
			p.reference, err = reference(part.Value)
		case tagOctets:
			if octets++; len(part.Value) != 1 || octets > 1 {
				err = malformed("pad character")
				break
			}
			p.pad = part.Value[0]
		case tagSequence:
			p.path, err = parsePath(part.Value)
		}
		if err != nil {
			return pinObject{}, false, err
		}
	}
	return p, true, p.check(integers)
}

// length takes minLength, storedLength and maxLength in their order.
func (p *pinObject) length(n int, raw []byte) (err error) {
	switch n {
	case 0:
		p.min, err = number(raw)
	case 1:
		p.stored, err = number(raw)
	case 2:
		p.max, err = number(raw)
	}
	return err
}

func (p *pinObject) check(integers int) error {
	if integers < 2 {
		return malformed("PIN without lengths")
	}
	if p.max == 0 {
		p.max = p.characters()
	}
	if p.min < 1 || p.max < p.min || p.max > maxPIN || p.stored > maxPIN || p.needsPadding() && p.capacity() < p.max {
		return malformed(fmt.Sprintf("PIN of %d to %d characters in %d bytes", p.min, p.max, p.stored))
	}
	return nil
}

// characters is how many fit into the stored length.
func (p *pinObject) characters() int {
	if p.form == formBCD {
		return 2 * p.stored
	}
	return p.stored
}

func (p *pinObject) capacity() int {
	if p.form == formISO9564 {
		return 2 * (p.stored - 2)
	}
	return p.characters()
}

func (p *pinObject) needsPadding() bool { return p.flags.has(flagNeedsPadding) }

func (p *pinObject) rule() pin.Rule {
	class := pin.Digits
	if p.form == formUTF8 {
		class = pin.Printable
	}
	return pin.Rule{Min: p.min, Max: p.max, Class: class}
}

// usable tells whether the PIN can be sent: in clear, and in a form that is
// known.
func (p *pinObject) usable() error {
	switch {
	case p.flags.has(flagConfidential):
		return fmt.Errorf("PIN has to be encrypted for the card: %w", cardreader.ErrNotOffered)
	case p.form != formBCD && p.form != formDigits && p.form != formUTF8 && p.form != formISO9564:
		return fmt.Errorf("PIN of type %d: %w", p.form, cardreader.ErrNotOffered)
	default:
		return nil
	}
}

// append adds the PIN's bytes to dst: ASCII, two digits a byte, or an ISO 9564-1
// format 2 block.
func (p *pinObject) append(dst, secret []byte) []byte {
	begin := len(dst)
	switch p.form {
	case formBCD:
		dst = appendDigits(dst, secret, p.pad&0x0F)
	case formISO9564:
		dst = append(dst, 0x20|byte(len(secret)))
		dst = appendDigits(dst, secret, 0x0F)
		for len(dst)-begin < 8 {
			dst = append(dst, 0xFF)
		}
		return dst
	default:
		dst = append(dst, secret...)
	}
	for p.needsPadding() && len(dst)-begin < p.stored {
		dst = append(dst, p.pad)
	}
	return dst
}

// appendDigits packs two digits a byte; filler completes an odd one.
func appendDigits(dst, digits []byte, filler byte) []byte {
	for i := 0; i < len(digits); i += 2 {
		low := filler
		if i+1 < len(digits) {
			low = digits[i+1] - '0'
		}
		dst = append(dst, (digits[i]-'0')<<4|low)
	}
	return dst
}
