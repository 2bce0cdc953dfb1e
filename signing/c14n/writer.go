package c14n

import "io"

// What has to be escaped in text and in attribute values, Canonical XML 1.0
// section 2.3: a bit for each character below 64.
const (
	inText  uint64 = 1<<'&' | 1<<'<' | 1<<'>' | 1<<'\r'
	inValue uint64 = 1<<'&' | 1<<'<' | 1<<'"' | 1<<'\t' | 1<<'\n' | 1<<'\r'
)

const (
	buffer      = 32 << 10
	firstBuffer = 4 << 10
	// direct is from what length on text goes to the writer without a copy.
	direct = 1 << 10
)

// writer gathers output. What is appended to buf is written when a token is
// done; after an error what comes is dropped.
type writer struct {
	to      io.Writer
	buf     []byte
	written bool // something went to the writer
	err     error
}

func (w *writer) flush() {
	if len(w.buf) == 0 {
		return
	}
	w.written = true
	if w.err == nil {
		_, w.err = w.to.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// string writes a short text.
func (w *writer) string(s string) { w.buf = append(w.buf, s...) }

// bytes writes a text of any length.
func (w *writer) bytes(b []byte) {
	if len(b) < direct {
		w.buf = append(w.buf, b...)
		return
	}
	w.flush()
	w.written = true
	if w.err == nil {
		_, w.err = w.to.Write(b)
	}
}

// text writes character data.
func (w *writer) text(b []byte, plain bool) {
	if plain {
		w.bytes(b)
		return
	}
	w.escaped(b, inText)
}

// attribute writes a blank, a name and a value.
func (w *writer) attribute(name, value []byte, plain bool) {
	w.buf = append(append(append(w.buf, ' '), name...), '=', '"')
	if plain {
		w.bytes(value)
	} else {
		w.escaped(value, inValue)
	}
	w.buf = append(w.buf, '"')
}

// declaration writes a namespace declaration.
func (w *writer) declaration(prefix, uri []byte) {
	w.buf = append(w.buf, " xmlns"...)
	if len(prefix) > 0 {
		w.buf = append(append(w.buf, ':'), prefix...)
	}
	w.buf = append(w.buf, '=', '"')
	w.escaped(uri, inValue)
	w.buf = append(w.buf, '"')
}

// escaped writes with the characters of a mask replaced.
func (w *writer) escaped(b []byte, mask uint64) {
	start := 0
	for i, c := range b {
		if c < 64 && mask>>c&1 != 0 {
			w.bytes(b[start:i])
			w.string(escape(c))
			start = i + 1
		}
	}
	w.bytes(b[start:])
}

func escape(c byte) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '"':
		return "&quot;"
	case '\t':
		return "&#x9;"
	case '\n':
		return "&#xA;"
	}
	return "&#xD;"
}
