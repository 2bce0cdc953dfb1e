package prompt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

func TestPinentryTakesThePINAndShowsWhoAsksForWhat(t *testing.T) {
	p, said := pinentry(t, "GETPIN=D 12345\\nOK")
	p.Terminal = "/dev/pts/9"
	p.Getenv = environment(map[string]string{"TERM": "xterm", "DISPLAY": ":7", "LANG": "et_EE.UTF-8"})
	secret, err := p.PIN(t.Context(), consent(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := secretOf(t, secret); got != "12345" {
		t.Errorf("PIN is %q", got)
	}
	log := said()
	for _, want := range []string{
		"OPTION ttyname=/dev/pts/9", "OPTION ttytype=xterm", "OPTION display=:7", "OPTION lc-ctype=et_EE.UTF-8",
		"SETTIMEOUT 60", "SETOK Sign", "SETCANCEL Refuse", "SETPROMPT PIN2:", "SETTITLE eidbridge",
		"example.es asks for your signature", "https://sede.example.es", "contract.pdf", "(PDF, 23 kB)",
		"2d71 1642 b726 b044", "Rental contract", "2026/17", "JAAK-KRISTJAN JÕEORG", "PNOEE-••••••••718",
		"LAB ESTEID2018", "2029-05-01", "handwritten signature", "PIN2: 3 tries left", "GETPIN", "BYE",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("conversation lacks %q:\n%s", want, log)
		}
	}
	for _, never := range []string{"SETKEYINFO", "allow-external-password-cache", "12345"} {
		if strings.Contains(log, never) {
			t.Errorf("conversation holds %q", never)
		}
	}
}

func TestPinentryDecodesPercentInPlace(t *testing.T) {
	p, _ := pinentry(t, "GETPIN=D a%25b%0Ac\\nOK")
	secret, err := p.PIN(t.Context(), consent(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := secretOf(t, secret); got != "a%b\nc" {
		t.Errorf("PIN is %q", got)
	}
}

func TestPinentryAnswersThatAreNoPIN(t *testing.T) {
	for _, row := range []struct {
		name, script string
		want         error
	}{
		{"cancelled", "GETPIN=ERR 83886179 Operation cancelled <Pinentry>", desktop.ErrDeclined},
		{"fully cancelled", "GETPIN=ERR 83886278 Operation fully cancelled", desktop.ErrDeclined},
		{"timed out", "GETPIN=ERR 83886142 Timeout <Pinentry>", desktop.ErrTimeout},
		{"empty entry", "GETPIN=OK", desktop.ErrDeclined},
		{"empty data", "GETPIN=D \\nOK", desktop.ErrDeclined},
		{"PIN of 65 bytes", "GETPIN=D " + strings.Repeat("1", 65) + "\\nOK", pin.ErrLength},
		{"PIN and then an error", "GETPIN=D 12345\\nERR 83886179 cancelled", desktop.ErrDeclined},
		{"no greeting", "greeting=ERR 1 no", desktop.ErrNoPrompt},
		{"dies at once", "OPTION=exit\nSETTITLE=exit", desktop.ErrNoPrompt},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, _ := pinentry(t, row.script)
			secret, err := p.PIN(t.Context(), consent(t))
			if !errors.Is(err, row.want) || secret != nil {
				t.Errorf("got %v, %v; want %v", secret, err, row.want)
			}
		})
	}
}

func TestPinentryThatBreaksTheProtocolIsNotBelieved(t *testing.T) {
	for _, row := range []struct{ name, script string }{
		{"two data lines", "GETPIN=D 1234\\nD 5678\\nOK"},
		{"bad escape", "GETPIN=D 12%4\\nOK"},
		{"bad hexadecimal", "GETPIN=D 12%zz\\nOK"},
		{"inquiry", "GETPIN=INQUIRE SOMETHING"},
		{"unknown word", "GETPIN=HELLO"},
		{"line over the limit", "GETPIN=D " + strings.Repeat("1", 1001) + "\\nOK"},
		{"endless status lines", "GETPIN=" + strings.Repeat("S WORKING\\n", 101) + "OK"},
		{"error without number", "GETPIN=ERR oops"},
		{"dies before the answer", "GETPIN=exit"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, _ := pinentry(t, row.script)
			secret, err := p.PIN(t.Context(), consent(t))
			if err == nil || secret != nil || errors.Is(err, desktop.ErrDeclined) {
				t.Errorf("got %v, %v", secret, err)
			}
		})
	}
}

func TestPinentrySkipsStatusAndComments(t *testing.T) {
	p, _ := pinentry(t, "GETPIN=S PINENTRY_LAUNCHED 1\\n# hello\\n#\\nD 12345\\nOK\nOPTION=ERR 83886254 Unknown option\nSETTIMEOUT=ERR 536871187 Unknown IPC command")
	p.Getenv = environment(map[string]string{"LANG": "nl_NL.UTF-8"})
	secret, err := p.PIN(t.Context(), consent(t))
	if err != nil {
		t.Fatal(err)
	}
	secret.Wipe()
}

func TestPinentryGoesAwayWithTheRequest(t *testing.T) {
	p, _ := pinentry(t, "GETPIN=hang")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := p.PIN(ctx, consent(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

// L-36: a yes that nobody can have meant is put again, a later one counts.
func TestConfirmDoesNotBelieveAnEarlyYes(t *testing.T) {
	p, said := pinentry(t, "CONFIRM=OK")
	begin := time.Now()
	p.Now = func() time.Time { return begin }
	if err := p.Pairing(t.Context(), pairing(t)); err != nil {
		t.Fatal(err)
	}
	if asked := strings.Count(said(), `"CONFIRM"`); asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
	if took := time.Since(begin); took < 700*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestConfirmTakesALateYesAndEveryNo(t *testing.T) {
	p, said := pinentry(t, "CONFIRM=OK")
	start, calls := time.Now(), 0
	p.Now = func() time.Time { calls++; return start.Add(time.Duration(calls) * time.Second) }
	if err := p.LastTry(t.Context(), consent(t)); err != nil {
		t.Fatal(err)
	}
	if asked := strings.Count(said(), `"CONFIRM"`); asked != 1 {
		t.Errorf("asked %d times, want 1", asked)
	}
	no, _ := pinentry(t, "CONFIRM=ERR 83886194 Not confirmed <Pinentry>")
	if err := no.Pairing(t.Context(), pairing(t)); !errors.Is(err, desktop.ErrDeclined) {
		t.Errorf("no is %v", err)
	}
}

func TestPairingShowsTheCode(t *testing.T) {
	p, said := pinentry(t, "CONFIRM=ERR 83886194 Not confirmed")
	q := pairing(t)
	q.Locale = "nl"
	_ = p.Pairing(t.Context(), q)
	log := said()
	for _, want := range []string{"K7M2PX", "https://sede.example.es", "uw handtekening vragen", "SETOK Toestaan", "SETCANCEL Weigeren"} {
		if !strings.Contains(log, want) {
			t.Errorf("conversation lacks %q:\n%s", want, log)
		}
	}
}

func TestFindPrefersTheConfiguredProgram(t *testing.T) {
	if _, err := prompt.Find("no-such-pinentry-program", environment(nil)); !errors.Is(err, desktop.ErrNoPrompt) {
		t.Errorf("got %v", err)
	}
	path, err := prompt.Find("/bin/sh", environment(nil))
	if err != nil || path != "/bin/sh" {
		t.Errorf("got %q, %v", path, err)
	}
}
