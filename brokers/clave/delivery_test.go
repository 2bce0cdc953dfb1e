package clave

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
)

// endless is a body of 100 MB without a length, and how much of it was read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read >= 100<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = 'A'
	}
	copy(p, "SAMLResponse="[min(e.read, 13):])
	e.read += len(p)
	return len(p), nil
}

// TestAnswersThatAreDeliveredWrongly: the whole broker with a real answer of the
// gateway, which comes as no browser would bring it. What does not even reach the checks
// leaves the login as it is.
func TestAnswersThatAreDeliveredWrongly(t *testing.T) {
	var l *lab
	desk := brokertest.NewDesk(t, func(issuer string) []brokers.Upstream {
		l = newLabAt(t, issuer+"/upstream/clave/")
		return []brokers.Upstream{l.u}
	})
	// answered is a login whose answer the browser is about to post.
	answered := func() url.Values {
		t.Helper()
		stroll, err := demo.NewStroll()
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []func() error{
			func() error { return stroll.Open(t.Context(), desk.AuthorizeURL()) },
			func() error { return stroll.Submit(t.Context(), "method", "method", "clave/clave-permanente") },
			func() error { return stroll.Onward(t.Context()) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		l.browser, l.page = stroll.Browser, stroll.Page
		l.step(t, "method", "method", "permanente")
		l.step(t, "permanente", "number", "99999018D", "password", emulator.Password)
		form, err := l.page.FormWith("SAMLResponse")
		if err != nil {
			t.Fatal(err)
		}
		return form.Fields
	}
	deliver := func(method, query, kind string, body io.Reader) *http.Response {
		t.Helper()
		r := httptest.NewRequest(method, l.u.config.ACSURL+query, body)
		r.Header.Set("Content-Type", kind)
		recorder := httptest.NewRecorder()
		desk.Provider.ServeHTTP(recorder, r)
		return recorder.Result()
	}
	const form = "application/x-www-form-urlencoded"
	posted := func(f url.Values) *http.Response {
		return deliver(http.MethodPost, "", form, strings.NewReader(f.Encode()))
	}
	huge := &endless{}
	for _, row := range []struct {
		name    string
		status  int
		reason  string
		touched bool
		deliver func(f url.Values) *http.Response
	}{
		{"GET", 405, "method", false, func(f url.Values) *http.Response { return deliver(http.MethodGet, "?"+f.Encode(), "", nil) }},
		{"other content type", 415, "content_type", false, func(f url.Values) *http.Response {
			return deliver(http.MethodPost, "", "text/plain", strings.NewReader(f.Encode()))
		}},
		{"no content type", 415, "content_type", false, func(f url.Values) *http.Response {
			return deliver(http.MethodPost, "", "", strings.NewReader(f.Encode()))
		}},
		{"two fields", 400, "binding", true, func(f url.Values) *http.Response { f.Add("SAMLResponse", f.Get("SAMLResponse")); return posted(f) }},
		{"missing field", 400, "binding", true, func(f url.Values) *http.Response { f.Del("SAMLResponse"); return posted(f) }},
		{"no relay state", 400, "unsolicited", false, func(f url.Values) *http.Response { f.Del("RelayState"); return posted(f) }},
		{"chunked 100 MB", 413, "too_large", false, func(url.Values) *http.Response { return deliver(http.MethodPost, "", form, huge) }},
	} {
		right := answered()
		before := strings.Count(desk.Log(), `"reason":"`+row.reason+`"`)
		res := row.deliver(maps.Clone(right))
		if res.StatusCode != row.status || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d, want %d", row.name, res.StatusCode, row.status)
		}
		if row.status == http.StatusMethodNotAllowed && res.Header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: allows %q", row.name, res.Header.Get("Allow"))
		}
		if n := strings.Count(desk.Log(), `"reason":"`+row.reason+`"`); n != before+1 {
			t.Errorf("%s: %d audit entries with the reason %s, want one", row.name, n-before, row.reason)
		}
		// A login that the answer did not reach goes on.
		if res := posted(right); !row.touched && res.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: then the right answer is %d", row.name, res.StatusCode)
		}
	}
	if huge.read > 1<<20 {
		t.Errorf("%d bytes were read", huge.read)
	}
}
