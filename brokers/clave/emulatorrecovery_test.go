package clave

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	recovered = "Nueva-2026" // a password
	freshPIN  = "4321"       // of another app
)

// reset gives everybody back what they had at the beginning.
func (l *lab) reset() {
	l.gateway.Control().Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/_control/reset", nil))
}

// home is the address of the gateway.
func (l *lab) home() string { return strings.TrimSuffix(l.u.config.GatewayURL, emulator.PathRequest) }

// recovery begins a recovery in a browser that knows nobody.
func (l *lab) recovery(t *testing.T, kind, number, contrast, way string) {
	t.Helper()
	var err error
	if l.browser, err = demo.NewBrowser(); err != nil {
		t.Fatal(err)
	}
	if l.page, err = l.browser.Open(t.Context(), l.home()+"/recover/"+kind); err != nil {
		t.Fatal(err)
	}
	l.step(t, "begin", "number", number, "contrast", contrast, "way", way)
}

// renew ends a recovery with a new password or PIN.
func (l *lab) renew(t *testing.T, fresh string) {
	t.Helper()
	l.step(t, "new", "new", fresh, "again", fresh)
	if l.page.Status != http.StatusOK {
		t.Fatalf("not recovered:\n%s", l.page.Text())
	}
	sent := l.gateway.Outbox()
	if last := sent[len(sent)-1]; !last.Letter || last.Code != "" || !strings.Contains(last.Text, "Si no ha sido usted") {
		t.Errorf("the person is not told, but %+v", last)
	}
}

// prove goes the way of a recovery up to what is to be set anew.
func (l *lab) prove(t *testing.T, number, way string) {
	t.Helper()
	activation := map[string]string{"99999018D": "lab-018-activa", "99999999R": "LAB-099-ACTIVA", "00000000T": "LAB-000-ACTIVA", "Y1234567X": "LAB-002-ACTIVA"}
	switch way {
	case "code":
		l.step(t, "code", "code", activation[number])
	case "letter":
		l.step(t, "letter", "code", l.lastCode(t))
	case "software":
		l.step(t, "certificate", "certificate", "software "+number)
	case "card":
		l.step(t, "certificate", "certificate", "card "+number, "pin", emulator.CardPIN)
	case "movil":
		waiting := l.gateway.Phones().Waiting(number)
		if len(waiting) != 1 || !strings.Contains(l.page.Text(), waiting[0].Code) {
			t.Fatalf("app and page do not show one number: %+v\n%s", waiting, l.page.Text())
		}
		l.gateway.Phones().Answer(waiting[0].ID, emulator.AppPIN, false)
		l.step(t, "movil")
	case "permanente":
		l.step(t, "permanente", "password", emulator.Password)
	}
	if strings.HasSuffix(l.action(t, "code"), "/sms") {
		l.step(t, "sms", "code", l.lastCode(t))
	}
}

// action is where the form with a field leads, empty where there is none.
func (l *lab) action(t *testing.T, field string) string {
	t.Helper()
	f, err := l.page.FormWith(field)
	if err != nil {
		return ""
	}
	return f.Action.Path
}

// reached logs in by a way and gives the level at the broker's end, or none where the
// gateway refuses that level.
func (l *lab) reached(t *testing.T, method, choice string, least levels.Level, walk func()) string {
	t.Helper()
	l.begin(t, method, least)
	l.step(t, "method", "method", choice)
	walk()
	event, err := l.finish(t)
	var rejected *brokers.RejectedError
	switch {
	case errors.As(err, &rejected):
		return "refused"
	case err != nil:
		t.Fatal(err)
	}
	return event.Assessment.Level.String()
}

func contrastOf(number string) string {
	for _, p := range emulator.Persons() {
		if p.Number == number {
			return p.Contrast
		}
	}
	return ""
}

