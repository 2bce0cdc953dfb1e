package xmltext

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// minRead is the least room in which a source can decode something: a
// character of four bytes, with some to spare.
const minRead = 16

// source gives the document as UTF-8.
type source struct {
	in       io.Reader
	limit    int64 // bytes
	total    int64 // bytes taken from in
	encoding string
	decode   decoder // nil for UTF-8
	unit     int64   // bytes of a code unit where decode is set
	raw      []byte  // taken from in and not decoded yet
	ended    error
}

// decoder turns bytes of an encoding into UTF-8 as far as they and the room
// in dst go, leaves a character that is not complete, and stops with a problem
// at bytes that are not of the encoding.
type decoder func(dst, src []byte) (written, taken int, problem string)

// Read gives UTF-8.
func (s *source) Read(p []byte) (int, error) {
	if s.decode == nil {
		return s.take(p)
	}
	if len(s.raw) < minRead && s.ended == nil {
		grown := make([]byte, len(s.raw)+window/4)
		copy(grown, s.raw)
		n, err := s.take(grown[len(s.raw):])
		s.raw, s.ended = grown[:len(s.raw)+n], err
	}
	written, taken, problem := s.decode(p, s.raw)
	s.raw = s.raw[taken:]
	switch {
	case problem != "":
		return written, s.fault(problem)
	case s.ended == nil || taken > 0 && len(s.raw) > 0:
		return written, nil
	case len(s.raw) > 0 && errors.Is(s.ended, io.EOF):
		return written, s.fault("the document ends within a character")
	}
	return written, s.ended
}

// take reads bytes of the source and counts them.
func (s *source) take(p []byte) (int, error) {
	n, err := s.in.Read(p)
	s.total += int64(n)
	if over := s.total - s.limit; over > 0 {
		return max(n-int(over), 0), &Error{Offset: s.limit, Problem: "document too long", Reason: ErrLimit}
	}
	return n, err
}

func (s *source) fault(problem string) error {
	return &Error{Offset: s.total - int64(len(s.raw)), Problem: problem, Reason: ErrEncoding}
}

// width says how many bytes of the source the UTF-8 in b stands for.
func (s *source) width(b []byte) int64 {
	if s.decode == nil {
		return int64(len(b))
	}
	var units int64
	for _, c := range b {
		if c < 0x80 || c >= 0xC0 {
			units++
		}
		if c >= 0xF0 && s.unit == 2 {
			units++ // a surrogate pair
		}
	}
	return units * s.unit
}

// begin finds out the encoding and reads byte order mark and XML declaration;
// done says that they made a token.
func (r *Reader) begin() (done bool, err error) {
	r.fill()
	mark := 0
	if r.given != "" {
		return false, r.applyGiven()
	}
	switch b := r.buf[:r.end]; {
	case hasPrefix(b, "\xEF\xBB\xBF"):
		mark = 3
	case hasPrefix(b, "\xFF\xFE\x00\x00"), hasPrefix(b, "\x00\x00\xFE\xFF"):
		return false, &fault{reason: ErrEncoding, problem: "UTF-32 is not read"}
	case hasPrefix(b, "\xFE\xFF"):
		mark = 2
		r.transcode(utf16BE, 2, 2, utf16Decoder(binary.BigEndian))
	case hasPrefix(b, "\xFF\xFE"):
		mark = 2
		r.transcode(utf16LE, 2, 2, utf16Decoder(binary.LittleEndian))
	case hasPrefix(b, "<\x00"), hasPrefix(b, "\x00"):
		return false, &fault{reason: ErrEncoding, problem: "UTF-16 without a byte order mark"}
	}
	if r.source.decode == nil {
		r.source.encoding = "UTF-8"
		r.pos = mark
	}
	r.offset = int64(mark)
	n, err := r.declaration(r.buf[r.pos:r.end], mark > 0)
	if err != nil || n == 0 && mark == 0 {
		return false, err
	}
	r.set(Declaration)
	r.advance(n)
	r.token.Start = 0
	return true, nil
}

const utf16BE, utf16LE = "UTF-16BE", "UTF-16LE"

// applyGiven takes the encoding of the options. A source that was cut out of a
// document has neither mark nor declaration.
func (r *Reader) applyGiven() error {
	switch r.given {
	case utf16BE:
		r.transcode(r.given, 2, 0, utf16Decoder(binary.BigEndian))
	case utf16LE:
		r.transcode(r.given, 2, 0, utf16Decoder(binary.LittleEndian))
	case "UTF-8":
		r.source.encoding = r.given
	default:
		return r.applyEncoding(r.given, false)
	}
	return nil
}

// transcode starts over what is in the buffer after skip bytes as another
// encoding.
func (r *Reader) transcode(name string, unit int64, skip int, d decoder) {
	s := &r.source
	s.encoding, s.unit, s.decode = name, unit, d
	s.raw = append([]byte(nil), r.buf[skip:r.end]...)
	s.ended = r.ended
	r.pos, r.end, r.ended = 0, 0, nil
	r.fill()
}

