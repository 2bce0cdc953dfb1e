package oidcup_test

import (
	"crypto/rand"
	"errors"
	"io"
	"maps"
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
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/oidcup"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/fixtures/idps/tara"
	"github.com/eidbridge/eidbridge/levels"
)

const callback = "https://broker.example/upstream/tara/callback"

// lab is the emulated TARA and an upstream before it.
type lab struct {
	*oidcup.Upstream
	service *tara.Provider
	server  *httptest.Server
	config  oidcup.Config
	clock   *brokertest.Clock
}

func newLab(t *testing.T, change func(*oidcup.Config)) *lab {
	t.Helper()
	l := &lab{clock: brokertest.NewClock(time.Now())}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.service.Handler().ServeHTTP(w, r) }))
	t.Cleanup(l.server.Close)
	var err error
	l.service, err = tara.New(tara.Options{
		Issuer: l.server.URL, Clients: []tara.Client{{ID: "broker/1", Secret: "a secret & more", Name: "Lab broker", RedirectURIs: []string{callback}}},
		Clock: l.clock.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.config = oidcup.Config{
		Kind: oidcup.TARA, Issuer: l.server.URL, ClientID: "broker/1", Secret: "a secret & more", RedirectURL: callback, Replay: store.NewMemory(), Clock: l.clock.Now,
	}
	if change != nil {
		change(&l.config)
	}
	if l.Upstream, err = oidcup.New(l.config); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) start(t *testing.T, method string, level levels.Level) *brokers.Departure {
	t.Helper()
	d, err := l.Start(t.Context(), brokers.AuthenticationRequest{Method: method, Level: level, Locale: "nl", RelayState: "relay-state-1"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// jar is a browser at TARA. It follows redirections until the callback.
type jar struct {
	t      *testing.T
	client *http.Client
}

func newJar(t *testing.T) *jar {
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &jar{t, &http.Client{Jar: cookies, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "broker.example" {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

type page struct {
	status         int
	body, location string
	at             *url.URL
}

func (j *jar) read(response *http.Response, err error) page {
	j.t.Helper()
	if err != nil {
		j.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		j.t.Fatal(err)
	}
	return page{response.StatusCode, string(body), response.Header.Get("Location"), response.Request.URL}
}

func (j *jar) get(target string) page { return j.read(j.client.Get(target)) }

var csrf = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (j *jar) post(p page, action string, pairs ...string) page {
	j.t.Helper()
	found := csrf.FindStringSubmatch(p.body)
	if found == nil {
		j.t.Fatalf("no form in %s", p.body)
	}
	form := url.Values{"csrf": {found[1]}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return j.read(j.client.PostForm(p.at.ResolveReference(&url.URL{Path: p.at.Path + "/" + action}).String(), form))
}

// card logs in with a card and returns the callback.
func (l *lab) card(t *testing.T, d *brokers.Departure) *http.Request {
	t.Helper()
	j := newJar(t)
	p := j.post(j.get(d.Location), "idcard", "card", "60001019906", "pin", tara.PIN1)
	if !strings.HasPrefix(p.location, callback) {
		t.Fatalf("%d, to %q: %s", p.status, p.location, p.body)
	}
	return httptest.NewRequest(http.MethodGet, p.location, nil)
}

func TestTARALogsIn(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.start(t, "tara-idcard", levels.Substantial)
	query := mustParse(t, d.Location).Query()
	for name, want := range map[string]string{
		"client_id": "broker/1", "redirect_uri": callback, "response_type": "code", "scope": "openid idcard", "state": "relay-state-1",
		"acr_values": "substantial", "ui_locales": "en", "code_challenge": "", "prompt": "", "max_age": "",
	} {
		if got := query.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(query.Get("nonce")) < 40 {
		t.Error("nonce is short")
	}
	request := l.card(t, d)
	if relay, err := l.Correlate(request); err != nil || relay != "relay-state-1" {
		t.Fatal(relay, err)
	}
	event, err := l.Finish(t.Context(), request, d)
	if err != nil {
		t.Fatal(err)
	}
	want := brokers.Subject{Key: "ee-ik:60001019906", GivenName: "MARI-LIIS", FamilyName: "MÄNNIK", Birthdate: "2000-01-01", Country: "EE"}
	if event.Subject != want || event.Assessment.Level != levels.High || event.Method != "tara-idcard" || event.Issuer != l.server.URL || event.AssertionID == "" {
		t.Errorf("event %+v", event)
	}
	if !slices.Equal(event.AMR, []string{"sc", "hwk", "pin", "mfa"}) {
		t.Errorf("amr %v", event.AMR)
	}
	_, err = l.Finish(t.Context(), request, d)
	brokertest.Rejected(t, "O-29 the same code again", err, "code_refused", brokers.CategoryTimeout)
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Every method, with its steps.
func TestTARAMethods(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	telephone := func(j *jar, p page) page {
		t.Helper()
		waiting := l.service.Phones().Waiting("38001085718")
		if len(waiting) != 1 || !strings.Contains(p.body, ">"+waiting[0].Code+"<") {
			t.Fatalf("telephone shows %+v, page %s", waiting, p.body)
		}
		l.service.Phones().Answer(waiting[0].ID, tara.PIN1, false)
		return j.get(p.at.String())
	}
	for method, row := range map[string]struct {
		steps  func(*jar, page) page
		person brokers.Subject
		level  levels.Level
		amr    []string
	}{
		"tara-mid": {func(j *jar, p page) page {
			if wrong := j.post(p, "mid", "code", "38001085718", "phone", "+37200"); wrong.status != http.StatusUnprocessableEntity {
				t.Errorf("a wrong number: %d", wrong.status)
			}
			return telephone(j, j.post(p, "mid", "code", "38001085718", "phone", "+37251085718"))
		}, brokers.Subject{Key: "ee-ik:38001085718", GivenName: "JAAK-KRISTJAN", FamilyName: "JÕEORG", Birthdate: "1980-01-08", Country: "EE"}, levels.High, []string{"hwk", "pin", "mca", "mfa"}},
		"tara-smartid": {
			func(j *jar, p page) page { return telephone(j, j.post(p, "smartid", "code", "38001085718")) },
			brokers.Subject{Key: "ee-ik:38001085718", GivenName: "JAAK-KRISTJAN", FamilyName: "JÕEORG", Birthdate: "1980-01-08", Country: "EE"},
			levels.High,
			[]string{"swk", "pin", "mfa"},
		},
		"tara-eidas": {
			func(j *jar, p page) page { return j.post(p, "eidas", "country", "GR") },
			brokers.Subject{Key: "eidas:GR/EE/GR-LAB-1", GivenName: "ΑΛΕΞΑΝΔΡΑ", FamilyName: "ΠΑΡΑΔΕΙΓΜΑ", GivenNameLatin: "ALEXANDRA", FamilyNameLatin: "PARADEIGMA", Birthdate: "1979-02-03", Country: "GR"},
			levels.Substantial, nil,
		},
	} {
		d := l.start(t, method, levels.Substantial)
		j := newJar(t)
		p := row.steps(j, j.get(d.Location))
		if !strings.HasPrefix(p.location, callback) {
			t.Errorf("%s: %d to %q: %s", method, p.status, p.location, p.body)
			continue
		}
		event, err := l.Finish(t.Context(), httptest.NewRequest(http.MethodGet, p.location, nil), d)
		if err != nil {
			t.Errorf("%s: %v", method, err)
			continue
		}
		if event.Subject != row.person || event.Assessment.Level != row.level || !slices.Equal(event.AMR, row.amr) || event.Method != method {
			t.Errorf("%s: %+v", method, event)
		}
	}
	// Three wrong PINs block the card; leaving tells so.
	d := l.start(t, "tara-idcard", levels.Low)
	j := newJar(t)
	p := j.get(d.Location)
	for _, want := range []string{"2", "1"} {
		if wrong := j.post(p, "idcard", "card", "50001029996", "pin", "0000"); wrong.status != 422 || !strings.Contains(wrong.body, want+" ") {
			t.Errorf("a wrong PIN: %d %s", wrong.status, wrong.body)
		}
	}
	p = j.post(p, "idcard", "card", "50001029996", "pin", "0000")
	p = j.post(p, "cancel")
	_, err := l.Finish(t.Context(), httptest.NewRequest(http.MethodGet, p.location, nil), d)
	if !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("leaving: %v", err)
	}
}

// Faults of ID tokens and of what is around them (O-23 to O-31, O-36, O-41,
// broker.md 6.2): nobody is logged in, and the next login works.
func TestTARAFaultsAreRefused(t *testing.T) {
	t.Parallel()
	const protocol = brokers.CategoryProtocol
	faults := map[string]struct {
		reason   string
		category brokers.Category
	}{
		"other_nonce": {"id_token_nonce", protocol}, "no_nonce": {"id_token_nonce", protocol},
		"other_issuer": {"id_token_invalid", protocol}, "other_audience": {"id_token_invalid", protocol},
		"two_audiences": {"id_token_aud", protocol}, "other_azp": {"id_token_aud", protocol},
		"expired": {"id_token_invalid", protocol}, "no_exp": {"id_token_invalid", protocol},
		"old": {"id_token_iat", protocol}, "future": {"id_token_iat", protocol}, "no_iat": {"id_token_iat", protocol},
		"not_yet": {"id_token_invalid", protocol}, "long_life": {"id_token_lifetime", protocol},
		"alg_none": {"id_token_invalid", protocol}, "alg_hs256": {"id_token_invalid", protocol},
		"other_key": {"id_token_invalid", protocol}, "unknown_key": {"id_token_invalid", protocol}, "jwk_header": {"id_token_invalid", protocol},
		"crit_header": {"id_token_malformed", protocol}, "logout_type": {"id_token_malformed", protocol}, "events": {"id_token_kind", protocol},
		"url_at_hash": {"id_token_at_hash", protocol}, "wrong_at_hash": {"id_token_at_hash", protocol}, "no_at_hash": {"id_token_at_hash", protocol},
		"no_acr": {"context_class", protocol}, "other_acr": {"context_class", protocol}, "lower_acr": {"loa_too_low", brokers.CategoryLevel},
		"other_amr": {"amr", protocol}, "no_amr": {"amr", protocol},
		"other_state": {"id_token_state", protocol}, "no_state": {"id_token_state", protocol},
		"other_sub": {"subject", protocol}, "no_sub": {"id_token_sub", protocol}, "numeric_sub": {"id_token_invalid", protocol},
		"sub_twice": {"id_token_malformed", protocol}, "sub_capital": {"id_token_malformed", protocol},
		"bad_code": {"subject", protocol}, "no_profile": {"subject", protocol}, "script_name": {"subject", protocol},
		"no_id_token": {"id_token", protocol}, "huge": {"unavailable", brokers.CategoryUnavailable}, "garbage": {"unavailable", brokers.CategoryUnavailable},
		"slow_code": {"code_refused", brokers.CategoryTimeout}, "status_500": {"unavailable", brokers.CategoryUnavailable},
		"callback_issuer": {"issuer", protocol},
	}
	l := newLab(t, nil)
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		if err := l.service.Control().Next(labcontrol.Script{Mutate: []string{name}}); err != nil {
			t.Fatal(err)
		}
		d := l.start(t, "tara-idcard", levels.Substantial)
		event, err := l.Finish(t.Context(), l.card(t, d), d)
		if event != nil {
			t.Errorf("%s: somebody was logged in", name)
		}
		brokertest.Rejected(t, name, err, faults[name].reason, faults[name].category)
		l.clock.Add(2 * time.Minute) // keys are asked for once a minute
	}
	d := l.start(t, "tara-idcard", levels.Substantial) // I-8
	if event, err := l.Finish(t.Context(), l.card(t, d), d); err != nil || event == nil {
		t.Errorf("afterwards nobody can log in: %v", err)
	}
}

// O-54, O-55, O-56: callbacks that are not of this login.
func TestCallbackHasToBeOfThisLogin(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.start(t, "tara-idcard", levels.Low)
	other := l.start(t, "tara-idcard", levels.Low)
	request := l.card(t, d)
	// Same state, other login: the nonce differs.
	_, err := l.Finish(t.Context(), request, other)
	brokertest.Rejected(t, "O-21 code of another login", err, "id_token_nonce", brokers.CategoryProtocol)
	for name, row := range map[string]struct {
		query, reason string
		category      brokers.Category
	}{
		"other state":            {"state=x&code=c", "state", brokers.CategoryProtocol},
		"no code":                {"state=relay-state-1", "code", brokers.CategoryProtocol},
		"code twice":             {"state=relay-state-1&code=a&code=b", "parameters", brokers.CategoryProtocol},
		"issuer of another":      {"state=relay-state-1&code=a&iss=https://evil.example", "issuer", brokers.CategoryProtocol},
		"made-up code":           {"state=relay-state-1&code=a", "code_refused", brokers.CategoryTimeout},
		"configuration":          {"state=relay-state-1&error=invalid_scope", "error_invalid_scope", brokers.CategoryConfiguration},
		"down":                   {"state=relay-state-1&error=temporarily_unavailable", "error_temporarily_unavailable", brokers.CategoryUnavailable},
		"level":                  {"state=relay-state-1&error=unmet_authentication_requirements", "error_unmet_authentication_requirements", brokers.CategoryLevel},
		"W-24 error with markup": {"state=relay-state-1&error=%3Csvg%3E", "error_unknown", brokers.CategoryProtocol},
	} {
		_, err := l.Finish(t.Context(), httptest.NewRequest(http.MethodGet, callback+"?"+row.query, nil), l.start(t, "tara-idcard", levels.Low))
		brokertest.Rejected(t, name, err, row.reason, row.category)
	}
	for _, request := range []*http.Request{
		httptest.NewRequest(http.MethodGet, callback, nil), httptest.NewRequest(http.MethodGet, callback+"?state=a&state=b", nil),
		httptest.NewRequest(http.MethodPost, callback+"?state=a", nil),
	} {
		if _, err := l.Correlate(request); err == nil {
			t.Errorf("%s %s was correlated", request.Method, request.URL)
		}
	}
}

// Keys roll over without a restart (O-75); an unknown key is asked about once a
// minute (O-33), and what is known outlives an outage (O-32).
func TestKeysRollOver(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	login := func() error {
		d := l.start(t, "tara-idcard", levels.Low)
		_, err := l.Finish(t.Context(), l.card(t, d), d)
		return err
	}
	asked := func() (n int) {
		for _, e := range l.service.Control().Log() {
			if e.Event == "jwks" {
				n++
			}
		}
		return n
	}
	for range 3 {
		if err := login(); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked(); n != 1 {
		t.Errorf("keys were fetched %d times for three logins", n)
	}
	if err := l.service.Rotate(); err != nil {
		t.Fatal(err)
	}
	l.clock.Add(2 * time.Minute)
	if err := login(); err != nil {
		t.Errorf("after a change of keys: %v", err)
	}
	if n := asked(); n != 2 {
		t.Errorf("keys were fetched %d times", n)
	}
	l.clock.Add(2 * time.Minute)
	for range 20 {
		if err := l.service.Control().Next(labcontrol.Script{Mutate: []string{"unknown_key"}}); err != nil {
			t.Fatal(err)
		}
		if login() == nil {
			t.Fatal("a token of an unknown key was taken")
		}
	}
	if n := asked(); n != 3 {
		t.Errorf("a storm of unknown keys made %d fetches", n-2)
	}
	// The metadata and keys that are known are used while they cannot be had anew.
	request := func() (*http.Request, *brokers.Departure) {
		d := l.start(t, "tara-idcard", levels.Low)
		return l.card(t, d), d
	}
	l.clock.Add(2 * time.Hour)
	r, d := request()
	if _, err := l.Finish(t.Context(), r, d); err != nil {
		t.Errorf("after two hours: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := newLab(t, nil).config
	for name, change := range map[string]func(*oidcup.Config){
		"unknown kind":      func(c *oidcup.Config) { c.Kind = "saml" },
		"http issuer":       func(c *oidcup.Config) { c.Issuer = "http://tara.example" },
		"issuer with query": func(c *oidcup.Config) { c.Issuer += "?x" },
		"no client":         func(c *oidcup.Config) { c.ClientID = "" },
		"no secret":         func(c *oidcup.Config) { c.Secret = "" },
		"unknown auth":      func(c *oidcup.Config) { c.Auth = "none" },
		"no key":            func(c *oidcup.Config) { c.Auth = oidcup.PrivateKeyJWT },
		"O-23 algorithm":    func(c *oidcup.Config) { c.Algorithms = append(c.Algorithms, "HS256") },
		"no replay store":   func(c *oidcup.Config) { c.Replay = nil },
		"no subject scheme": func(c *oidcup.Config) { c.Kind, c.Country, c.Scheme = oidcup.Generic, "XX", "tara" },
		"O-58 subject scheme of a register": func(c *oidcup.Config) {
			c.Kind, c.Country, c.Scheme, c.SubjectScheme = oidcup.Generic, "XX", "tara", "es-nif"
		},
		"unknown classes": func(c *oidcup.Config) { c.Scheme = "none" },
		"skew":            func(c *oidcup.Config) { c.Skew = time.Hour },
		"userinfo":        func(c *oidcup.Config) { c.SignedUserInfo = true },
	} {
		c := good
		change(&c)
		if _, err := oidcup.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	capped := newLab(t, func(c *oidcup.Config) { c.MaxLevel = levels.Substantial })
	for _, m := range capped.Methods() {
		if m.Level != levels.Substantial {
			t.Errorf("%s is offered at %s", m.ID, m.Level)
		}
	}
	if _, err := capped.Start(t.Context(), brokers.AuthenticationRequest{Method: "tara-mid", Level: levels.High}); err == nil {
		t.Error("a login above the ceiling was begun")
	}
	d := capped.start(t, "tara-idcard", levels.Substantial)
	if event, err := capped.Finish(t.Context(), capped.card(t, d), d); err != nil || event.Assessment.Level != levels.Substantial {
		t.Errorf("%+v, %v", event, err)
	}
}
