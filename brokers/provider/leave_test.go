package provider_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// leaverRig is a broker with sessions whose upstream has logouts.
func leaverRig(t *testing.T, u *brokertest.Leaver, client func(*provider.Client), more ...brokers.Upstream) *rig {
	t.Helper()
	return newRig(t, options{
		upstream: u.Upstream,
		client: func(c *provider.Client) {
			c.SingleSignOn, c.PostLogoutURIs = true, []string{afterLogout}
			if client != nil {
				client(c)
			}
		},
		config: func(c *provider.Config) {
			c.Upstreams = append([]brokers.Upstream{u}, more...)
			c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: 30 * time.Minute, High: 5 * time.Minute}
		},
	})
}

// logOut asks to log out with the hint of the login, and gives the first answer.
func (r *rig) logOut(b *browser, tokens answer) answer {
	b.t.Helper()
	q := url.Values{"id_token_hint": {idToken(b.t, tokens)}, "post_logout_redirect_uri": {afterLogout}, "state": {"s"}, "ui_locales": {"en"}}
	return b.get(r.server.URL + "/logout?" + q.Encode())
}

const open = "may still be open"

// What the upstream says decides what the person is told, and nothing else: the session
// here is over, and the way leads back to the portal.
func TestLogoutAtTheUpstream(t *testing.T) {
	for _, c := range []struct {
		result, reason string
		open           bool
	}{
		{"done", "upstream.logout_done/ok", false},
		{"cancel", "upstream.logout_failed/cancelled", true},
		{"partial", "upstream.logout_failed/incomplete", true},
		{"forged", "upstream.logout_failed/signature_invalid", true},
	} {
		for _, posted := range []bool{false, true} {
			u := &brokertest.Leaver{Upstream: &brokertest.Upstream{}}
			r := leaverRig(t, u, nil)
			b := newBrowser(t)
			tokens := r.redeem(r.login(b, nil, "assertion", "index-7").Get("code"))
			to := r.logOut(b, tokens).location(t)
			if to.Host != "idp.example" || to.Path != "/logout" || to.Query().Get("session") != "index-7" {
				t.Fatalf("%s: leads to %s", c.result, to)
			}
			if r.loggedIn(b) {
				t.Errorf("%s: the session lives on while the person is away", c.result)
			}
			form := url.Values{"relay": {to.Query().Get("relay")}, "result": {c.result}}
			var back answer
			if posted { // from another site: without cookies
				back = newBrowser(t).post(r.server.URL+"/upstream/fake/logout", form)
			} else {
				back = b.get(r.server.URL + "/upstream/fake/logout?" + form.Encode())
			}
			end := b.get(back.location(t).String())
			if c.open {
				if end.StatusCode != http.StatusOK || !strings.Contains(end.body, open) || !strings.Contains(end.body, "https://portal.example/bye?x=1&amp;state=s") || strings.Contains(end.body, "http-equiv") {
					t.Errorf("%s: %d %s", c.result, end.StatusCode, end.body)
				}
			} else if end.location(t).String() != afterLogout+"&state=s" {
				t.Errorf("%s leads to %s", c.result, end.location(t))
			}
			r.wantAudit(t, c.reason)
			// The answer counts once.
			if a := b.get(r.server.URL + "/upstream/fake/logout?" + form.Encode()); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: a second time: %d", c.result, a.StatusCode)
			}
			if a := b.get(back.location(t).String()); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: the end a second time: %d", c.result, a.StatusCode)
			}
			log := strings.ReplaceAll(r.log.String(), "event-index-7", "") // the event is ours to name
			if strings.Contains(log, "60001019906") || strings.Contains(log, "index-7") {
				t.Error("the log names a person or a session")
			}
		}
	}
}

