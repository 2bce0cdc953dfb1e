package digid

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/digid"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	local   = "http://localhost:8181/upstream/digid/"
	routedL = "urn:nl-eid-gdi:1.0:DV:00000000000000000000:entities:9001"
)

var (
	_ brokers.Leaver   = (*Upstream)(nil)
	_ brokers.Leaver   = (*Routed)(nil)
	_ brokers.Notified = (*Upstream)(nil)
)

// laboratory is the lab's DigiD, which shares no code with this package, and one
// connection of each generation to it.
type laboratory struct {
	t       *testing.T
	idp     *emulator.IdP
	persons map[string]emulator.Person
	home    string
	front   *httptest.Server // at home
	direct  *Upstream
	routed  *Routed
	second  *Upstream // of the same federation
	notices *httptest.Server
	noticed []string
	// broker, if not nil, gets the notices for the direct connection.
	broker http.Handler
}

func newLaboratory(t *testing.T) *laboratory {
	t.Helper()
	return newLaboratoryAt(t, local, local)
}

// newLaboratoryAt connects with addresses below two URLs, one for each generation.
func newLaboratoryAt(t *testing.T, local, routed string) *laboratory {
	t.Helper()
	l := &laboratory{t: t, persons: map[string]emulator.Person{}}
	front, back := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	persons, err := emulator.Persons(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range persons {
		l.persons[p.UserName] = p
	}
	l.home = "http://" + front.Listener.Addr().String()
	l.notices = httptest.NewUnstartedServer(http.HandlerFunc(l.notice))
	l.notices.TLS = emulator.BackChannelTLS(pairs().channel.tls())
	l.notices.StartTLS()
	t.Cleanup(l.notices.Close)
	roots := x509.NewCertPool()
	roots.AddCert(pairs().channel.cert)
	describers := map[string]brokers.Describer{}
	l.idp, err = emulator.New(emulator.Options{
		BaseURL: l.home, BackchannelURL: "https://" + strings.Replace(back.Listener.Addr().String(), "127.0.0.1", "localhost", 1),
		SigningKey: pairs().idp.tls(), Persons: persons, Clock: time.Now, Random: rand.Reader, LogoutRoots: roots,
		Services:    emulator.LabServices(routedL),
		Federations: []emulator.Federation{{Name: "municipalities", Members: []string{local + "metadata", local + "second"}}},
		SPMetadata: func(_ context.Context, entityID string) ([]byte, error) {
			if d, ok := describers[entityID]; ok {
				return d.Metadata()
			}
			return nil, emulator.ErrUnknownServiceProvider
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	front.Config.Handler, back.Config.Handler = l.idp.FrontChannel(), l.idp.BackChannel()
	back.TLS = emulator.BackChannelTLS(pairs().channel.tls())
	front.Start()
	l.front = front
	back.StartTLS()
	t.Cleanup(front.Close)
	t.Cleanup(back.Close)

	notices := strings.Replace(l.notices.URL, "127.0.0.1", "localhost", 1) + "/notice/"
	connect := func(entity string) *Upstream {
		c := testConfig(newTestIdP(t))
		c.EntityID, c.ACSURL, c.LogoutURL, c.LogoutNoticeURL, c.Clock = local+entity, local+"callback", local+"logout", notices+entity, time.Now
		c.Metadata, c.MetadataURL = nil, l.home+emulator.PathMetadata
		c.MetadataCertificates = []*x509.Certificate{pairs().idp.cert}
		u, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		describers[u.provider.EntityID] = u
		return u
	}
	l.direct, l.second = connect("metadata"), connect("second")
	c := routedConfig(newTestIdP(t))
	c.EntityID, c.ACSURL, c.LogoutURL, c.Clock, c.Representation = routedL, routed+"callback", routed+"logout", time.Now, true
	c.Metadata, c.MetadataURL = nil, l.home+emulator.PathRoutedMetadata
	c.MetadataCertificates = []*x509.Certificate{pairs().idp.cert}
	c.Services = nil
	for k, s := range l.services() {
		service := Service{Method: s.method, UUID: s.UUID, Level: s.level, Name: s.Name}
		if k%2 == 1 { // both ways of naming a service
			service.Index = &k
		}
		c.Services = append(c.Services, service)
	}
	if l.routed, err = NewRouted(c); err != nil {
		t.Fatal(err)
	}
	describers[routedL] = l.routed
	return l
}

type labService struct {
	emulator.Service
	method string
	level  levels.Level
}

// services are the lab's catalogue as methods.
func (l *laboratory) services() []labService {
	names := []struct {
		method string
		level  levels.Level
	}{
		{"digid4-basis", levels.BelowLow},
		{"digid4-midden", levels.Low},
		{"digid4-substantieel", levels.Substantial},
		{"digid4-hoog", levels.High},
		{"digid4-machtigen", levels.Low},
		{"digid4-pseudoniem", levels.Low},
	}
	var list []labService
	for k, s := range emulator.LabServices(routedL) {
		list = append(list, labService{s, names[k].method, names[k].level})
	}
	return list
}

// notice is the second service provider's side of a logout over SOAP.
func (l *laboratory) notice(w http.ResponseWriter, r *http.Request) {
	if l.broker != nil && r.URL.Path == "/notice/metadata" {
		l.broker.ServeHTTP(w, r)
		return
	}
	n, err := l.second.ReceiveLogout(r.Context(), r)
	if err != nil {
		l.t.Errorf("notice: %v", err)
		http.Error(w, "refused", http.StatusBadRequest)
		return
	}
	l.noticed = append(l.noticed, n.Names...)
	answer, mediaType, err := n.Answer(true)
	if err != nil {
		l.t.Error(err)
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(answer)
}

// depart starts a login in a browser.
func (l *laboratory) depart(b *browser, u brokers.Upstream, r brokers.AuthenticationRequest) *brokers.Departure {
	l.t.Helper()
	r.RelayState = "handle-" + rand.Text()[:8]
	d, err := u.Start(l.t.Context(), r)
	if err != nil {
		l.t.Fatal(err)
	}
	b.depart(d)
	return stored(l.t, d)
}

// finish brings back what the browser carries.
func (l *laboratory) finish(b *browser, u brokers.Upstream, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	l.t.Helper()
	if b.left == nil {
		l.t.Fatalf("browser did not come back; page: %.1500s", b.page)
	}
	return u.Finish(l.t.Context(), httptest.NewRequest(http.MethodGet, b.left.String(), nil), d)
}

// walk logs a person in by the pages of a means: "password", "sms", "app" or "card".
func (l *laboratory) walk(b *browser, means, user string) {
	l.t.Helper()
	if means == "password" || means == "sms" {
		b.step("method", "method", "password")
		b.step("password", "username", user, "password", emulator.LabPassword)
		if means == "sms" {
			sent := l.idp.Outbox()
			if len(sent) == 0 {
				l.t.Fatalf("no text message was sent; page: %.300s", b.page)
			}
			b.step("sms", "code", sent[len(sent)-1].Code)
		}
		return
	}
	b.step("method", "method", means)
	letters := regexp.MustCompile(`class="pairing"[^>]*>([A-Z]{4})<`).FindStringSubmatch(b.page)
	if letters == nil {
		l.t.Fatalf("no pairing code: %.800s", b.page)
	}
	phone := newBrowser(l.t, l.home)
	phone.do(http.MethodGet, l.home+"/lab/phone", nil)
	phone.send("/lab/phone", "username", user, "letters", letters[1])
	phone.send("/lab/phone", "handle", phone.field("handle"), "pin", emulator.LabPIN, "answer", "confirm", "card", "own")
	if strings.Contains(phone.page, `id="document"`) {
		phone.send("/lab/phone", "handle", phone.field("handle"), "document", "own")
	}
	b.step("app")
}

// TestEveryMethodAtTheEmulator walks every method of both generations, with the
// means that reach it.
func TestEveryMethodAtTheEmulator(t *testing.T) {
	l := newLaboratory(t)
	for _, row := range []struct {
		method, means, user string
		level, reached      levels.Level
	}{
		{"basis", "password", "lab-basis", levels.BelowLow, levels.BelowLow},
		{"midden", "sms", "lab-alles", levels.Low, levels.Low},
		{"midden", "app", "lab-app", levels.Low, levels.Substantial}, // more than was asked for
		{"substantieel", "app", "lab-app", levels.Substantial, levels.Substantial},
		{"substantieel", "app", "lab-idcheck", levels.Substantial, levels.Substantial}, // after the check of the document
		{"hoog", "card", "lab-alles", levels.High, levels.High},
	} {
		for prefix, u := range map[string]brokers.Upstream{"digid-": l.direct, "digid4-": l.routed} {
			t.Run(prefix+row.method+" "+row.means+" "+row.user, func(t *testing.T) {
				l.t = t
				b := newBrowser(t, l.home)
				d := l.depart(b, u, brokers.AuthenticationRequest{Method: prefix + row.method, Level: row.level, ForceAuthn: true})
				l.walk(b, row.means, row.user)
				event, err := l.finish(b, u, d)
				if err != nil {
					t.Fatal(err)
				}
				if event.Subject.Key != "nl-bsn:"+l.persons[row.user].BSN || event.Assessment.Level != row.reached || event.Subject.Represents != nil {
					t.Errorf("event = %+v", event)
				}
				// An artifact is good once.
				_, err = l.finish(b, u, d)
				wantRejected(t, nil, err, reasonArtifact, brokers.CategoryTimeout)
			})
		}
	}
	l.t = t
	b := newBrowser(t, l.home)
	d := l.depart(b, l.direct, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low, ForceAuthn: true})
	l.walk(b, "sms", "lab-alles")
	if event, err := l.finish(b, l.direct, d); err != nil || !slices.Equal(event.AMR, []string{"mfa"}) {
		t.Errorf("Midden: %+v, %v", event, err)
	}
}

// TestFailuresAtTheEmulator: what goes wrong comes back as the status of the
// generation and is told apart as far as that allows.
func TestFailuresAtTheEmulator(t *testing.T) {
	l := newLaboratory(t)
	for _, row := range []struct {
		name, upstream, method string
		script                 labcontrol.Script
		walk                   func(*browser)
		cancelled              bool
		reason                 string
		category               brokers.Category
	}{
		{"cancelled by a button", "digid", "midden", labcontrol.Script{}, func(b *browser) { b.step("cancel") }, true, "", ""},
		{"cancelled by a button", "digid4", "midden", labcontrol.Script{}, func(b *browser) { b.step("cancel") }, true, "", ""},
		{"level not reached", "digid", "midden", labcontrol.Script{}, func(b *browser) { l.walk(b, "password", "lab-basis"); b.step("return") }, false, reasonLevel, brokers.CategoryLevel},
		{"level not reached", "digid4", "midden", labcontrol.Script{}, func(b *browser) { l.walk(b, "password", "lab-basis"); b.step("return") }, false, reasonLevel, brokers.CategoryLevel},
		{"blocked account", "digid4", "midden", labcontrol.Script{}, func(b *browser) { l.walk(b, "password", "lab-geblokkeerd"); b.step("return") }, false, reasonLogin, brokers.CategoryDenied},
		// 3.x tells failed and cancelled logins in one word.
		{"failed", "digid", "midden", labcontrol.Script{Scenario: "failed"}, nil, true, "", ""},
		{"failed", "digid4", "midden", labcontrol.Script{Scenario: "failed"}, nil, false, reasonLogin, brokers.CategoryDenied},
		{"cancelled by a script", "digid4", "midden", labcontrol.Script{Scenario: "cancelled"}, nil, true, "", ""},
		{"out of order", "digid", "midden", labcontrol.Script{Scenario: "unavailable"}, nil, false, reasonLogin, brokers.CategoryUnavailable},
		{"out of order", "digid4", "midden", labcontrol.Script{Scenario: "unavailable"}, nil, false, reasonLogin, brokers.CategoryUnavailable},
		{"request denied", "digid", "midden", labcontrol.Script{Scenario: "request_denied"}, nil, false, reasonDenied, brokers.CategoryConfiguration},
		{"request denied", "digid4", "midden", labcontrol.Script{Scenario: "request_denied"}, nil, false, reasonLogin, brokers.CategoryConfiguration},
		{"X-86 level lower than asked for", "digid", "substantieel", labcontrol.Script{Scenario: "approved", Level: "midden"}, nil, false, reasonLevel, brokers.CategoryLevel},
		{"X-86 level lower than the catalogue's", "digid4", "substantieel", labcontrol.Script{Scenario: "approved", Level: "midden"}, nil, false, reasonLevel, brokers.CategoryLevel},
		{"X-86 class of nobody", "digid", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"other_class"}}, nil, false, reasonClass, ""},
		{"BSN that fails the test", "digid", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"bad_bsn"}}, nil, false, reasonSubject, ""},
		{"BSN that fails the test", "digid4", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"bad_bsn"}}, nil, false, reasonSubject, ""},
		{"number of another sector", "digid", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"other_sector"}}, nil, false, reasonSubject, ""},
		{"answer to another request", "digid", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"other_request"}}, nil, false, string(saml.ReasonInResponseTo), ""},
		{"another audience", "digid4", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"other_audience"}}, nil, false, string(saml.ReasonAudience), ""},
		{"answer of an hour ago", "digid", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"expired"}}, nil, false, string(saml.ReasonExpired), ""},
		{"assertion without a signature", "digid", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"unsigned_assertion"}}, nil, false, string(saml.ReasonSignatureMissing), ""},
		{"another service", "digid4", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"other_service"}}, nil, false, reasonService, ""},
		{"identifier in the clear", "digid4", "midden", labcontrol.Script{Scenario: "approved", Mutate: []string{"clear_identifier"}}, nil, false, reasonSubject, ""},
	} {
		t.Run(row.upstream+" "+row.name, func(t *testing.T) {
			l.t = t
			var u brokers.Upstream = l.direct
			if row.upstream == "digid4" {
				u = l.routed
			}
			if row.walk == nil {
				if err := l.idp.Control().Next(row.script); err != nil {
					t.Fatal(err)
				}
			}
			b := newBrowser(t, l.home)
			d := l.depart(b, u, brokers.AuthenticationRequest{Method: row.upstream + "-" + row.method, Level: levels.BelowLow, ForceAuthn: true})
			if row.walk != nil {
				row.walk(b)
			}
			event, err := l.finish(b, u, d)
			if row.cancelled {
				if event != nil || !errors.Is(err, brokers.ErrCancelled) {
					t.Errorf("got %+v, %v, want cancelled", event, err)
				}
				return
			}
			wantRejected(t, event, err, row.reason, row.category)
		})
	}
}

