package admin_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// clerk is somebody at the console.
type clerk struct {
	*office
	client *http.Client
}

func (o *office) clerk(token string) *clerk {
	o.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		o.t.Fatal(err)
	}
	c := &clerk{o, &http.Client{Jar: jar}}
	if token != "" {
		c.send("/sign-in", url.Values{"token": {token}})
	}
	return c
}

// send posts a form, or without one gets a page; headers come in pairs.
func (c *clerk) send(path string, form url.Values, headers ...string) (int, string) {
	c.t.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	req, err := http.NewRequest(method, c.server.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		c.t.Errorf("%s has the policy %q", path, resp.Header.Get("Content-Security-Policy"))
	}
	return resp.StatusCode, string(text)
}

func form() url.Values {
	return url.Values{"id": {"library"}, "name": {`Library <b>"&`}, "redirect_uris": {"https://library.example/cb"}, "min_level": {"low"}, "scopes": {"name"}}
}

func TestConsole(t *testing.T) {
	o := newOffice(t)
	c := o.clerk(o.operator)
	status, page := c.send("/clients", form())
	if status != http.StatusOK || !strings.Contains(page, "was added") || !strings.Contains(page, "shown this once") || strings.Contains(page, "<b>") {
		t.Fatalf("%d %s", status, page)
	}
	for _, step := range []struct {
		path string
		form url.Values
		code int
		want string
	}{
		{"/", nil, 200, "Add a client"},
		{"/clients/library", nil, 200, "https://library.example/cb"},
		{"/clients/library/disable", url.Values{}, 200, "library is disabled"},
		{"/clients/library", nil, 200, "Enable"},
		{"/clients/library/enable", url.Values{}, 200, "library is enabled"},
		{"/clients/library/secret", url.Values{}, 200, "shown this once"},
		{"/clients", form(), 400, "already"},
		{"/clients/fixed", nil, 200, "configuration"},
		{"/clients/fixed/remove", url.Values{"sure": {"yes"}}, 400, "configuration file"},
		{"/clients/nobody", nil, 404, "no such thing"},
		{"/references?code=abcde-fghij", nil, 200, "login.begun"},
		{"/references?code=zzzzz", nil, 200, "Nothing is kept"},
		{"/clients/library/remove", url.Values{}, 400, "Tick the box"},
		{"/clients/library/remove", url.Values{"sure": {"yes"}}, 200, "was removed"},
		{"/sign-out", url.Values{}, 200, "Sign in"},
		{"/clients", nil, 200, `name="token"`},
	} {
		if status, page := c.send(step.path, step.form); status != step.code || !strings.Contains(page, step.want) {
			t.Errorf("%s: %d, no %q in %s", step.path, status, step.want, page)
		}
	}
	for _, event := range []string{"added", "disabled", "enabled", "secret_rotated", "removed"} {
		if !strings.Contains(o.log.String(), `"event":"client.`+event+`","reason":"ok","client":"library","actor":"console:alice"`) {
			t.Errorf("no client.%s by alice in %s", event, o.log)
		}
	}
}

// Nobody is let in without a token; other sites cannot send forms; a viewer changes
// nothing; a sign-in ends.
func TestConsoleRefuses(t *testing.T) {
	o := newOffice(t)
	if status, page := o.clerk("").send("/sign-in", url.Values{"token": {"guess"}}); status != http.StatusUnauthorized || !strings.Contains(page, "not known") {
		t.Errorf("%d %s", status, page)
	}
	if _, page := o.clerk("guess").send("/clients", nil); !strings.Contains(page, `name="token"`) {
		t.Errorf("a stranger sees %s", page)
	}
	viewer := o.clerk(o.viewer)
	if _, page := viewer.send("/clients", nil); strings.Contains(page, "Add a client") || !strings.Contains(page, "fixed") {
		t.Errorf("a viewer sees %s", page)
	}
	if status, _ := viewer.send("/clients", form()); status != http.StatusForbidden {
		t.Errorf("a viewer adds: %d", status)
	}
	operator := o.clerk(o.operator)
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if status, _ := operator.send("/clients", form(), headers...); status != http.StatusForbidden {
			t.Errorf("a form of another site, by %s: %d", headers[0], status)
		}
	}
	if strings.Contains(o.log.String(), `"client.`) {
		t.Errorf("something changed: %s", o.log)
	}
	o.now = o.now.Add(31 * time.Minute)
	if _, page := operator.send("/clients", nil); !strings.Contains(page, `name="token"`) {
		t.Errorf("after half an hour: %s", page)
	}
}
