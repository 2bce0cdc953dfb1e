package prompt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
)

// Pinentry asks through a pinentry program, one process a question.
type Pinentry struct {
	// Program is the path of a pinentry; see Find.
	Program string
	Texts   *Texts
	// Terminal is the device for the curses and tty flavours, "" where there is
	// none.
	Terminal string
	// Getenv gives DISPLAY, TERM and the locale; os.Getenv outside tests.
	Getenv func(string) string
	// Now measures how long a question stood.
	Now func() time.Time
}

// PIN implements desktop.Prompter.
func (p *Pinentry) PIN(ctx context.Context, c desktop.Consent) (*pin.PIN, error) {
	words := p.Texts.in(c.Locale)
	return p.secret(ctx, words, question{
		text: words.consentText(c, room("SETDESC")), yes: agreement(c), timeout: c.Timeout,
		prompt: words.say("pin_prompt", values{"PIN": Quote(c.PIN, 8)}),
	})
}

func (p *Pinentry) secret(ctx context.Context, words phrases, q question) (*pin.PIN, error) {
	var secret *pin.PIN
	err := p.converse(ctx, words, q, func(a *assuan) (err error) {
		secret, err = a.getPIN()
		return err
	})
	if err != nil {
		secret.Wipe()
		return nil, err
	}
	return secret, nil
}

// LastTry implements desktop.Prompter.
func (p *Pinentry) LastTry(ctx context.Context, c desktop.Consent) error {
	words := p.Texts.in(c.Locale)
	return p.confirm(ctx, words, question{
		text: words.lastTryText(c, room("SETDESC")), yes: "last_try_yes", timeout: c.Timeout,
	})
}

// Pairing implements desktop.Prompter.
func (p *Pinentry) Pairing(ctx context.Context, q desktop.PairingQuestion) error {
	words := p.Texts.in(q.Locale)
	return p.confirm(ctx, words, question{
		text: words.pairingText(q, room("SETDESC")), yes: "allow", timeout: q.Timeout,
	})
}

// Approve implements desktop.Prompter.
func (p *Pinentry) Approve(ctx context.Context, c desktop.Consent) error {
	words := p.Texts.in(c.Locale)
	if len(c.Documents) > 0 {
		return p.approveBatch(ctx, words, c)
	}
	return p.confirm(ctx, words, question{
		text: words.consentText(c, room("SETDESC")), yes: agreement(c), timeout: c.Timeout,
	})
}

// approveBatch shows one window after the other until every document was listed; the
// button of the last one says how many signatures it means (threats L-38).
func (p *Pinentry) approveBatch(ctx context.Context, words phrases, c desktop.Consent) error {
	if len(c.Documents) > MaxListed {
		return fmt.Errorf("%w: windows list at most %d documents", desktop.ErrNoPrompt, MaxListed)
	}
	pages := words.batchTexts(c, room("SETDESC"), false)
	for i, page := range pages {
		q := question{text: page, yes: "continue", timeout: c.Timeout}
		if i == len(pages)-1 {
			q.button = words.count("sign_count", len(c.Documents), values{})
		}
		if err := p.confirm(ctx, words, q); err != nil {
			return err
		}
	}
	return nil
}

// Secret implements desktop.Prompter.
func (p *Pinentry) Secret(ctx context.Context, q desktop.SecretQuestion) (*pin.PIN, error) {
	words := p.Texts.in(q.Locale)
	return p.secret(ctx, words, question{
		text: words.secretText(q, room("SETDESC")), yes: "continue", timeout: q.Timeout,
		prompt: words.say("pin_prompt", values{"PIN": words.secretLabel(q)}),
	})
}

// Confirm implements desktop.Prompter.
func (p *Pinentry) Confirm(ctx context.Context, q desktop.Confirmation) error {
	words := p.Texts.in(q.Locale)
	text, yes := words.confirmationText(q, room("SETDESC"))
	return p.confirm(ctx, words, question{text: text, yes: yes, timeout: q.Timeout})
}

// AtReader implements desktop.ReaderPrompter: a message that stays until done, or
// until the person has read it.
func (p *Pinentry) AtReader(ctx context.Context, c desktop.Consent) (done func(), err error) {
	words := p.Texts.in(c.Locale)
	return p.message(ctx, words, words.atReaderText(c, room("SETDESC")), c.Timeout)
}

// ChangeAtReader implements desktop.ReaderPrompter in the same way.
func (p *Pinentry) ChangeAtReader(ctx context.Context, q desktop.SecretQuestion) (done func(), err error) {
	words := p.Texts.in(q.Locale)
	return p.message(ctx, words, words.changeAtReaderText(q, room("SETDESC")), q.Timeout)
}

