package provider_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// Answers that belong to no login of this browser are refused, and the login
// that they aimed at can still be completed.
func TestCallbackRefusesAnswersOfOthers(t *testing.T) {
	other := &brokertest.Upstream{Name: "other"}
	r := newRig(t, options{
		upstreams: []brokers.Upstream{other},
		client:    func(c *provider.Client) { c.Methods = []string{"fake-card"} },
	})
	for _, c := range []struct {
		name, audit string
		answer      func(victim *browser, departure *url.URL) answer
	}{
		{"O-54 another browser delivers it", "foreign_browser", func(_ *browser, d *url.URL) answer { return newBrowser(t).get(r.callback(d)) }},
		{"O-56 another upstream's address", "mixed_up", func(b *browser, d *url.URL) answer {
			return b.get(strings.Replace(r.callback(d), "/fake/", "/other/", 1))
		}},
		{"X-78 unsolicited", "unsolicited", func(b *browser, d *url.URL) answer { return b.get(r.callback(d, "relay", "unheard-of")) }},
		{"X-88 no relay state", "unsolicited", func(b *browser, d *url.URL) answer { return b.get(r.callback(d, "relay", "-")) }},
		{"X-88 relay state is a URL", "relay_state", func(b *browser, d *url.URL) answer {
			return b.get(r.callback(d, "relay", "https://evil.example/"+strings.Repeat("x", 80)))
		}},
		{"unknown upstream", "", func(b *browser, d *url.URL) answer {
			return b.get(strings.Replace(r.callback(d), "/fake/", "/nobody/", 1))
		}},
		{"X-91 large body", "too_large", func(b *browser, d *url.URL) answer {
			return b.post(r.server.URL+"/upstream/fake/callback", url.Values{"relay": {d.Query().Get("relay")}, "x": {strings.Repeat("x", 384<<10)}})
		}},
		{"X-91 other method", "", func(b *browser, d *url.URL) answer {
			req, err := http.NewRequest(http.MethodPut, r.callback(d), nil)
			if err != nil {
				t.Fatal(err)
			}
			return b.do(req)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBrowser(t)
			departure := r.authorize(b).location(t)
			before := len(r.reasons())
			a := c.answer(b, departure)
			if a.StatusCode < 400 || a.StatusCode >= 500 || a.Header.Get("Location") != "" || len(a.Cookies()) > 0 {
				t.Fatalf("status %d, location %q, cookies %v", a.StatusCode, a.Header.Get("Location"), a.Cookies())
			}
			if after := r.reasons()[before:]; c.audit != "" && !slices.Equal(after, []string{"upstream.rejected/" + c.audit}) {
				t.Errorf("audit has %v, want one entry %s (I-6)", after, c.audit)
			}
			if b.back(r, r.callback(departure)).location(t).Query().Get("code") == "" { // I-8
				t.Error("the login cannot be completed any more")
			}
		})
	}
}

