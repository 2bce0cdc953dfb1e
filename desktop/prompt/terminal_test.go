//go:build linux

package prompt_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
	"github.com/eidbridge/eidbridge/fixtures/needs"
)

// screen is the person's end of a pseudo-terminal.
type screen struct {
	control *os.File
	mu      sync.Mutex
	text    strings.Builder
	news    chan struct{}
}

func openScreen(t *testing.T) (*screen, *os.File) {
	t.Helper()
	control, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{control: control, news: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, err := control.Read(buffer)
			s.mu.Lock()
			s.text.Write(buffer[:n])
			s.mu.Unlock()
			select {
			case s.news <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { tty.Close(); control.Close(); <-done })
	return s, tty
}

func (s *screen) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// typeAfter waits for a text and types keys.
func (s *screen) typeAfter(t *testing.T, text, keys string) {
	t.Helper()
	timeout := time.After(time.Minute)
	for !strings.Contains(s.seen(), text) {
		select {
		case <-s.news:
		case <-timeout:
			t.Errorf("screen never shows %q:\n%s", text, s.seen())
			return
		}
	}
	if _, err := io.WriteString(s.control, keys); err != nil {
		t.Error(err)
	}
}

func TestTerminalTakesThePINWithoutEcho(t *testing.T) {
	s, tty := openScreen(t)
	terminal := prompt.Terminal{Path: tty.Name(), Texts: texts(t, "en")}
	go s.typeAfter(t, "Enter alone refuses", "x\x0399")
	if _, err := terminal.PIN(t.Context(), consent(t)); !errors.Is(err, desktop.ErrDeclined) {
		t.Errorf("Ctrl-C is %v", err)
	}
	s, tty = openScreen(t)
	terminal.Path = tty.Name()
	go s.typeAfter(t, "Enter alone refuses", "777\x1599\x7f\x7f98765\r")
	secret, err := terminal.PIN(t.Context(), consent(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := secretOf(t, secret); got != "98765" {
		t.Errorf("PIN is %q", got)
	}
	if strings.Contains(s.seen(), "98765") || !strings.Contains(s.seen(), "PIN2: 3 tries left") {
		t.Errorf("screen shows:\n%s", s.seen())
	}
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil || mode.Lflag&unix.ECHO == 0 {
		t.Errorf("echo was not turned on again (%v)", err)
	}
}

func TestTerminalEntriesThatAreNoPIN(t *testing.T) {
	for _, row := range []struct {
		name, keys string
		want       error
	}{
		{"Enter alone", "\r", desktop.ErrDeclined},
		{"Ctrl-D", "12\x04", desktop.ErrDeclined},
		{"too long", strings.Repeat("1", 66), pin.ErrLength},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, tty := openScreen(t)
			go s.typeAfter(t, "Enter alone refuses", row.keys)
			secret, err := prompt.Terminal{Path: tty.Name(), Texts: texts(t, "en")}.PIN(t.Context(), consent(t))
			if !errors.Is(err, row.want) || secret != nil {
				t.Errorf("got %v, %v; want %v", secret, err, row.want)
			}
		})
	}
}

func TestTerminalStopsWaiting(t *testing.T) {
	_, tty := openScreen(t)
	terminal := prompt.Terminal{Path: tty.Name(), Texts: texts(t, "en")}
	c := consent(t)
	c.Timeout = 50 * time.Millisecond
	if _, err := terminal.PIN(t.Context(), c); !errors.Is(err, desktop.ErrTimeout) {
		t.Errorf("timeout is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := terminal.PIN(ctx, consent(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancel is %v", err)
	}
	if _, err := (prompt.Terminal{Path: t.TempDir() + "/none", Texts: texts(t, "en")}).PIN(t.Context(), consent(t)); !errors.Is(err, desktop.ErrNoPrompt) {
		t.Errorf("no terminal is %v", err)
	}
}

func TestTerminalWantsTheWholeWordYes(t *testing.T) {
	for _, row := range []struct {
		locale, keys string
		want         error
	}{
		{"en", "yes\r", nil},
		{"en", "y\r", desktop.ErrDeclined},
		{"en", "\r", desktop.ErrDeclined},
		{"nl", "ja\r", nil},
		{"es", "si\r", nil},
		{"es", "SÍ\r", nil},
		{"et", "jah\r", nil},
	} {
		t.Run(row.locale+" "+strings.TrimSpace(row.keys), func(t *testing.T) {
			s, tty := openScreen(t)
			c := consent(t)
			c.Locale = row.locale
			go s.typeAfter(t, ": ", row.keys)
			if err := (prompt.Terminal{Path: tty.Name(), Texts: texts(t, "en")}).LastTry(t.Context(), c); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

// The real program, on a terminal of its own.
func TestRealPinentryTTY(t *testing.T) {
	program := needs.Program(t, "pinentry-tty", "pinentry-tty")
	s, tty := openScreen(t)
	p := &prompt.Pinentry{
		Program: program, Texts: texts(t, "en"), Terminal: tty.Name(), Now: time.Now,
		Getenv: environment(map[string]string{"TERM": "xterm", "LANG": "C.UTF-8"}),
	}
	go s.typeAfter(t, "PIN2:", "12345\r")
	secret, err := p.PIN(t.Context(), consent(t))
	if err != nil {
		t.Fatalf("%v\n%s", err, s.seen())
	}
	if got := secretOf(t, secret); got != "12345" {
		t.Errorf("PIN is %q", got)
	}
	for _, want := range []string{"example.es asks for your signature", "contract.pdf"} {
		if !strings.Contains(s.seen(), want) {
			t.Errorf("screen lacks %q:\n%s", want, s.seen())
		}
	}
	if strings.Contains(s.seen(), "12345") {
		t.Error("the PIN is on the screen")
	}
}

func TestFileGivesItsFirstLine(t *testing.T) {
	for _, row := range []struct{ name, data, want string }{
		{"line", "12345\n", "12345"},
		{"no line end", "12345", "12345"},
		{"Windows line end", "12345\r\nmore", "12345"},
		{"further lines", "12345\n99999\n", "12345"},
	} {
		t.Run(row.name, func(t *testing.T) {
			secret, err := prompt.File{Reader: strings.NewReader(row.data)}.PIN(t.Context(), consent(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := secretOf(t, secret); got != row.want {
				t.Errorf("PIN is %q", got)
			}
		})
	}
	for _, row := range []struct {
		name, data string
		want       error
	}{
		{"empty", "", desktop.ErrNoPrompt},
		{"empty line", "\n12345\n", desktop.ErrNoPrompt},
		{"65 characters", strings.Repeat("1", 65) + "\n", pin.ErrLength},
		{"no end in sight", strings.Repeat("1", 5000), pin.ErrLength},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := (prompt.File{Reader: strings.NewReader(row.data)}).PIN(t.Context(), consent(t)); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

func TestFileAnswersNoQuestions(t *testing.T) {
	f := prompt.File{Reader: strings.NewReader("yes\n")}
	if err := f.LastTry(t.Context(), consent(t)); !errors.Is(err, desktop.ErrNoPrompt) {
		t.Errorf("last try is %v", err)
	}
	if err := f.Pairing(t.Context(), pairing(t)); !errors.Is(err, desktop.ErrNoPrompt) {
		t.Errorf("pairing is %v", err)
	}
}
