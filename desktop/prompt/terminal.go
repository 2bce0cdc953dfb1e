package prompt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
)

// Terminal asks on the controlling terminal.
type Terminal struct {
	// Path is the device: /dev/tty outside tests.
	Path  string
	Texts *Texts
}

// DefaultTerminal is the controlling terminal of the process, wherever standard
// input and output go.
const DefaultTerminal = "/dev/tty"

// PIN implements desktop.Prompter.
func (t Terminal) PIN(ctx context.Context, c desktop.Consent) (*pin.PIN, error) {
	words := t.Texts.in(c.Locale)
	return t.secret(ctx, c.Timeout, words.consentText(c, room("SETDESC")), words.say("terminal_pin", values{"PIN": Quote(c.PIN, 8)}))
}

// secret shows text and takes what is typed behind label, without echo.
func (t Terminal) secret(ctx context.Context, timeout time.Duration, text, label string) (*pin.PIN, error) {
	var secret *pin.PIN
	err := t.with(ctx, timeout, func(tty *os.File) error {
		if err := say(tty, text+"\n"+label); err != nil {
			return err
		}
		var line [maxPINEntry + 1]byte
		defer clear(line[:])
		n, err := readLine(tty, line[:], false)
		if err != nil {
			return err
		}
		if n == 0 {
			return desktop.ErrDeclined
		}
		secret, err = pin.New(line[:n])
		return err
	})
	if err != nil {
		secret.Wipe()
		return nil, err
	}
	return secret, nil
}

// LastTry implements desktop.Prompter.
func (t Terminal) LastTry(ctx context.Context, c desktop.Consent) error {
	words := t.Texts.in(c.Locale)
	return t.confirm(ctx, c.Timeout, words, words.lastTryText(c, room("SETDESC")))
}

// Pairing implements desktop.Prompter.
func (t Terminal) Pairing(ctx context.Context, q desktop.PairingQuestion) error {
	words := t.Texts.in(q.Locale)
	return t.confirm(ctx, q.Timeout, words, words.pairingText(q, room("SETDESC")))
}

// Approve implements desktop.Prompter.
func (t Terminal) Approve(ctx context.Context, c desktop.Consent) error {
	words := t.Texts.in(c.Locale)
	if len(c.Documents) > 0 {
		return t.confirm(ctx, c.Timeout, words, words.batchTexts(c, 0, true)[0])
	}
	return t.confirm(ctx, c.Timeout, words, words.consentText(c, room("SETDESC")))
}

// Secret implements desktop.Prompter.
func (t Terminal) Secret(ctx context.Context, q desktop.SecretQuestion) (*pin.PIN, error) {
	words := t.Texts.in(q.Locale)
	return t.secret(ctx, q.Timeout, words.secretText(q, room("SETDESC")), words.say("terminal_pin", values{"PIN": words.secretLabel(q)}))
}

// Confirm implements desktop.Prompter.
func (t Terminal) Confirm(ctx context.Context, q desktop.Confirmation) error {
	words := t.Texts.in(q.Locale)
	text, _ := words.confirmationText(q, room("SETDESC"))
	return t.confirm(ctx, q.Timeout, words, text)
}

// AtReader implements desktop.ReaderPrompter. The text stays where it is.
func (t Terminal) AtReader(ctx context.Context, c desktop.Consent) (done func(), err error) {
	words := t.Texts.in(c.Locale)
	return t.message(ctx, c.Timeout, words.atReaderText(c, room("SETDESC")))
}

// ChangeAtReader implements desktop.ReaderPrompter.
func (t Terminal) ChangeAtReader(ctx context.Context, q desktop.SecretQuestion) (done func(), err error) {
	words := t.Texts.in(q.Locale)
	return t.message(ctx, q.Timeout, words.changeAtReaderText(q, room("SETDESC")))
}

func (t Terminal) message(ctx context.Context, timeout time.Duration, text string) (done func(), err error) {
	err = t.with(ctx, timeout, func(tty *os.File) error { return say(tty, text) })
	if err != nil {
		return nil, err
	}
	return func() {}, nil
}

// confirm wants a whole word: Enter alone is a no.
func (t Terminal) confirm(ctx context.Context, timeout time.Duration, words phrases, text string) error {
	return t.with(ctx, timeout, func(tty *os.File) error {
		if err := say(tty, text+"\n"+words.say("terminal_yes", nil)); err != nil {
			return err
		}
		var line [maxPINEntry + 1]byte
		n, err := readLine(tty, line[:], true)
		if err != nil {
			return err
		}
		answer := strings.ToLower(strings.TrimSpace(string(line[:n])))
		// The accent of "sí" is not on every keyboard.
		if yes := words.say("terminal_word_yes", nil); answer != yes && answer != strings.ReplaceAll(yes, "í", "i") {
			return desktop.ErrDeclined
		}
		return nil
	})
}

// with opens the terminal, turns echo and line editing off for the time of f, and
// ends f's reading when ctx or the time is over.
func (t Terminal) with(ctx context.Context, timeout time.Duration, f func(*os.File) error) error {
	tty, err := os.OpenFile(t.Path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", desktop.ErrNoPrompt, err)
	}
	defer tty.Close()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, desktop.ErrTimeout)
		defer cancel()
	}
	// Fd would put the file into blocking mode, and then no deadline ends a Read.
	raw, err := tty.SyscallConn()
	if err != nil {
		return fmt.Errorf("%w: %w", desktop.ErrNoPrompt, err)
	}
	var before *term.State
	var modeErr error
	if err := raw.Control(func(fd uintptr) { before, modeErr = term.MakeRaw(int(fd)) }); err != nil || modeErr != nil {
		return fmt.Errorf("%w: %w", desktop.ErrNoPrompt, errors.Join(err, modeErr))
	}
	defer func() {
		_ = raw.Control(func(fd uintptr) { _ = term.Restore(int(fd), before) })
		_, _ = io.WriteString(tty, "\r\n")
	}()
	stop := context.AfterFunc(ctx, func() { _ = tty.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = f(tty)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// say writes to a terminal in raw mode, where a line feed does not return the
// carriage.
func say(tty io.Writer, text string) error {
	_, err := io.WriteString(tty, strings.ReplaceAll(text, "\n", "\r\n"))
	return err
}

// Keys of a terminal in raw mode (ASCII).
const (
	keyInterrupt = 0x03 // Ctrl-C
	keyEnd       = 0x04 // Ctrl-D
	keyBackspace = 0x08
	keyClearLine = 0x15 // Ctrl-U
	keyDelete    = 0x7f
)

// readLine reads up to Enter into line, byte by byte so that nothing is held
// elsewhere, and returns how many bytes it holds. The last byte of line is only
// there to notice an entry that is too long.
func readLine(tty io.ReadWriter, line []byte, echo bool) (int, error) {
	var key [1]byte
	defer clear(key[:])
	n := 0
	for {
		if _, err := io.ReadFull(tty, key[:]); err != nil {
			return 0, fmt.Errorf("%w: %w", desktop.ErrNoPrompt, err)
		}
		switch key[0] {
		case '\r', '\n':
			return n, nil
		case keyInterrupt, keyEnd:
			return 0, desktop.ErrDeclined
		case keyBackspace, keyDelete:
			if n > 0 {
				n--
				clear(line[n : n+1])
				if echo {
					_, _ = io.WriteString(tty, "\b \b")
				}
			}
		case keyClearLine:
			clear(line[:n])
			n = 0
		default:
			if n == len(line) {
				return 0, pin.ErrLength
			}
			line[n] = key[0]
			n++
			if echo {
				_, _ = tty.Write(key[:])
			}
		}
	}
}
