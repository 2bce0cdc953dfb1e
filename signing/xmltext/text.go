package xmltext

import "unicode/utf8"

// characters reads a piece of character data, or of the CDATA section the
// reader is in, from b[from] on; what is before belongs to the token. It ends
// before markup and references, after the section, before the bytes run out
// within a character, and before each CR, which takes another piece to become
// a line feed.
func (r *Reader) characters(b []byte, from int) (int, error) {
	plain := true
	i := from
	if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
		from, i = from+1, from+2
	}
	for {
		for i < len(b) && classes[b[i]]&textChar != 0 {
			i++
		}
		if i == len(b) {
			return r.piece(b, from, i, plain)
		}
		switch c := b[i]; {
		case c == '<' && !r.cdata, c == '&' && !r.cdata:
			return r.piece(b, from, i, plain)
		case c == '<', c == '&', c == '>':
			plain = false
			i++
		case c == ']':
			if len(b)-i < 3 && !r.final() {
				return r.piece(b, from, i, plain)
			}
			if !hasPrefix(b[i:], "]]>") {
				i++
				continue
			}
			if !r.cdata {
				return 0, syntax(i, "]]> in character data")
			}
			if _, err := r.piece(b, from, i+1, plain); err != nil {
				return 0, err
			}
			r.token.Data = b[from:i]
			r.cdata = false
			return i + 3, nil
		case c == '\r':
			if i > from {
				return r.piece(b, from, i, plain)
			}
			if i+1 == len(b) && !r.final() {
				return 0, errMore
			}
			r.set(r.textKind())
			r.token.Data, r.token.Plain = append(r.reference[:0], '\n'), true
			return i + 1, nil
		case c < utf8.RuneSelf:
			return 0, syntax(i, "control character")
		default:
			size, err := wideChar(b, i)
			if err == errMore { //nolint:errorlint // a sentinel of this package, never wrapped
				if r.final() {
					return 0, &fault{at: i, reason: ErrEncoding, problem: "not UTF-8"}
				}
				return r.piece(b, from, i, plain)
			}
			if err != nil {
				return 0, err
			}
			i += size
		}
	}
}

// piece makes a token of the character data b[from:to], if there is any.
func (r *Reader) piece(b []byte, from, to int, plain bool) (int, error) {
	if to <= from {
		return 0, errMore
	}
	r.set(r.textKind())
	r.token.Data, r.token.Plain = b[from:to], plain
	return to, nil
}

func (r *Reader) textKind() Kind {
	if r.cdata {
		return CDATA
	}
	return Text
}

// referenceText reads a reference in content.
func (r *Reader) referenceText(b []byte) (int, error) {
	text, n, err := r.resolve(b, 0, true)
	if err != nil {
		return 0, err
	}
	plain := true
	for _, c := range text {
		if c == '&' || c == '<' || c == '>' || c == '\r' {
			plain = false
		}
	}
	r.set(Text)
	r.token.Data, r.token.Plain = text, plain
	return n, nil
}

// resolve reads the reference at b[i] and gives what it stands for and where
// it ends. Text of a character is valid until the next call. External
// entities are for content alone, XML 1.0 section 4.4.4.
func (r *Reader) resolve(b []byte, i int, external bool) (text []byte, end int, err error) {
	if i+1 >= len(b) {
		return nil, 0, errMore
	}
	if b[i+1] == '#' {
		c, end, err := characterReference(b, i)
		if err != nil {
			return nil, 0, err
		}
		return utf8.AppendRune(r.reference[:0], c), end, nil
	}
	end, err = scanNCName(b, i+1)
	if err != nil {
		return nil, 0, err
	}
	name := b[i+1 : end]
	if b[end] != ';' {
		return nil, 0, syntax(i, "a reference ends with a semicolon")
	}
	if c := predefined(name); c != 0 {
		return append(r.reference[:0], c), end + 1, nil
	}
	if r.subset == nil {
		return nil, 0, syntax(i, "reference to entity "+quoted(name)+", which is not declared")
	}
	text, err = r.subset.expand(i, string(name), external)
	return text, end + 1, err
}

func predefined(name []byte) byte {
	switch string(name) {
	case "amp":
		return '&'
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	return 0
}

// characterReference reads &#…; at b[i].
func characterReference(b []byte, i int) (c rune, end int, err error) {
	at, base := i+2, rune(10)
	if at < len(b) && b[at] == 'x' {
		at, base = at+1, 16
	}
	digits := at
	for ; at < len(b); at++ {
		d := digit(b[at])
		if d >= base {
			break
		}
		if c = c*base + d; c > utf8.MaxRune {
			return 0, 0, syntax(i, "reference to no character of XML")
		}
	}
	switch {
	case at == len(b):
		return 0, 0, errMore
	case at == digits || b[at] != ';':
		return 0, 0, syntax(i, "malformed character reference")
	case !isChar(c):
		return 0, 0, syntax(i, "reference to no character of XML")
	}
	return c, at + 1, nil
}

func digit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return 16
}