// TestRecoveryNeverRaisesALevel (W-15, emulator): after each way to another password, or
// another app, a login at the broker's end has the level of the registration at most, and
// no more than that way has proven.
func TestRecoveryNeverRaisesALevel(t *testing.T) {
	const advanced, basic = "99999018D", "99999999R"
	l := newLab(t)
	for _, row := range []struct {
		kind, number, way string
		want              string // of the two factors that were recovered
	}{
		{"password", advanced, "code", "substantial"},
		{"password", advanced, "software", "substantial"},
		{"password", advanced, "card", "substantial"}, // not high: the registration's
		{"password", advanced, "movil", "substantial"},
		{"password", advanced, "letter", "refused"},
		{"password", basic, "code", "refused"},
		{"password", basic, "movil", "refused"},
		{"password", basic, "letter", "refused"},
		{"device", advanced, "permanente", "substantial"},
		{"device", advanced, "card", "substantial"},
		{"device", advanced, "letter", "refused"},
		{"device", basic, "permanente", "refused"},
		{"device", basic, "letter", "refused"},
	} {
		t.Run(row.kind+" "+row.number+" "+row.way, func(t *testing.T) {
			l.reset()
			way := row.way
			if way == "software" || way == "card" {
				way = "certificate"
			}
			l.recovery(t, row.kind, row.number, contrastOf(row.number), way)
			l.prove(t, row.number, row.way)
			if row.kind == "password" {
				l.renew(t, recovered)
				sms := func() {
					l.step(t, "permanente", "number", row.number, "password", recovered)
					l.step(t, "sms", "code", l.lastCode(t))
				}
				if got := l.reached(t, "clave-permanente-sms", "permanente", levels.Substantial, sms); got != row.want {
					t.Errorf("with a text message: %s, want %s", got, row.want)
				}
				password := func() { l.step(t, "permanente", "number", row.number, "password", recovered) }
				if got := l.reached(t, "clave-permanente", "permanente", levels.Low, password); got != "low" {
					t.Errorf("with the password alone: %s", got)
				}
				return
			}
			l.renew(t, freshPIN)
			app := func() {
				l.step(t, "movil", "number", row.number, "contrast", contrastOf(row.number))
				l.gateway.Phones().Answer(l.gateway.Phones().Waiting(row.number)[0].ID, freshPIN, false)
				l.step(t, l.page.URL.Path[strings.LastIndex(l.page.URL.Path, "/")+1:])
			}
			if got := l.reached(t, "clave-movil", "movil", levels.Substantial, app); got != row.want {
				t.Errorf("with the app: %s, want %s", got, row.want)
			}
			if got, want := l.reached(t, "clave-movil", "movil", levels.Low, app), strings.ReplaceAll(row.want, "refused", "low"); got != want {
				t.Errorf("with the app at low: %s, want %s", got, want)
			}
		})
	}
}

// TestLowerProofIsNotCarriedOn (W-15, emulator): an app of a letter proves no more when
// it recovers a password, and a stronger way ends that.
func TestLowerProofIsNotCarriedOn(t *testing.T) {
	const number = "99999018D"
	l := newLab(t)
	level := func() string {
		t.Helper()
		return l.reached(t, "clave-permanente-sms", "permanente", levels.Substantial, func() {
			l.step(t, "permanente", "number", number, "password", recovered)
			l.step(t, "sms", "code", l.lastCode(t))
		})
	}
	l.recovery(t, "device", number, contrastOf(number), "letter")
	l.prove(t, number, "letter")
	l.renew(t, freshPIN)
	l.recovery(t, "password", number, contrastOf(number), "movil")
	l.gateway.Phones().Answer(l.gateway.Phones().Waiting(number)[0].ID, freshPIN, false)
	l.step(t, "movil")
	l.renew(t, recovered)
	if got := level(); got != "refused" {
		t.Errorf("a password of an app of a letter: %s", got)
	}
	l.recovery(t, "password", number, contrastOf(number), "certificate")
	l.prove(t, number, "card")
	l.renew(t, recovered)
	if got := level(); got != "substantial" {
		t.Errorf("a password of a card: %s", got)
	}
}

// TestWhatWasRecoveredTakesThePlaceOfTheOld (W-15, emulator): the old password and the old
// app open nothing, the gateway's session ends, a blocked account opens again, and the
// lab's reset gives everybody back what they had.
func TestWhatWasRecoveredTakesThePlaceOfTheOld(t *testing.T) {
	const number = "99999018D"
	l := newLabWith(t, localURL, func(o *emulator.Options) { o.SingleSignOn = true })
	l.begin(t, "clave-permanente", levels.Low)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", number, "password", emulator.Password)
	before := l.browser
	if _, err := l.finish(t); err != nil {
		t.Fatal(err)
	}
	l.begin(t, "clave-permanente-sms", levels.Substantial) // one that has passed the old password
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", number, "password", emulator.Password)
	halfway, page := l.browser, l.page

	l.recovery(t, "password", number, contrastOf(number), "certificate")
	l.prove(t, number, "card")
	l.renew(t, recovered)
	l.browser, l.page = halfway, page
	l.again(t)
	l.says(t, "se han cambiado entretanto")
	l.browser = before
	l.d = start(t, l.u, request("clave-permanente", levels.Low))
	l.reopen(t, l.d)
	if _, err := l.page.FormWith("SAMLResponse"); err == nil {
		t.Error("the gateway's session outlives the password")
	}
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", number, "password", emulator.Password)
	l.says(t, "incorrectos")

	l.begin(t, "clave-movil", levels.Low) // one that waits at the old app
	l.step(t, "method", "method", "movil")
	l.step(t, "movil", "number", number, "contrast", contrastOf(number))
	waits := l.gateway.Phones().Waiting(number)[0].ID
	l.recovery(t, "device", number, contrastOf(number), "certificate")
	l.prove(t, number, "card")
	l.renew(t, freshPIN)
	if got := l.gateway.Phones().Answer(waits, emulator.AppPIN, false); got != "gone" {
		t.Errorf("the old app answers: %s", got)
	}
	l.begin(t, "clave-movil", levels.Low)
	l.step(t, "method", "method", "movil")
	l.step(t, "movil", "number", number, "contrast", contrastOf(number))
	if got := l.gateway.Phones().Answer(l.gateway.Phones().Waiting(number)[0].ID, emulator.AppPIN, false); got != "pin" {
		t.Errorf("the old PIN at the new app: %s", got)
	}

	const blocked = "00000000T"
	l.recovery(t, "password", blocked, contrastOf(blocked), "code")
	l.prove(t, blocked, "code")
	l.renew(t, recovered)
	l.begin(t, "clave-permanente", levels.Low)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", blocked, "password", recovered)
	l.arrives(t, "es-nif:"+blocked, levels.Low)

	l.reset()
	l.begin(t, "clave-permanente", levels.Low)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", blocked, "password", emulator.Password)
	l.says(t, "bloqueada")
	l.step(t, "permanente", "number", number, "password", emulator.Password)
	l.arrives(t, "es-nif:"+number, levels.Low)
}

