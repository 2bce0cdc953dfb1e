package smartid_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/smartid"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/fixtures/idps/labservice"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/smartid"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/levels"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// lab is the emulated service with its country, and an upstream before it.
type lab struct {
	*smartid.Upstream
	service *emulator.Service
	server  *httptest.Server
	clock   *brokertest.Clock
	config  smartid.Config
}

const (
	partyUUID = "00000000-0000-4000-8000-000000000000"
	callback  = "https://broker.example/upstream/smart-id/callback"
	mari      = "60001019906"
)

func newLab(t *testing.T, change func(*smartid.Config)) *lab {
	t.Helper()
	l := &lab{clock: brokertest.NewClock(time.Now())}
	var country *pki.Country
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/ocsp") {
			country.Handler().ServeHTTP(w, r)
			return
		}
		l.service.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(l.server.Close)
	var err error
	if country, err = pki.New(pki.Options{BaseURL: l.server.URL}); err != nil {
		t.Fatal(err)
	}
	l.service, err = emulator.New(emulator.Options{
		BaseURL: l.server.URL,
		Setting: labservice.Setting{Country: country, Parties: []labservice.Party{{UUID: partyUUID, Name: "DEMO"}}, Clock: l.clock.Now, Random: rand.Reader},
	})
	if err != nil {
		t.Fatal(err)
	}
	judge, err := authcert.New(authcert.Judge{
		Anchors: country.Roots(), Intermediates: country.Issuers(),
		Fetch: fetch.New(fetch.Options{Allow: []string{strings.TrimPrefix(l.server.URL, "http://")}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.config = smartid.Config{
		URL: l.server.URL + emulator.Path, SchemeName: "smart-id-demo", PartyUUID: partyUUID, PartyName: "DEMO", CallbackURL: callback,
		Judge: judge, Replay: store.NewMemory(), Clock: l.clock.Now,
	}
	if change != nil {
		change(&l.config)
	}
	if l.Upstream, err = smartid.New(l.config); err != nil {
		t.Fatal(err)
	}
	return l
}

// begin goes up to the code on the page.
func (l *lab) begin(t *testing.T, method string) *brokers.Departure {
	t.Helper()
	d, err := l.Start(t.Context(), brokers.AuthenticationRequest{Method: method, Level: levels.Low, Locale: "et", RelayState: "relay-1"})
	if err != nil {
		t.Fatal(err)
	}
	if method == "smart-id" {
		if event, err := l.Proceed(t.Context(), d, nil); event != nil || err != nil {
			t.Fatal(event, err)
		}
	}
	return d
}

func (l *lab) device(t *testing.T, d *brokers.Departure) *brokers.Device {
	t.Helper()
	view, err := l.View(d)
	if err != nil {
		t.Fatal(err)
	}
	device, ok := view.(*brokers.Device)
	if !ok {
		t.Fatalf("view is %#v", view)
	}
	return device
}

// open is what the app does with a link: the session that it shows, or the
// status.
func (l *lab) open(t *testing.T, link string) (session string, status int) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, session, _ = strings.Cut(response.Header.Get("Location"), "session=")
	return session, response.StatusCode
}

// confirm scans the code of the page and confirms as a person.
func (l *lab) confirm(t *testing.T, d *brokers.Departure, person string) {
	t.Helper()
	session, status := l.open(t, l.device(t, d).QR)
	if status != http.StatusSeeOther || !l.service.Phones().Scan(session, person) {
		t.Fatalf("code was not taken: %d %v", status, l.service.Control().Log())
	}
	if got := l.service.Phones().Answer(session, emulator.PIN1, false); got != "done" {
		t.Fatal(got)
	}
}

// The vector of broker.md 13.2.
func TestVerificationCode(t *testing.T) {
	raw := make([]byte, 64)
	for i := range raw {
		raw[i] = byte(i)
	}
	if got := smartid.VerificationCode(base64.StdEncoding.EncodeToString(raw)); got != "4360" {
		t.Errorf("got %s, want 4360", got)
	}
	if got := smartid.VerificationCode("not base64"); got != "" {
		t.Errorf("got %s for nonsense", got)
	}
}

func TestScannedCodeLogsIn(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.begin(t, "smart-id")
	device := l.device(t, d)
	if !strings.HasPrefix(device.QR, l.server.URL+"/app?deviceLinkType=QR&elapsedSeconds=0&sessionToken=") || !strings.Contains(device.QR, "&lang=est&authCode=") || device.Code != "" || !device.Here {
		t.Errorf("page shows %+v", device)
	}
	if event, err := l.Proceed(t.Context(), d, nil); event != nil || err != nil {
		t.Fatal("nobody has scanned", event, err)
	}
	l.confirm(t, d, mari)
	event, err := l.Proceed(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := brokers.Subject{Key: "ee-ik:" + mari, GivenName: "MARI-LIIS", FamilyName: "MÄNNIK", Birthdate: "2000-01-01", Country: "EE"}
	if event.Subject != want || event.Assessment.Level != levels.High || event.Assessment.Notified || event.Method != "smart-id" {
		t.Errorf("event %+v", event)
	}
	_, err = l.Proceed(t.Context(), d, nil)
	brokertest.Rejected(t, "O-29 the same answer again", err, "replayed", brokers.CategoryProtocol)
}

// Codes grow old: the app takes none of before, and after a minute the page shows
// none but offers a new one.
func TestCodesGrowOld(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.begin(t, "smart-id")
	old := l.device(t, d).QR
	l.clock.Add(6 * time.Second)
	if _, status := l.open(t, old); status != http.StatusBadRequest {
		t.Errorf("a code of six seconds ago: %d", status)
	}
	fresh := l.device(t, d).QR
	if !strings.Contains(fresh, "elapsedSeconds=6&") {
		t.Errorf("code of now: %s", fresh)
	}
	code := strings.Index(fresh, "authCode=") + len("authCode=")
	other := "A"
	if fresh[code] == 'A' {
		other = "B"
	}
	for name, link := range map[string]string{
		"other age":     strings.Replace(fresh, "elapsedSeconds=6", "elapsedSeconds=7", 1),
		"other code":    fresh[:code] + other + fresh[code+1:],
		"other session": strings.Replace(fresh, "sessionToken=", "sessionToken=x", 1),
		"other kind":    strings.Replace(fresh, "=QR", "=Web2App", 1),
	} {
		if _, status := l.open(t, link); status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
	}
	if _, status := l.open(t, fresh); status != http.StatusSeeOther {
		t.Errorf("code of now: %d", status)
	}
	l.clock.Add(time.Minute)
	device := l.device(t, d)
	if device.QR != "" || !device.Again {
		t.Errorf("after a minute: %+v", device)
	}
	if _, err := l.Proceed(t.Context(), d, map[string]string{"again": "yes"}); err != nil {
		t.Fatal(err)
	}
	l.confirm(t, d, mari)
	if event, err := l.Proceed(t.Context(), d, nil); err != nil || event == nil {
		t.Errorf("with a new code: %v", err)
	}
	d = l.begin(t, "smart-id")
	l.clock.Add(4 * time.Minute)
	_, err := l.Proceed(t.Context(), d, nil)
	brokertest.Rejected(t, "four minutes later", err, "timeout", brokers.CategoryTimeout)
}

// here goes through the app on the same device and returns the callback.
func (l *lab) here(t *testing.T, d *brokers.Departure) *http.Request {
	t.Helper()
	if _, err := l.Proceed(t.Context(), d, map[string]string{"here": "yes"}); err != nil {
		t.Fatal(err)
	}
	device := l.device(t, d)
	if device.QR != "" || !strings.Contains(device.Link, "deviceLinkType=Web2App&sessionToken=") {
		t.Fatalf("page shows %+v", device)
	}
	session, status := l.open(t, device.Link)
	if status != http.StatusSeeOther {
		t.Fatalf("link was not taken: %d %v", status, l.service.Control().Log())
	}
	jar := newJar(t)
	page := jar.get(l.server.URL + "/lab/phone?session=" + session)
	back := jar.post(l.server.URL+"/lab/phone", url.Values{"csrf": {page.token(t)}, "session": {session}, "owner": {mari}, "pin": {emulator.PIN1}, "answer": {"confirm"}})
	request := httptest.NewRequest(http.MethodGet, back.location, nil)
	return request
}

func TestAppOnTheSameDevice(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.begin(t, "smart-id")
	request := l.here(t, d)
	if !strings.HasPrefix(request.URL.String(), callback+"?") {
		t.Fatalf("the app leads to %s", request.URL)
	}
	// The page that still waits does not take what the callback has to prove.
	if event, err := l.Proceed(t.Context(), d, nil); event != nil || err != nil {
		t.Fatal(event, err)
	}
	if relay, err := l.Correlate(request); err != nil || relay != "relay-1" {
		t.Fatal(relay, err)
	}
	event, err := l.Finish(t.Context(), request, d)
	if err != nil || event.Subject.Key != "ee-ik:"+mari {
		t.Fatal(event, err)
	}
	_, err = l.Finish(t.Context(), request, d)
	brokertest.Rejected(t, "O-29 the same callback again", err, "replayed", brokers.CategoryProtocol)
}

// O-54, O-21: a callback that does not come from the app of this session.
func TestCallbackHasToProveItself(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for name, row := range map[string]struct {
		fault  string
		change func(url.Values)
		reason string
	}{
		"other secret":           {"", func(v url.Values) { v.Set("sessionSecretDigest", "x") }, "session_secret"},
		"no secret":              {"", func(v url.Values) { v.Del("sessionSecretDigest") }, "callback"},
		"secret twice":           {"", func(v url.Values) { v.Add("sessionSecretDigest", "x") }, "callback"},
		"other verifier":         {"", func(v url.Values) { v.Set("userChallengeVerifier", "x") }, "user_challenge"},
		"no verifier":            {"", func(v url.Values) { v.Del("userChallengeVerifier") }, "callback"},
		"app of another session": {"other_session_secret", nil, "session_secret"},
		"other user challenge":   {"other_user_challenge", nil, "user_challenge"},
	} {
		d := l.begin(t, "smart-id")
		if row.fault != "" {
			if err := l.service.Control().Next(labcontrol.Script{Mutate: []string{row.fault}}); err != nil {
				t.Fatal(err)
			}
		}
		request := l.here(t, d)
		if row.change != nil {
			query := request.URL.Query()
			row.change(query)
			request.URL.RawQuery = query.Encode()
		}
		event, err := l.Finish(t.Context(), request, d)
		if event != nil {
			t.Errorf("%s: somebody was logged in", name)
		}
		brokertest.Rejected(t, name, err, row.reason, brokers.CategoryProtocol)
	}
	d := l.begin(t, "smart-id")
	l.confirm(t, d, mari)
	_, err := l.Finish(t.Context(), httptest.NewRequest(http.MethodGet, callback+"?value=relay-1&sessionSecretDigest=x&userChallengeVerifier=y", nil), d)
	brokertest.Rejected(t, "callback of a scanned session", err, "callback", brokers.CategoryProtocol)
	for _, target := range []string{callback, callback + "?value=a&value=b"} {
		if _, err := l.Correlate(httptest.NewRequest(http.MethodGet, target, nil)); err == nil {
			t.Errorf("%s was correlated", target)
		}
	}
}

func TestNotificationShowsTheCodeFirst(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *smartid.Config) { c.Notification = true })
	d := l.begin(t, "smart-id-push")
	if _, err := l.Proceed(t.Context(), d, map[string]string{"personal_code": "60001019907"}); err != nil {
		t.Fatal(err)
	}
	if view, err := l.View(d); err != nil || !view.(*brokers.Questions).Fields[0].Wrong {
		t.Errorf("a wrong personal code: %+v, %v", view, err)
	}
	if _, err := l.Proceed(t.Context(), d, map[string]string{"personal_code": " 6000101 9906"}); err != nil {
		t.Fatal(err)
	}
	code := l.device(t, d).Code
	if _, err := l.Proceed(t.Context(), d, nil); err != nil || len(l.service.Control().Log()) != 0 {
		t.Fatal("the app was told before the code was on the page", err)
	}
	if _, err := l.Proceed(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	waiting := l.service.Phones().Waiting(mari)
	if len(waiting) != 1 || waiting[0].Code != code || len(code) != 4 {
		t.Fatalf("page shows %s, app %+v", code, waiting)
	}
	l.service.Phones().Answer(waiting[0].ID, emulator.PIN1, false)
	if event, err := l.Proceed(t.Context(), d, nil); err != nil || event.Subject.Key != "ee-ik:"+mari || event.Method != "smart-id-push" {
		t.Errorf("event %+v, %v", event, err)
	}
	if len(newLab(t, nil).Methods()) != 1 {
		t.Error("the notification is offered though nobody asked for it")
	}
	d = l.begin(t, "smart-id-push")
	if _, err := l.Proceed(t.Context(), d, map[string]string{"personal_code": "38412319871"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Proceed(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	_, err := l.Proceed(t.Context(), d, nil)
	brokertest.Rejected(t, "nobody", err, "not_found", brokers.CategoryNotRegistered)
}

// broker.md 10: what each result means.
func TestResultsHaveCategories(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for result, want := range map[string]brokers.Category{
		"TIMEOUT": brokers.CategoryTimeout, "DOCUMENT_UNUSABLE": brokers.CategoryBlocked, "ACCOUNT_UNUSABLE": brokers.CategoryBlocked,
		"WRONG_VC": brokers.CategoryDevice, "REQUIRED_INTERACTION_NOT_SUPPORTED_BY_APP": brokers.CategoryDevice,
		"PROTOCOL_FAILURE": brokers.CategoryProtocol, "EXPECTED_LINKED_SESSION": brokers.CategoryProtocol, "SERVER_ERROR": brokers.CategoryUnavailable,
		"USER_REFUSED": "cancelled", "USER_REFUSED_INTERACTION": "cancelled", "USER_REFUSED_CERT_CHOICE": "cancelled",
	} {
		if err := l.service.Control().Next(labcontrol.Script{Scenario: result}); err != nil {
			t.Fatal(err)
		}
		_, err := l.Proceed(t.Context(), l.begin(t, "smart-id"), nil)
		if want == "cancelled" {
			if !errors.Is(err, brokers.ErrCancelled) {
				t.Errorf("%s: %v", result, err)
			}
			continue
		}
		brokertest.Rejected(t, result, err, strings.ToLower(result), want)
	}
	for status, want := range map[string]struct {
		reason   string
		category brokers.Category
	}{
		"status_471": {"no_suitable_account", brokers.CategoryNotRegistered}, "status_472": {"status_472", brokers.CategoryDevice},
		"status_480": {"status_480", brokers.CategoryDevice}, "status_580": {"maintenance", brokers.CategoryUnavailable},
		"status_403": {"status_403", brokers.CategoryConfiguration},
	} {
		if err := l.service.Control().Next(labcontrol.Script{Mutate: []string{status}}); err != nil {
			t.Fatal(err)
		}
		d, err := l.Start(t.Context(), brokers.AuthenticationRequest{Method: "smart-id", RelayState: "r"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Proceed(t.Context(), d, nil)
		brokertest.Rejected(t, status, err, want.reason, want.category)
	}
}

// Whatever is wrong with an answer, nobody is logged in (broker.md 6.5).
func TestFaultyAnswersAreRefused(t *testing.T) {
	t.Parallel()
	faults := map[string]struct {
		reason   string
		category brokers.Category
	}{
		"other_challenge":   {authcert.ReasonSignature, brokers.CategoryProtocol},
		"other_key":         {authcert.ReasonSignature, brokers.CategoryProtocol},
		"pkcs1":             {authcert.ReasonSignature, brokers.CategoryProtocol},
		"card_certificate":  {authcert.ReasonPolicy, brokers.CategoryLevel},
		"expired":           {authcert.ReasonValidity, brokers.CategoryCard},
		"other_salt":        {authcert.ReasonAlgorithm, brokers.CategoryProtocol},
		"other_hash":        {authcert.ReasonAlgorithm, brokers.CategoryProtocol},
		"other_flow":        {"flow", brokers.CategoryProtocol},
		"other_interaction": {"protocol", brokers.CategoryProtocol},
		"other_protocol":    {"protocol", brokers.CategoryProtocol},
		"no_signature":      {authcert.ReasonAlgorithm, brokers.CategoryProtocol},
		"no_certificate":    {authcert.ReasonMalformed, brokers.CategoryProtocol},
		"unknown_result":    {"result_unknown", brokers.CategoryProtocol},
		"unknown_state":     {"session_state", brokers.CategoryProtocol},
		"garbage":           {"answer_malformed", brokers.CategoryProtocol},
		"huge":              {"answer_malformed", brokers.CategoryProtocol},
	}
	l := newLab(t, nil)
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		if err := l.service.Control().Next(labcontrol.Script{Mutate: []string{name}}); err != nil {
			t.Fatal(err)
		}
		d := l.begin(t, "smart-id")
		l.confirm(t, d, mari)
		event, err := l.Proceed(t.Context(), d, nil)
		if event != nil {
			t.Errorf("%s: somebody was logged in", name)
		}
		brokertest.Rejected(t, name, err, faults[name].reason, faults[name].category)
	}
	d := l.begin(t, "smart-id") // I-8
	l.confirm(t, d, mari)
	if event, err := l.Proceed(t.Context(), d, nil); err != nil || event == nil {
		t.Errorf("afterwards nobody can log in: %v", err)
	}
}

// The level comes from the certificate, whatever the service says beside it, and is
// never above what was accepted.
func TestLevelComesFromTheCertificate(t *testing.T) {
	t.Parallel()
	login := func(l *lab, person, fault string) (*brokers.AuthenticationEvent, error) {
		if fault != "" {
			if err := l.service.Control().Next(labcontrol.Script{Mutate: []string{fault}}); err != nil {
				t.Fatal(err)
			}
		}
		d := l.begin(t, "smart-id")
		l.confirm(t, d, person)
		return l.Proceed(t.Context(), d, nil)
	}
	strict := newLab(t, nil)
	_, err := login(strict, "30303039914", "")
	brokertest.Rejected(t, "advanced account", err, authcert.ReasonPolicy, brokers.CategoryLevel)
	_, err = login(strict, "30303039914", "claims_qualified")
	brokertest.Rejected(t, "advanced account that claims more", err, authcert.ReasonPolicy, brokers.CategoryLevel)
	both := newLab(t, func(c *smartid.Config) { c.Advanced = true })
	if event, err := login(both, "30303039914", ""); err != nil || event.Assessment.Level != levels.Low {
		t.Errorf("advanced account where accepted: %+v, %v", event, err)
	}
	if event, err := login(both, mari, ""); err != nil || event.Assessment.Level != levels.High {
		t.Errorf("qualified account: %+v, %v", event, err)
	}
	_, err = login(both, "30303039914", "claims_qualified")
	brokertest.Rejected(t, "advanced account that claims more, where accepted", err, authcert.ReasonPolicy, brokers.CategoryLevel)
	capped := newLab(t, func(c *smartid.Config) { c.MaxLevel = levels.Substantial })
	if event, err := login(capped, mari, ""); err != nil || event.Assessment.Level != levels.Substantial || capped.Methods()[0].Level != levels.Substantial {
		t.Errorf("with a ceiling: %+v, %v", event, err)
	}
	foreign := newLab(t, func(c *smartid.Config) { c.Countries = []string{"LV"} })
	_, err = login(foreign, mari, "")
	brokertest.Rejected(t, "account of another country", err, "country", brokers.CategoryDenied)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := newLab(t, nil).config
	for name, change := range map[string]func(*smartid.Config){
		"no UUID":         func(c *smartid.Config) { c.PartyUUID = "" },
		"long name":       func(c *smartid.Config) { c.PartyName = strings.Repeat("x", 33) },
		"long text":       func(c *smartid.Config) { c.DisplayText = strings.Repeat("õ", 61) },
		"no anchors":      func(c *smartid.Config) { c.Judge = nil },
		"no replay store": func(c *smartid.Config) { c.Replay = nil },
		"http":            func(c *smartid.Config) { c.URL = "http://sid.example/v3" },
		"callback":        func(c *smartid.Config) { c.CallbackURL = "https://a|b" },
	} {
		c := good
		change(&c)
		if _, err := smartid.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
