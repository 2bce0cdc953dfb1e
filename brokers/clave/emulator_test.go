package clave

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/levels"
)

// lab is the emulated gateway with an upstream that is registered there.
type lab struct {
	gateway *emulator.Gateway
	u       *Upstream
	d       *brokers.Departure
	browser *demo.Browser
	page    *demo.Page
	server  *httptest.Server // of the gateway
}

var _ brokers.Leaver = (*Upstream)(nil)

// TestLogoutThroughTheBroker: from the portal's question to the gateway's logout and
// back to the portal, over HTTP.
func TestLogoutThroughTheBroker(t *testing.T) {
	var l *lab
	desk := brokertest.NewDesk(t, func(issuer string) []brokers.Upstream {
		l = newLabAt(t, issuer+"/upstream/clave/")
		return []brokers.Upstream{l.u}
	})
	stroll, err := demo.NewStroll()
	if err != nil {
		t.Fatal(err)
	}
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	loggedIn := func() bool {
		t.Helper()
		try(stroll.Open(t.Context(), desk.SilentURL()))
		return desk.IsLoggedIn(stroll.Page.URL)
	}
	try(stroll.Open(t.Context(), desk.AuthorizeURL()))
	try(stroll.Submit(t.Context(), "method", "method", "clave/clave-permanente"))
	try(stroll.Onward(t.Context()))
	l.browser, l.page = stroll.Browser, stroll.Page
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", "99999018D", "password", emulator.Password)
	stroll.Page = l.page
	try(stroll.Onward(t.Context()))
	if !loggedIn() {
		t.Fatalf("no session: %s", desk.Log())
	}
	try(stroll.Open(t.Context(), desk.LogoutURL()))
	try(stroll.Submit(t.Context(), "token", "answer", "end"))
	try(stroll.Onward(t.Context()))
	try(stroll.Submit(t.Context(), fieldLogoutResponse))
	if !desk.IsBack(stroll.Page.URL) || loggedIn() || !strings.Contains(desk.Log(), `"event":"upstream.logout_done"`) {
		t.Errorf("at %s: %s\n%s", stroll.Page.URL, stroll.Page.Text(), desk.Log())
	}
	if strings.Contains(desk.Log(), "99999018D") {
		t.Error("the log names a person")
	}
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return newLabAt(t, "http://localhost:8181/upstream/clave/")
}

// newLabAt registers an upstream with the addresses below a URL.
func newLabAt(t *testing.T, local string) *lab {
	t.Helper()
	return newLabWith(t, local, func(*emulator.Options) {})
}

// newLabWith is one whose gateway differs from the usual one.
func newLabWith(t *testing.T, local string, edit func(*emulator.Options)) *lab {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	home := "http://" + server.Listener.Addr().String()
	c := testConfig()
	c.ACSURL, c.LogoutURL, c.GatewayURL, c.Clock = local+"callback", local+"logout", home+emulator.PathRequest, time.Now
	c.Methods = []string{"clave-pin", "clave-movil", "clave-permanente", "clave-permanente-sms", "clave-certificado", "clave-dnie", "clave-eidas"}
	l := &lab{server: server}
	o := emulator.Options{
		BaseURL: home, Signing: tls.Certificate{Certificate: [][]byte{pairs().gateway.cert.Raw}, PrivateKey: pairs().gateway.key},
		Organisations: []emulator.Organisation{{ProviderName: c.ProviderName, Name: "Organismo de prueba", Certificate: pairs().sp.cert, Returns: []string{c.ACSURL, c.LogoutURL}}},
		Clock:         time.Now, Random: rand.Reader,
	}
	edit(&o)
	var err error
	if l.gateway, err = emulator.New(o); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = l.gateway.Handler()
	server.Start()
	t.Cleanup(server.Close)
	if l.u, err = New(c); err != nil {
		t.Fatal(err)
	}
	return l
}

// begin sends the request and stands on the gateway's first page.
func (l *lab) begin(t *testing.T, method string, least levels.Level) {
	t.Helper()
	l.d = start(t, l.u, request(method, least))
	l.open(t, l.d)
}

// open sends a form with a browser that knows nobody, reopen with the one of before.
func (l *lab) open(t *testing.T, d *brokers.Departure) {
	t.Helper()
	var err error
	if l.browser, err = demo.NewBrowser(); err != nil {
		t.Fatal(err)
	}
	l.reopen(t, d)
}

