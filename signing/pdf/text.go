package pdf

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// decodeHex decodes the inside of a hexadecimal string; a missing last digit is
// zero (7.3.4.3).
func decodeHex(src []byte) []byte {
	out := make([]byte, 0, len(src)/2+1)
	high := -1
	for _, c := range src {
		d := hexDigit(c)
		switch {
		case d < 0:
		case high < 0:
			high = d
		default:
			out = append(out, byte(high<<4|d))
			high = -1
		}
	}
	if high >= 0 {
		out = append(out, byte(high<<4))
	}
	return out
}

// decodeLiteral decodes the inside of a literal string (7.3.4.2).
func decodeLiteral(src []byte) []byte {
	out := make([]byte, 0, len(src))
	for i := 0; i < len(src); i++ {
		c := src[i]
		if c == '\r' { // an end-of-line in any form is one line feed
			if i+1 < len(src) && src[i+1] == '\n' {
				i++
			}
			c = '\n'
		}
		if c != '\\' || i+1 >= len(src) {
			out = append(out, c)
			continue
		}
		i++
		switch e := src[i]; e {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case '\r':
			if i+1 < len(src) && src[i+1] == '\n' {
				i++
			}
		case '\n':
		case '0', '1', '2', '3', '4', '5', '6', '7':
			value := 0
			for n := 0; n < 3 && i < len(src) && src[i] >= '0' && src[i] <= '7'; n++ {
				value = value<<3 | int(src[i]-'0')
				i++
			}
			i--
			out = append(out, byte(value))
		default:
			out = append(out, e)
		}
	}
	return out
}

// decodeName takes a name in source form, with its solidus (7.3.5).
func decodeName(raw []byte) string {
	raw = raw[1:]
	if bytes.IndexByte(raw, '#') < 0 {
		return string(raw)
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '#' && i+2 < len(raw) && hexDigit(raw[i+1]) >= 0 && hexDigit(raw[i+2]) >= 0 {
			b.WriteByte(byte(hexDigit(raw[i+1])<<4 | hexDigit(raw[i+2])))
			i += 2
			continue
		}
		b.WriteByte(raw[i])
	}
	return b.String()
}

// AppendName appends a name in source form.
func AppendName(dst []byte, name string) []byte {
	const digits = "0123456789ABCDEF"
	dst = append(dst, '/')
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c > '~' || c == '#' || isDelimiter(c) {
			dst = append(dst, '#', digits[c>>4], digits[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendText appends a text string: as a literal when it is printable ASCII,
// else as UTF-16BE with its mark in hexadecimal form, so that no byte of a
// character can be taken for a delimiter.
func AppendText(dst []byte, text string) []byte {
	plain := true
	for _, r := range text {
		if r < ' ' || r > '~' {
			plain = false
			break
		}
	}
	if plain {
		return AppendLiteral(dst, []byte(text))
	}
	const digits = "0123456789ABCDEF"
	dst = append(dst, "<FEFF"...)
	for _, unit := range utf16.Encode([]rune(text)) {
		dst = append(dst, digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
	}
	return append(dst, '>')
}

// AppendLiteral appends a literal string with every delimiter escaped.
func AppendLiteral(dst, value []byte) []byte {
	dst = append(dst, '(')
	for _, c := range value {
		switch c {
		case '(', ')', '\\':
			dst = append(dst, '\\', c)
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, ')')
}

// AppendHex appends a hexadecimal string with lower-case digits.
func AppendHex(dst, value []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '<')
	for _, c := range value {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return append(dst, '>')
}

// DecodeText decodes a text string: UTF-16BE with its mark, UTF-8 with its mark
// (PDF 2.0), else PDFDocEncoding. UTF-16LE, which some producers write, is read
// too.
func DecodeText(b []byte) string {
	switch {
	case len(b) >= 2 && b[0] == 0xFE && b[1] == 0xFF:
		return decodeUTF16(b[2:], 0)
	case len(b) >= 2 && b[0] == 0xFF && b[1] == 0xFE:
		return decodeUTF16(b[2:], 1)
	case len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF:
		return strings.ToValidUTF8(string(b[3:]), string(utf8.RuneError))
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(docEncoding(c))
	}
	return s.String()
}

func decodeUTF16(b []byte, high int) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, uint16(b[i+high])<<8|uint16(b[i+1-high]))
	}
	return string(utf16.Decode(units))
}

// docEncoding maps a byte of PDFDocEncoding (ISO 32000-2 Annex D.3).
func docEncoding(c byte) rune {
	const (
		accents = "\u02D8\u02C7\u02C6\u02D9\u02DD\u02DB\u02DA\u02DC"
		symbols = "\u2022\u2020\u2021\u2026\u2014\u2013\u0192\u2044\u2039\u203A\u2212\u2030" +
			"\u201E\u201C\u201D\u2018\u2019\u201A\u2122\uFB01\uFB02\u0141\u0152\u0160\u0178\u017D" +
			"\u0131\u0142\u0153\u0161\u017E\uFFFD\u20AC"
	)
	switch {
	case c >= 0x18 && c <= 0x1F:
		return []rune(accents)[c-0x18]
	case c >= 0x80 && c <= 0xA0:
		return []rune(symbols)[c-0x80]
	case c == 0x7F || c == 0xAD:
		return utf8.RuneError
	default:
		return rune(c)
	}
}
