package mobileid_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/mobileid"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/fixtures/idps/labservice"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/mobileid"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/levels"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// lab is the emulated service with its country, and an upstream before it.
type lab struct {
	*mobileid.Upstream
	service *emulator.Service
	server  *httptest.Server
	config  mobileid.Config
	// ahead is how far the upstream's clock is ahead, so that telephones may ring
	// again.
	ahead time.Duration
}

const partyUUID = "00000000-0000-4000-8000-0000000000a1"

func newLab(t *testing.T, change func(*mobileid.Config)) *lab {
	t.Helper()
	l := &lab{}
	var country *pki.Country
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, emulator.Path) {
			l.service.Handler().ServeHTTP(w, r)
			return
		}
		country.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(l.server.Close)
	var err error
	if country, err = pki.New(pki.Options{BaseURL: l.server.URL}); err != nil {
		t.Fatal(err)
	}
	l.service, err = emulator.New(emulator.Options{Setting: labservice.Setting{Country: country, Parties: []labservice.Party{{UUID: partyUUID, Name: "Lab"}}, Clock: time.Now, Random: rand.Reader}})
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
	l.config = mobileid.Config{
		URL: l.server.URL + emulator.Path, PartyUUID: partyUUID, PartyName: "Lab", DisplayText: "Log in", Judge: judge, Replay: store.NewMemory(),
		Clock: func() time.Time { return time.Now().Add(l.ahead) },
	}
	if change != nil {
		change(&l.config)
	}
	if l.Upstream, err = mobileid.New(l.config); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) start(t *testing.T, locale string) *brokers.Departure {
	t.Helper()
	d, err := l.Start(t.Context(), brokers.AuthenticationRequest{Method: "mobile-id", Level: levels.Low, Locale: locale, RelayState: "relay"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ask goes up to the ringing telephone and returns the code that was shown.
func (l *lab) ask(t *testing.T, code, phone string) (*brokers.Departure, string) {
	t.Helper()
	before := len(l.service.Control().Log())
	l.ahead += time.Hour
	d := l.start(t, "et")
	if event, err := l.Proceed(t.Context(), d, map[string]string{"personal_code": code, "phone_number": phone}); event != nil || err != nil {
		t.Fatal(event, err)
	}
	view, err := l.View(d)
	if err != nil {
		t.Fatal(err)
	}
	device, ok := view.(*brokers.Device)
	if !ok {
		t.Fatalf("view is %#v", view)
	}
	if _, err := l.Proceed(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	if len(l.service.Control().Log()) != before {
		t.Fatal("the telephone rang before the code was on the page")
	}
	return d, device.Code
}

// answer takes steps until there is an end.
func (l *lab) answer(t *testing.T, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	for range 5 {
		event, err := l.Proceed(t.Context(), d, nil)
		if event != nil || err != nil {
			return event, err
		}
	}
	t.Fatal("no end")
	return nil, nil
}

// The vectors of broker.md 13.2.
func TestVerificationCode(t *testing.T) {
	documentation, err := hex.DecodeString("2f665f6a6999e0ef0752e00ec9f453adf59d8cb6")
	if err != nil {
		t.Fatal(err)
	}
	own := sha256.Sum256([]byte("mobile-id-demo"))
	ones := slices.Repeat([]byte{0xff}, 32)
	for code, challenge := range map[string][]byte{"1462": documentation, "2170": own[:], "0000": make([]byte, 64), "8191": ones, "": nil} {
		if got := mobileid.VerificationCode(challenge); got != code {
			t.Errorf("%x has code %s, want %s", challenge, got, code)
		}
	}
}

func TestTelephoneLogsIn(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d, code := l.ask(t, "60001019906", "+37200000766")
	event, err := l.answer(t, d)
	if err != nil {
		t.Fatal(err)
	}
	want := brokers.Subject{Key: "ee-ik:60001019906", GivenName: "MARI-LIIS", FamilyName: "MÄNNIK", Birthdate: "2000-01-01", Country: "EE"}
	if event.Subject != want || event.Assessment.Level != levels.High || !event.Assessment.Notified || event.Method != "mobile-id" || event.Upstream != "mobile-id" {
		t.Errorf("event %+v", event)
	}
	if !slices.Equal(event.AMR, []string{"hwk", "pin", "mca", "mfa"}) {
		t.Errorf("amr %v", event.AMR)
	}
	log := l.service.Control().Log()
	if log[0].Detail["code"] != code || log[0].Detail["language"] != "EST" {
		t.Errorf("the telephone shows %v, the page %s", log[0].Detail, code)
	}
	// O-29, O-54: the same answer counts once, in whatever login.
	if _, err := l.Proceed(t.Context(), d, nil); err == nil {
		t.Error("an answer counted twice")
	} else {
		brokertest.Rejected(t, "replay", err, "replayed", brokers.CategoryProtocol)
	}
}

// By hand: wrong PIN, right PIN; three wrong ones lock the telephone.
func TestTelephoneByHand(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	ring := func() (*brokers.Departure, string) {
		d, _ := l.ask(t, "38001085718", "+37255500001")
		if event, err := l.Proceed(t.Context(), d, nil); event != nil || err != nil {
			t.Fatal(event, err)
		}
		waiting := l.service.Phones().Waiting("38001085718")
		if len(waiting) != 1 {
			t.Fatalf("%d requests wait", len(waiting))
		}
		return d, waiting[0].ID
	}
	d, id := ring()
	if event, err := l.Proceed(t.Context(), d, nil); event != nil || err != nil {
		t.Fatal("it is still running", event, err)
	}
	if got := l.service.Phones().Answer(id, "0000", false); got != "pin" {
		t.Fatal(got)
	}
	if got := l.service.Phones().Answer(id, emulator.PIN1, false); got != "done" {
		t.Fatal(got)
	}
	if event, err := l.answer(t, d); err != nil || event.Subject.Key != "ee-ik:38001085718" {
		t.Fatal(event, err)
	}
	l2 := newLab(t, nil)
	l.Upstream, l.service = l2.Upstream, l2.service
	d, id = ring()
	for _, want := range []string{"pin", "pin", "locked"} {
		if got := l.service.Phones().Answer(id, "0000", false); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	_, err := l.answer(t, d)
	brokertest.Rejected(t, "locked", err, "sim_error", brokers.CategoryDevice)
}

// broker.md 10: what each result means.
func TestResultsHaveCategories(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for result, want := range map[string]brokers.Category{
		"TIMEOUT": brokers.CategoryTimeout, "NOT_MID_CLIENT": brokers.CategoryNotRegistered, "PHONE_ABSENT": brokers.CategoryDevice,
		"DELIVERY_ERROR": brokers.CategoryDevice, "SIM_ERROR": brokers.CategoryDevice, "SIGNATURE_HASH_MISMATCH": brokers.CategoryDevice,
	} {
		if err := l.service.Control().Next(labcontrol.Script{Scenario: result}); err != nil {
			t.Fatal(err)
		}
		d, _ := l.ask(t, "60001019906", "+37200000766")
		_, err := l.answer(t, d)
		brokertest.Rejected(t, result, err, strings.ToLower(result), want)
	}
	for _, p := range emulator.Persons() {
		if p.Result == "" || p.Result == "OK" {
			continue
		}
		d, _ := l.ask(t, p.PersonalCode, p.Phone)
		_, err := l.answer(t, d)
		if p.Result == "USER_CANCELLED" {
			if !errors.Is(err, brokers.ErrCancelled) {
				t.Errorf("%s: %v", p.Result, err)
			}
			continue
		}
		var r *brokers.RejectedError
		if !errors.As(err, &r) || r.Reason != strings.ToLower(p.Result) {
			t.Errorf("%s: %v", p.Result, err)
		}
	}
	d, _ := l.ask(t, "60001019906", "+37255599999") // number of nobody
	_, err := l.answer(t, d)
	brokertest.Rejected(t, "number of nobody", err, "not_mid_client", brokers.CategoryNotRegistered)
}

// Whatever is wrong with an answer, nobody is logged in (O-26, O-30, broker.md 6.4).
func TestFaultyAnswersAreRefused(t *testing.T) {
	t.Parallel()
	faults := map[string]struct {
		reason   string
		category brokers.Category
	}{
		"other_hash":       {authcert.ReasonSignature, brokers.CategoryProtocol},
		"other_key":        {authcert.ReasonSignature, brokers.CategoryProtocol},
		"other_person":     {"other_person", brokers.CategoryProtocol},
		"card_certificate": {authcert.ReasonPolicy, brokers.CategoryProtocol},
		"expired":          {authcert.ReasonValidity, brokers.CategoryCard},
		"der_signature":    {authcert.ReasonSignature, brokers.CategoryProtocol},
		"no_signature":     {authcert.ReasonAlgorithm, brokers.CategoryProtocol},
		"no_certificate":   {authcert.ReasonMalformed, brokers.CategoryProtocol},
		"wrong_algorithm":  {authcert.ReasonAlgorithm, brokers.CategoryProtocol},
		"unknown_result":   {"result_unknown", brokers.CategoryProtocol},
		"unknown_state":    {"session_state", brokers.CategoryProtocol},
		"garbage":          {"answer_malformed", brokers.CategoryProtocol},
		"huge":             {"answer_malformed", brokers.CategoryProtocol},
		"status_500":       {"unavailable", brokers.CategoryUnavailable},
	}
	l := newLab(t, nil)
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		if err := l.service.Control().Next(labcontrol.Script{Mutate: []string{name}}); err != nil {
			t.Fatal(err)
		}
		d, _ := l.ask(t, "60001019906", "+37200000766")
		event, err := l.answer(t, d)
		if event != nil {
			t.Errorf("%s: somebody was logged in", name)
		}
		brokertest.Rejected(t, name, err, faults[name].reason, faults[name].category)
		d, _ = l.againAsk(t) // I-8
		if event, err := l.answer(t, d); err != nil || event == nil {
			t.Errorf("after %s nobody can log in: %v", name, err)
		}
	}
}

// againAsk is ask where the telephone rang before.
func (l *lab) againAsk(t *testing.T) (*brokers.Departure, error) {
	t.Helper()
	d := l.start(t, "en")
	_, err := l.Proceed(t.Context(), d, map[string]string{"personal_code": "60001019906", "phone_number": "+37200000766"})
	if err != nil {
		t.Fatal(err)
	}
	return d, nil
}

func TestFormMarksWhatIsWrong(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, row := range []struct {
		code, phone       string
		badCode, badPhone bool
	}{
		{"60001019907", "+37200000766", true, false},
		{"60001019906", "37200000766", false, true},
		{"", "", true, true},
		{"6000 1019 906", " +372 0000 0766 ", false, false},
		{"60001019906", "+0037200000766", false, true},
		{"60001019906", "+372\x00000766", false, true},
		{strings.Repeat("6", 4000), "+37200000766", true, false},
	} {
		d := l.start(t, "en")
		if _, err := l.Proceed(t.Context(), d, map[string]string{"personal_code": row.code, "phone_number": row.phone}); err != nil {
			t.Fatal(err)
		}
		view, err := l.View(d)
		if err != nil {
			t.Fatal(err)
		}
		questions, asks := view.(*brokers.Questions)
		if asks != (row.badCode || row.badPhone) || asks && (questions.Fields[0].Wrong != row.badCode || questions.Fields[1].Wrong != row.badPhone) {
			t.Errorf("%q %q: %+v", row.code, row.phone, view)
		}
	}
	// Time alone does not fill in a form.
	d := l.start(t, "en")
	if event, err := l.Proceed(t.Context(), d, nil); event != nil || err != nil {
		t.Error(event, err)
	}
}

// W-08: nobody's telephone rings on and on.
func TestTelephoneRingsSeldom(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLab(t, func(c *mobileid.Config) { c.Clock = func() time.Time { return now } })
	rung := 0
	var last error
	for range 8 {
		d, _ := l.againAsk(t)
		if _, err := l.Proceed(t.Context(), d, nil); err != nil {
			t.Fatal(err)
		}
		if _, last = l.Proceed(t.Context(), d, nil); last == nil {
			rung++
		}
	}
	if rung != 5 {
		t.Errorf("it rang %d times, want 5", rung)
	}
	brokertest.Rejected(t, "sixth", last, "too_many_rings", brokers.CategoryDevice)
	now = now.Add(15 * time.Minute)
	d, _ := l.againAsk(t)
	if _, err := l.Proceed(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Proceed(t.Context(), d, nil); err != nil {
		t.Errorf("a quarter of an hour later: %v", err)
	}
}

func TestServiceThatFails(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d, _ := l.ask(t, "60001019906", "+37200000766")
	l.service.Control().SetOutage(true)
	_, err := l.answer(t, d)
	brokertest.Rejected(t, "outage", err, "unavailable", brokers.CategoryUnavailable)

	l = newLab(t, func(c *mobileid.Config) { c.PartyName = "Stranger" })
	d, _ = l.ask(t, "60001019906", "+37200000766")
	_, err = l.answer(t, d)
	brokertest.Rejected(t, "not registered", err, "status_401", brokers.CategoryConfiguration)

	l = newLab(t, nil)
	d, _ = l.ask(t, "60001019906", "+37200000766")
	l.server.Close()
	_, err = l.answer(t, d)
	brokertest.Rejected(t, "no connection", err, "unavailable", brokers.CategoryUnavailable)
	for _, private := range []string{"60001019906", "00000766", partyUUID} {
		if strings.Contains(err.Error(), private) {
			t.Errorf("I-5: error tells %s", private)
		}
	}

	l = newLab(t, nil)
	d, _ = l.ask(t, "60001019906", "+37200000766")
	if _, err := l.Proceed(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	l.service.Phones().Reset()
	_, err = l.answer(t, d)
	brokertest.Rejected(t, "session gone", err, "not_found", brokers.CategoryTimeout)
}

func TestLevelIsNeverAboveTheCeiling(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *mobileid.Config) { c.MaxLevel = levels.Substantial })
	if m := l.Methods(); m[0].Level != levels.Substantial {
		t.Errorf("offered at %s", m[0].Level)
	}
	d, _ := l.ask(t, "60001019906", "+37200000766")
	event, err := l.answer(t, d)
	if err != nil || event.Assessment.Level != levels.Substantial || event.Assessment.Notified {
		t.Errorf("event %+v, %v", event, err)
	}
	if _, err := l.Start(t.Context(), brokers.AuthenticationRequest{Method: "mobile-id", Level: levels.High}); err == nil {
		t.Error("a login at high was begun")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := newLab(t, nil).config
	for name, change := range map[string]func(*mobileid.Config){
		"no UUID":             func(c *mobileid.Config) { c.PartyUUID = "" },
		"UUID in capitals":    func(c *mobileid.Config) { c.PartyUUID = "ABC" },
		"no name":             func(c *mobileid.Config) { c.PartyName = "" },
		"no anchors":          func(c *mobileid.Config) { c.Judge = nil },
		"no replay store":     func(c *mobileid.Config) { c.Replay = nil },
		"long text":           func(c *mobileid.Config) { c.DisplayText = strings.Repeat("x", 101) },
		"text with umlauts":   func(c *mobileid.Config) { c.DisplayText = "Sõnum" },
		"http":                func(c *mobileid.Config) { c.URL = "http://mid.example/mid-api" },
		"trailing slash":      func(c *mobileid.Config) { c.URL = "https://mid.example/mid-api/" },
		"address with a user": func(c *mobileid.Config) { c.URL = "https://u@mid.example/mid-api" },
	} {
		c := good
		change(&c)
		if _, err := mobileid.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
