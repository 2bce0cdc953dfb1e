package xmltext

import (
	"bytes"
	"unicode/utf8"
)

// What an ASCII character may be part of without being looked at closer.
const (
	textChar  = 1 << iota // character data: no & < > ] CR
	valueChar             // attribute values: no & < quotes, white space but the blank
	startChar             // first of a name, the colon excluded (NCName)
	nameChar              // of a name, the colon excluded
	spaceChar             // S
	dataChar              // comments, processing instructions: no CR
)

const sixteenZeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// classes has the flags of every byte; those beyond ASCII have none.
const classes = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x31\x31\x00\x00\x10\x00\x00" +
	sixteenZeros +
	"\x33\x23\x21\x23\x23\x23\x20\x21\x23\x23\x23\x23\x23\x2b\x2b\x23" +
	"\x2b\x2b\x2b\x2b\x2b\x2b\x2b\x2b\x2b\x2b\x23\x23\x20\x23\x22\x23" +
	"\x23\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f" +
	"\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x23\x23\x22\x23\x2f" +
	"\x23\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f" +
	"\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x2f\x23\x23\x23\x23\x23" +
	sixteenZeros + sixteenZeros + sixteenZeros + sixteenZeros +
	sixteenZeros + sixteenZeros + sixteenZeros + sixteenZeros

func isSpace(c byte) bool { return classes[c]&spaceChar != 0 }

// isChar is the Char production of XML 1.0.
func isChar(r rune) bool {
	return r >= 0x20 && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}

// isNameStart is NameStartChar beyond ASCII, XML 1.0 fifth edition section 2.3.
func isNameStart(r rune) bool {
	switch {
	case r < 0xC0:
		return false
	case r <= 0x2FF:
		return r != 0xD7 && r != 0xF7
	case r <= 0x1FFF:
		return r >= 0x370 && r != 0x37E
	case r <= 0x218F:
		return r == 0x200C || r == 0x200D || r >= 0x2070
	case r <= 0xD7FF:
		return r >= 0x2C00 && r <= 0x2FEF || r >= 0x3001
	case r <= 0xFFFD:
		return r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0
	}
	return r >= 0x10000 && r <= 0xEFFFF
}

// isNamePart is NameChar beyond ASCII.
func isNamePart(r rune) bool {
	return isNameStart(r) || r == 0xB7 || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}

// decode reads one character beyond ASCII at b[i]. The size is 0 with errMore
// if the bytes end within it.
func decode(b []byte, i int) (r rune, size int, err error) {
	r, size = utf8.DecodeRune(b[i:])
	if r == utf8.RuneError && size <= 1 {
		if !utf8.FullRune(b[i:]) {
			return 0, 0, errMore
		}
		return 0, 0, &fault{at: i, reason: ErrEncoding, problem: "not UTF-8"}
	}
	return r, size, nil
}

// wideChar checks one character at b[i] that is not plain ASCII.
func wideChar(b []byte, i int) (size int, err error) {
	if b[i] < utf8.RuneSelf {
		return 0, syntax(i, "control character")
	}
	r, size, err := decode(b, i)
	if err != nil {
		return 0, err
	}
	if !isChar(r) {
		return 0, syntax(i, "character outside XML")
	}
	return size, nil
}

// scanNCName finds the end of a name without colon that starts at b[i].
func scanNCName(b []byte, i int) (end int, err error) {
	start := i
	for ; i < len(b); i++ {
		c := b[i]
		if classes[c]&nameChar != 0 {
			if i == start && classes[c]&startChar == 0 {
				return 0, syntax(i, "no name may begin here")
			}
			continue
		}
		if c < utf8.RuneSelf {
			break
		}
		r, size, err := decode(b, i)
		if err != nil {
			return 0, err
		}
		if i == start && !isNameStart(r) || !isNamePart(r) {
			break
		}
		i += size - 1
	}
	if i == len(b) {
		return 0, errMore
	}
	if i == start {
		return 0, syntax(i, "name expected")
	}
	return i, nil
}

// scanQName finds the end of a qualified name; colon is the index in b of its
// colon, -1 if it has none.
func scanQName(b []byte, i int) (end, colon int, err error) {
	end, err = scanNCName(b, i)
	if err != nil {
		return 0, 0, err
	}
	if b[end] != ':' {
		return end, -1, nil
	}
	colon = end
	end, err = scanNCName(b, colon+1)
	if err != nil {
		return 0, 0, err
	}
	if b[end] == ':' {
		return 0, 0, misused(end, "a name with two colons")
	}
	return end, colon, nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && classes[b[i]]&spaceChar != 0 {
		i++
	}
	return i
}

// checkData checks the characters of a comment or processing instruction, and
// says whether a CR is among them.
func checkData(b []byte, from, to int) (cr bool, err error) {
	for i := from; i < to; {
		c := b[i]
		switch {
		case classes[c]&dataChar != 0:
			i++
		case c == '\r':
			cr = true
			i++
		default:
			size, err := wideChar(b[:to], i)
			if err == errMore { //nolint:errorlint // a sentinel of this package, never wrapped
				return false, &fault{at: i, reason: ErrEncoding, problem: "not UTF-8"}
			}
			if err != nil {
				return false, err
			}
			i += size
		}
	}
	return cr, nil
}

// appendLines appends data with line ends normalised, XML 1.0 section 2.11.
func appendLines(dst, data []byte) []byte {
	for {
		i := bytes.IndexByte(data, '\r')
		if i < 0 {
			return append(dst, data...)
		}
		dst = append(append(dst, data[:i]...), '\n')
		data = data[i+1:]
		if len(data) > 0 && data[0] == '\n' {
			data = data[1:]
		}
	}
}