// TestRecoveryIsNoWayAround (W-15, emulator): steps cannot be left out, and nobody proves
// who somebody else is.
func TestRecoveryIsNoWayAround(t *testing.T) {
	const number = "99999018D"
	l := newLab(t)
	l.recovery(t, "password", number, contrastOf(number), "certificate")
	form, err := l.page.FormWith("pin")
	if err != nil {
		t.Fatal(err)
	}
	l.step(t, "certificate", "certificate", "software 12345678Z")
	l.says(t, "Elija un certificado")
	l.step(t, "certificate", "certificate", "card "+number, "pin", "0000")
	l.says(t, "PIN de la tarjeta")
	for _, action := range []string{"new", "sms", "code", "letter", "movil"} {
		f := *form
		f.Action.Path = "/recover/password/" + action
		page, err := l.browser.Submit(t.Context(), &f, map[string]string{"new": recovered, "again": recovered, "code": "LAB-018-ACTIVA"})
		if err != nil || !strings.Contains(page.Text(), "ha terminado") {
			t.Errorf("%s: %v\n%s", action, err, page.Text())
		}
	}
	l.recovery(t, "device", number, contrastOf(number), "permanente")
	for range 5 {
		l.step(t, "permanente", "password", "wrong")
	}
	l.says(t, "bloqueada") // as at logins, with which they count
	l.begin(t, "clave-permanente", levels.Low)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", number, "password", emulator.Password)
	l.says(t, "bloqueada")
	if n := len(l.gateway.Outbox()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

// TestRecoveryTellsNobodyWhoExists (W-09, W-10, W-15, emulator): each way looks the same
// for who is known, who is not, and who does not have what would be recovered, up to the
// bound of five an hour.
func TestRecoveryTellsNobodyWhoExists(t *testing.T) {
	changing := regexp.MustCompile(`value="[A-Za-z0-9_-]{43}"|<strong class="pairing" id="shown">\d{3}</strong>|name="number" value="[^"]*"`)
	l := newLab(t)
	for _, kind := range []string{"password", "device"} {
		for _, way := range map[string][]string{"password": {"code", "certificate", "movil", "letter"}, "device": {"permanente", "certificate", "letter"}}[kind] {
			t.Run(kind+" "+way, func(t *testing.T) {
				var seen [][]string
				for _, who := range []struct{ number, contrast string }{
					{"99999018D", "2030-06-15"}, {"99999018D", "2030-06-16"}, {"00000023T", "2030-06-15"}, {"12345678Z", ""}, {"nobody", "2030-06-15"},
				} {
					l.reset()
					var pages []string
					look := func() {
						pages = append(pages, http.StatusText(l.page.Status), changing.ReplaceAllString(string(l.page.Body), ""))
					}
					l.recovery(t, kind, who.number, who.contrast, way)
					look()
					for range 3 {
						if l.action(t, "csrf") == "" {
							break
						}
						switch way {
						case "code", "letter":
							if l.action(t, "code") != "" {
								l.step(t, way, "code", "BCDFGHJKL")
							}
						case "certificate":
							l.step(t, way, "certificate", "software 11111111H")
						case "movil":
							l.step(t, way)
						case "permanente":
							l.step(t, way, "password", "wrong")
						}
						look()
					}
					for range 4 {
						l.recovery(t, kind, who.number, who.contrast, way)
					}
					l.recovery(t, kind, who.number, who.contrast, way)
					look()
					l.says(t, "demasiadas veces")
					seen = append(seen, pages)
				}
				for i := 1; i < len(seen); i++ {
					if !slices.Equal(seen[0], seen[i]) {
						t.Errorf("case %d differs:\n%s\n--- from ---\n%s", i, strings.Join(seen[i], "\n"), strings.Join(seen[0], "\n"))
					}
				}
			})
		}
	}
}
