package provider_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

const afterLogout = "https://portal.example/bye?x=1"

// signingOn is a rig with sessions whose client may send citizens on after
// logging out.
func signingOn(t *testing.T, change func(*provider.Client)) *rig {
	t.Helper()
	return newRig(t, options{
		client: func(c *provider.Client) {
			c.SingleSignOn, c.PostLogoutURIs, c.RefreshTokens = true, []string{afterLogout}, true
			if change != nil {
				change(c)
			}
		},
		clients: []provider.Client{otherClient()},
		config: func(c *provider.Config) {
			c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: 30 * time.Minute, High: 5 * time.Minute}
		},
	})
}

func (r *rig) loggedIn(b *browser) bool {
	b.t.Helper()
	return r.authorize(b, "prompt", "none").location(b.t).Query().Get("code") != ""
}

func idToken(t testing.TB, a answer) string {
	t.Helper()
	text, _ := object(t, a.body)["id_token"].(string)
	return text
}

// RP-initiated logout with the hint of this very session: at once.
func TestLogoutWithItsOwnHint(t *testing.T) {
	r := signingOn(t, nil)
	b := newBrowser(t)
	tokens := r.redeem(r.login(b, []string{"scope", "openid offline_access"}).Get("code"))
	hint := idToken(t, tokens)
	r.clock.Add(20 * time.Minute) // the hint has long expired
	q := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {afterLogout}, "state": {"a b"}}
	for method, ask := range map[string]func() answer{
		"GET": func() answer { return b.get(r.server.URL + "/logout?" + q.Encode()) },
	} {
		if to := ask().location(t); to.String() != afterLogout+"&state=a+b" {
			t.Errorf("%s leads to %s", method, to)
		}
	}
	if r.loggedIn(b) {
		t.Error("the session lives on")
	}
	if a := r.refresh(object(t, tokens.body)["refresh_token"]); a.StatusCode != http.StatusBadRequest {
		t.Errorf("O-44 the refresh token lives on: %d", a.StatusCode)
	}
	r.wantAudit(t, "session.ended/logout")
	// A second time there is nothing to end, and the way back is the same.
	if to := b.post(r.server.URL+"/logout", q).location(t); to.String() != afterLogout+"&state=a+b" {
		t.Errorf("again leads to %s", to)
	}
}

// O-17: a code does not outlive the session it was issued in.
func TestCodeDiesWithTheSession(t *testing.T) {
	r := signingOn(t, nil)
	b := newBrowser(t)
	hint := idToken(t, r.redeem(r.login(b, nil).Get("code")))
	code := r.authorize(b).location(t).Query().Get("code")
	b.get(r.server.URL + "/logout?" + url.Values{"id_token_hint": {hint}}.Encode())
	if a := r.redeem(code); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// O-67: whoever has no such hint has to ask the citizen.
func TestLogoutAsks(t *testing.T) {
	r := signingOn(t, nil)
	stranger := newBrowser(t)
	foreign := idToken(t, r.redeem(r.login(stranger, nil, "person", "ee-ik:38001085718").Get("code")))
	for name, q := range map[string]url.Values{
		"no parameters":       {},
		"a client":            {"client_id": {"portal"}, "post_logout_redirect_uri": {afterLogout}},
		"another user's hint": {"id_token_hint": {foreign}, "post_logout_redirect_uri": {afterLogout}},
	} {
		b := newBrowser(t)
		r.login(b, nil)
		a := b.get(r.server.URL + "/logout?" + q.Encode())
		if a.StatusCode != http.StatusOK || !r.loggedIn(b) {
			t.Fatalf("%s: %d, ended without asking: %t", name, a.StatusCode, !r.loggedIn(b))
		}
		token := a.formToken(t)
		confirm := func(change ...string) answer {
			form := url.Values{"token": {token}, "answer": {"end"}}
			for n, v := range q {
				form[n] = v
			}
			return b.post(r.server.URL+"/logout/confirm", with(form, change...))
		}
		if a := confirm("token", "x"); a.StatusCode != http.StatusForbidden || !r.loggedIn(b) {
			t.Errorf("%s: a forged form: %d", name, a.StatusCode)
		}
		if a := confirm("answer", "stay"); !r.loggedIn(b) {
			t.Errorf("%s: declined and ended: %d", name, a.StatusCode)
		}
		if a := confirm("post_logout_redirect_uri", "https://evil.example"); a.StatusCode != http.StatusBadRequest || !r.loggedIn(b) {
			t.Errorf("%s: another address in the form: %d", name, a.StatusCode)
		}
		confirm()
		if r.loggedIn(b) {
			t.Errorf("%s: confirmed and not ended", name)
		}
		if !r.loggedIn(stranger) {
			t.Errorf("%s: another browser's session ended", name)
		}
	}
}

// O-10, O-67, O-68: no redirection, and nothing ends.
func TestLogoutRefuses(t *testing.T) {
	r := signingOn(t, nil)
	b := newBrowser(t)
	hint := idToken(t, r.redeem(r.login(b, nil).Get("code")))
	parts := strings.Split(hint, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	altered := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "portal", "potral", 1))) + "." + parts[2]
	foreign := newClientKey(t, jose.ES256).sign(claimSet{"iss": r.server.URL, "aud": "portal", "sub": "x"}, map[jose.HeaderKey]any{"typ": "JWT"})
	for name, c := range map[string]struct {
		change []string
		reason string
	}{
		"an altered hint":           {[]string{"id_token_hint", altered}, "id_token_hint"},
		"a foreign hint":            {[]string{"id_token_hint", foreign}, "id_token_hint"},
		"no JWT as hint":            {[]string{"id_token_hint", "x"}, "id_token_hint"},
		"O-23 unsigned hint":        {[]string{"id_token_hint", unsigned("none")(hint)}, "id_token_hint"},
		"another client":            {[]string{"client_id", "other"}, "hint_of_other_client"},
		"unregistered":              {[]string{"post_logout_redirect_uri", "https://evil.example"}, "post_logout_redirect_uri"},
		"added query":               {[]string{"post_logout_redirect_uri", afterLogout + "&y=2"}, "post_logout_redirect_uri"},
		"another path":              {[]string{"post_logout_redirect_uri", "https://portal.example/bye/"}, "post_logout_redirect_uri"},
		"scheme-relative":           {[]string{"post_logout_redirect_uri", "//evil.example"}, "post_logout_redirect_uri"},
		"backslash":                 {[]string{"post_logout_redirect_uri", "/\\evil.example"}, "post_logout_redirect_uri"},
		"redirect URI of login":     {[]string{"post_logout_redirect_uri", redirectURI}, "post_logout_redirect_uri"},
		"an address without client": {[]string{"id_token_hint", "-"}, "client_missing"},
	} {
		q := with(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {afterLogout}}, c.change...)
		if a := b.get(r.server.URL + "/logout?" + q.Encode()); a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.Header.Get("Location"))
		}
		r.wantAudit(t, "logout.refused/"+c.reason)
	}
	if !r.loggedIn(b) {
		t.Error("a refused logout ended the session")
	}
}

