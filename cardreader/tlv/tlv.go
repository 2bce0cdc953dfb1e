// Package tlv reads and writes BER-TLV data objects as cards use them (ISO/IEC
// 7816-4 5.2.2, ISO/IEC 8825-1).
//
// It is strict where leniency would let a card steer memory or time: tags have
// at most three bytes and lengths at most four after the first, a length never
// exceeds the bytes that are really there, nesting ends at MaxDepth, and the
// indefinite form does not exist. Lengths in more bytes than needed are
// accepted, since real cards send them. Values are parts of the input: parsing
// allocates in proportion to what was received.
//
// Left out: SIMPLE-TLV, COMPACT-TLV, and padding bytes between objects.
package tlv

import (
	"errors"
	"fmt"
)

// ErrMalformed is data that is not BER-TLV within the bounds of this package.
var ErrMalformed = errors.New("malformed BER-TLV")

// ErrNotFound is a tag that the data does not have.
var ErrNotFound = errors.New("data object not found")

// Bounds.
const (
	// MaxDepth is the number of nested levels.
	MaxDepth = 8
	// MaxElements is the number of data objects on one level.
	MaxElements = 4096

	maxTagBytes    = 3
	maxLengthBytes = 4
)

// Tag is a tag with all its bytes in order: 0x4D, 0x7F49, 0xBF8101.
type Tag uint32

// Constructed is true when the value consists of further data objects.
func (t Tag) Constructed() bool { return t.first()&0x20 != 0 }

func (t Tag) first() byte {
	for t > 0xFF {
		t >>= 8
	}
	return byte(t)
}

func (t Tag) String() string { return fmt.Sprintf("%02X", uint32(t)) }

// Element is one data object. Value is a part of the parsed data.
type Element struct {
	Tag   Tag
	Value []byte
	depth int
}

// Parse splits data into the data objects of one level. Nothing may be left
// over. The error is ErrMalformed.
func Parse(data []byte) ([]Element, error) { return parse(data, 1) }

// Next splits the first data object off data, for files in which objects follow
// one another and padding ends them. Its error is ErrMalformed.
func Next(data []byte) (Element, []byte, error) {
	if len(data) == 0 {
		return Element{}, nil, fmt.Errorf("%w: no object", ErrMalformed)
	}
	tag, rest, err := parseTag(data)
	if err != nil {
		return Element{}, nil, err
	}
	length, rest, err := parseLength(rest)
	if err != nil {
		return Element{}, nil, fmt.Errorf("%v: %w", tag, err)
	}
	return Element{Tag: tag, Value: rest[:length:length], depth: 1}, rest[length:], nil
}

// Children parses the value of a constructed element.
func (e Element) Children() ([]Element, error) {
	if !e.Tag.Constructed() {
		return nil, fmt.Errorf("%w: %v is primitive", ErrMalformed, e.Tag)
	}
	return parse(e.Value, e.depth+1)
}

func parse(data []byte, depth int) ([]Element, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("%w: deeper than %d levels", ErrMalformed, MaxDepth)
	}
	var elements []Element
	for len(data) > 0 {
		if len(elements) == MaxElements {
			return nil, fmt.Errorf("%w: more than %d objects", ErrMalformed, MaxElements)
		}
		tag, rest, err := parseTag(data)
		if err != nil {
			return nil, err
		}
		length, rest, err := parseLength(rest)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", tag, err)
		}
		elements = append(elements, Element{Tag: tag, Value: rest[:length:length], depth: depth})
		data = rest[length:]
	}
	return elements, nil
}

// parseTag reads a tag of up to three bytes (ISO/IEC 8825-1 8.1.2).
func parseTag(data []byte) (Tag, []byte, error) {
	tag := Tag(data[0])
	if tag == 0 {
		return 0, nil, fmt.Errorf("%w: tag 00", ErrMalformed)
	}
	if tag&0x1F != 0x1F {
		return tag, data[1:], nil
	}
	for i := 1; i < len(data) && i < maxTagBytes; i++ {
		if i == 1 && data[i] == 0x80 {
			return 0, nil, fmt.Errorf("%w: tag number with leading zeros", ErrMalformed)
		}
		tag = tag<<8 | Tag(data[i])
		if data[i]&0x80 == 0 {
			return tag, data[i+1:], nil
		}
	}
	return 0, nil, fmt.Errorf("%w: tag without end", ErrMalformed)
}

// parseLength reads a definite length (ISO/IEC 8825-1 8.1.3) that the rest of
// the data can satisfy.
func parseLength(data []byte) (int, []byte, error) {
	if len(data) == 0 {
		return 0, nil, fmt.Errorf("%w: no length", ErrMalformed)
	}
	length, rest := uint64(data[0]), data[1:]
	if length >= 0x80 {
		n := int(length & 0x7F)
		if n == 0 || n > maxLengthBytes || n > len(rest) {
			return 0, nil, fmt.Errorf("%w: length field %02X", ErrMalformed, data[0])
		}
		length = 0
		for _, b := range rest[:n] {
			length = length<<8 | uint64(b)
		}
		rest = rest[n:]
	}
	if length > uint64(len(rest)) {
		return 0, nil, fmt.Errorf("%w: length %d with %d bytes left", ErrMalformed, length, len(rest))
	}
	return int(length), rest, nil
}

// Find follows a path of tags through nested objects and returns the first
// value that fits: the first element with the first tag, in it the first with
// the second, and so on. The error is ErrNotFound or ErrMalformed.
func Find(data []byte, path ...Tag) ([]byte, error) {
	value := data
	for i, tag := range path {
		elements, err := parse(value, i+1)
		if err != nil {
			return nil, err
		}
		e, ok := first(elements, tag)
		if !ok {
			return nil, fmt.Errorf("%w: %v", ErrNotFound, tag)
		}
		value = e.Value
	}
	return value, nil
}

func first(elements []Element, tag Tag) (Element, bool) {
	for _, e := range elements {
		if e.Tag == tag {
			return e, true
		}
	}
	return Element{}, false
}

// Append adds a data object with the shortest length field to dst.
func Append(dst []byte, tag Tag, value []byte) []byte {
	for shift := 16; shift > 0; shift -= 8 {
		if tag>>shift != 0 {
			dst = append(dst, byte(tag>>shift))
		}
	}
	dst = append(dst, byte(tag))
	n := len(value)
	switch {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n < 1<<8:
		dst = append(dst, 0x81, byte(n))
	case n < 1<<16:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		dst = append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, value...)
}
