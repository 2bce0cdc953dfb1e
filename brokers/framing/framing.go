// Package framing refuses requests whose end two programs could see in two places
// (RFC 9112 §11.2): behind a proxy that shares its connections among visitors, one of
// them could otherwise have another's request answered.
//
// net/http takes some of them and does not tell: where both a length and chunks are
// announced it deletes the length, lines may end without a carriage return, and a
// folded line continues the field before. So this package reads along, between the
// connection and the server:
//
//	connection → tracker → net/http
//
// Bytes go through as they come, so that the server's limits of time and size hold.
// At the first that is ambiguous the tracker hands over what no server takes for a
// request, and then nothing more: net/http answers 400, or 501 where it saw a coding
// that it does not know, and closes the connection.
//
// Refused are: lines that end in LF alone, CR elsewhere, folded lines, blanks before a
// colon, both Content-Length and Transfer-Encoding, more than one of either, a length
// that is no plain number, a coding other than chunked, codings in HTTP/1.0, sizes of
// chunks that are no plain number, and lengths or codings among the trailers. Chunk
// extensions and other trailers, which name no length, may be there.
//
// HTTP/2 has one framing, which the server checks itself.
package framing

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
)

// Listener serves connections of l whose requests are read along. Where l accepts
// TLS connections as crypto/tls makes them, they remain such for net/http, and one
// that agrees on h2 is left alone.
func Listener(l net.Listener) net.Listener { return &listener{l} }

type listener struct{ net.Listener }

func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if secured, ok := accepted.(*tls.Conn); ok {
		return &tlsConn{conn: conn{Conn: secured}, secured: secured}, nil
	}
	return &conn{Conn: accepted}, nil
}

// conn is read by one goroutine at a time, as net/http does.
type conn struct {
	net.Conn
	tracker tracker
	// refusal is what is left of it to hand over; refused says that nothing follows.
	refusal string
	refused bool
}

// refusal is no line of a head, no chunk and no trailer, wherever it comes.
const refusal = "!\r\n!\r\n\r\n"

