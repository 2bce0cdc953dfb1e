//go:build linux

package prompt_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

func newValue() desktop.SecretQuestion {
	return desktop.SecretQuestion{
		Kind: desktop.SecretNew, Operation: cardreader.PINUnblock, Name: "Virtual PCD 00 00", Target: "PIN1",
		Status:  cardreader.PINStatus{ID: "PIN1", TriesLeft: 0, MinLength: 4, MaxLength: 12, Class: pin.Digits},
		Timeout: time.Minute,
	}
}

func TestPinentryAsksForANewPIN(t *testing.T) {
	p, said := pinentry(t, `GETPIN=D 4321\nOK`)
	secret, err := p.Secret(t.Context(), newValue())
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Wipe()
	if secretOf(t, secret) != "4321" {
		t.Error("another value")
	}
	for _, text := range []string{"a new value with the PUK", "4 to 12 digits", "SETPROMPT New PIN1:", "SETOK Continue"} {
		if !strings.Contains(said(), text) {
			t.Errorf("%q is missing in %s", text, said())
		}
	}
	// A blocked PIN gets a new value: how many tries it had is of no interest.
	if strings.Contains(said(), "tries left") {
		t.Error(said())
	}
}

// The message shows the whole request while the PIN is typed elsewhere, and goes
// away.
func TestPinentryPointsToTheReader(t *testing.T) {
	p, said := pinentry(t, "MESSAGE=hang")
	done, err := p.AtReader(t.Context(), consent(t))
	if err != nil {
		t.Fatal(err)
	}
	done()
	for _, text := range []string{"sede.example.es", "contract.pdf", "Type PIN2 on the keys of the reader Virtual PCD 00 00"} {
		if !strings.Contains(said(), text) {
			t.Errorf("%q is missing in %s", text, said())
		}
	}
	if strings.Contains(said(), "GETPIN") {
		t.Error("the PIN was asked for on the screen, too")
	}
	p, _ = pinentry(t, "SETDESC=ERR 83886179 cancelled")
	if _, err := p.AtReader(t.Context(), consent(t)); !errors.Is(err, desktop.ErrNoPrompt) {
		t.Error(err)
	}
}

func TestPinentryPointsToTheReaderForANewValue(t *testing.T) {
	p, said := pinentry(t, "MESSAGE=hang")
	q := newValue()
	q.Kind, q.Status = desktop.SecretChecked, cardreader.PINStatus{ID: "PUK", TriesLeft: 2, TriesMax: 3, MinLength: 8, MaxLength: 12, Class: pin.Digits}
	done, err := p.ChangeAtReader(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	done()
	for _, text := range []string{"a new value with the PUK", "Type PUK, and twice the new PIN1, on the keys of the reader Virtual PCD 00 00", "2 tries"} {
		if !strings.Contains(said(), text) {
			t.Errorf("%q is missing in %s", text, said())
		}
	}
	if strings.Contains(said(), "GETPIN") {
		t.Error("the PUK was asked for on the screen, too")
	}
}

func TestPinentryWantsAYesWithoutAPIN(t *testing.T) {
	p, _ := pinentry(t, "CONFIRM=ERR 83886179 Operation cancelled")
	c := consent(t)
	c.TriesLeft = -1
	if err := p.Approve(t.Context(), c); !errors.Is(err, desktop.ErrDeclined) {
		t.Error(err)
	}
	if err := p.Confirm(t.Context(), desktop.Confirmation{Kind: desktop.ConfirmPersonalData, Timeout: time.Minute}); !errors.Is(err, desktop.ErrDeclined) {
		t.Error(err)
	}
}

func TestTerminalAsksForPINsAndAYes(t *testing.T) {
	s, tty := openScreen(t)
	terminal := prompt.Terminal{Path: tty.Name(), Texts: texts(t, "nl_NL.UTF-8")}
	typing := make(chan struct{})
	go func() {
		defer close(typing)
		s.typeAfter(t, "Nieuwe PIN1 (", "4321\r")
		s.typeAfter(t, "Typ ja", "ja\r")
	}()
	secret, err := terminal.Secret(t.Context(), newValue())
	if err != nil {
		t.Fatal(err)
	}
	if secretOf(t, secret) != "4321" {
		t.Error("another value")
	}
	secret.Wipe()
	err = terminal.Confirm(t.Context(), desktop.Confirmation{
		Kind: desktop.ConfirmLastTry, Name: "Virtual PCD 00 00", PIN: "PUK", Final: true, Timeout: time.Minute,
	})
	<-typing
	if err != nil || !strings.Contains(s.seen(), "voorgoed") || strings.Contains(s.seen(), "4321") {
		t.Errorf("%v: %s", err, s.seen())
	}
	done, err := terminal.AtReader(t.Context(), consent(t))
	if err != nil {
		t.Fatal(err)
	}
	done()
	if done, err = terminal.ChangeAtReader(t.Context(), newValue()); err != nil {
		t.Fatal(err)
	}
	s.typeAfter(t, "tweemaal de nieuwe PIN1", "")
	done()
}

func TestFileGivesOneLineAnEntry(t *testing.T) {
	f := prompt.File{Reader: strings.NewReader("1234\r\n4321\n4321")}
	for _, want := range []string{"1234", "4321", "4321"} {
		secret, err := f.Secret(t.Context(), desktop.SecretQuestion{})
		if err != nil {
			t.Fatal(err)
		}
		if got := secretOf(t, secret); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		secret.Wipe()
	}
	if _, err := f.Secret(t.Context(), desktop.SecretQuestion{}); !errors.Is(err, desktop.ErrNoPrompt) {
		t.Errorf("behind the end: %v", err)
	}
	if err := f.Confirm(t.Context(), desktop.Confirmation{}); !errors.Is(err, desktop.ErrNoPrompt) {
		t.Error(err)
	}
	if err := f.Approve(t.Context(), desktop.Consent{}); err != nil {
		t.Error(err)
	}
}
