package pdf

import (
	"errors"
	"math"
	"slices"
	"strconv"
)

// errShort: the window ended inside a token and the file goes on. It never
// leaves the package.
var errShort = errors.New("window too short")

// lexer parses objects in a window of the file.
type lexer struct {
	buf    []byte
	pos    int
	base   int64 // file offset of buf[0], -1 in an object stream
	last   bool  // the window reaches the end of the file
	limits *Limits
	items  int // values so far
	secret *objectKey
	// stack holds the values of arrays and dictionaries whose end is not reached, those
	// of the innermost one on top.
	stack []Object
}

// popped takes what was put on the stack since it had a height, and returns it in a
// slice of just that length.
func (l *lexer) popped(height int) []Object {
	top := l.stack[height:]
	switch {
	case len(top) == 0:
		return nil
	case len(top) > max(keptStack, height): // rather than twice in memory, it keeps the stack
		l.stack = slices.Clone(l.stack[:height])
		return slices.Clip(top)
	}
	items := make([]Object, len(top))
	copy(items, top)
	clear(top) // lest the stack keep what they refer to
	l.stack = l.stack[:height]
	return items
}

func (l *lexer) offset() int64 {
	if l.base < 0 {
		return -1
	}
	return l.base + int64(l.pos)
}

func (l *lexer) malformed(format string, args ...any) error {
	return malformed(l.offset(), format, args...)
}

// end is the answer to running out of bytes.
func (l *lexer) end(what string) error {
	if !l.last {
		return errShort
	}
	return l.malformed("file ends inside %s", what)
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func isDelimiter(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', '{', '}', '/', '%':
		return true
	}
	return false
}

func isRegular(c byte) bool { return !isSpace(c) && !isDelimiter(c) }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// skip passes over white space and comments.
func (l *lexer) skip() error {
	for l.pos < len(l.buf) {
		c := l.buf[l.pos]
		switch {
		case isSpace(c):
			l.pos++
		case c == '%':
			for l.pos < len(l.buf) && l.buf[l.pos] != '\n' && l.buf[l.pos] != '\r' {
				l.pos++
			}
		default:
			return nil
		}
	}
	return l.end("white space")
}

// keyword passes over a word if it is next.
func (l *lexer) keyword(word string) (bool, error) {
	if err := l.skip(); err != nil {
		return false, err
	}
	end := l.pos + len(word)
	if end >= len(l.buf) && !l.last {
		return false, errShort
	}
	if end > len(l.buf) || string(l.buf[l.pos:end]) != word {
		return false, nil
	}
	if end < len(l.buf) && isRegular(l.buf[end]) {
		return false, nil
	}
	l.pos = end
	return true, nil
}

// object parses one value.
func (l *lexer) object(depth int) (Object, error) {
	if err := l.skip(); err != nil {
		return Object{}, err
	}
	if l.items++; l.items > l.limits.Items {
		return Object{}, &LimitError{What: "values in one object", Limit: int64(l.limits.Items)}
	}
	start := l.pos
	o := Object{start: uint32(start), offset: l.offset(), secret: l.secret}
	var err error
	switch c := l.buf[l.pos]; {
	case c == '/':
		o.kind = Name
		err = l.name()
	case c == '(':
		o.kind = String
		err = l.literal()
	case c == '<' && l.pos+1 >= len(l.buf):
		err = l.end("a string")
	case c == '<' && l.buf[l.pos+1] == '<':
		o.kind = Dictionary
		o.items, err = l.dictionary(depth)
	case c == '<':
		o.kind = String
		err = l.hex()
	case c == '[':
		o.kind = Array
		o.items, err = l.array(depth)
	case isDigit(c) || c == '+' || c == '-' || c == '.':
		err = l.number(&o)
	default:
		err = l.word(&o)
	}
	if err != nil {
		return Object{}, err
	}
	o.raw = l.buf[start:l.pos:l.pos]
	return o, nil
}

func (l *lexer) deeper(depth int) error {
	if depth >= l.limits.Depth {
		return &LimitError{What: "nesting", Limit: int64(l.limits.Depth)}
	}
	return nil
}

func (l *lexer) array(depth int) ([]Object, error) {
	if err := l.deeper(depth); err != nil {
		return nil, err
	}
	l.pos++
	height := len(l.stack)
	for {
		if err := l.skip(); err != nil {
			return nil, err
		}
		if l.buf[l.pos] == ']' {
			l.pos++
			return l.popped(height), nil
		}
		item, err := l.object(depth + 1)
		if err != nil {
			return nil, err
		}
		l.stack = append(l.stack, item)
	}
}

