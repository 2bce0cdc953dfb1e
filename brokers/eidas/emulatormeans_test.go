package eidas

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	italian  = "IT-LAB-5"
	keymaker = "XB-LAB-6"
	// appCode stands for what a person's app shows when the form is sent.
	appCode = "the app's code of "
)

// shown puts the codes of the apps into the fields of a form.
func (l *lab) shown(fields []string) []string {
	filled := make([]string, len(fields))
	for i, f := range fields {
		if user, ok := strings.CutPrefix(f, appCode); ok {
			f = l.node.Code(user)
		}
		filled[i] = f
	}
	return filled
}

// newNamedLab is a node with a name, which passkeys need.
func newNamedLab(t *testing.T) *lab {
	t.Helper()
	return newLabWith(t, func(o *emulator.Options, _ *Config) {
		o.BaseURL = strings.Replace(o.BaseURL, "127.0.0.1", "localhost", 1)
	})
}

func password(user string) []string {
	return []string{"password", "user", user, "password", emulator.Password}
}

func code(value string) []string { return []string{"code", "code", value} }

// TestLevelsOfTheEmulatedApp: the same person is low with a password, and substantial
// with the app's one-time code as well, as SPID has it.
func TestLevelsOfTheEmulatedApp(t *testing.T) {
	l := newLab(t, pairs().node)
	to := [][]string{{"country", "country", "IT"}, {"consent"}}
	for _, row := range []struct {
		name  string
		least levels.Level
		walk  [][]string
		want  levels.Level
	}{
		{"substantial leaves no choice", levels.Substantial, [][]string{password(italian), code(appCode + italian)}, levels.Substantial},
		{"low by password", levels.Low, [][]string{{"method", "method", "password"}, password(italian)}, levels.Low},
		{"another way after all", levels.Low, [][]string{{"method", "method", "code"}, {"method", "method", ""}, {"method", "method", "password"}, password(italian)}, levels.Low},
	} {
		t.Run(row.name, func(t *testing.T) {
			event, err := l.answered(t, row.least, append(to, row.walk...)...)
			if err != nil || event.Assessment.Level != row.want || event.Subject.Key != "eidas:IT/ES/LAB-5" {
				t.Errorf("%+v, %v", event, err)
			}
		})
	}
}

// TestEmulatedCodesCountOnceAndLock (W-05, W-06, emulator).
func TestEmulatedCodesCountOnceAndLock(t *testing.T) {
	l := newLab(t, pairs().node)
	to := [][]string{{"country", "country", "IT"}, {"consent"}, password(italian)}
	walk := func(more ...[]string) error {
		t.Helper()
		_, err := l.answered(t, levels.Substantial, append(append([][]string{}, to...), more...)...)
		return err
	}
	used := l.node.Code(italian)
	if err := walk(code(used)); err != nil {
		t.Fatal(err)
	}
	if err := walk(code(used), []string{"cancel"}); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("a code that was used: %v", err)
	}
	wrong := code("no code")
	// One try is gone; after four more the right code does not help.
	if err := walk(wrong, wrong, wrong, wrong, code(appCode+italian), []string{"cancel"}); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("right code after five wrong ones: %v", err)
	}
}

// TestScriptsForOnePerson: what a test chose for a person happens to that person.
func TestScriptsForOnePerson(t *testing.T) {
	l := newLab(t, pairs().node)
	next := func(s labcontrol.Script) {
		t.Helper()
		s.Subject = italian
		if err := l.node.Control().Next(s); err != nil {
			t.Fatal(err)
		}
	}
	to := [][]string{{"country", "country", "IT"}, {"consent"}, password(italian)}
	next(labcontrol.Script{Scenario: "factor_refused"})
	if _, err := l.answered(t, levels.Substantial, steps("NL", "NL-LAB900029365")...); err != nil {
		t.Errorf("somebody else meanwhile: %v", err)
	}
	if _, err := l.answered(t, levels.Substantial, append(to, code(appCode+italian), []string{"cancel"})...); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("right code that is to be refused: %v", err)
	}
	next(labcontrol.Script{Level: "low"})
	event, err := l.answered(t, levels.Low, append(to[:2:2], []string{"method", "method", "password"}, password(italian))...)
	if err != nil || event.Assessment.Level != levels.Low {
		t.Errorf("level of a script: %+v, %v", event, err)
	}
	next(labcontrol.Script{Scenario: "login_failed"})
	event, err = l.answered(t, levels.Low, append(to[:2:2], []string{"method", "method", "password"}, password(italian))...)
	wantRejected(t, event, err, reasonLogin, brokers.CategoryDenied)
}

// TestPasskeysNeedScriptsAndANameAndNobodyIsLeftOut: without them there is the app.
func TestPasskeysNeedScriptsAndANameAndNobodyIsLeftOut(t *testing.T) {
	l := newNamedLab(t)
	event, err := l.answered(t, levels.Substantial, []string{"country", "country", "XB"}, []string{"consent"}, []string{"method", "method", "passkey"},
		// The answer of no browser, then the way that works without scripts.
		[]string{"passkey", "answer", "{}"}, []string{"method", "method", ""}, []string{"method", "method", "code"}, password(keymaker), code(appCode+keymaker))
	if err != nil || event.Assessment.Level != levels.Substantial {
		t.Errorf("named: %+v, %v", event, err)
	}
	l = newLab(t, pairs().node) // at 127.0.0.1
	event, err = l.answered(t, levels.Substantial, []string{"country", "country", "XB"}, []string{"consent"}, password(keymaker), code(appCode+keymaker))
	if err != nil || event.Assessment.Level != levels.Substantial {
		t.Errorf("by number: %+v, %v", event, err)
	}
}

// headers are those of an answer but for what differs each time.
func headers(h http.Header) string {
	h = h.Clone()
	for _, differs := range []string{"Date", "Set-Cookie", "Content-Length"} {
		h.Del(differs)
	}
	var text strings.Builder
	_ = h.Write(&text) // into memory
	return text.String()
}

// TestTheEmulatorTellsNobodyWhoExists (W-09, W-10, emulator): names that are known,
// well formed, of a wrong check digit or none at all get one answer to a wrong
// password.
func TestTheEmulatorTellsNobodyWhoExists(t *testing.T) {
	l := newLab(t, pairs().node)
	answers := map[string]string{}
	for _, user := range []string{"EE-60001019906", "EE-38001085718", "EE-60001019907", "EE-", "somebody", "NL-LAB900029365"} {
		browser, page := depart(t, start(t, l.u, "eidas", levels.Low))
		page = submit(t, browser, page, "country", "country", "EE")
		page = submit(t, browser, page, "consent")
		address := page.URL.Path
		page = submit(t, browser, page, "password", "user", user, "password", "not the password")
		text := strings.NewReplacer(user, "USER", address, "LOGIN").Replace(string(page.Body))
		text = regexp.MustCompile(`(name="csrf" value=")[^"]*|/login/[0-9a-f]+|\b\d\d:\d\d\b`).ReplaceAllString(text, "")
		answers[http.StatusText(page.Status)+headers(page.Header)+text] += user + " "
	}
	if len(answers) != 1 {
		t.Errorf("%d answers: %v", len(answers), answers)
	}
}