// What the upstream refuses, proves too weakly or too late never becomes a code.
func TestCallbackJudgesTheAnswer(t *testing.T) {
	change := func(f func(*brokers.AuthenticationEvent)) *brokertest.Upstream {
		return &brokertest.Upstream{Change: f}
	}
	for _, c := range []struct {
		name          string
		upstream      *brokertest.Upstream
		authorization []string
		answer        []string
		status        int
		audit         string
	}{
		{"rejected by the scheme", nil, nil, []string{"result", "reject"}, 400, "upstream.rejected/signature_invalid"},
		{"back channel down", nil, nil, []string{"result", "down"}, 502, "upstream.failed/unavailable"},
		{"X-86 unknown level", nil, nil, []string{"level", "supreme"}, 400, "upstream.rejected/level_unknown"},
		{"X-86, O-60 lower than required", nil, []string{"acr_values", levels.High.URI()}, []string{"level", "substantial"}, 303, "login.refused/loa.too_low"},
		{"lower than the client's floor", change(func(e *brokers.AuthenticationEvent) {
			e.Assessment = e.Assessment.Lower(levels.Ceiling{Max: levels.BelowLow})
		}), nil, nil, 303, "login.refused/loa.too_low"},
		{"no level at all", change(func(e *brokers.AuthenticationEvent) { e.Assessment.Level = levels.None }), nil, nil, 303, "login.refused/loa.too_low"},
		{"O-60 old login though prompt=login", change(func(e *brokers.AuthenticationEvent) { e.AuthTime = e.AuthTime.Add(-2 * time.Minute) }), []string{"prompt", "login"}, nil, 303, "login.refused/stale"},
		{"O-60 older than max_age", change(func(e *brokers.AuthenticationEvent) { e.AuthTime = e.AuthTime.Add(-2 * time.Hour) }), []string{"max_age", "3600"}, nil, 303, "login.refused/stale"},
		{"login from the future", change(func(e *brokers.AuthenticationEvent) { e.AuthTime = e.AuthTime.Add(2 * time.Minute) }), nil, nil, 400, "upstream.rejected/event_time"},
		{"no time of login", change(func(e *brokers.AuthenticationEvent) { e.AuthTime = time.Time{} }), nil, nil, 400, "upstream.rejected/event_time"},
		{"no identifier", change(func(e *brokers.AuthenticationEvent) { e.Subject.Key = "ee-ik:" }), nil, nil, 400, "upstream.rejected/event_subject"},
		{"identifier without scheme", change(func(e *brokers.AuthenticationEvent) { e.Subject.Key = "60001019906" }), nil, nil, 400, "upstream.rejected/event_subject"},
		{"event of another upstream", change(func(e *brokers.AuthenticationEvent) { e.Upstream = "other" }), nil, nil, 400, "upstream.rejected/event_upstream"},
		{"event of a method that is not offered", change(func(e *brokers.AuthenticationEvent) { e.Method = "other" }), nil, nil, 400, "upstream.rejected/event_method"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{upstream: c.upstream})
			b := newBrowser(t)
			departure := r.authorize(b, c.authorization...).location(t)
			a := b.get(r.callback(departure, c.answer...))
			if a.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", a.StatusCode, c.status, a.body)
			}
			r.wantAudit(t, c.audit)
			if slices.ContainsFunc(r.reasons(), func(s string) bool { return strings.HasPrefix(s, "code.") }) {
				t.Error("a code was issued")
			}
			if again := b.get(r.callback(departure)); again.StatusCode != http.StatusBadRequest {
				t.Errorf("the same departure was answered again: %d", again.StatusCode)
			}
			// The citizen may choose again or leave; the client hears access_denied
			// or what was unmet.
			choice := b.get(r.server.URL + "/login/" + loginID(t, r, b))
			if choice.StatusCode != http.StatusOK || !strings.Contains(choice.body, `class="notice"`) {
				t.Fatalf("no choice with a notice: %d %s", choice.StatusCode, choice.body)
			}
			back := b.post(r.server.URL+"/login/"+loginID(t, r, b)+"/cancel", url.Values{"token": {choice.formToken(t)}}).location(t)
			want := "access_denied"
			if strings.HasSuffix(c.audit, "too_low") {
				want = "unmet_authentication_requirements"
			}
			if back.Query().Get("error") != want || back.Query().Get("state") != "the state" {
				t.Errorf("the client was told %s, want %s", back, want)
			}
		})
	}
}

// loginID finds the pending login in the browser's cookies.
func loginID(t *testing.T, r *rig, b *browser) string {
	t.Helper()
	u, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if id, ok := strings.CutPrefix(c.Name, "broker_login_"); ok {
			return id
		}
	}
	t.Fatal("no login cookie")
	return ""
}

// A method that can reach low only never yields more (broker.md 8.5 rule 1).
func TestCallbackBoundsTheLevelByTheMethod(t *testing.T) {
	method := brokers.Method{ID: "weak", Level: levels.Low, Name: map[string]string{"en": "Weak"}}
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: []brokers.Method{method}}})
	code := r.login(newBrowser(t), nil, "level", "high").Get("code")
	if acr := idTokenClaims(t, r, code)["acr"]; acr != levels.Low.URI() {
		t.Errorf("acr is %v, want low", acr)
	}
}