// forget has the emulator forget what it counts against people, such as text messages.
func (l *laboratory) forget(t *testing.T) {
	t.Helper()
	resp, err := http.Post(l.home+"/_control/reset", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("the emulator does not forget: %s", resp.Status)
	}
}

// TestMandateAtTheEmulator: the one who logged in is the subject and acts for whom
// he chose; an answer for oneself, and a pseudonym, come the same way.
func TestMandateAtTheEmulator(t *testing.T) {
	l := newLaboratory(t)
	person := l.persons["lab-midden"]
	log := func(choice string) *brokers.AuthenticationEvent {
		t.Helper()
		l.forget(t)
		b := newBrowser(t, l.home)
		d := l.depart(b, l.routed, brokers.AuthenticationRequest{Method: "digid4-machtigen", Level: levels.Low})
		l.walk(b, "sms", "lab-midden")
		b.step("represent", "for", choice)
		event, err := l.finish(b, l.routed, d)
		if err != nil {
			t.Fatal(err)
		}
		if event.Subject.Key != "nl-bsn:"+person.BSN {
			t.Errorf("subject = %+v", event.Subject)
		}
		return event
	}
	if event := log("self"); event.Subject.Represents != nil {
		t.Errorf("for oneself: %+v", event.Subject.Represents)
	}
	for n, choice := range []string{"0", "1", "2"} {
		r := log(choice).Subject.Represents
		if want := person.Mandates[n]; r == nil || r.Key != "nl-bsn:"+want.BSN || r.Kind != want.Kind {
			t.Errorf("mandate %d: %+v, want %+v", n, r, want)
		}
	}
	l.forget(t)
	b := newBrowser(t, l.home)
	d := l.depart(b, l.routed, brokers.AuthenticationRequest{Method: "digid4-pseudoniem", Level: levels.Low})
	l.walk(b, "sms", "lab-midden")
	event, err := l.finish(b, l.routed, d)
	if err != nil || !strings.HasPrefix(event.Subject.Key, "nl-pseudo:") || strings.Contains(event.Subject.Key, person.BSN) {
		t.Errorf("pseudonym: %+v, %v", event, err)
	}
}

