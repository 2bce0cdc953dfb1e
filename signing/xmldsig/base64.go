package xmldsig

import (
	"encoding/base64"
	"fmt"
	"io"
)

// base64Writer decodes the base64 transform as it comes (XML Signature 6.6.2):
// white space is skipped, anything else that is not of the alphabet is an error.
type base64Writer struct {
	to   io.Writer
	buf  []byte // whole characters of base64, a multiple of four once written
	out  []byte
	done bool // padding has come
	err  error
}

// Write takes characters.
func (b *base64Writer) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			continue
		}
		if b.buf = append(b.buf, c); len(b.buf) == 4<<10 {
			b.flush()
		}
	}
	return len(p), b.err
}

// flush decodes whole groups of four.
func (b *base64Writer) flush() {
	n := len(b.buf) / 4 * 4
	if n == 0 || b.err != nil {
		b.buf = b.buf[:len(b.buf)-n]
		return
	}
	if b.done {
		b.err = fmt.Errorf("%w: base64 goes on after its padding", ErrFormat)
	}
	b.out = append(b.out[:0], make([]byte, base64.StdEncoding.DecodedLen(n))...)
	m, err := base64.StdEncoding.Decode(b.out, b.buf[:n])
	if err != nil {
		b.err = fmt.Errorf("%w: not base64", ErrFormat)
	}
	if m < n/4*3 {
		b.done = true
	}
	if b.err == nil {
		_, b.err = b.to.Write(b.out[:m])
	}
	b.buf = b.buf[:copy(b.buf, b.buf[n:])]
}

// Close decodes the rest.
func (b *base64Writer) Close() error {
	b.flush()
	if b.err == nil && len(b.buf) > 0 {
		b.err = fmt.Errorf("%w: base64 ends within a group", ErrFormat)
	}
	return b.err
}