// Back-channel logout: a token for each client, for its own subject and sid,
// delivered once it answers.
func TestBackChannelLogout(t *testing.T) {
	received := make(chan url.Values, 10)
	status := make(chan int, 10)
	rp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_ = q.ParseForm() // the test looks at what came
		received <- q.PostForm
		w.WriteHeader(<-status)
	}))
	t.Cleanup(rp.Close)
	r := signingOn(t, func(c *provider.Client) { c.BackChannelLogoutURI = rp.URL + "/logout" })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.provider.DeliverNotices(ctx, 10*time.Millisecond); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	b := newBrowser(t)
	tokens := r.redeem(r.login(b, nil).Get("code"))
	r.authorize(b).location(t) // twice at one client is one notice
	claims := decodeIDToken(t, tokens)
	status <- http.StatusInternalServerError
	status <- http.StatusNoContent
	b.get(r.server.URL + "/logout?" + url.Values{"id_token_hint": {idToken(t, tokens)}}.Encode())
	first := verifiedClaims(t, r, (<-received).Get("logout_token"))
	for range 12_000 { // until the failure has been noted
		if strings.Contains(r.log.String(), "notice.failed") {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	r.clock.Add(5 * time.Second)
	second := <-received
	got := verifiedClaims(t, r, second.Get("logout_token"))
	if got["sub"] != claims["sub"] || got["sid"] != claims["sid"] || got["aud"] != "portal" || got["iss"] != r.server.URL || got["nonce"] != "" ||
		got["events"] != `{"http://schemas.openid.net/event/backchannel-logout":{}}` || got["jti"] == first["jti"] || got["iat"] == "" {
		t.Errorf("got %v", got)
	}
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(second.Get("logout_token"), ".")[0])
	if err != nil || object(t, string(header))["typ"] != "logout+jwt" {
		t.Errorf("header %s", header)
	}
	if as := r.call("/token", url.Values{"grant_type": {"authorization_code"}, "code": {second.Get("logout_token")}}); as.StatusCode != http.StatusBadRequest {
		t.Error("O-28 a logout token is taken as a code")
	}
	if a := b.get(r.server.URL + "/logout?" + url.Values{"id_token_hint": {second.Get("logout_token")}}.Encode()); a.StatusCode != http.StatusBadRequest {
		t.Errorf("O-28 a logout token is taken as hint: %d", a.StatusCode)
	}
}

