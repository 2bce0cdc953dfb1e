package digid

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/digid"
	"github.com/eidbridge/eidbridge/levels"
)

// visitor is somebody before a whole broker, in a browser.
type visitor struct {
	*brokertest.Desk
	*demo.Stroll
	t *testing.T
}

func (v *visitor) open(address string) {
	v.t.Helper()
	must(v.t, v.Open(v.t.Context(), address))
}

func (v *visitor) submit(field string, pairs ...string) {
	v.t.Helper()
	must(v.t, v.Submit(v.t.Context(), field, pairs...))
}

func (v *visitor) onward() {
	v.t.Helper()
	must(v.t, v.Onward(v.t.Context()))
}

func (v *visitor) loggedIn() bool {
	v.t.Helper()
	v.open(v.SilentURL())
	return v.IsLoggedIn(v.Page.URL)
}

func (v *visitor) logOut() {
	v.t.Helper()
	v.open(v.LogoutURL())
	v.submit("token", "answer", "end")
	v.onward()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// atDesk is the laboratory with a whole broker in front of it.
func atDesk(t *testing.T) (*laboratory, *visitor) {
	t.Helper()
	var l *laboratory
	stroll, err := demo.NewStroll()
	must(t, err)
	desk := brokertest.NewDesk(t, func(issuer string) []brokers.Upstream {
		l = newLaboratoryAt(t, issuer+"/upstream/digid/", issuer+"/upstream/digid4/")
		return []brokers.Upstream{l.direct, l.routed}
	})
	// What a proxy does that asks for DigiD's certificate.
	l.broker = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host, r.URL.Path = strings.TrimPrefix(desk.Issuer, "http://"), "/upstream/digid/notice"
		desk.Provider.ServeHTTP(w, r)
	})
	return l, &visitor{desk, stroll, t}
}

// logInAt logs a person in by a text message, by one of the generations.
func (l *laboratory) logInAt(desk *visitor, method string) {
	l.t.Helper()
	desk.open(desk.AuthorizeURL("prompt", "login"))
	desk.submit("method", "method", method)
	desk.onward()
	desk.submit("method", "method", "password")
	desk.submit("password", "username", "lab-alles", "password", emulator.LabPassword)
	sent := l.idp.Outbox()
	desk.submit("code", "code", sent[len(sent)-1].Code)
	desk.onward()
	if !desk.loggedIn() {
		l.t.Fatalf("%s: no session at %s: %s", method, desk.Page.URL, desk.Log())
	}
}

// TestLogoutThroughTheBroker: from the portal's question to DigiD's logout and back to
// the portal, over HTTP, in both generations; a person who keeps the session at DigiD is
// told, and gets back as well.
func TestLogoutThroughTheBroker(t *testing.T) {
	l, desk := atDesk(t)
	for _, method := range []string{"digid/digid-midden", "digid4/digid4-midden"} {
		l.logInAt(desk, method)
		desk.logOut()
		if !desk.IsBack(desk.Page.URL) || desk.loggedIn() {
			t.Errorf("%s: at %s: %s", method, desk.Page.URL, desk.Page.Text())
		}
		if !strings.Contains(desk.Log(), `"event":"upstream.logout_done","reason":"ok","upstream":"`+strings.Split(method, "/")[0]+`"`) {
			t.Errorf("%s: %s", method, desk.Log())
		}
	}
	// With a second service in the session DigiD asks.
	l.logInAt(desk, "digid/digid-midden")
	l.joinSecond(desk)
	desk.logOut()
	desk.submit("answer", "answer", "no")
	desk.onward()
	if !strings.Contains(desk.Page.Text(), "may still be open") || desk.loggedIn() {
		t.Errorf("kept at DigiD: %s: %s", desk.Page.URL, desk.Page.Text())
	}
	if !strings.Contains(desk.Log(), `"event":"upstream.logout_failed","reason":"cancelled"`) {
		t.Errorf("kept at DigiD: %s", desk.Log())
	}
	if strings.Contains(desk.Log(), l.persons["lab-alles"].BSN) {
		t.Error("the log names a person")
	}
}

// joinSecond logs in at the second service of the federation, from DigiD's session.
func (l *laboratory) joinSecond(desk *visitor) *brokers.AuthenticationEvent {
	l.t.Helper()
	d, err := l.second.Start(l.t.Context(), brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low, RelayState: "of the second"})
	if err != nil {
		l.t.Fatal(err)
	}
	desk.open(d.Location)
	forms, err := desk.Page.Forms()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, form := range forms {
		if strings.HasSuffix(form.Action.Path, "/sso") {
			desk.Page, err = desk.Browser.Submit(l.t.Context(), form, nil)
		}
	}
	if err != nil {
		l.t.Fatal(err)
	}
	// The broker has refused an answer that is not for it; the second service takes it.
	event, err := l.second.Finish(l.t.Context(), &http.Request{Method: http.MethodGet, URL: desk.Page.URL}, stored(l.t, d))
	if err != nil {
		l.t.Fatalf("second service at %s: %v", desk.Page.URL, err)
	}
	return event
}

// TestNoticeThroughTheBroker: a logout at another service of the federation ends the
// sessions here, and DigiD learns so; a notice that DigiD did not sign ends nothing.
func TestNoticeThroughTheBroker(t *testing.T) {
	l, desk := atDesk(t)
	l.logInAt(desk, "digid/digid-midden")
	event := l.joinSecond(desk)
	for name, body := range map[string]string{
		"nothing":   "",
		"no seal":   envelopeOf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`),
		"too large": strings.Repeat(" ", 500<<10),
	} {
		response, err := http.Post(desk.Issuer+"/upstream/digid/notice", "text/xml", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
	if !desk.loggedIn() {
		t.Fatal("a wrong notice ended the session")
	}
	d, err := l.second.StartLogout(t.Context(), event, "of the second")
	if err != nil {
		t.Fatal(err)
	}
	desk.open(d.Location)
	desk.submit("answer", "answer", "yes")
	answer := &http.Request{Method: http.MethodGet, URL: desk.Page.URL, Form: url.Values{}}
	if err := l.second.FinishLogout(t.Context(), answer, stored(t, d)); err != nil {
		t.Errorf("DigiD could not tell everybody: %v at %s\n%s", err, desk.Page.URL, desk.Log())
	}
	if desk.loggedIn() {
		t.Error("the session outlives DigiD's")
	}
	if !strings.Contains(desk.Log(), `"event":"session.ended","reason":"upstream","upstream":"digid","sessions":1`) || strings.Contains(desk.Log(), l.persons["lab-alles"].BSN) {
		t.Errorf("%s", desk.Log())
	}
}
