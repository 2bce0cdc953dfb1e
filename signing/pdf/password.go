package pdf

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// spellings are the bytes that a password, as it was typed, may stand for, the password
// as it is first: a program that encrypts has to encode it before, and many do not.
func (h *handler) spellings(password []byte) [][]byte {
	all := [][]byte{password}
	if !utf8.Valid(password) || isASCII(password) {
		return all
	}
	var other []byte
	if h.revision >= 5 {
		other = prepared(password)
	} else {
		other = docEncoded(password)
	}
	if other == nil || bytes.Equal(other, password) {
		clear(other)
		return all
	}
	return append(all, other)
}

func isASCII(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// prepared is a password in the form of SASLprep (ISO 32000-2 7.6.4.3.3, RFC 4013 2): an
// ª is the same as an a, and an accent may be a character of its own. What SASLprep
// prohibits opens nothing, so that it need not be looked for.
func prepared(password []byte) []byte {
	return norm.NFKC.Bytes(bytes.Map(func(r rune) rune {
		switch {
		case r == '\u00A0' || r == '\u1680' || r >= '\u2000' && r <= '\u200B' || // RFC 3454 C.1.2
			r == '\u202F' || r == '\u205F' || r == '\u3000':
			return ' '
		case strings.ContainsRune("\u00AD\u034F\u1806\u200C\u200D\u2060\uFEFF", r) || // RFC 3454 B.1
			r >= '\u180B' && r <= '\u180D' || r >= '\uFE00' && r <= '\uFE0F':
			return -1
		}
		return r
	}, password))
}

// docEncoded is a password in PDFDocEncoding (ISO 32000-2 7.6.4.3.2), nil when that has
// not all of its characters.
func docEncoded(password []byte) []byte {
	composed := norm.NFC.Bytes(password)
	encoded := make([]byte, 0, len(composed))
	for _, r := range string(composed) {
		c, ok := docByte(r)
		if !ok {
			clear(encoded)
			return nil
		}
		encoded = append(encoded, c)
	}
	return encoded
}

// docByte is the reverse of docEncoding.
func docByte(r rune) (c byte, ok bool) {
	for c := range 256 {
		if r != utf8.RuneError && docEncoding(byte(c)) == r {
			return byte(c), true
		}
	}
	return 0, false
}
