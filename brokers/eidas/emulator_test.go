package eidas

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/levels"
)

func (p pair) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}
}

// lab is the emulated node with an upstream that knows it.
type lab struct {
	node *emulator.Node
	home string
	u    *Upstream
}

func newLab(t *testing.T, signing pair) *lab {
	t.Helper()
	return newLabAt(t, signing, "http://localhost:8181/upstream/eidas/")
}

// newLabAt registers an upstream with the addresses below a URL.
func newLabAt(t *testing.T, signing pair, local string) *lab {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	l := &lab{home: "http://" + server.Listener.Addr().String()}
	var err error
	l.node, err = emulator.New(emulator.Options{
		BaseURL: l.home, Country: "ES", Signing: signing.tls(), Clock: time.Now, Random: rand.Reader,
		Provider: func(_ context.Context, entityID string) ([]byte, error) {
			if l.u == nil || entityID != l.u.config.EntityID {
				return nil, errors.New("unknown")
			}
			return l.u.Metadata()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = l.node.Handler()
	server.Start()
	t.Cleanup(server.Close)
	c := testConfig()
	c.EntityID, c.ACSURL, c.Clock, c.Metadata = local+"metadata", local+"callback", time.Now, l.node.Metadata()
	if l.u, err = New(c); err != nil {
		t.Fatal(err)
	}
	return l
}

// answered walks the pages to the answer; steps are actions with their fields.
func (l *lab) answered(t *testing.T, least levels.Level, steps ...[]string) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	d, err := l.u.Start(context.Background(), brokers.AuthenticationRequest{Method: "eidas", Level: least, RelayState: state})
	if err != nil {
		t.Fatal(err)
	}
	browser, err := demo.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{}
	for name, value := range d.Form {
		form.Set(name, value)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.Location, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	page, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		page = submit(t, browser, page, step[0], step[1:]...)
	}
	answer, err := page.FormWith("SAMLResponse")
	if err != nil {
		t.Fatalf("no answer: %v\n%s", err, page.Text())
	}
	back := httptest.NewRequest(http.MethodPost, l.u.config.ACSURL, strings.NewReader(answer.Fields.Encode()))
	back.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return l.u.Finish(context.Background(), back, d)
}

// submit sends the form whose action ends with a word.
func submit(t *testing.T, browser *demo.Browser, page *demo.Page, action string, pairs ...string) *demo.Page {
	t.Helper()
	forms, err := page.Forms()
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
		next, err := browser.Submit(t.Context(), f, set)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	t.Fatalf("page has no form for %s:\n%s", action, page.Text())
	return nil
}

func steps(country, user string) [][]string {
	return [][]string{{"country", "country", country}, {"consent"}, {"password", "user", user, "password", emulator.Password}}
}

// TestLoginAtTheEmulator walks the pages of the laboratory's node, which shares no
// code with this package: country, consent, password, encrypted answer.
func TestLoginAtTheEmulator(t *testing.T) {
	for name, signing := range map[string]pair{"RSA-PSS": pairs().node, "ECDSA": pairs().nodeEC} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, signing)
			event, err := l.answered(t, levels.Substantial, steps("GR", "GR-LAB-1")...)
			if err != nil {
				t.Fatal(err)
			}
			if s := event.Subject; s.Key != "eidas:GR/ES/LAB-1" || s.GivenName != "ΑΛΕΞΑΝΔΡΑ" || s.GivenNameLatin != "ALEXANDRA" || s.Birthdate != "1979-02-03" {
				t.Errorf("subject = %+v", s)
			}
			if event.Assessment.Level != levels.High || !event.Assessment.Notified {
				t.Errorf("assessment = %+v", event.Assessment)
			}
		})
	}
}