func (l *lexer) dictionary(depth int) ([]Object, error) {
	if err := l.deeper(depth); err != nil {
		return nil, err
	}
	l.pos += 2
	height := len(l.stack)
	for {
		if err := l.skip(); err != nil {
			return nil, err
		}
		if l.buf[l.pos] == '>' {
			if l.pos+1 >= len(l.buf) {
				return nil, l.end("a dictionary")
			}
			if l.buf[l.pos+1] != '>' {
				return nil, l.malformed("stray '>' in a dictionary")
			}
			l.pos += 2
			return l.popped(height), nil
		}
		if l.buf[l.pos] != '/' {
			return nil, l.malformed("dictionary key is not a name")
		}
		key, err := l.object(depth + 1)
		if err != nil {
			return nil, err
		}
		value, err := l.object(depth + 1)
		if err != nil {
			return nil, err
		}
		l.stack = append(l.stack, key, value)
	}
}

func (l *lexer) name() error {
	start := l.pos
	l.pos++
	for l.pos < len(l.buf) && isRegular(l.buf[l.pos]) {
		l.pos++
		if l.pos-start > nameBytes {
			return &LimitError{What: "bytes of a name", Limit: nameBytes}
		}
	}
	if l.pos == len(l.buf) && !l.last {
		return errShort
	}
	return nil
}

// literal passes over a literal string; brackets nest without recursion.
func (l *lexer) literal() error {
	open := 0
	for l.pos < len(l.buf) {
		switch l.buf[l.pos] {
		case '\\':
			l.pos++
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				l.pos++
				return nil
			}
		}
		l.pos++
	}
	l.pos = len(l.buf)
	return l.end("a literal string")
}

func (l *lexer) hex() error {
	l.pos++
	for l.pos < len(l.buf) {
		c := l.buf[l.pos]
		switch {
		case c == '>':
			l.pos++
			return nil
		case hexDigit(c) < 0 && !isSpace(c):
			return l.malformed("byte %#02x in a hexadecimal string", c)
		}
		l.pos++
	}
	return l.end("a hexadecimal string")
}

// number parses an integer, a real, or the three tokens of a reference.
func (l *lexer) number(o *Object) error {
	text, err := l.digits()
	if err != nil {
		return err
	}
	value, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return l.real(o, string(text))
	}
	o.kind, o.bits = Integer, uint64(value)
	if value < 0 || !isDigit(text[0]) {
		return nil
	}
	return l.reference(o, value)
}

func (l *lexer) digits() ([]byte, error) {
	start := l.pos
	for l.pos < len(l.buf) && isRegular(l.buf[l.pos]) {
		l.pos++
		if l.pos-start > numberDigits {
			return nil, &LimitError{What: "digits of a number", Limit: numberDigits}
		}
	}
	if l.pos == len(l.buf) && !l.last {
		return nil, errShort
	}
	return l.buf[start:l.pos], nil
}

func (l *lexer) real(o *Object, text string) error {
	digits := 0
	for i := range len(text) {
		switch c := text[i]; {
		case isDigit(c):
			digits++
		case c == '.', (c == '-' || c == '+') && i == 0:
		default:
			return l.malformed("%q is no number", text)
		}
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || digits == 0 || math.IsInf(value, 0) {
		return l.malformed("%q is no number", text)
	}
	o.kind, o.bits = Real, math.Float64bits(value)
	return nil
}

// reference looks for "generation R" behind an object number.
func (l *lexer) reference(o *Object, number int64) error {
	mark := l.pos
	undo := func(err error) error {
		if errors.Is(err, errShort) {
			return err
		}
		l.pos = mark
		return nil
	}
	if err := l.skip(); err != nil {
		return undo(err)
	}
	start := l.pos
	generation := 0
	for l.pos < len(l.buf) && isDigit(l.buf[l.pos]) && l.pos-start < 6 {
		generation = 10*generation + int(l.buf[l.pos]-'0')
		l.pos++
	}
	if l.pos == len(l.buf) && !l.last {
		return errShort
	}
	if l.pos == start {
		return undo(nil) // most integers are no references
	}
	if generation > math.MaxUint16 || l.pos == len(l.buf) || !isSpace(l.buf[l.pos]) && l.buf[l.pos] != '%' {
		return undo(nil)
	}
	isRef, err := l.keyword("R")
	if err != nil || !isRef {
		return undo(err)
	}
	if number > l.limits.ObjectNumber {
		return &LimitError{What: "object number", Limit: l.limits.ObjectNumber}
	}
	o.kind, o.bits = Reference, uint64(number)<<16|uint64(generation)
	return nil
}

func (l *lexer) word(o *Object) error {
	for _, w := range [...]struct {
		text string
		kind Kind
		bits uint64
	}{{"true", Boolean, 1}, {"false", Boolean, 0}, {"null", Null, 0}} {
		found, err := l.keyword(w.text)
		if err != nil {
			return err
		}
		if found {
			o.kind, o.bits = w.kind, w.bits
			return nil
		}
	}
	return l.malformed("byte %#02x where a value must be", l.buf[l.pos])
}
