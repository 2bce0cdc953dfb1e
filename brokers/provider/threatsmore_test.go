package provider_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// O-69: nobody ends a session of ours by a logout token: the broker takes none, of
// whatever shape and wherever it is sent, and the session stays. All but the first are
// well signed, by a key that a client registered.
func TestForgedLogoutTokens(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) { c.SingleSignOn, c.Keys = true, []jose.JSONWebKey{k.public()} }, config: func(c *provider.Config) {
		c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
	}})
	b := newBrowser(t)
	claims := decodeIDToken(t, r.redeem(r.login(b, nil).Get("code")))
	now := r.clock.Now()
	sound := claimSet{
		"iss": r.server.URL, "aud": "portal", "sub": claims["sub"], "sid": claims["sid"], "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"jti": "1", "events": claimSet{"http://schemas.openid.net/event/backchannel-logout": claimSet{}},
	}
	for name, change := range map[string]claimSet{
		"O-69 unsigned": nil, "O-69 another audience": {"aud": "other"}, "O-69 another issuer": {"iss": "https://evil.example"}, "O-69 a nonce": {"nonce": "x"},
		"O-69 no events": {"events": nil}, "O-69 nobody": {"sub": nil, "sid": nil}, "O-69 an old one": {"iat": now.Add(-time.Hour).Unix()}, "O-69 a sound one": {}, "O-69 a replay": {"jti": "1"},
	} {
		token := k.sign(changed(sound, change), map[jose.HeaderKey]any{"typ": "logout+jwt"})
		if change == nil {
			token = unsigned("none")(token[:strings.LastIndex(token, ".")+1])
		}
		for _, path := range []string{"/logout", "/logout/confirm", "/upstream/fake/callback", "/upstream/fake/logout", "/backchannel_logout", "/revoke"} {
			req, err := http.NewRequest(http.MethodPost, r.server.URL+path, strings.NewReader(url.Values{"logout_token": {token}, "token": {token}}.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if a := newBrowser(t).do(req); a.StatusCode == http.StatusNoContent || a.StatusCode == http.StatusOK && !strings.HasPrefix(path, "/logout") {
				t.Errorf("%s at %s: %d", name, path, a.StatusCode)
			}
			if path == "/logout" || path == "/logout/confirm" { // also from the browser that has the session
				b.post(r.server.URL+path, url.Values{"logout_token": {token}, "token": {token}})
			}
		}
		if !r.loggedIn(b) {
			t.Fatalf("%s ended the session", name)
		}
	}
}

// S-10: no parameter reaches the database but as a value: what would be SQL changes
// nothing and finds nothing, in any parameter of any endpoint.
func TestInjections(t *testing.T) {
	r := newRig(t, options{store: sqliteStore(t), client: func(c *provider.Client) { c.RefreshTokens, c.DeviceFlow = true, true }})
	tokens := object(t, r.redeem(r.login(newBrowser(t), []string{"scope", "openid offline_access"}).Get("code")).body)
	b := newBrowser(t)
	for _, evil := range []string{
		`' OR '1'='1`, `'; DROP TABLE grants; --`, `" OR ""="`, `%`, `_`, `\`, `') UNION SELECT data FROM sessions --`, `1); DELETE FROM assertions; --`,
		"a' COLLATE NOCASE --", "99999999999999999999999999", "-1", "0x0", "$1", "?", ":id", "x\u0000y", "\u2019 OR 1=1", strings.Repeat("'", 900),
	} {
		for name := range r.request() {
			if a := r.authorize(b, name, evil); a.StatusCode >= 500 {
				t.Errorf("authorize %s=%q: %d", name, evil, a.StatusCode)
			}
		}
		for path, form := range map[string]url.Values{
			"/token": {"grant_type": {"authorization_code"}, "code": {evil}, "code_verifier": {verifier}, "redirect_uri": {redirectURI}}, "/introspect": {"token": {evil}},
			"/revoke": {"token": {evil}}, "/par": with(r.request(), "client_id", evil),
		} {
			if a := r.call(path, form); a.StatusCode >= 500 || a.StatusCode == http.StatusOK && strings.Contains(a.body, `"active":true`) {
				t.Errorf("%s with %q: %d %s", path, evil, a.StatusCode, a.body)
			}
		}
		if a := r.refresh(evil); a.StatusCode != http.StatusBadRequest {
			t.Errorf("refresh token %q: %d", evil, a.StatusCode)
		}
		if a := r.userinfo(url.QueryEscape(evil)); a.StatusCode != http.StatusUnauthorized && a.StatusCode != http.StatusBadRequest {
			t.Errorf("access token %q: %d", evil, a.StatusCode)
		}
		for _, path := range []string{"/login/", "/resume/", "/receipts/"} {
			if a := b.get(r.server.URL + path + url.PathEscape(evil)); a.StatusCode < 400 || a.StatusCode >= 500 {
				t.Errorf("%s%q: %d", path, evil, a.StatusCode)
			}
		}
		if a := b.get(r.server.URL + "/device?user_code=" + url.QueryEscape(evil)); a.StatusCode >= 500 {
			t.Errorf("user code %q: %d", evil, a.StatusCode)
		}
	}
	if !r.active(tokens["access_token"]) || r.refresh(tokens["refresh_token"]).StatusCode != http.StatusOK {
		t.Error("what was there before is not there any more")
	}
}

// S-31, scaled from 72 hours to thousands of logins: neither goroutines nor memory
// grow with the number of logins.
func TestLoginsLeaveNothingInTheProcess(t *testing.T) {
	r := newRig(t, options{store: sqliteStore(t), config: func(c *provider.Config) { c.Log = slog.New(slog.DiscardHandler) }})
	measure := func(logins int) (heap uint64, goroutines int) {
		for range logins {
			if token, status := r.tryLogin(t); token == nil {
				t.Fatalf("a login failed: %d", status)
			}
			r.clock.Add(30 * time.Second)
		}
		http.DefaultClient.CloseIdleConnections()
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	measure(200) // caches are full
	heap, goroutines := measure(300)
	after, more := measure(1500)
	t.Logf("heap %d, then %d bytes; goroutines %d, then %d", heap, after, goroutines, more)
	if float64(more) > float64(goroutines)*1.05+10 {
		t.Errorf("goroutines grew from %d to %d", goroutines, more)
	}
	if after > heap+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes over 1,500 logins", heap, after)
	}
}