// A logout belongs to its browser and to its upstream, and is no login.
func TestLogoutAtTheUpstreamIsBound(t *testing.T) {
	other := &brokertest.Leaver{Upstream: &brokertest.Upstream{Name: "other"}}
	r := leaverRig(t, &brokertest.Leaver{Upstream: &brokertest.Upstream{}}, func(c *provider.Client) { c.Methods = []string{"fake-card"} }, other)
	b := newBrowser(t)
	to := r.logOut(b, r.redeem(r.login(b, nil).Get("code"))).location(t)
	relay := to.Query().Get("relay")
	id, _, _ := strings.Cut(relay, ".")
	for name, a := range map[string]answer{
		"another browser":    newBrowser(t).get(r.server.URL + "/upstream/fake/logout?result=done&relay=" + relay),
		"another upstream":   b.get(r.server.URL + "/upstream/other/logout?result=done&relay=" + relay),
		"another relay":      b.get(r.server.URL + "/upstream/fake/logout?result=done&relay=" + id + ".x"),
		"no relay":           b.get(r.server.URL + "/upstream/fake/logout?result=done"),
		"a long relay":       b.get(r.server.URL + "/upstream/fake/logout?result=done&relay=" + strings.Repeat("x", 81)),
		"no such relay":      b.get(r.server.URL + "/upstream/fake/logout?result=done&relay=%2e%2e/x"),
		"a login's answer":   b.get(r.server.URL + "/upstream/fake/callback?level=high&relay=" + relay),
		"a login's page":     b.get(r.server.URL + "/login/" + id),
		"a login's way on":   b.get(r.server.URL + "/resume/" + id),
		"the page elsewhere": newBrowser(t).get(r.server.URL + "/logout/" + id),
		"no such page":       b.get(r.server.URL + "/logout/confirm"),
	} {
		if a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if a := b.get(r.server.URL + "/upstream/nobody/logout?relay=" + relay); a.StatusCode != http.StatusNotFound {
		t.Errorf("no such upstream: %d", a.StatusCode)
	}
	if a := b.post(r.server.URL+"/upstream/fake/logout", url.Values{"relay": {relay}, "x": {strings.Repeat("x", 400<<10)}}); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", a.StatusCode)
	}
	// A login under way cannot be answered as a logout.
	departure := r.authorize(b, "prompt", "login").location(t)
	if a := b.get(r.server.URL + "/upstream/fake/logout?result=done&relay=" + departure.Query().Get("relay")); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a login's relay: %d", a.StatusCode)
	}
	// None of it did any harm.
	if a := b.get(r.server.URL + "/logout/" + id); a.location(t).String() != to.String() {
		t.Errorf("the page leads to %s", a.location(t))
	}
	back := b.get(r.server.URL + "/upstream/fake/logout?result=done&relay=" + relay).location(t)
	if end := b.get(back.String()).location(t); end.String() != afterLogout+"&state=s" {
		t.Errorf("leads to %s", end)
	}
}

// Who comes back too late is told, and so is whoever could not be sent off at all.
func TestLogoutAtTheUpstreamThatNeverComes(t *testing.T) {
	r := leaverRig(t, &brokertest.Leaver{Upstream: &brokertest.Upstream{}}, nil)
	b := newBrowser(t)
	relay := r.logOut(b, r.redeem(r.login(b, nil).Get("code"))).location(t).Query().Get("relay")
	r.clock.Add(time.Hour)
	late := b.get(r.server.URL + "/upstream/fake/logout?result=done&relay=" + relay).location(t).String()
	if a := newBrowser(t).get(late); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a browser that never logged out: %d", a.StatusCode)
	}
	if a := b.get(late); a.StatusCode != http.StatusOK || !strings.Contains(a.body, open) {
		t.Errorf("too late: %d %s", a.StatusCode, a.body)
	}
	r.wantAudit(t, "upstream.logout_failed/expired")

	for name, c := range map[string]struct {
		err  error
		open bool
	}{"no logout there": {brokers.ErrNoLogout, false}, "out of reach": {errors.New("no metadata"), true}} {
		r := leaverRig(t, &brokertest.Leaver{Upstream: &brokertest.Upstream{}, Refuses: c.err}, nil)
		b := newBrowser(t)
		a := r.logOut(b, r.redeem(r.login(b, nil).Get("code")))
		if c.open {
			if a.StatusCode != http.StatusOK || !strings.Contains(a.body, open) || !strings.Contains(a.body, "https://portal.example/bye") {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
			r.wantAudit(t, "upstream.logout_failed/start")
		} else if a.location(t).String() != afterLogout+"&state=s" {
			t.Errorf("%s: leads to %s", name, a.location(t))
		}
		if r.loggedIn(b) {
			t.Errorf("%s: the session lives on", name)
		}
	}
}

