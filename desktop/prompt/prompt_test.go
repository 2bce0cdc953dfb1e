package prompt_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

// The test binary is its own scripted pinentry: what it answers to a command is
// in scriptEnv, one "COMMAND=answer" a line with \n for line ends.
const (
	scriptEnv = "EIDBRIDGE_TEST_PINENTRY"
	logEnv    = "EIDBRIDGE_TEST_PINENTRY_LOG"
)

func TestMain(m *testing.M) {
	if script, ok := os.LookupEnv(scriptEnv); ok {
		servePinentry(script, os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

func servePinentry(script string, in io.Reader, out io.Writer) {
	answers := map[string]string{}
	for line := range strings.SplitSeq(script, "\n") {
		if command, answer, ok := strings.Cut(line, "="); ok {
			answers[command] = strings.ReplaceAll(answer, `\n`, "\n")
		}
	}
	log, err := os.OpenFile(os.Getenv(logEnv), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(3)
	}
	defer log.Close()
	greeting, ok := answers["greeting"]
	if !ok {
		greeting = "OK ready"
	}
	fmt.Fprintln(out, greeting)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		text, _ := url.PathUnescape(lines.Text())
		fmt.Fprintf(log, "%q\n", text)
		command, _, _ := strings.Cut(lines.Text(), " ")
		answer, ok := answers[command]
		switch {
		case !ok:
			fmt.Fprintln(out, "OK")
		case answer == "hang":
			_, _ = io.Copy(io.Discard, in)
			select {}
		case answer == "exit":
			return
		default:
			fmt.Fprintln(out, answer)
		}
		if command == "BYE" {
			return
		}
	}
}

// pinentry returns a prompter on the scripted pinentry, and what was said to it.
func pinentry(t *testing.T, script string) (*prompt.Pinentry, func() string) {
	t.Helper()
	log := t.TempDir() + "/log"
	t.Setenv(scriptEnv, script)
	t.Setenv(logEnv, log)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &prompt.Pinentry{Program: program, Texts: texts(t, "en_GB.UTF-8"), Getenv: environment(nil), Now: time.Now}
	return p, func() string {
		said, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
}

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func texts(t testing.TB, lang string) *prompt.Texts {
	t.Helper()
	texts, err := prompt.NewTexts(environment(map[string]string{"LANG": lang}))
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func origin(t testing.TB, s string) origins.Origin {
	t.Helper()
	o, err := origins.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func consent(t testing.TB) desktop.Consent {
	return desktop.Consent{
		Door:     desktop.DoorLocalAPI,
		Origin:   origin(t, "https://sede.example.es"),
		Document: desktop.Description{Name: "contract.pdf", MediaType: desktop.MediaTypePDF, Size: 22_500, SHA256: sha256.Sum256([]byte("x"))},
		Purpose:  "Rental contract", Reference: "2026/17",
		Holder: desktop.Holder{
			Name: "JAAK-KRISTJAN JÕEORG", Number: "PNOEE-••••••••718", Issuer: "LAB ESTEID2018",
			NotAfter: time.Date(2029, 5, 1, 0, 0, 0, 0, time.UTC), Qualified: true,
		},
		Card: "EstEID 2018", Reader: "Virtual PCD 00 00", PIN: "PIN2", TriesLeft: 3, MinLength: 5, MaxLength: 12,
		Timeout: time.Minute,
	}
}

func pairing(t testing.TB) desktop.PairingQuestion {
	return desktop.PairingQuestion{
		Origin: origin(t, "https://sede.example.es"), Name: "Sede", Code: "K7M2PX",
		Scopes: []origins.Scope{origins.ScopeSign}, Timeout: time.Minute,
	}
}

func secretOf(t *testing.T, p *pin.PIN) string {
	t.Helper()
	var secret string
	if err := p.Use(func(b []byte) error { secret = string(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return secret
}