func idTokenClaims(t testing.TB, r *rig, code string) map[string]any {
	t.Helper()
	a := r.redeem(code)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("token: %d %s", a.StatusCode, a.body)
	}
	return decodeIDToken(t, a)
}

func TestCancelledLogin(t *testing.T) {
	two := []brokers.Method{{ID: "a", Level: levels.High, Name: map[string]string{"en": "A"}}, {ID: "b", Level: levels.High, Name: map[string]string{"en": "B"}}}
	for _, c := range []struct {
		name     string
		upstream *brokertest.Upstream
		direct   bool
	}{
		{"with one method the client is told at once", &brokertest.Upstream{}, true},
		{"with several the citizen may choose another", &brokertest.Upstream{Offered: two}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{upstream: c.upstream})
			b := newBrowser(t)
			departure := r.authorize(b).location(t)
			if !c.direct {
				page := b.get(departure.String())
				departure = b.post(departure.String(), url.Values{"token": {page.formToken(t)}, "method": {"fake/b"}, "onward": {"https://idp.example"}}).location(t)
			}
			next := b.back(r, r.callback(departure, "result", "cancel")).location(t)
			if c.direct {
				if next.Query().Get("error") != "access_denied" || next.Query().Get("state") != "the state" {
					t.Errorf("got %s", next)
				}
				return
			}
			if page := b.get(next.String()); !strings.Contains(page.body, "You are not logged in") {
				t.Errorf("the citizen is not told: %s", page.body)
			}
		})
	}
}

// A POST from the upstream's site brings no cookie (SameSite=Lax). The answer is
// checked, but only the browser that began gets the code (O-54, W-22).
func TestCallbackByPostAsksForTheCookieAfterwards(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Posts: true}})
	b := newBrowser(t)
	page := r.authorize(b)
	csp := page.Header.Get("Content-Security-Policy")
	if page.StatusCode != http.StatusOK || !strings.Contains(page.body, `action="https://idp.example/login"`) ||
		!strings.Contains(csp, "form-action 'self' https://idp.example;") || !strings.Contains(csp, "script-src 'self'") {
		t.Fatalf("no form for the upstream: %s %s", csp, page.body)
	}
	relay := strings.SplitN(strings.SplitN(page.body, `name="relay" value="`, 2)[1], `"`, 2)[0]
	form := url.Values{"relay": {relay}, "level": {"substantial"}}
	cookieless := newBrowser(t)
	resume := cookieless.post(r.server.URL+"/upstream/fake/callback", form).location(t)
	if a := cookieless.get(resume.String()); a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("another browser got %d, %q", a.StatusCode, a.Header.Get("Location"))
	}
	r.wantAudit(t, "login.refused/foreign_browser")
	if b.get(resume.String()).location(t).Query().Get("code") == "" {
		t.Error("the right browser got no code")
	}
	if a := cookieless.post(r.server.URL+"/upstream/fake/callback", form); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the answer was taken twice: %d", a.StatusCode)
	}
}

// O-55: answers of two tabs complete each its own login.
func TestTwoTabsDoNotMix(t *testing.T) {
	r := newRig(t, options{})
	b := newBrowser(t)
	first, second := r.authorize(b, "state", "one").location(t), r.authorize(b, "state", "two").location(t)
	for _, c := range []struct {
		departure *url.URL
		state     string
	}{{second, "two"}, {first, "one"}} {
		back := b.back(r, r.callback(c.departure)).location(t)
		if back.Query().Get("state") != c.state || back.Query().Get("code") == "" {
			t.Errorf("got %s, want state %s", back, c.state)
		}
	}
}

