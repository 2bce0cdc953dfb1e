package apdu

import (
	"errors"
	"fmt"
	"time"
)

// Sizes of the two forms (ISO/IEC 7816-3 12.1.3).
const (
	// MaxShortData and MaxShortNe bound the short form, in bytes.
	MaxShortData = 255
	MaxShortNe   = 256
	// MaxExtendedData and MaxExtendedNe bound the extended form, in bytes.
	MaxExtendedData = 65535
	MaxExtendedNe   = 65536

	headerSize = 4
)

// ErrCommand is a command that cannot be encoded, or bytes that are no command.
var ErrCommand = errors.New("malformed command APDU")

// Command is a command APDU (ISO/IEC 7816-4 5.1). Which of the four cases it is
// follows from Data and Ne.
type Command struct {
	CLA, INS, P1, P2 byte
	// Data is the command data field; empty for cases 1 and 2.
	Data []byte
	// Ne is the largest number of answer bytes that is expected: 0 for none
	// (cases 1 and 3), 256 for Le 00 in the short form, at most 65,536.
	Ne int
	// Public says that a trace may show the data of command and answer.
	// Everything else is masked, so that forgetting the mark is harmless.
	Public bool
	// Unread says that nobody wants the answer's data: where the card holds it
	// back with 61xx, which is success (ISO/IEC 7816-4 5.6), no GET RESPONSE is
	// sent. Real cards are known to take that from OpenSC.
	Unread bool
	// Timeout bounds the command; zero is DefaultTimeout. Operations with a
	// private key take longer.
	Timeout time.Duration
}

// Case is 1 to 4 as in ISO/IEC 7816-3 12.1.2.
func (c Command) Case() int {
	switch {
	case len(c.Data) == 0 && c.Ne == 0:
		return 1
	case len(c.Data) == 0:
		return 2
	case c.Ne == 0:
		return 3
	default:
		return 4
	}
}

// Append adds the short form to dst, or the extended form where data or Ne do
// not fit into it. The error is ErrCommand.
func (c Command) Append(dst []byte) ([]byte, error) {
	if len(c.Data) > MaxShortData || c.Ne > MaxShortNe {
		return c.AppendExtended(dst)
	}
	if c.Ne < 0 {
		return nil, fmt.Errorf("%w: expected length %d", ErrCommand, c.Ne)
	}
	dst = append(dst, c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) > 0 {
		dst = append(dst, byte(len(c.Data)))
		dst = append(dst, c.Data...)
	}
	if c.Ne > 0 {
		dst = append(dst, byte(c.Ne)) // 256 becomes 00
	}
	return dst, nil
}

// AppendExtended adds the extended form to dst. Ask it only of a card and a
// reader that know it.
func (c Command) AppendExtended(dst []byte) ([]byte, error) {
	if len(c.Data) > MaxExtendedData || c.Ne < 0 || c.Ne > MaxExtendedNe {
		return nil, fmt.Errorf("%w: %d data bytes, %d expected", ErrCommand, len(c.Data), c.Ne)
	}
	dst = append(dst, c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) == 0 && c.Ne == 0 {
		return dst, nil
	}
	dst = append(dst, 0)
	if len(c.Data) > 0 {
		dst = append(dst, byte(len(c.Data)>>8), byte(len(c.Data)))
		dst = append(dst, c.Data...)
	}
	if c.Ne > 0 {
		dst = append(dst, byte(c.Ne>>8), byte(c.Ne)) // 65,536 becomes 0000
	}
	return dst, nil
}

// ParseCommand reads either form. The data is a part of raw. Traces and
// transports use it; nothing is known about Public, so it is false.
func ParseCommand(raw []byte) (Command, error) {
	if len(raw) < headerSize {
		return Command{}, fmt.Errorf("%w: %d bytes", ErrCommand, len(raw))
	}
	c := Command{CLA: raw[0], INS: raw[1], P1: raw[2], P2: raw[3]}
	body := raw[headerSize:]
	switch {
	case len(body) == 0:
		return c, nil
	case len(body) == 1:
		c.Ne = expected(int(body[0]), MaxShortNe)
		return c, nil
	case body[0] == 0 && len(body) >= 3:
		return parseExtended(c, body[1:])
	}
	lc, rest := int(body[0]), body[1:]
	switch {
	case lc == 0:
	case len(rest) == lc:
		c.Data = rest
		return c, nil
	case len(rest) == lc+1:
		c.Data, c.Ne = rest[:lc], expected(int(rest[lc]), MaxShortNe)
		return c, nil
	}
	return Command{}, fmt.Errorf("%w: Lc %d with %d bytes after it", ErrCommand, lc, len(rest))
}

// parseExtended reads what follows the 00 that marks the extended form.
func parseExtended(c Command, body []byte) (Command, error) {
	n := int(body[0])<<8 | int(body[1])
	rest := body[2:]
	switch {
	case len(rest) == 0:
		c.Ne = expected(n, MaxExtendedNe)
		return c, nil
	case n == 0:
	case len(rest) == n:
		c.Data = rest
		return c, nil
	case len(rest) == n+2:
		c.Data, c.Ne = rest[:n], expected(int(rest[n])<<8|int(rest[n+1]), MaxExtendedNe)
		return c, nil
	}
	return Command{}, fmt.Errorf("%w: extended Lc %d with %d bytes after it", ErrCommand, n, len(rest))
}

// expected resolves the length field's zero, which stands for the maximum.
func expected(le, maximum int) int {
	if le == 0 {
		return maximum
	}
	return le
}

// Format prints header and lengths for every verb, and the data of a Public
// command.
func (c Command) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%02X%02X%02X%02X", c.CLA, c.INS, c.P1, c.P2)
	switch {
	case len(c.Data) == 0:
	case c.Public:
		_, _ = fmt.Fprintf(s, " %X", c.Data)
	default:
		_, _ = fmt.Fprintf(s, " [%d bytes]", len(c.Data))
	}
	if c.Ne > 0 {
		_, _ = fmt.Fprintf(s, " Le %d", c.Ne)
	}
}

// Chain splits a command whose data does not fit into the short form (command
// chaining, ISO/IEC 7816-4 5.3.3): all parts but the last carry bit 5 of CLA
// and expect nothing.
func Chain(c Command) []Command {
	var parts []Command
	for len(c.Data) > MaxShortData {
		part := c
		part.CLA |= 0x10
		part.Ne = 0
		part.Data = c.Data[:MaxShortData]
		parts = append(parts, part)
		c.Data = c.Data[MaxShortData:]
	}
	return append(parts, c)
}
