package admin_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/abuse"
)

// value reads a hidden field or attribute of a page.
func value(t *testing.T, page, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no %s in %s", pattern, page)
	}
	return found[1]
}

// The form of a client changes what it shows and nothing else, and not over what
// somebody else did in the meantime.
func TestConsoleChangesAClient(t *testing.T) {
	o := newOffice(t)
	settings := strings.Replace(library, `"name"`, `"hide_amr":true,"level_receipts":true,"name"`, 1)
	if status, body := o.ask("POST", "/v1/clients", o.operator, settings); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	c := o.clerk(o.operator)
	_, page := c.send("/clients/library", nil)
	if !strings.Contains(page, `value="substantial" selected`) || !strings.Contains(page, "https://library.example/cb") || strings.Contains(page, " checked") {
		t.Errorf("form: %s", page)
	}
	o.now = o.now.Add(time.Minute)
	change := url.Values{
		"seen": {value(t, page, `name="seen" value="([^"]+)"`)}, "name": {"Library & archive"}, "min_level": {"high"},
		"redirect_uris": {"https://library.example/cb\r\nhttps://library.example/two"}, "scopes": {"name birthdate"}, "methods": {"fake-card"},
		"post_logout_uris": {"https://library.example/bye"}, "single_sign_on": {"yes"},
		"resources": {"https://files.example/\r\nhttps://loans.example/v1"},
	}
	status, page := c.send("/clients/library/change", change)
	if status != http.StatusOK || !strings.Contains(page, "was changed") || !strings.Contains(page, `value="fake-card" checked`) || !strings.Contains(page, "Library &amp; archive") {
		t.Fatalf("%d %s", status, page)
	}
	if _, seen := o.clerk(o.viewer).send("/clients/library", nil); !strings.Contains(seen, "<dd>https://loans.example/v1</dd>") {
		t.Errorf("who may only look does not see the services: %s", seen)
	}
	_, body := o.ask("GET", "/v1/clients/library", o.viewer, "")
	for _, want := range []string{`"hide_amr":true`, `"level_receipts":true`, `"min_level":"high"`, `"https://library.example/two"`, `"methods":["fake-card"]`, `"single_sign_on":true`, `"resources":["https://files.example/","https://loans.example/v1"]`, `"has_secret":true`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if !strings.Contains(o.log.String(), `"event":"client.changed","reason":"ok","client":"library","actor":"console:alice"`) {
		t.Errorf("log: %s", o.log)
	}
	if status, page = c.send("/clients/library/change", change); status != http.StatusConflict || !strings.Contains(page, "in the meantime") {
		t.Errorf("an old form: %d %s", status, page)
	}
	_, page = c.send("/clients/library", nil)
	wrong := maps.Clone(change)
	wrong.Set("seen", value(t, page, `name="seen" value="([^"]+)"`))
	wrong.Set("redirect_uris", "https://library.example/*")
	if status, page = c.send("/clients/library/change", wrong); status != http.StatusBadRequest || !strings.Contains(page, `<span lang="en">`) || !strings.Contains(page, "https://library.example/*") {
		t.Errorf("a wrong form: %d %s", status, page)
	}
	if status, _ = c.send("/clients/fixed/change", change); status != http.StatusBadRequest {
		t.Errorf("a client of the configuration: %d", status)
	}
}

func TestConsoleSwitchesMethodsOff(t *testing.T) {
	o := newOffice(t)
	c := o.clerk(o.operator)
	if _, page := c.send("/outages", nil); !strings.Contains(page, "Nothing is out of order") || !strings.Contains(page, "<option>fake/fake-card</option>") {
		t.Errorf("page: %s", page)
	}
	for _, bad := range []url.Values{
		{"what": {"other"}},
		{"what": {"fake/other"}},
		{"what": {"fake"}, "until": {"tomorrow"}},
		{"what": {"fake"}, "planned": {"yes"}},
		{"what": {"fake"}, "until": {"2026-01-01T00:00"}},
	} {
		if status, page := c.send("/outages", bad); status != http.StatusBadRequest || !strings.Contains(page, `role="alert"`) {
			t.Errorf("%v: %d", bad, status)
		}
	}
	status, page := c.send("/outages", url.Values{"what": {"fake/fake-card"}, "from": {"2026-11-29T01:00"}, "until": {"2026-11-29T03:00"}, "planned": {"yes"}})
	if status != http.StatusOK || !strings.Contains(page, "planned maintenance") || !strings.Contains(page, "from 2026-11-29 01:00 UTC until 2026-11-29 03:00 UTC") {
		t.Fatalf("%d %s", status, page)
	}
	if _, body := o.ask("GET", "/v1/outages", o.viewer, ""); !strings.Contains(body, `"method":"fake-card"`) {
		t.Errorf("the API says %s", body)
	}
	_, seen := o.clerk(o.viewer).send("/outages", nil)
	if !strings.Contains(seen, "planned maintenance") || strings.Contains(seen, "<form method=\"post\" action=\"/outages") {
		t.Errorf("a viewer sees %s", seen)
	}
	lift := value(t, page, `action="(/outages/[A-Z2-7]+/lift)"`)
	if status, page = c.send(lift, url.Values{}); status != http.StatusOK || !strings.Contains(page, "Nothing is out of order") {
		t.Errorf("lifting: %d %s", status, page)
	}
	if status, _ = c.send(lift, url.Values{}); status != http.StatusNotFound {
		t.Errorf("lifting again: %d", status)
	}
	for _, event := range []string{"outage.added", "outage.lifted"} {
		if !strings.Contains(o.log.String(), `"event":"`+event+`"`) {
			t.Errorf("no %s in %s", event, o.log)
		}
	}
}

func TestConsoleLiftsBansAndEndsSessions(t *testing.T) {
	o := newOffice(t)
	for range 100 {
		o.guard.Failed(t.Context(), abuse.Secret, "192.0.2.77", "portal")
	}
	c, viewer := o.clerk(o.operator), o.clerk(o.viewer)
	_, page := c.send("/bans", nil)
	if !strings.Contains(page, "192.0.2.77") {
		t.Fatalf("page: %s", page)
	}
	for _, path := range []string{"/bans", "/persons"} {
		if status, page := viewer.send(path, nil); status != http.StatusForbidden || strings.Contains(page, "192.0.2.77") {
			t.Errorf("a viewer at %s: %d", path, status)
		}
	}
	if status, page := c.send(value(t, page, `action="(/bans/[0-9a-f]+/lift)"`), url.Values{}); status != http.StatusOK || strings.Contains(page, "192.0.2.77") {
		t.Errorf("%d %s", status, page)
	}
	status, page := c.send("/persons", url.Values{"person": {" nl-bsn:900029365 "}})
	if status != http.StatusOK || !strings.Contains(page, "2 sessions and 3 grants") || strings.Contains(page, "900029365") && !strings.Contains(page, "Such as nl-bsn:900029365") {
		t.Errorf("%d %s", status, page)
	}
	c.send("/persons", url.Values{"client": {"library"}, "sub": {"abc"}})
	if want := []string{"console:alice nl-bsn:900029365", "console:alice libraryabc"}; !slices.Equal(o.ended, want) {
		t.Errorf("ended %q", o.ended)
	}
	if status, page := c.send("/persons", url.Values{}); status != http.StatusBadRequest || !strings.Contains(page, "Give a scheme and number") {
		t.Errorf("nobody: %d %s", status, page)
	}
	if _, page := c.send("/changes", nil); !strings.Contains(page, "client.added") || !strings.Contains(page, "client=library") {
		t.Errorf("changes: %s", page)
	}
	if text := o.log.String(); strings.Contains(text, "192.0.2.77") || strings.Contains(text, "900029365") {
		t.Errorf("personal data in the log: %s", text)
	}
}

func TestAPIForWhatRuns(t *testing.T) {
	o := newOffice(t)
	for _, step := range []struct {
		method, path, token, body string
		status                    int
		want                      string
	}{
		{"POST", "/v1/outages", o.operator, `{"upstream":"fake","method":"fake-pin"}`, 201, `"id"`},
		{"POST", "/v1/outages", o.viewer, `{"upstream":"fake"}`, 403, "role"},
		{"POST", "/v1/outages", o.operator, `{"upstream":"none"}`, 400, "invalid_outage"},
		{"POST", "/v1/outages", o.operator, `{"upstream":"fake","planned":true}`, 400, "invalid_outage"},
		{"POST", "/v1/outages", o.operator, `{"up":"fake"}`, 400, "invalid_json"},
		{"GET", "/v1/outages", o.viewer, "", 200, "fake-pin"},
		{"DELETE", "/v1/outages/unknown", o.operator, "", 404, ""},
		{"GET", "/v1/bans", o.viewer, "", 403, "role"},
		{"GET", "/v1/bans", o.operator, "", 200, `{"bans":[]}`},
		{"DELETE", "/v1/bans/unknown", o.operator, "", 404, ""},
		{"POST", "/v1/persons/end", o.viewer, `{"person":"nl-bsn:900029365"}`, 403, "role"},
		{"POST", "/v1/persons/end", o.operator, `{"person":"nl-bsn:900029365"}`, 200, `"sessions":2`},
		{"POST", "/v1/persons/end", o.operator, `{"client_id":"nobody","sub":"x"}`, 404, ""},
		{"POST", "/v1/persons/end", o.operator, `{}`, 400, "invalid_person"},
		{"GET", "/v1/changes", o.viewer, "", 200, "client.added"},
	} {
		if status, body := o.ask(step.method, step.path, step.token, step.body); status != step.status || !strings.Contains(body, step.want) {
			t.Errorf("%s %s %s: %d %s", step.method, step.path, step.body, status, body)
		}
	}
	if !slices.Equal(o.ended, []string{"admin:alice nl-bsn:900029365"}) {
		t.Errorf("ended %q", o.ended)
	}
}

// Every page is there in every language, with every text, and the choice of a
// language stays.
func TestConsoleSpeaksItsLanguages(t *testing.T) {
	o := newOffice(t)
	if status, _ := o.ask("POST", "/v1/clients", o.operator, library); status != http.StatusCreated {
		t.Fatal(status)
	}
	if status, _ := o.ask("POST", "/v1/outages", o.operator, `{"upstream":"fake"}`); status != http.StatusCreated {
		t.Fatal(status)
	}
	for language, word := range map[string]string{"en": "Add a client", "es": "Añadir un cliente", "et": "Lisa klient", "nl": "Client toevoegen"} {
		c := o.clerk(o.operator)
		if _, page := c.send("/clients", nil, "Accept-Language", language+",en;q=0.5"); !strings.Contains(page, word) {
			t.Errorf("a browser that wants %s gets %s", language, page)
		}
		c.send("/clients?lang="+language, nil)
		for _, path := range []string{"/clients", "/clients/library", "/clients/fixed", "/clients/nobody", "/outages", "/bans", "/persons", "/changes", "/references", "/references?code=zzzzz"} {
			_, page := c.send(path, nil, "Accept-Language", "fr")
			if !strings.Contains(page, `<html lang="`+language+`"`) || strings.Contains(page, "[") || strings.Contains(page, "&lt;no value&gt;") {
				t.Errorf("%s in %s: %s", path, language, page)
			}
		}
	}
	// W-32: a language is one of ours or nothing.
	c := o.clerk(o.operator)
	if _, page := c.send("/clients?lang=../../etc/passwd", nil); !strings.Contains(page, `<html lang="en"`) {
		t.Errorf("page: %s", page)
	}
}

func TestCataloguesHaveTheSameTexts(t *testing.T) {
	read := func(language string) map[string]string {
		text, err := os.ReadFile(filepath.Join("console", "active."+language+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var list map[string]string
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	holes := func(s string) string { return strings.Join(regexp.MustCompile(`{{\.\w+}}`).FindAllString(s, -1), " ") }
	english := read("en")
	for _, language := range []string{"es", "et", "nl"} {
		other := read(language)
		for id, text := range english {
			if other[id] == "" || holes(other[id]) != holes(text) {
				t.Errorf("%s: %s is %q", language, id, other[id])
			}
		}
		if len(other) != len(english) {
			t.Errorf("%s has %d texts, English %d", language, len(other), len(english))
		}
	}
}