func (p *Pinentry) message(ctx context.Context, words phrases, text string, timeout time.Duration) (done func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	shown, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- p.converse(ctx, words, question{text: text, yes: "understood", timeout: timeout}, func(a *assuan) error {
			close(shown)
			return a.do("MESSAGE", "")
		})
	}()
	return onceShown(shown, ended, cancel)
}

// onceShown waits until a message is shown, which cancel takes away, or could not be. One
// that the person has read already, so that it ended too, was shown.
func onceShown(shown <-chan struct{}, ended <-chan error, cancel func()) (done func(), err error) {
	select {
	case <-shown:
		return func() {
			cancel()
			<-ended //nolint:errcheck // how the message left is of no interest
		}, nil
	case err := <-ended:
		select {
		case <-shown:
			return cancel, nil
		default:
			cancel()
			return nil, err
		}
	}
}

// confirm puts a yes-or-no question. A yes within minReading of its appearance
// was meant for another window (threats L-36): the question comes back after
// that time, once.
func (p *Pinentry) confirm(ctx context.Context, words phrases, q question) error {
	var shown time.Time
	ask := func() error {
		return p.converse(ctx, words, q, func(a *assuan) error {
			shown = p.Now()
			return a.do("CONFIRM", "")
		})
	}
	if err := ask(); err != nil {
		return err
	}
	early := minReading - p.Now().Sub(shown)
	if early <= 0 {
		return nil
	}
	pause := time.NewTimer(early)
	defer pause.Stop()
	select {
	case <-pause.C:
		return ask()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// question is what a window shows. yes names the text of the button, unless button
// is that text.
type question struct {
	text, prompt, yes, button string
	timeout                   time.Duration
}

// room is how many bytes an argument of a command may take.
func room(command string) int { return maxLine - len(command) - 1 }

// converse starts the program, sets everything up, asks, and makes sure that the
// program is gone when it returns.
func (p *Pinentry) converse(ctx context.Context, words phrases, q question, ask func(*assuan) error) (err error) {
	cmd := exec.CommandContext(ctx, p.Program)
	// A curses pinentry gives the terminal back when it is asked to leave.
	cmd.Cancel = func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return cmd.Process.Kill()
		}
		return nil
	}
	cmd.WaitDelay = endPatience
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: start %s: %w", desktop.ErrNoPrompt, p.Program, err)
	}
	a := &assuan{conn: duplex{out, in}}
	defer a.wipe()
	defer func() {
		in.Close()
		// How the program exits says nothing that its answers did not.
		_ = cmd.Wait()
		if ctx.Err() != nil && err != nil {
			err = ctx.Err()
		}
	}()
	if err := a.answer(nil); err != nil { // greeting
		return fmt.Errorf("%w: %w", desktop.ErrNoPrompt, err)
	}
	if err := p.prepare(a, words, q); err != nil {
		return fmt.Errorf("%w: %w", desktop.ErrNoPrompt, err)
	}
	if err := ask(a); err != nil {
		return err
	}
	// The answer is there; a program that dies while saying goodbye may.
	_ = a.do("BYE", "")
	return nil
}

func (p *Pinentry) prepare(a *assuan, words phrases, q question) error {
	for _, option := range p.options() {
		// An option that this flavour does not know is refused and not needed.
		if err := a.do("OPTION", option); err != nil {
			if _, refused := errors.AsType[*refusedError](err); !refused {
				return err
			}
		}
	}
	button := q.button
	if button == "" {
		button = words.say(q.yes, nil)
	}
	commands := [][2]string{
		{"SETTITLE", words.say("title", nil)},
		{"SETDESC", q.text},
		{"SETOK", button},
		{"SETCANCEL", words.say("refuse", nil)},
	}
	if q.prompt != "" {
		commands = append(commands, [2]string{"SETPROMPT", q.prompt})
	}
	for _, c := range commands {
		if err := a.do(c[0], c[1]); err != nil {
			return err
		}
	}
	if seconds := int(q.timeout / time.Second); seconds > 0 {
		// Old programs do not know it; ctx ends the question in any case.
		if err := a.do("SETTIMEOUT", strconv.Itoa(seconds)); err != nil {
			if _, refused := errors.AsType[*refusedError](err); !refused {
				return err
			}
		}
	}
	return nil
}

// options tell the program where to appear and in which character set.
func (p *Pinentry) options() []string {
	var options []string
	add := func(name, value string) {
		if value != "" && !strings.ContainsAny(value, "\x00\r\n") && len(value) < 200 {
			options = append(options, name+"="+value)
		}
	}
	add("ttyname", p.Terminal)
	if p.Terminal != "" {
		add("ttytype", p.Getenv("TERM"))
	}
	add("display", p.Getenv("DISPLAY"))
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := p.Getenv(name); value != "" {
			add("lc-ctype", value)
			break
		}
	}
	return options
}

// duplex joins the two pipes of a child.
type duplex struct {
	io.Reader
	io.Writer
}