func TestEmulatorOffersWhatReachesTheLevel(t *testing.T) {
	l := newLab(t, pairs().node)
	if _, err := l.answered(t, levels.High, []string{"country", "country", "NL"}, []string{"cancel"}); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("country below the level, then cancelled: %v", err)
	}
	if event, err := l.answered(t, levels.Low, steps("PT", "PT-LAB-2")...); err != nil || event.Assessment.Level != levels.Low {
		t.Errorf("low: %+v, %v", event, err)
	}
}

func TestEmulatorLocksAfterWrongPasswords(t *testing.T) {
	l := newLab(t, pairs().node)
	wrong := []string{"password", "user", "EE-60001019906", "password", "wrong"}
	all := append([][]string{{"country", "country", "EE"}, {"consent"}}, wrong, wrong, wrong, wrong, wrong)
	all = append(all, []string{"password", "user", "EE-60001019906", "password", emulator.Password}, []string{"cancel"})
	if _, err := l.answered(t, levels.Low, all...); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("right password after five wrong ones: %v", err)
	}
}

// TestEmulatorScripts lets the control API choose what happens.
func TestEmulatorScripts(t *testing.T) {
	l := newLab(t, pairs().node)
	for _, row := range []struct {
		script labcontrol.Script
		reason string // "" is a cancelled login
		walk   bool
	}{
		{labcontrol.Script{Scenario: "consent_refused"}, "", false},
		{labcontrol.Script{Scenario: "login_failed"}, reasonLogin, false},
		{labcontrol.Script{Scenario: "level_not_reached"}, reasonLevel, false},
		{labcontrol.Script{Scenario: "unavailable"}, reasonLogin, false},
		{labcontrol.Script{Mutate: []string{"other_destination"}}, reasonSubject, true},
		{labcontrol.Script{Mutate: []string{"clear_assertion"}}, string(saml.ReasonEncryption), true},
		{labcontrol.Script{Mutate: []string{"no_birthdate"}}, reasonPerson, true},
		{labcontrol.Script{Mutate: []string{"other_class"}}, reasonClass, true},
		{labcontrol.Script{Mutate: []string{"empty_class"}}, reasonClass, true},
		{labcontrol.Script{Mutate: []string{"not_notified_prefix"}}, reasonLevel, true},
		{labcontrol.Script{Level: "low"}, reasonLevel, true},
	} {
		name := row.script.Scenario + row.script.Level + strings.Join(row.script.Mutate, " ")
		t.Run(name, func(t *testing.T) {
			if err := l.node.Control().Next(row.script); err != nil {
				t.Fatal(err)
			}
			var walk [][]string
			if row.walk {
				walk = steps("EE", "EE-60001019906")
			}
			event, err := l.answered(t, levels.Substantial, walk...)
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

// TestEmulatorRefusesForeignRequests: a request that is not signed, or that was
// used before, gets a page.
func TestEmulatorRefusesForeignRequests(t *testing.T) {
	l := newLab(t, pairs().node)
	d, err := l.u.Start(context.Background(), brokers.AuthenticationRequest{Method: "eidas", Level: levels.Low, RelayState: state})
	if err != nil {
		t.Fatal(err)
	}
	send := func(message string) int {
		t.Helper()
		response, err := http.PostForm(d.Location, url.Values{"SAMLRequest": {message}})
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := send(d.Form["SAMLRequest"]); got != http.StatusOK {
		t.Errorf("first: %d", got)
	}
	if got := send(d.Form["SAMLRequest"]); got != http.StatusServiceUnavailable {
		t.Errorf("replayed: %d", got)
	}
	if got := send(d.Form["SAMLRequest"][:400]); got != http.StatusBadRequest {
		t.Errorf("cut: %d", got)
	}
	if got := send(b64Edit(t, d.Form["SAMLRequest"], "LoA/low", "LoA/high")); got != http.StatusBadRequest {
		t.Errorf("changed after signing: %d", got)
	}
}

func b64Edit(t *testing.T, message, old, changed string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(message)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("message has no %s", old)
	}
	return base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(text), old, changed, 1)))
}
