package prompt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
)

// File takes the PIN from a stream that the caller of the program filled: the
// first line, without its end. Nothing is shown, since naming the document and
// the stream on one command line is the consent. It cannot ask anything, so the
// last try and pairings are refused.
type File struct {
	// Reader is read once. It is not buffered: the bytes pass through one array,
	// which is overwritten.
	Reader io.Reader
}

// errNobody is a question that needs a person.
var errNobody = fmt.Errorf("%w: a file descriptor cannot answer questions", desktop.ErrNoPrompt)

// PIN implements desktop.Prompter.
func (f File) PIN(ctx context.Context, _ desktop.Consent) (*pin.PIN, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Room for CR and LF, and one more to notice what is too long.
	var line [maxPINEntry + 3]byte
	defer clear(line[:])
	n := 0
	for n < len(line) {
		m, err := f.Reader.Read(line[n:])
		n += m
		if bytes.IndexByte(line[:n], '\n') >= 0 || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: read the PIN: %w", desktop.ErrNoPrompt, err)
		}
	}
	secret, _, _ := bytes.Cut(line[:n], []byte("\n"))
	secret = bytes.TrimSuffix(secret, []byte("\r"))
	if len(secret) == 0 {
		return nil, fmt.Errorf("%w: the file descriptor holds no PIN", desktop.ErrNoPrompt)
	}
	return pin.New(secret)
}

// LastTry implements desktop.Prompter.
func (f File) LastTry(context.Context, desktop.Consent) error { return errNobody }

// Pairing implements desktop.Prompter.
func (f File) Pairing(context.Context, desktop.PairingQuestion) error { return errNobody }
