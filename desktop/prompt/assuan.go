package prompt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
)

// errAssuan is a pinentry that breaks the protocol.
var errAssuan = errors.New("pinentry answered against its protocol")

// Error codes of libgpg-error that pinentry answers with (err-codes.h); the upper
// half of the number on the line is the source and does not matter.
const (
	codeTimeout        = 62
	codeCancelled      = 99
	codeNotConfirmed   = 114
	codeFullyCancelled = 198
	codeMask           = 0xffff
)

// refusedError is an ERR line.
type refusedError struct {
	code int
	text string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("pinentry refused: %s (%d)", Quote(e.text, 80), e.code)
}

// Is makes a cancelled question a declined request, and a timed-out one silence.
func (e *refusedError) Is(target error) bool {
	switch e.code & codeMask {
	case codeCancelled, codeNotConfirmed, codeFullyCancelled:
		return target == desktop.ErrDeclined
	case codeTimeout:
		return target == desktop.ErrTimeout
	}
	return false
}

// assuan is the client's side of an Assuan conversation (libassuan manual,
// "Client requests" and "Server responses"). One buffer takes every line, so that
// there is one place to wipe: a buffered reader would keep copies of a PIN.
type assuan struct {
	conn io.ReadWriter
	// The unread bytes are buffer[start:end].
	buffer     [maxLine + 2]byte
	start, end int
}

// wipe overwrites everything that was read.
func (a *assuan) wipe() {
	clear(a.buffer[:])
	a.start, a.end = 0, 0
}

// line returns the next line without its end; it is valid until the next call.
func (a *assuan) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(a.buffer[a.start:a.end], '\n'); i >= 0 {
			line := a.buffer[a.start : a.start+i]
			a.start += i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if a.start > 0 {
			n := copy(a.buffer[:], a.buffer[a.start:a.end])
			clear(a.buffer[n:a.end])
			a.start, a.end = 0, n
		}
		if a.end == len(a.buffer) {
			return nil, fmt.Errorf("%w: line is too long", errAssuan)
		}
		n, err := a.conn.Read(a.buffer[a.end:])
		a.end += n
		if err != nil && n == 0 {
			return nil, fmt.Errorf("pinentry ended: %w", err)
		}
	}
}

// send writes one command. An argument that does not fit is our own mistake and
// is not cut: half a question would be shown.
func (a *assuan) send(command, argument string) error {
	line := command
	if argument != "" {
		line += " " + escape(argument)
	}
	if len(line) > maxLine {
		return fmt.Errorf("pinentry command %s is longer than %d bytes", command, maxLine)
	}
	if _, err := io.WriteString(a.conn, line+"\n"); err != nil {
		return fmt.Errorf("pinentry command %s: %w", command, err)
	}
	return nil
}

// escape is the percent-escaping of Assuan arguments: percent, CR and LF.
func escape(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// answer reads to the end of one answer and hands data lines to data, nil where
// none are expected.
func (a *assuan) answer(data func(line []byte) error) error {
	for range maxLines {
		line, err := a.line()
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		word, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(word) {
		case "OK":
			return nil
		case "ERR":
			return parseRefused(string(rest))
		case "D":
			if data == nil {
				return fmt.Errorf("%w: data without a question", errAssuan)
			}
			if err := data(rest); err != nil {
				return err
			}
		case "S":
		default:
			// Neither an inquiry nor anything unknown is answered.
			return fmt.Errorf("%w: unexpected line", errAssuan)
		}
	}
	return fmt.Errorf("%w: too many lines", errAssuan)
}

func parseRefused(s string) error {
	number, text, _ := strings.Cut(s, " ")
	code, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return fmt.Errorf("%w: error without a number", errAssuan)
	}
	return &refusedError{code: int(code), text: text}
}

// do sends a command and waits for OK.
func (a *assuan) do(command, argument string) error {
	if err := a.send(command, argument); err != nil {
		return err
	}
	return a.answer(nil)
}

// getPIN asks for the PIN. An empty entry is a refusal: there is no card with an
// empty PIN.
func (a *assuan) getPIN() (*pin.PIN, error) {
	defer a.wipe()
	if err := a.send("GETPIN", ""); err != nil {
		return nil, err
	}
	var secret *pin.PIN
	err := a.answer(func(line []byte) error {
		if secret != nil {
			return fmt.Errorf("%w: second data line", errAssuan)
		}
		value, err := unescape(line)
		if err != nil {
			return err
		}
		if len(value) == 0 {
			return nil
		}
		secret, err = pin.New(value)
		return err
	})
	if err == nil && secret == nil {
		err = fmt.Errorf("no PIN was entered: %w", desktop.ErrDeclined)
	}
	if err != nil {
		secret.Wipe()
		return nil, err
	}
	return secret, nil
}

// unescape decodes %XX in place and returns the shorter slice of the same bytes.
func unescape(line []byte) ([]byte, error) {
	n := 0
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == '%' {
			if i+2 >= len(line) {
				return nil, fmt.Errorf("%w: escape", errAssuan)
			}
			high, low := unhex(line[i+1]), unhex(line[i+2])
			if high < 0 || low < 0 {
				return nil, fmt.Errorf("%w: escape", errAssuan)
			}
			c = byte(high<<4 | low)
			i += 2
		}
		line[n] = c
		n++
	}
	clear(line[n:])
	return line[:n], nil
}

func unhex(c byte) int {
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