// Read hands over what is not ambiguous, then the refusal, then io.EOF.
func (c *conn) Read(p []byte) (int, error) {
	if c.refused {
		if c.refusal == "" {
			return 0, io.EOF
		}
		n := copy(p, c.refusal)
		c.refusal = c.refusal[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if good := c.tracker.follow(p[:n]); good < n {
		c.refused, c.refusal = true, refusal
		more := copy(p[good:], c.refusal)
		c.refusal = c.refusal[more:]
		return good + more, nil
	}
	return n, err
}

// tlsConn is what net/http takes for TLS: it has the handshake and its outcome.
type tlsConn struct {
	conn
	secured *tls.Conn
}

// HandshakeContext is that of [tls.Conn].
func (c *tlsConn) HandshakeContext(ctx context.Context) error {
	return c.secured.HandshakeContext(ctx)
}

// ConnectionState is that of [tls.Conn].
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.secured.ConnectionState() }

// Read reads along unless frames are spoken.
func (c *tlsConn) Read(p []byte) (int, error) {
	if c.secured.ConnectionState().NegotiatedProtocol == "h2" {
		return c.secured.Read(p)
	}
	return c.conn.Read(p)
}

// place is where in a connection the tracker is.
type place int

const (
	requestLine place = iota
	fields
	body      // of a known length
	chunkSize // the line before a chunk
	chunk
	chunkEnd // the line end after a chunk
	trailers
)

// Bounds of a line, in bytes. Those of a head are bounded by the server as well,
// which answers 431 before.
const (
	maxLine      = 64 << 10
	maxChunkLine = 256
	maxDigits    = 18 // of a length; it fits an int64
	maxHexDigits = 15 // of a chunk's size; so does it
)

// tracker knows which part of a request the next byte belongs to.
type tracker struct {
	at place
	// line is what was read of the present one, without its end.
	line []byte
	cr   bool // the last byte was a carriage return
	// left of the body or chunk, in bytes.
	left int64
	// requests is how many heads ended.
	requests int

	old             bool // HTTP/1.0
	length, chunked bool // such a field was there
}

// follow takes the next bytes and says how many of them are not ambiguous.
func (t *tracker) follow(b []byte) int {
	for i := 0; i < len(b); {
		switch t.at {
		case body, chunk:
			n := min(t.left, int64(len(b)-i))
			t.left -= n
			i += int(n)
			if t.left == 0 {
				t.passed()
			}
		default:
			n, ok := t.take(b[i:])
			i += n
			if !ok {
				return i
			}
		}
	}
	return len(b)
}

// passed goes on after a body or chunk.
func (t *tracker) passed() {
	if t.at == chunk {
		t.at = chunkEnd
		return
	}
	t.at = requestLine
}

// take reads to the end of the line, or as far as there is something. It says how many
// bytes it took and whether they may be.
func (t *tracker) take(b []byte) (int, bool) {
	end := bytes.IndexByte(b, '\n')
	part := b
	if end >= 0 {
		part = b[:end]
	}
	if t.cr && len(part) > 0 { // it was no line end
		return 0, false
	}
	if at := bytes.IndexByte(part, '\r'); at >= 0 {
		if at != len(part)-1 {
			return at, false
		}
		t.cr, part = true, part[:at]
	}
	if len(t.line)+len(part) > t.longest() {
		return 0, false
	}
	t.line = append(t.line, part...)
	if t.folded() {
		return 0, false
	}
	if end < 0 {
		return len(b), true
	}
	ended := t.cr
	t.cr = false
	if !ended || !t.lineEnded(t.line) {
		return end, false
	}
	t.line = t.line[:0]
	return end + 1, true
}

func (t *tracker) longest() int {
	switch t.at {
	case chunkSize:
		return maxChunkLine
	case chunkEnd:
		return 0
	}
	return maxLine
}

// folded reports a line that would continue the one before (RFC 9112 §5.2).
func (t *tracker) folded() bool {
	return (t.at == fields || t.at == trailers) && len(t.line) > 0 && (t.line[0] == ' ' || t.line[0] == '\t')
}

// lineEnded says whether a line may be there, and goes on after it.
func (t *tracker) lineEnded(line []byte) bool {
	switch t.at {
	case requestLine:
		t.at, t.length, t.chunked, t.left = fields, false, false, 0
		t.old = !bytes.HasSuffix(line, []byte(" HTTP/1.1"))
		return len(line) > 0
	case fields:
		if len(line) > 0 {
			return t.field(line)
		}
		t.headEnded()
	case chunkSize:
		return t.size(line)
	case chunkEnd:
		t.at = chunkSize
	case trailers:
		if len(line) > 0 {
			name, _, found := bytes.Cut(line, []byte(":"))
			return found && !bytes.EqualFold(name, []byte("Content-Length")) && !bytes.EqualFold(name, []byte("Transfer-Encoding"))
		}
		t.at = requestLine
	}
	return true
}

// headEnded goes on with the body that the head announced.
func (t *tracker) headEnded() {
	t.requests++
	switch {
	case t.chunked:
		t.at = chunkSize
	case t.left > 0:
		t.at = body
	default:
		t.at = requestLine
	}
}

// field looks at a line of the head.
func (t *tracker) field(line []byte) bool {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		return false
	}
	value = bytes.Trim(value, " \t")
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, ok := number(value, 10)
		if !ok || t.length || t.chunked {
			return false
		}
		t.length, t.left = true, n
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if t.old || t.length || t.chunked || !bytes.EqualFold(value, []byte("chunked")) {
			return false
		}
		t.chunked = true
	}
	return true
}

// size reads the line before a chunk (RFC 9112 §7.1). What a chunk extension says is
// nothing to us, as long as it is one line.
func (t *tracker) size(line []byte) bool {
	digits, extension, _ := bytes.Cut(line, []byte(";"))
	n, ok := number(digits, 16)
	if !ok || bytes.ContainsFunc(extension, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return false
	}
	t.left, t.at = n, chunk
	if n == 0 {
		t.at = trailers
	}
	return true
}

// number reads digits and nothing else.
func number(text []byte, base int64) (int64, bool) {
	if len(text) == 0 || base == 10 && len(text) > maxDigits || base == 16 && len(text) > maxHexDigits {
		return 0, false
	}
	var n int64
	for _, c := range text {
		var digit int64
		switch {
		case '0' <= c && c <= '9':
			digit = int64(c - '0')
		case base == 16 && 'a' <= c|0x20 && c|0x20 <= 'f':
			digit = int64(c|0x20-'a') + 10
		default:
			return 0, false
		}
		n = n*base + digit
	}
	return n, true
}