// O-63: two browsers that race for one login; only the one that began it wins.
func TestOnlyTheBrowserThatBeganMayResume(t *testing.T) {
	r := newRig(t, options{})
	b := newBrowser(t)
	callback := r.callback(r.authorize(b).location(t))
	address, form, _ := strings.Cut(callback, "?")
	values, err := url.ParseQuery(form)
	if err != nil {
		t.Fatal(err)
	}
	resume := newBrowser(t).post(address, values).location(t).String() // no cookie comes from another site
	thief := newBrowser(t)
	u, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	own := loginID(t, r, b)
	r.authorize(thief)
	mine := thief.client.Jar.Cookies(u)[0].Value
	for name, cookies := range map[string][]*http.Cookie{
		"no cookie":                {},
		"own cookie, renamed":      {{Name: "broker_login_" + own, Value: mine}},
		"empty cookie":             {{Name: "broker_login_" + own, Value: ""}},
		"the login's own ID":       {{Name: "broker_login_" + own, Value: own}},
		"W-21 right one and other": {{Name: "broker_login_" + own, Value: mine}, {Name: "broker_login_" + own, Value: b.client.Jar.Cookies(u)[0].Value}},
	} {
		req, err := http.NewRequest(http.MethodGet, resume, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cookies {
			req.AddCookie(c)
		}
		if a := newBrowser(t).do(req); a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%s: status %d, location %q", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if b.get(resume).location(t).Query().Get("code") == "" {
		t.Error("the right browser got no code")
	}
}

// O-64: a finished login yields no second code, in no browser, by no step.
func TestFinishedLoginYieldsNothing(t *testing.T) {
	r := newRig(t, options{})
	b := newBrowser(t)
	departure := r.authorize(b).location(t)
	callback := r.callback(departure)
	resume := r.server.URL + "/resume/" + loginID(t, r, b)
	u, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	cookies := b.client.Jar.Cookies(u)
	if b.get(callback).location(t).Query().Get("code") == "" {
		t.Fatal("no code")
	}
	b.client.Jar.SetCookies(u, cookies) // as if the browser had kept it
	for _, target := range []string{resume, callback, strings.Replace(resume, "/resume/", "/login/", 1)} {
		a := b.get(target)
		for a.StatusCode == http.StatusSeeOther {
			a = b.get(a.location(t).String())
		}
		if a.StatusCode != http.StatusConflict && a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", target, a.StatusCode)
		}
	}
	codes := 0
	for _, reason := range r.reasons() {
		if reason == "code.issued/ok" {
			codes++
		}
	}
	if codes != 1 {
		t.Errorf("%d codes were issued, want 1", codes)
	}
}

// O-61: the finishing address without an upstream's answer.
func TestResumeBeforeTheAnswerGivesNothing(t *testing.T) {
	r := newRig(t, options{})
	b := newBrowser(t)
	r.authorize(b)
	to := b.get(r.server.URL + "/resume/" + loginID(t, r, b)).location(t)
	if !strings.HasPrefix(to.Path, "/login/") {
		t.Errorf("led to %s", to)
	}
	if a := b.get(r.server.URL + "/resume/unheard-of"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", a.StatusCode)
	}
}

func TestLoginExpires(t *testing.T) {
	r := newRig(t, options{})
	b := newBrowser(t)
	departure := r.authorize(b).location(t)
	r.clock.Add(15 * time.Minute)
	if a := b.get(r.callback(departure)); a.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", a.StatusCode)
	}
	r.wantAudit(t, "upstream.rejected/unsolicited")
}

// departedBefore is a store whose logins departed before the program was updated, when
// nothing was noted of the answer that they await.
type departedBefore struct{ provider.Store }

func (departedBefore) TakeUp(context.Context, brokers.Answer) (*brokers.Transaction, error) {
	return nil, brokers.ErrNotFound
}

// Who was at the upstream during an update gets in, once.
func TestCallbackOfLoginBeforeAnUpdate(t *testing.T) {
	r := newRig(t, options{store: departedBefore{store.NewMemory()}})
	b := newBrowser(t)
	callback := r.callback(r.authorize(b).location(t))
	if a := newBrowser(t).get(callback); a.StatusCode != http.StatusBadRequest {
		t.Errorf("in another browser: %s", a.Status)
	}
	if to := b.back(r, callback).location(t); to.Query().Get("code") == "" {
		t.Errorf("led to %s", to)
	}
	if a := b.get(callback); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a second time: %s", a.Status)
	}
}