// TestLogoutAtTheEmulator: single sign-on among two services, logout by one with a
// notice to the other, and the logout of 4.x.
func TestLogoutAtTheEmulator(t *testing.T) {
	l := newLaboratory(t)
	b := newBrowser(t, l.home)
	d := l.depart(b, l.direct, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low})
	l.walk(b, "sms", "lab-alles")
	first, err := l.finish(b, l.direct, d)
	if err != nil {
		t.Fatal(err)
	}
	// The second service of the federation needs no other login; but one that forces
	// a login gets one.
	d = l.depart(b, l.second, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low})
	b.step("sso")
	second, err := l.finish(b, l.second, d)
	if err != nil || second.Subject.Key != first.Subject.Key || !second.AuthTime.Equal(first.AuthTime) {
		t.Fatalf("single sign-on: %+v, %v", second, err)
	}
	l.depart(b, l.second, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low, ForceAuthn: true})
	if strings.Contains(b.page, `/sso"`) {
		t.Error("a forced login is answered from the session")
	}

	leave := func(u brokers.Leaver, event *brokers.AuthenticationEvent, answer string) error {
		t.Helper()
		d, err := u.StartLogout(t.Context(), event, "bye")
		if err != nil {
			t.Fatal(err)
		}
		b.depart(d)
		if answer != "" {
			b.send(regexp.MustCompile(`action="(/logout/[0-9a-f]+)"`).FindStringSubmatch(b.page)[1], "answer", answer)
		}
		return u.FinishLogout(t.Context(), b.comesBack(), stored(t, d))
	}
	if err := leave(l.direct, first, "no"); !errors.Is(err, brokers.ErrCancelled) || len(l.noticed) > 0 {
		t.Errorf("logout that was declined: %v, noticed %v", err, l.noticed)
	}
	if err := leave(l.direct, first, "yes"); err != nil || !slices.ContainsFunc(l.second.LogoutNames(second), func(name string) bool { return slices.Contains(l.noticed, name) }) {
		t.Errorf("logout: %v, noticed %v", err, l.noticed)
	}
	l.depart(b, l.second, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low})
	if strings.Contains(b.page, `/sso"`) {
		t.Error("the session outlives its logout")
	}
	// Nothing is left to end, which is a success; somebody who cannot be told makes it
	// a partial one.
	if err := leave(l.direct, first, ""); err != nil {
		t.Errorf("second logout: %v", err)
	}
	d = l.depart(b, l.direct, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low})
	l.walk(b, "sms", "lab-alles")
	if first, err = l.finish(b, l.direct, d); err != nil {
		t.Fatal(err)
	}
	l.depart(b, l.second, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low})
	b.step("sso")
	l.notices.Close()
	var status *saml.StatusError
	if err := leave(l.direct, first, "yes"); !errors.As(err, &status) || status.Second != saml.StatusPartialLogout {
		t.Errorf("logout that one service was not told of: %v", err)
	}

	d = l.depart(b, l.routed, brokers.AuthenticationRequest{Method: "digid4-midden", Level: levels.Low})
	l.walk(b, "sms", "lab-alles")
	event, err := l.finish(b, l.routed, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := leave(l.routed, event, ""); err != nil {
		t.Errorf("logout of 4.x: %v", err)
	}
	if err := leave(l.routed, event, ""); err == nil {
		t.Error("a login of 4.x is logged out twice")
	}
}

