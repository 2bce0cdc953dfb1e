package clave

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/levels"
)

// TestTheEmulatorTellsNobodyWhoExists (W-09, W-10, emulator): numbers that are known, well
// formed, of a wrong letter or none at all, of people who have that means and who have
// not, get one answer to what is wrong, in status, headers, length and words, up to the
// lockout.
func TestTheEmulatorTellsNobodyWhoExists(t *testing.T) {
	l := newLab(t)
	changing := regexp.MustCompile(`(name="csrf" value=")[^"]*|/login/[0-9a-f]+|id="shown">\d+|session=[0-9a-f-]+|\b\d\d:\d\d\b`)
	for _, row := range []struct {
		method, choice string
		wrong          []string // pairs beside the number
		tries          int
	}{
		{"clave-permanente", "permanente", []string{"password", "not the password"}, 6}, // the last two are of a locked name
		{"clave-pin", "pin", []string{"contrast", "1999-12-31"}, 2},
		{"clave-movil", "movil", []string{"contrast", "1999-12-31"}, 2},
	} {
		t.Run(row.choice, func(t *testing.T) {
			answers := map[string]string{}
			for _, number := range []string{"99999018D", "99999999R", "12345678Z", "00000023T", "00000023A", "nobody", "X0000000T"} {
				l.begin(t, row.method, levels.Low)
				l.step(t, "method", "method", row.choice)
				text := ""
				for range row.tries {
					l.step(t, row.choice, append([]string{"number", number}, row.wrong...)...)
					text += http.StatusText(l.page.Status) + headers(l.page.Header) + strings.ReplaceAll(string(l.page.Body), number, "NUMBER")
				}
				answers[changing.ReplaceAllString(text, "")] += number + " "
			}
			if len(answers) != 1 {
				t.Errorf("%d answers: %v", len(answers), answers)
			}
			if sent := l.gateway.Outbox(); len(sent) != 0 {
				t.Errorf("%d messages to who proved nothing", len(sent)) // W-07
			}
		})
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