// After the question a page leads on, since the page's policy names no upstream; a form
// goes by a page anyway; and frames come first.
func TestLogoutAtTheUpstreamByPages(t *testing.T) {
	r := leaverRig(t, &brokertest.Leaver{Upstream: &brokertest.Upstream{}}, nil)
	b := newBrowser(t)
	r.login(b, nil)
	question := b.get(r.server.URL + "/logout")
	a := b.post(r.server.URL+"/logout/confirm", url.Values{"token": {question.formToken(t)}, "answer": {"end"}})
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, "https://idp.example/logout?") || r.loggedIn(b) {
		t.Errorf("after the question: %d %s", a.StatusCode, a.body)
	}

	r = leaverRig(t, &brokertest.Leaver{Upstream: &brokertest.Upstream{Posts: true}}, func(c *provider.Client) {
		c.FrontChannelLogoutURI = "https://portal.example/front"
	})
	b = newBrowser(t)
	page := r.authorize(b)
	relay := fieldOf(t, page, "relay")
	code := b.back(r, r.server.URL+"/upstream/fake/callback?level=high&relay="+relay).location(t).Query().Get("code")
	a = r.logOut(b, r.redeem(code))
	if !strings.Contains(a.body, `<iframe src="https://portal.example/front`) || !strings.Contains(a.body, "url="+r.server.URL+"/logout/") {
		t.Fatalf("frames: %d %s", a.StatusCode, a.body)
	}
	_, rest, _ := strings.Cut(a.body, "url=")
	next, _, _ := strings.Cut(rest, `"`)
	a = b.get(next)
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, `action="https://idp.example/logout"`) || !strings.Contains(a.body, "Continue to log out") ||
		!strings.Contains(a.Header.Get("Content-Security-Policy"), "form-action 'self' https://idp.example") {
		t.Errorf("form: %d %s", a.StatusCode, a.body)
	}
	back := newBrowser(t).post(r.server.URL+"/upstream/fake/logout", url.Values{"relay": {fieldOf(t, a, "relay")}, "result": {"done"}}).location(t)
	if end := b.get(back.String()).location(t); end.String() != afterLogout+"&state=s" {
		t.Errorf("leads to %s", end)
	}
}

func fieldOf(t *testing.T, a answer, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(a.body, `name="`+name+`" value="`)
	value, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		t.Fatalf("no field %s in %s", name, a.body)
	}
	return value
}

// A session with proofs of several upstreams is ended at each of them.
func TestLogoutAtSeveralUpstreams(t *testing.T) {
	other := &brokertest.Leaver{Upstream: &brokertest.Upstream{Name: "other", Page: "https://other.example/login"}}
	r := leaverRig(t, &brokertest.Leaver{Upstream: &brokertest.Upstream{}}, nil, other)
	other.Now = r.clock.Now
	b := newBrowser(t)
	r.login2(b, "other", "assertion", "o")
	tokens := r.redeem(r.login2(b, "fake", "assertion", "f"))
	first := r.logOut(b, tokens).location(t)
	next := b.get(r.server.URL + "/upstream/fake/logout?result=partial&relay=" + first.Query().Get("relay")).location(t)
	second := b.get(next.String()).location(t)
	if first.Host != "idp.example" || second.Host != "other.example" || second.Query().Get("session") != "o" {
		t.Fatalf("%s, then %s", first, second)
	}
	last := b.get(r.server.URL + "/upstream/other/logout?result=done&relay=" + second.Query().Get("relay")).location(t)
	if a := b.get(last.String()); a.StatusCode != http.StatusOK || !strings.Contains(a.body, open) {
		t.Errorf("one did not end: %d %s", a.StatusCode, a.body)
	}
}

// login2 logs in by one of several upstreams, and gives the code.
func (r *rig) login2(b *browser, upstream string, answers ...string) string {
	b.t.Helper()
	at := r.authorize(b, "prompt", "login").location(b.t).String()
	page := b.get(at)
	form := url.Values{"token": {page.formToken(b.t)}, "method": {upstream + "/" + upstream + "-card"}, "lang": {"en"}, "onward": {"https://idp.example https://other.example"}}
	a := b.post(at, form)
	relay := ""
	if a.StatusCode == http.StatusSeeOther {
		relay = a.location(b.t).Query().Get("relay")
	} else {
		_, rest, _ := strings.Cut(a.body, "relay=")
		relay, _, _ = strings.Cut(rest, `"`)
	}
	q := with(url.Values{"relay": {relay}, "level": {"substantial"}}, answers...)
	return b.back(r, r.server.URL+"/upstream/"+upstream+"/callback?"+q.Encode()).location(b.t).Query().Get("code")
}

