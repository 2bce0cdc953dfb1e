package pdf

import "bytes"

// maxOperands bounds the operands of one operator; 33 is the most that any takes
// (7.8.2, Annex C.2).
const maxOperands = 64

// Operations calls each for every operator of a content stream with its operands
// (7.8.2). Inline images are passed over. What cannot be read ends the reading
// with a FormatError; each stops it by returning false. The operands are valid
// only during the call.
func Operations(data []byte, limits Limits, each func(operator string, operands []Object) bool) error {
	limits = limits.withDefaults()
	l := &lexer{buf: data, base: -1, last: true, limits: &limits}
	var operands []Object
	for {
		l.items = 0
		for l.pos < len(l.buf) && isSpace(l.buf[l.pos]) {
			l.pos++
		}
		if l.pos == len(l.buf) {
			return nil
		}
		c := l.buf[l.pos]
		switch {
		case c == '%':
			if l.skip() != nil {
				return nil // a comment at the end
			}
		case c == '\'' || c == '"' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			from := l.pos
			for l.pos < len(l.buf) && isRegular(l.buf[l.pos]) {
				l.pos++
			}
			word := string(l.buf[from:l.pos])
			if word == "true" || word == "false" || word == "null" {
				continue
			}
			if word == "ID" {
				l.skipImage()
				operands = operands[:0]
				continue
			}
			if !each(word, operands) {
				return nil
			}
			operands = operands[:0]
		case len(operands) == maxOperands:
			return &LimitError{What: "operands of an operator", Limit: maxOperands}
		default:
			o, err := l.object(0)
			if err != nil {
				return err
			}
			operands = append(operands, o)
		}
	}
}

// skipImage passes over the data of an inline image to behind its EI (8.9.7).
func (l *lexer) skipImage() {
	for l.pos < len(l.buf) {
		i := bytes.Index(l.buf[l.pos:], []byte("EI"))
		if i < 0 {
			l.pos = len(l.buf)
			return
		}
		at := l.pos + i
		l.pos = at + len("EI")
		before := at == 0 || isSpace(l.buf[at-1])
		after := l.pos == len(l.buf) || isSpace(l.buf[l.pos])
		if before && after {
			return
		}
	}
}