// declaration reads an XML declaration at the start of b, if one is there, and
// says how many bytes it has.
func (r *Reader) declaration(b []byte, marked bool) (int, error) {
	if !hasPrefix(b, "<?xml") || len(b) > 5 && !isSpace(b[5]) {
		return 0, nil
	}
	i := 5
	version, i, err := pseudoAttribute(b, i, "version")
	if err != nil {
		return 0, err
	}
	if version != "1.0" {
		return 0, syntax(i, "not version 1.0")
	}
	encoding, i, err := pseudoAttribute(b, i, "encoding")
	if err != nil {
		return 0, err
	}
	standalone, i, err := pseudoAttribute(b, i, "standalone")
	if err != nil {
		return 0, err
	}
	if standalone != "" && standalone != "yes" && standalone != "no" {
		return 0, syntax(i, "standalone is yes or no")
	}
	i = skipSpace(b, i)
	if !hasPrefix(b[i:], "?>") {
		return 0, syntax(i, "the XML declaration does not end")
	}
	return i + 2, r.applyEncoding(encoding, marked)
}

// applyEncoding applies the encoding that a declaration names.
func (r *Reader) applyEncoding(encoding string, marked bool) error {
	name := strings.ToUpper(encoding)
	switch {
	case name == "" || name == r.source.encoding || name == "UTF-16" && strings.HasPrefix(r.source.encoding, name):
		return nil
	case marked:
		return &fault{reason: ErrEncoding, problem: "the declaration contradicts the byte order mark"}
	case name == "ISO-8859-1":
		r.transcode(name, 1, 0, byteDecoder(0xFF))
	case charset(name) != nil:
		r.transcode(name, 1, 0, tableDecoder(charset(name)))
	case name == "US-ASCII":
		r.transcode(name, 1, 0, byteDecoder(0x7F))
	case name == "UTF-16":
		return &fault{reason: ErrEncoding, problem: "UTF-16 without a byte order mark"}
	default:
		return &fault{reason: ErrEncoding, problem: "encoding " + quoted([]byte(encoding)) + " is not read"}
	}
	return nil
}

// pseudoAttribute reads a part of the XML declaration at b[i], with the white
// space before it. The value is empty and i unchanged if it is not there.
func pseudoAttribute(b []byte, i int, name string) (value string, next int, err error) {
	at := skipSpace(b, i)
	if at == i || !hasPrefix(b[at:], name) {
		return "", i, nil
	}
	at = skipSpace(b, at+len(name))
	if at >= len(b) || b[at] != '=' {
		return "", 0, syntax(at, "= expected")
	}
	at = skipSpace(b, at+1)
	if at >= len(b) || b[at] != '"' && b[at] != '\'' {
		return "", 0, syntax(at, "quote expected")
	}
	from := at + 1
	for at = from; at < len(b) && b[at] != b[from-1]; at++ {
		if classes[b[at]]&nameChar == 0 {
			return "", 0, syntax(at, "unexpected character in the XML declaration")
		}
	}
	if at == len(b) || at == from {
		return "", 0, syntax(at, "value expected")
	}
	return string(b[from:at]), at + 1, nil
}

// charset knows further encodings of one byte for each character that documents
// in use have.
func charset(name string) *charmap.Charmap {
	switch name {
	case "ISO-8859-2":
		return charmap.ISO8859_2
	case "ISO-8859-15":
		return charmap.ISO8859_15
	case "WINDOWS-1250":
		return charmap.Windows1250
	case "WINDOWS-1252":
		return charmap.Windows1252
	}
	return nil
}

func tableDecoder(table *charmap.Charmap) decoder {
	return func(dst, src []byte) (written, taken int, problem string) {
		for taken < len(src) && len(dst)-written >= utf8.UTFMax {
			c := table.DecodeByte(src[taken])
			if c == utf8.RuneError {
				return written, taken, "a byte that is not of the declared encoding"
			}
			written += utf8.EncodeRune(dst[written:], c)
			taken++
		}
		return written, taken, ""
	}
}

// byteDecoder is for encodings whose bytes are the first characters of Unicode.
func byteDecoder(last byte) decoder {
	return func(dst, src []byte) (written, taken int, problem string) {
		for taken < len(src) && written+2 <= len(dst) {
			c := src[taken]
			if c > last {
				return written, taken, "a byte that is not of the declared encoding"
			}
			if c < 0x80 {
				dst[written] = c
				written++
			} else {
				dst[written], dst[written+1] = 0xC0|c>>6, 0x80|c&0x3F
				written += 2
			}
			taken++
		}
		return written, taken, ""
	}
}

func utf16Decoder(order binary.ByteOrder) decoder {
	return func(dst, src []byte) (written, taken int, problem string) {
		for len(src)-taken >= 2 && len(dst)-written >= utf8.UTFMax {
			c := rune(order.Uint16(src[taken:]))
			size := 2
			if utf16.IsSurrogate(c) {
				if len(src)-taken < 4 {
					return written, taken, ""
				}
				c = utf16.DecodeRune(c, rune(order.Uint16(src[taken+2:])))
				if c == utf8.RuneError {
					return written, taken, "half a surrogate pair"
				}
				size = 4
			}
			written += utf8.EncodeRune(dst[written:], c)
			taken += size
		}
		return written, taken, ""
	}
}