func (l *lab) reopen(t *testing.T, d *brokers.Departure) {
	t.Helper()
	form := url.Values{}
	for name, value := range d.Form {
		form.Set(name, value)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.Location, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if l.page, err = l.browser.Do(r); err != nil {
		t.Fatal(err)
	}
}

// step sends the form whose action ends with a word.
func (l *lab) step(t *testing.T, action string, pairs ...string) {
	t.Helper()
	forms, err := l.page.Forms()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms {
		if !strings.HasSuffix(f.Action.Path, "/"+action) {
			continue
		}
		set := map[string]string{}
		for i := 0; i+1 < len(pairs); i += 2 {
			set[pairs[i]] = pairs[i+1]
		}
		if l.page, err = l.browser.Submit(t.Context(), f, set); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("page has no form for %s:\n%s", action, l.page.Text())
}

// back is what the browser posts to us at the end.
func (l *lab) back(t *testing.T, field, to string) *http.Request {
	t.Helper()
	answer, err := l.page.FormWith(field)
	if err != nil {
		t.Fatalf("no answer: %v\n%s", err, l.page.Text())
	}
	r := httptest.NewRequest(http.MethodPost, to, strings.NewReader(answer.Fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (l *lab) finish(t *testing.T) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	return l.u.Finish(context.Background(), l.back(t, "SAMLResponse", l.u.config.ACSURL), l.d)
}

func (l *lab) lastCode(t *testing.T) string {
	t.Helper()
	sent := l.gateway.Outbox()
	if len(sent) == 0 {
		t.Fatalf("no message was sent:\n%s", l.page.Text())
	}
	return sent[len(sent)-1].Code
}

// TestEveryMethodAtTheEmulator walks every method of the laboratory's gateway,
// which shares no code with this package, with both kinds of registration.
func TestEveryMethodAtTheEmulator(t *testing.T) {
	l := newLab(t)
	const advanced, basic = "99999018D", "99999999R"
	contrast := map[string]string{advanced: "2030-06-15", basic: "2029-01-31"}
	password := func(t *testing.T, l *lab, number string) {
		l.step(t, "permanente", "number", number, "password", emulator.Password)
	}
	sms := func(t *testing.T, l *lab, number string) {
		password(t, l, number)
		l.step(t, "sms", "code", l.lastCode(t))
	}
	movil := func(t *testing.T, l *lab, number string) {
		l.step(t, "movil", "number", number, "contrast", contrast[number])
		waiting := l.gateway.Phones().Waiting(number)
		if len(waiting) != 1 || !strings.Contains(l.page.Text(), waiting[0].Code) {
			t.Fatalf("app and page do not show one number: %+v\n%s", waiting, l.page.Text())
		}
		l.gateway.Phones().Answer(waiting[0].ID, emulator.AppPIN, false)
		l.step(t, l.page.URL.Path[strings.LastIndex(l.page.URL.Path, "/")+1:])
	}
	pin := func(t *testing.T, l *lab, number string) {
		l.step(t, "pin", "number", number, "contrast", contrast[number], "own", "AB12")
		if !strings.Contains(l.page.Text(), "AB12") {
			t.Errorf("page does not show the person's own code:\n%s", l.page.Text())
		}
		l.step(t, "pincode", "code", l.lastCode(t))
	}
	software := func(t *testing.T, l *lab, number string) {
		l.step(t, "certificate", "certificate", "software "+number)
	}
	card := func(t *testing.T, l *lab, number string) {
		l.step(t, "certificate", "certificate", "card "+number, "pin", emulator.CardPIN)
	}
	foreign := func(t *testing.T, l *lab, _ string) { l.step(t, "eidas", "country", "EE") }
	for _, row := range []struct {
		method, choice, number string
		walk                   func(*testing.T, *lab, string)
		least, want            levels.Level
		key                    string
	}{
		{"clave-permanente", "permanente", advanced, password, levels.Low, levels.Low, ""},
		{"clave-permanente-sms", "permanente", advanced, sms, levels.Substantial, levels.Substantial, ""},
		{"clave-movil", "movil", advanced, movil, levels.Substantial, levels.Substantial, ""},
		{"clave-movil", "movil", basic, movil, levels.Low, levels.Low, ""},
		{"clave-pin", "pin", advanced, pin, levels.Substantial, levels.Substantial, ""},
		{"clave-pin", "pin", basic, pin, levels.Low, levels.Low, ""},
		{"clave-certificado", "certificate", "12345678Z", software, levels.Substantial, levels.Substantial, ""},
		{"clave-dnie", "certificate", "12345678Z", card, levels.High, levels.High, ""},
		{"clave-eidas", "eidas", "", foreign, levels.High, levels.High, "eidas:EE/ES/60001019906"},
	} {
		t.Run(row.method+" "+row.want.String(), func(t *testing.T) {
			l.begin(t, row.method, row.least)
			l.step(t, "method", "method", row.choice)
			row.walk(t, l, row.number)
			event, err := l.finish(t)
			if err != nil {
				t.Fatal(err)
			}
			key := row.key
			if key == "" {
				key = "es-nif:" + row.number
			}
			if event.Subject.Key != key || event.Assessment.Level != row.want {
				t.Errorf("subject %q at %s, want %q at %s", event.Subject.Key, event.Assessment.Level, key, row.want)
			}
		})
	}
}

// TestEmulatorRefusals are what goes wrong at the gateway: a registration that is
// not enough, lockouts, codes, certificates, and a cancelled login.
func TestEmulatorRefusals(t *testing.T) {
	l := newLab(t)
	says := func(text string) {
		t.Helper()
		if !strings.Contains(l.page.Text(), text) {
			t.Errorf("page does not say %q:\n%s", text, l.page.Text())
		}
	}
	l.begin(t, "clave-permanente-sms", levels.Substantial)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", "Y1234567X", "password", emulator.Password)
	says("móvil")
	l.step(t, "permanente", "number", "00000000T", "password", emulator.Password)
	says("bloqueada")
	for range 5 {
		l.step(t, "permanente", "number", "99999999R", "password", "wrong")
	}
	l.step(t, "permanente", "number", "99999999R", "password", emulator.Password)
	says("bloqueada")
	l.step(t, "permanente", "number", "99999018D", "password", emulator.Password)
	code := l.lastCode(t)
	l.step(t, "resend")
	says("Espere")
	for range 3 {
		l.step(t, "sms", "code", "00000000x")
	}
	says("agotado")
	l.step(t, "sms", "code", code)
	says("caducado")
	l.step(t, "cancel")
	if _, err := l.finish(t); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("cancelled: %v", err)
	}

	l.begin(t, "clave-certificado", levels.Low)
	l.step(t, "method", "method", "certificate")
	for certificate, text := range map[string]string{"software 11111111H": "caducado", "software 00000001R": "revocado", "card 12345678Z": "PIN", "": "Elija", "card 99999999R": "Elija"} {
		l.step(t, "certificate", "certificate", certificate)
		says(text)
	}

	l.begin(t, "clave-movil", levels.Substantial)
	l.step(t, "method", "method", "movil")
	l.step(t, "movil", "number", "99999018D", "contrast", "2031-01-01")
	says("no coinciden")
	l.step(t, "movil", "number", "99999999R", "contrast", "2029-01-31")
	l.gateway.Phones().Answer(l.gateway.Phones().Waiting("99999999R")[0].ID, emulator.AppPIN, false)
	l.step(t, l.page.URL.Path[strings.LastIndex(l.page.URL.Path, "/")+1:])
	var rejected *brokers.RejectedError
	if _, err := l.finish(t); !errors.As(err, &rejected) || rejected.Reason != reasonLevel {
		t.Errorf("basic registration for substantial: %v", err)
	}
}

func TestEmulatorScripts(t *testing.T) {
	l := newLab(t)
	for _, row := range []struct {
		script labcontrol.Script
		reason string // "" is a cancelled login
		walk   bool
	}{
		{labcontrol.Script{Scenario: "cancelled"}, "", false},
		{labcontrol.Script{Scenario: "level_not_reached"}, reasonLevel, false},
		{labcontrol.Script{Scenario: "unavailable"}, reasonLogin, false},
		{labcontrol.Script{Mutate: []string{"other_idp"}}, reasonSelected, true},
		{labcontrol.Script{Mutate: []string{"other_state"}}, reasonRelay, true},
		{labcontrol.Script{Mutate: []string{"bad_letter"}}, reasonSubject, true},
		{labcontrol.Script{Mutate: []string{"no_identifier"}}, reasonPerson, true},
		{labcontrol.Script{Mutate: []string{"other_class"}}, reasonClass, true},
		{labcontrol.Script{Mutate: []string{"representative"}}, reasonActing, true},
		{labcontrol.Script{Level: "low"}, reasonLevel, true},
	} {
		t.Run(row.script.Scenario+row.script.Level+strings.Join(row.script.Mutate, " "), func(t *testing.T) {
			if err := l.gateway.Control().Next(row.script); err != nil {
				t.Fatal(err)
			}
			l.begin(t, "clave-dnie", levels.High)
			if row.walk {
				l.step(t, "method", "method", "certificate")
				l.step(t, "certificate", "certificate", "card 12345678Z", "pin", emulator.CardPIN)
			}
			event, err := l.finish(t)
			var rejected *brokers.RejectedError
			switch {
			case event != nil:
				t.Errorf("accepted: %+v", event)
			case row.reason == "":
				if !errors.Is(err, brokers.ErrCancelled) {
					t.Errorf("error = %v", err)
				}
			case !errors.As(err, &rejected) || rejected.Reason != row.reason:
				t.Errorf("error = %v, want %s", err, row.reason)
			}
		})
	}
}

func TestLogoutAtTheEmulator(t *testing.T) {
	l := newLab(t)
	d, err := l.u.StartLogout(context.Background(), nil, "handle")
	if err != nil {
		t.Fatal(err)
	}
	l.open(t, d)
	if err := l.u.FinishLogout(context.Background(), l.back(t, fieldLogoutResponse, l.u.config.LogoutURL), d); err != nil {
		t.Error(err)
	}
}
