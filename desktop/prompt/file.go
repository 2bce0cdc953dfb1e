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

// File takes entries from a stream that the caller of the program filled: one line
// an entry, without its end, in the order of the questions. Nothing is shown,
// since naming the document and the stream on one command line is the consent. It
// cannot ask anything, so the last try, pairings and other questions for a yes are
// refused.
type File struct {
	// Reader is read byte by byte up to the end of each line: what follows is the
	// next entry. The bytes pass through one array, which is overwritten.
	Reader io.Reader
}

// errNobody is a question that needs a person.
var errNobody = fmt.Errorf("%w: a file descriptor cannot answer questions", desktop.ErrNoPrompt)

// PIN implements desktop.Prompter.
func (f File) PIN(ctx context.Context, _ desktop.Consent) (*pin.PIN, error) { return f.line(ctx) }

// Secret implements desktop.Prompter.
func (f File) Secret(ctx context.Context, _ desktop.SecretQuestion) (*pin.PIN, error) {
	return f.line(ctx)
}

func (f File) line(ctx context.Context) (*pin.PIN, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Room for CR and LF, and one more to notice what is too long.
	var line [maxPINEntry + 3]byte
	defer clear(line[:])
	n := 0
	for n < len(line) {
		m, err := f.Reader.Read(line[n : n+1])
		n += m
		if m == 1 && line[n-1] == '\n' || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: read the PIN: %w", desktop.ErrNoPrompt, err)
		}
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(line[:n], []byte("\n")), []byte("\r"))
	if len(secret) == 0 {
		return nil, fmt.Errorf("%w: the file descriptor holds no PIN", desktop.ErrNoPrompt)
	}
	return pin.New(secret)
}

// Approve implements desktop.Prompter: the password of the key file came from the
// stream, which is the consent.
func (f File) Approve(ctx context.Context, _ desktop.Consent) error { return ctx.Err() }

// Confirm implements desktop.Prompter.
func (f File) Confirm(context.Context, desktop.Confirmation) error { return errNobody }

// LastTry implements desktop.Prompter.
func (f File) LastTry(context.Context, desktop.Consent) error { return errNobody }

// Pairing implements desktop.Prompter.
func (f File) Pairing(context.Context, desktop.PairingQuestion) error { return errNobody }