// The upstream's own word ends the sessions that it means, at every store; a wrong one
// ends nothing.
func TestLogoutNotice(t *testing.T) {
	for name, s := range map[string]provider.Store{"memory": store.NewMemory(), "sqlite": sqliteStore(t)} {
		t.Run(name, func(t *testing.T) {
			received := make(chan string, 10)
			rp := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
				_ = q.ParseForm() // the test looks at what came
				received <- q.PostForm.Get("logout_token")
			}))
			t.Cleanup(rp.Close)
			u := &brokertest.Leaver{Upstream: &brokertest.Upstream{}}
			r := newRig(t, options{
				upstream: u.Upstream, store: s,
				client: func(c *provider.Client) {
					c.SingleSignOn, c.BackChannelLogoutURI = true, rp.URL+"/logout"
				},
				config: func(c *provider.Config) {
					c.Upstreams = []brokers.Upstream{u, &brokertest.Upstream{Name: "plain"}}
					c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
				},
				clients: nil,
			})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { r.provider.DeliverNotices(ctx, 10*time.Millisecond); close(done) }()
			t.Cleanup(func() { cancel(); <-done })
			const one, two = "ee-ik:60001019906", "ee-ik:38001085718"
			first, second, stranger := newBrowser(t), newBrowser(t), newBrowser(t)
			tokens := r.redeem(r.login2(first, "fake", "person", one, "assertion", "s1"))
			r.login2(second, "fake", "person", one, "assertion", "s2")
			r.login2(stranger, "fake", "person", two, "assertion", "s3")
			notice := func(seal, body string) (int, string) {
				t.Helper()
				req, err := http.NewRequest(http.MethodPost, r.server.URL+"/upstream/fake/notice", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set(brokertest.NoticeSeal, seal)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, resp.Header.Get("Content-Type") + " " + string(text)
			}
			lives := func(want ...bool) {
				t.Helper()
				for k, b := range []*browser{first, second, stranger} {
					if got := r.loggedIn(b); got != want[k] {
						t.Errorf("browser %d is logged in: %t", k, got)
					}
				}
			}
			for _, c := range []struct {
				seal, body string
				status     int
			}{
				{"", "s1", http.StatusBadRequest},
				{"down", "s1", http.StatusServiceUnavailable},
				{"right", strings.Repeat("s1 ", 200<<10), http.StatusBadRequest},
			} {
				if status, text := notice(c.seal, c.body); status != c.status {
					t.Errorf("seal %q: %d %s", c.seal, status, text)
				}
			}
			if status, text := notice("right", "nobody"); status != http.StatusOK || text != "text/x-notice done" {
				t.Errorf("about nobody: %d %s", status, text)
			}
			lives(true, true, true)
			if status, text := notice("right", "s1"); status != http.StatusOK || text != "text/x-notice done" {
				t.Errorf("about a session: %d %s", status, text)
			}
			lives(false, true, true)
			token := verifiedClaims(t, r, <-received)
			if claims := decodeIDToken(t, tokens); token["sid"] != claims["sid"] || token["sub"] != claims["sub"] {
				t.Errorf("the portal was told of %v, not of %v", token, claims)
			}
			if status, _ := notice("right", one); status != http.StatusOK {
				t.Errorf("about a person: %d", status)
			}
			lives(false, false, true)
			u.Deaf = true
			if status, _ := notice("right", two); status != http.StatusNotFound {
				t.Errorf("an upstream that expects none: %d", status)
			}
			if a := first.post(r.server.URL+"/upstream/plain/notice", nil); a.StatusCode != http.StatusNotFound {
				t.Errorf("an upstream that tells nothing: %d", a.StatusCode)
			}
			lives(false, false, true)
			r.wantAudit(t, "session.ended/upstream")
			r.wantAudit(t, "upstream.notice_refused/signature_missing")
			r.wantAudit(t, "upstream.notice_failed/unavailable")
			if strings.Contains(r.log.String(), "60001019906") {
				t.Error("the log names a person")
			}
		})
	}
}