// O-70, O-77: notices never go inside, unless we are inside.
func TestNoticesGoToPublicAddressesOnly(t *testing.T) {
	reached := make(chan struct{}, 1)
	rp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	t.Cleanup(rp.Close)
	for _, address := range []string{rp.URL, "http://169.254.169.254/", "http://10.0.0.1/", "http://[::1]:1/", "http://0.0.0.0:1/"} {
		resp, err := provider.GuardedClient(false).Get(address)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s was reached", address)
		} else if !strings.Contains(err.Error(), "not public") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(reached) > 0 {
		t.Error("a request went through")
	}
}

func TestFrontChannelLogout(t *testing.T) {
	r := signingOn(t, func(c *provider.Client) { c.FrontChannelLogoutURI = "https://portal.example/front?a=1" })
	b := newBrowser(t)
	tokens := r.redeem(r.login(b, nil).Get("code"))
	sid, _ := decodeIDToken(t, tokens)["sid"].(string)
	a := b.get(r.server.URL + "/logout?" + url.Values{"id_token_hint": {idToken(t, tokens)}, "post_logout_redirect_uri": {afterLogout}}.Encode())
	want := "https://portal.example/front?a=1&amp;iss=" + url.QueryEscape(r.server.URL) + "&amp;sid=" + sid
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, `<iframe src="`+want+`"`) || !strings.Contains(a.body, "url=https://portal.example/bye") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if csp := a.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-src https://portal.example") {
		t.Errorf("policy %s", csp)
	}
	if r.loggedIn(b) {
		t.Error("the session lives on")
	}
}

// Step-up: the same person keeps sub and sid; another one is stopped and has to
// say so (O-60; broker.md 8.5 rule 9).
func TestStepUpIsByTheSamePerson(t *testing.T) {
	const high = "http://eidas.europa.eu/LoA/high"
	const one, two = "ee-ik:60001019906", "ee-ik:38001085718"
	r := signingOn(t, nil)
	b := newBrowser(t)
	first := decodeIDToken(t, r.redeem(r.login(b, nil, "person", one, "level", "low").Get("code")))
	again := decodeIDToken(t, r.redeem(r.login(b, []string{"acr_values", high}, "person", one, "level", "high", "assertion", "b").Get("code")))
	if again["sub"] != first["sub"] || again["sid"] != first["sid"] || again["acr"] != high || first["sid"] == nil {
		t.Errorf("first %v, then %v", first, again)
	}
	r.clock.Add(6 * time.Minute) // high has decayed
	departure := r.authorize(b, "acr_values", high).location(t)
	login := r.server.URL + "/login/" + loginID(t, r, b)
	page := b.get(b.back(r, r.callback(departure, "person", two, "level", "high", "assertion", "c")).location(t).String())
	if !strings.Contains(page.body, "another person") && !strings.Contains(page.body, "This is another person") {
		t.Fatalf("got %d %s", page.StatusCode, page.body)
	}
	r.wantAudit(t, "login.refused/other_person")
	if !r.loggedIn(b) {
		t.Error("the earlier session ended")
	}
	// The other person goes on, and gets a session of their own.
	method := url.Values{"token": {page.formToken(t)}, "method": {"fake/fake-card"}, "switch": {"yes"}, "onward": {"https://idp.example"}, "lang": {"en"}}
	departure = b.post(login, method).location(t)
	other := decodeIDToken(t, r.redeem(b.back(r, r.callback(departure, "person", two, "level", "high", "assertion", "d")).location(t).Query().Get("code")))
	if other["sub"] == first["sub"] || other["sid"] == first["sid"] {
		t.Errorf("the other person got %v", other)
	}
}

func TestIDTokenHintAtAuthorization(t *testing.T) {
	const one, two = "ee-ik:60001019906", "ee-ik:38001085718"
	r := signingOn(t, nil)
	b, stranger := newBrowser(t), newBrowser(t)
	hint := idToken(t, r.redeem(r.login(b, nil, "person", one).Get("code")))
	foreign := idToken(t, r.redeem(r.login(stranger, nil, "person", two).Get("code")))
	for _, c := range []struct {
		name, hint string
		want       string
	}{
		{"of the session's person", hint, "code"},
		{"O-06 of another person", foreign, "login_required"},
		{"of nobody", "x", "invalid_request"},
	} {
		q := r.authorize(b, "prompt", "none", "id_token_hint", c.hint).location(t).Query()
		got := q.Get("error")
		if q.Get("code") != "" {
			got = "code"
		}
		if got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if got := r.login(newBrowser(t), []string{"id_token_hint", hint}, "person", two, "assertion", "z").Get("error"); got != "access_denied" {
		t.Errorf("another person logged in: %q", got)
	}
	if got := r.login(newBrowser(t), []string{"id_token_hint", hint}, "person", one, "assertion", "y").Get("code"); got == "" {
		t.Error("the person of the hint got no code")
	}
}