// TestSlowBackChannelAtTheEmulator: an answer that takes longer than the broker
// waits is an outage of DigiD, and the artifact is not tried again.
func TestSlowBackChannelAtTheEmulator(t *testing.T) {
	l := newLaboratory(t)
	if err := l.idp.Control().Next(labcontrol.Script{Scenario: "approved", DelayMS: 60_000}); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, l.home)
	d := l.depart(b, l.direct, brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	event, err := l.direct.Finish(ctx, httptest.NewRequest(http.MethodGet, b.left.String(), nil), d)
	if event != nil || !errors.Is(err, saml.ErrUnavailable) {
		t.Errorf("got %+v, %v", event, err)
	}
}

// browser follows redirects until one leaves the identity provider.
type browser struct {
	t      *testing.T
	client *http.Client
	home   string
	page   string
	left   *url.URL
}

func newBrowser(t *testing.T, home string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, home: home}
	b.client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), home) {
			b.left = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// depart sends the browser off as a departure says.
func (b *browser) depart(d *brokers.Departure) {
	b.t.Helper()
	b.left = nil
	if d.Form == nil {
		b.do(http.MethodGet, d.Location, nil)
		return
	}
	form := url.Values{}
	for name, value := range d.Form {
		form.Set(name, value)
	}
	b.do(http.MethodPost, d.Location, form)
}

// comesBack is the request that the browser leaves the identity provider with: a
// redirect, or the form of the page.
func (b *browser) comesBack() *http.Request {
	b.t.Helper()
	if b.left != nil {
		return httptest.NewRequest(http.MethodGet, b.left.String(), nil)
	}
	action := regexp.MustCompile(`<form method="post" action="([^"]+)" data-auto>`).FindStringSubmatch(b.page)
	if action == nil {
		b.t.Fatalf("browser stays: %.800s", b.page)
	}
	form := url.Values{"SAMLResponse": {b.field("SAMLResponse")}, "RelayState": {b.field("RelayState")}}
	r := httptest.NewRequest(http.MethodPost, html.UnescapeString(action[1]), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (b *browser) do(method, location string, form url.Values) {
	b.t.Helper()
	r, err := http.NewRequest(method, location, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.page = string(page)
}

// field is the value of a hidden field of the page.
func (b *browser) field(name string) string {
	b.t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(b.page)
	if m == nil {
		b.t.Fatalf("no field %s on the page: %.800s", name, b.page)
	}
	return html.UnescapeString(m[1])
}

// send sends a form of the page with its token.
func (b *browser) send(path string, pairs ...string) {
	b.t.Helper()
	form := url.Values{"csrf": {b.field("csrf")}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	b.do(http.MethodPost, b.home+path, form)
}

// step sends the form of the login at hand.
func (b *browser) step(action string, pairs ...string) {
	b.t.Helper()
	login := regexp.MustCompile(`/login/([0-9a-f]+)/`).FindStringSubmatch(b.page)
	if login == nil {
		b.t.Fatalf("before %s: no login on the page: %.800s", action, b.page)
	}
	b.send("/login/"+login[1]+"/"+action, pairs...)
}
