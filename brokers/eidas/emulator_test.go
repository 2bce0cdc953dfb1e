package eidas

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
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
	return newLabWith(t, func(o *emulator.Options, c *Config) {
		o.Signing, c.EntityID, c.ACSURL = signing.tls(), local+"metadata", local+"callback"
	})
}

// newLabWith is a node and an upstream that differ from the usual ones.
func newLabWith(t *testing.T, edit func(*emulator.Options, *Config)) *lab {
	t.Helper()
	const local = "http://localhost:8181/upstream/eidas/"
	server := httptest.NewUnstartedServer(nil)
	l := &lab{home: "http://" + server.Listener.Addr().String()}
	c := testConfig()
	c.EntityID, c.ACSURL, c.Clock = local+"metadata", local+"callback", time.Now
	o := emulator.Options{
		BaseURL: l.home, Country: "ES", Signing: pairs().node.tls(), Clock: time.Now, Random: rand.Reader,
		Provider: func(_ context.Context, entityID string) ([]byte, error) {
			if l.u == nil || entityID != l.u.config.EntityID {
				return nil, errors.New("unknown")
			}
			return l.u.Metadata()
		},
	}
	edit(&o, &c)
	var err error
	if l.node, err = emulator.New(o); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = l.node.Handler()
	server.Start()
	t.Cleanup(server.Close)
	c.Metadata = l.node.Metadata()
	if l.u, err = New(c); err != nil {
		t.Fatal(err)
	}
	return l
}

// answered walks the pages to the answer; steps are actions with their fields.
func (l *lab) answered(t *testing.T, least levels.Level, steps ...[]string) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	return l.answeredBy(t, "eidas", least, steps...)
}

func (l *lab) answeredBy(t *testing.T, method string, least levels.Level, steps ...[]string) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	d, err := l.u.Start(context.Background(), brokers.AuthenticationRequest{Method: method, Level: least, RelayState: state})
	if err != nil {
		t.Fatal(err)
	}
	browser, page := depart(t, d)
	for _, step := range steps {
		page = submit(t, browser, page, step[0], l.shown(step[1:])...)
	}
	answer, err := page.FormWith("SAMLResponse")
	if err != nil {
		t.Fatalf("no answer: %v\n%s", err, page.Text())
	}
	back := httptest.NewRequest(http.MethodPost, l.u.config.ACSURL, strings.NewReader(answer.Fields.Encode()))
	back.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return l.u.Finish(context.Background(), back, d)
}

// depart goes with a request to the node's first page.
func depart(t *testing.T, d *brokers.Departure) (*demo.Browser, *demo.Page) {
	t.Helper()
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
	return browser, page
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

// TestVersionsOfTheProfile: versions differ in how they sign, how they hide the
// key of an assertion and which attributes they know; keys may be RSA or elliptic
// on either side (broker.md 5.3 to 5.5).
func TestVersionsOfTheProfile(t *testing.T) {
	onCurve := func(curve elliptic.Curve) pair { return newPair(must(ecdsa.GenerateKey(curve, rand.Reader))) }
	decrypt := pairs().decrypt
	for _, row := range []struct {
		name    string
		version emulator.Version
		node    pair
		decrypt pair
		pkcs1   bool
		newer   bool // optional attributes
	}{
		{"1.2 RSA", emulator.Version12, pairs().node, decrypt, true, false},
		{"1.2 RSA-PSS request", emulator.Version12, pairs().node, decrypt, false, false},
		{"1.2 ECDSA", emulator.Version12, pairs().nodeEC, decrypt, true, false},
		{"1.3 RSA", emulator.Version13, pairs().node, decrypt, true, true},
		{"1.4 RSA-PSS", emulator.Version14, pairs().node, decrypt, false, true},
		{"1.4 ECDSA", emulator.Version14, pairs().nodeEC, decrypt, false, true},
		{"1.4 ECDH-ES on P-256", emulator.Version14, pairs().node, onCurve(elliptic.P256()), false, true},
		{"1.4 ECDH-ES on P-384", emulator.Version14, pairs().nodeEC, onCurve(elliptic.P384()), false, true},
		{"1.4 ECDH-ES on P-521", emulator.Version14, pairs().nodeEC, onCurve(elliptic.P521()), false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLabWith(t, func(o *emulator.Options, c *Config) {
				o.Version, o.Signing, c.PKCS1 = row.version, row.node.tls(), row.pkcs1
				c.DecryptionKeys = []saml.DecryptionKey{must(saml.NewDecryptionKey(row.decrypt.key, row.decrypt.cert))}
				o.Persons = emulator.Persons()[:1]
				c.Optional = []string{"PlaceOfBirth", "Nationality", "EmailAddress"}
			})
			event, err := l.answered(t, levels.High, steps("EE", "EE-60001019906")...)
			if err != nil {
				t.Fatal(err)
			}
			want := brokers.Particulars{PlaceOfBirth: "Tallinn"}
			if row.newer {
				want.Nationality, want.EmailAddress = "EE", "mary@example.test"
			}
			if p := event.Subject.Particulars; event.Subject.Key != "eidas:EE/ES/60001019906" || p == nil || *p != want {
				t.Errorf("subject = %+v, particulars %+v", event.Subject, p)
			}
		})
	}
	t.Run("1.4 takes no RSA of PKCS #1 v1.5", func(t *testing.T) {
		l := newLabWith(t, func(_ *emulator.Options, c *Config) { c.PKCS1 = true })
		event, err := l.answered(t, levels.Low)
		wantRejected(t, event, err, reasonLogin, brokers.CategoryConfiguration)
	})
}

// TestEmulatorKnowsWhoAsks: the type of a service provider stands in the request or
// in the metadata, a private one names itself where the node says so, and a country
// that the request names is not asked for again.
func TestEmulatorKnowsWhoAsks(t *testing.T) {
	for _, row := range []struct {
		name    string
		edit    func(*emulator.Options, *Config)
		refused bool
	}{
		{"type in the metadata", func(_ *emulator.Options, c *Config) { c.TypeInMetadata = true }, false},
		{"private", func(_ *emulator.Options, c *Config) { c.Private = true }, false},
		{"private without a name", func(o *emulator.Options, c *Config) { o.RequesterID, c.Private = true, true }, true},
		{"private with its name", func(o *emulator.Options, c *Config) {
			o.RequesterID, c.Private, c.RequesterID = true, true, "urn:example:shop"
		}, false},
		{"public needs no name", func(o *emulator.Options, _ *Config) { o.RequesterID = true }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLabWith(t, func(o *emulator.Options, c *Config) {
				c.Countries = []string{"EE", "NL"}
				row.edit(o, c)
			})
			if row.refused {
				event, err := l.answeredBy(t, "eidas-ee", levels.High)
				wantRejected(t, event, err, reasonLogin, brokers.CategoryConfiguration)
				return
			}
			event, err := l.answeredBy(t, "eidas-ee", levels.High, steps("EE", "EE-60001019906")[1:]...)
			if err != nil || event.Subject.Country != "EE" {
				t.Errorf("%+v, %v", event, err)
			}
		})
	}
	l := newLabWith(t, func(_ *emulator.Options, c *Config) { c.Countries = []string{"NL"} })
	event, err := l.answeredBy(t, "eidas-nl", levels.High)
	wantRejected(t, event, err, reasonLogin, brokers.CategoryConfiguration)
}
