package provider_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// O-04: what a registered redirect URI has in its query stays as it is.
func TestRedirectURIsKeepTheirQuery(t *testing.T) {
	for _, registered := range []string{
		"https://rp.example/cb?x=1", "https://rp.example/cb?x=a%20b&y==&z", "https://rp.example/cb?next=%2Fhome%3Fa%3Db", "https://rp.example/cb",
	} {
		r := newRig(t, options{client: func(c *provider.Client) { c.RedirectURIs = []string{registered} }})
		for _, refused := range []bool{false, true} {
			b := newBrowser(t)
			change := []string{"redirect_uri", registered}
			if refused {
				change = append(change, "scope", "name")
			}
			start := r.authorize(b, change...)
			to := start.location(t).String()
			if !refused {
				to = b.back(r, r.callback(start.location(t))).location(t).String()
			}
			separator := "?"
			if strings.Contains(registered, "?") {
				separator = "&"
			}
			added, ok := strings.CutPrefix(to, registered+separator)
			q, err := url.ParseQuery(added)
			if !ok || err != nil || q.Get("state") != "the state" || (q.Get("code") == "") != refused || (q.Get("error") == "") == refused {
				t.Errorf("%s became %s", registered, to)
			}
		}
	}
}

// O-11: a form is answered with 303, so that no browser posts it once more
// somewhere else.
func TestFormsAreAnsweredWithSeeOther(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}, client: func(c *provider.Client) { c.SingleSignOn = true }})
	b := newBrowser(t)
	begun := b.post(r.server.URL+"/authorize", r.request())
	login := begun.location(t).String() // asserts 303
	departed := b.post(login, url.Values{"token": {b.get(login).formToken(t)}, "method": {"fake/card"}, "onward": {"https://idp.example"}})
	address, form, _ := strings.Cut(r.callback(departed.location(t)), "?")
	values, err := url.ParseQuery(form)
	if err != nil {
		t.Fatal(err)
	}
	answered := b.post(address, values)
	done := b.get(answered.location(t).String())
	if done.location(t).Query().Get("code") == "" {
		t.Fatal("no code")
	}
	again := b.post(r.server.URL+"/authorize", with(r.request(), "prompt", "login")).location(t).String()
	b.post(again+"/cancel", url.Values{"token": {b.get(again).formToken(t)}}).location(t)
	page := b.get(r.server.URL + "/logout")
	if a := b.post(r.server.URL+"/logout/confirm", url.Values{"token": {page.formToken(t)}, "answer": {"end"}}); a.StatusCode != http.StatusOK && a.StatusCode != http.StatusSeeOther {
		t.Errorf("logging out: %d", a.StatusCode)
	}
}

// O-12, S-16, I-5: no code, token, state or cookie leaves by log, referrer or page.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}, client: func(c *provider.Client) {
		c.SingleSignOn, c.RefreshTokens, c.LevelReceipts = true, true, true
	}})
	b := newBrowser(t)
	begun := r.authorize(b, "state", "canary-state", "nonce", "canary-nonce", "login_hint", "canary-hint", "scope", "openid name national_id offline_access")
	login := begun.location(t).String()
	choice := b.get(login)
	departed := b.post(login, url.Values{"token": {choice.formToken(t)}, "method": {"fake/card"}, "onward": {"https://idp.example"}})
	back := b.back(r, r.callback(departed.location(t)))
	code := back.location(t).Query().Get("code")
	tokens := object(t, r.redeem(code).body)
	next := object(t, r.refresh(tokens["refresh_token"]).body)
	r.redeem(code)
	r.userinfo(next["access_token"].(string))
	canaries := []string{"canary", code, secret, verifier, "60001019906", "TESTMAA", "MARI"}
	for _, o := range []map[string]any{tokens, next} {
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			canaries = append(canaries, o[name].(string))
		}
	}
	for _, a := range []answer{begun, choice, departed, back} {
		for _, c := range a.Cookies() {
			if c.Value != "" {
				canaries = append(canaries, c.Value)
			}
		}
		if a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("a page of the way is kept or told: %v", a.Header)
		}
	}
	for _, canary := range canaries {
		for place, text := range map[string]string{"the log": r.log.String(), "a page": choice.body} {
			if strings.Contains(text, canary) {
				t.Errorf("%s has %q", place, canary)
			}
		}
	}
}

// O-62: a cookie that was replaced, or whose session expired, is worth nothing,
// renews nothing, and is taken from the browser.
func TestStaleSessionCookies(t *testing.T) {
	r := signingOn(t, nil)
	b, thief := newBrowser(t), newBrowser(t)
	u, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.login(b, nil, "level", "low")
	thief.client.Jar.SetCookies(u, b.client.Jar.Cookies(u))
	r.login(b, []string{"acr_values", levels.High.URI()}, "level", "high", "assertion", "b") // renews the cookie
	if r.loggedIn(thief) || !r.loggedIn(b) {
		t.Error("the replaced cookie still counts, or the new one does not")
	}
	r.login(thief, nil, "level", "low", "assertion", "c")
	if !r.loggedIn(b) {
		t.Error("a stale cookie ended a newer session")
	}
	r.clock.Add(9 * time.Hour)
	a := r.authorize(b, "prompt", "none")
	if q := a.location(t).Query(); q.Get("error") != "login_required" {
		t.Errorf("an expired session gives %v", q)
	}
	cleared := false
	for _, c := range a.Cookies() {
		cleared = cleared || c.Name == "broker_session" && c.MaxAge < 0
	}
	if !cleared {
		t.Error("the stale cookie stays in the browser")
	}
}

// failing is a store that can lose its connection.
type failing struct {
	provider.Store
	down bool
}

var errDown = errors.New("connection refused")

func (f *failing) EndSession(ctx context.Context, cookie brokers.Hash, now, until time.Time) ([]brokers.Participant, error) {
	if f.down {
		return nil, errDown
	}
	return f.Store.EndSession(ctx, cookie, now, until)
}

func (f *failing) AccessToken(ctx context.Context, access brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error) {
	if f.down {
		return nil, nil, errDown
	}
	return f.Store.AccessToken(ctx, access, now)
}

// O-71: if the store is down while a citizen logs out, the browser at least
// forgets the session, and the citizen is told. O-39: no token is taken for live
// or dead then.
func TestLoggingOutWhileTheStoreIsDown(t *testing.T) {
	s := &failing{Store: store.NewMemory()}
	r := newRig(t, options{store: s, client: func(c *provider.Client) { c.SingleSignOn = true }, config: func(c *provider.Config) {
		c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
	}})
	b := newBrowser(t)
	tokens := r.redeem(r.login(b, nil).Get("code"))
	s.down = true
	a := b.get(r.server.URL + "/logout?id_token_hint=" + idToken(t, tokens))
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "2" || !strings.Contains(a.body, "on our side") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if r.loggedIn(b) {
		t.Error("the browser is still logged in")
	}
	access := object(t, tokens.body)["access_token"]
	if a := r.call("/introspect", url.Values{"token": {access.(string)}}); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("introspection: %d %s", a.StatusCode, a.body)
	}
	if a := r.userinfo(access.(string)); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("userinfo: %d %s", a.StatusCode, a.body)
	}
}

// A step-up may go by another upstream: what counts is that it is the same
// person, by scheme and identifier; sub and sid stay.
func TestStepUpAcrossUpstreams(t *testing.T) {
	other := &brokertest.Upstream{Name: "second", Offered: []brokers.Method{{ID: "second-card", Level: levels.High, Name: map[string]string{"en": "Card"}}}}
	r := newRig(t, options{
		upstream:  &brokertest.Upstream{Offered: []brokers.Method{{ID: "app", Level: levels.Low, Name: map[string]string{"en": "App"}}}},
		upstreams: []brokers.Upstream{other},
		client:    func(c *provider.Client) { c.SingleSignOn = true },
		config: func(c *provider.Config) {
			c.Freshness = brokers.Freshness{Low: 8 * time.Hour, Substantial: 30 * time.Minute, High: 5 * time.Minute}
		},
	})
	other.Now = r.clock.Now
	b := newBrowser(t)
	login := r.authorize(b).location(t).String()
	departed := b.post(login, url.Values{"token": {b.get(login).formToken(t)}, "method": {"fake/app"}, "onward": {"https://idp.example"}}).location(t)
	first := decodeIDToken(t, r.redeem(b.back(r, r.callback(departed, "level", "low")).location(t).Query().Get("code")))
	stepUp := func(person string) url.Values {
		departed := r.authorize(b, "acr_values", levels.High.URI()).location(t)
		callback := strings.Replace(r.callback(departed, "level", "high", "person", person), "/fake/", "/second/", 1)
		a := b.back(r, callback)
		return a.location(t).Query()
	}
	if q := stepUp("ee-ik:38001085718"); q.Get("code") != "" {
		t.Errorf("another person stepped up: %v", q)
	}
	second := decodeIDToken(t, r.redeem(stepUp("ee-ik:60001019906").Get("code")))
	if second["sub"] != first["sub"] || second["sid"] != first["sid"] || second["acr"] != levels.High.URI() || second["acr"] == first["acr"] {
		t.Errorf("%v, then %v", first, second)
	}
	// Decay: high for five minutes, then what is left of it.
	for _, step := range []struct {
		after time.Duration
		acr   any
	}{{0, levels.High.URI()}, {6 * time.Minute, levels.Substantial.URI()}, {31 * time.Minute, levels.Low.URI()}, {9 * time.Hour, nil}} {
		r.clock.Add(step.after)
		q := r.authorize(b, "prompt", "none").location(t).Query()
		if step.acr == nil {
			if q.Get("error") != "login_required" {
				t.Errorf("at the end: %v", q)
			}
			continue
		}
		if got := decodeIDToken(t, r.redeem(q.Get("code"))); got["acr"] != step.acr || got["sid"] != first["sid"] {
			t.Errorf("%s later: %v, want %v", step.after, got, step.acr)
		}
	}
}

// one identifier of two schemes is two local subjects at a client, whichever
// upstream it came by; one key is one subject.
func TestOneIdentifierOfTwoSchemes(t *testing.T) {
	r := newRig(t, options{upstreams: []brokers.Upstream{&brokertest.Upstream{Name: "second"}}})
	sub := func(upstream, key string) string {
		t.Helper()
		b := newBrowser(t)
		login := r.authorize(b).location(t).String()
		departed := b.post(login, url.Values{"token": {b.get(login).formToken(t)}, "method": {upstream + "/" + upstream + "-card"}, "onward": {"https://idp.example"}}).location(t)
		callback := strings.Replace(r.callback(departed, "person", key), "/fake/", "/"+upstream+"/", 1)
		claims := decodeIDToken(t, r.redeem(b.back(r, callback).location(t).Query().Get("code")))
		name, _ := claims["sub"].(string)
		return name
	}
	first, other := sub("fake", "xx-gold:4711"), sub("second", "xx-iron:4711")
	if first == "" || other == "" || first == other {
		t.Errorf("subjects %q and %q", first, other)
	}
	if again := sub("second", "xx-gold:4711"); again != first {
		t.Errorf("one key is %q and %q", first, again)
	}
}
