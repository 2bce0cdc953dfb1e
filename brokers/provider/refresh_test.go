package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

func refreshing(c *provider.Client) { c.RefreshTokens = true }

// offline logs in with the scope offline_access and returns the token answer.
func (r *rig) offline(change ...string) map[string]any {
	r.t.Helper()
	code := r.login(newBrowser(r.t), append([]string{"scope", "openid name offline_access"}, change...)).Get("code")
	a := r.redeem(code)
	if a.StatusCode != http.StatusOK {
		r.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return object(r.t, a.body)
}

// call posts a form to a client endpoint, as the portal unless told otherwise.
func (r *rig) call(path string, form url.Values, change ...string) answer {
	r.t.Helper()
	form = with(form, change...)
	basic := "portal:" + secret
	if v, ok := form["basic"]; ok {
		basic = v[0]
		form.Del("basic")
	}
	req, err := http.NewRequest(http.MethodPost, r.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id, password, ok := strings.Cut(basic, ":"); ok {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(password))
	}
	return newBrowser(r.t).do(req)
}

func (r *rig) refresh(token any, change ...string) answer {
	r.t.Helper()
	text, _ := token.(string)
	return r.call("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}}, change...)
}

func (r *rig) active(token any) bool {
	r.t.Helper()
	text, _ := token.(string)
	return object(r.t, r.call("/introspect", url.Values{"token": {text}}).body)["active"] == true
}

func TestRefreshTokenNeedsRegistrationAndScope(t *testing.T) {
	r := newRig(t, options{client: refreshing})
	if a := object(t, r.redeem(r.login(newBrowser(t), nil).Get("code")).body); a["refresh_token"] != nil {
		t.Errorf("without the scope got %v", a)
	}
	r = newRig(t, options{})
	if a := r.offline(); a["refresh_token"] != nil || strings.Contains(a["scope"].(string), "offline") {
		t.Errorf("without the registration got %v", a)
	}
}

// A refresh repeats the login's facts and never renews them.
func TestRefreshKeepsTheLoginsFacts(t *testing.T) {
	r := newRig(t, options{client: refreshing})
	code := r.login(newBrowser(t), []string{"scope", "openid name offline_access"}, "level", "high").Get("code")
	first := r.redeem(code)
	before := decodeIDToken(t, first)
	r.clock.Add(time.Hour)
	a := r.refresh(object(t, first.body)["refresh_token"])
	after, second := decodeIDToken(t, a), object(t, a.body)
	for _, name := range []string{"iss", "sub", "aud", "acr", "auth_time"} {
		if before[name] != after[name] || before[name] == nil {
			t.Errorf("%s was %v and is %v", name, before[name], after[name])
		}
	}
	if after["nonce"] != nil || after["iat"] == before["iat"] || after["jti"] == before["jti"] {
		t.Errorf("got %v", after)
	}
	if second["refresh_token"] == object(t, first.body)["refresh_token"] || second["token_type"] != "Bearer" || second["scope"] != "openid name offline_access" {
		t.Errorf("got %v", second)
	}
	if info := r.userinfo(second["access_token"].(string)); object(t, info.body)["name"] == nil {
		t.Errorf("userinfo: %d %s", info.StatusCode, info.body)
	}
}

// O-42, O-43: reuse ends the family, a retry in time is no reuse.
func TestRefreshTokenReuse(t *testing.T) {
	r := newRig(t, options{client: refreshing})
	first := r.offline()
	second := object(t, r.refresh(first["refresh_token"]).body)
	r.clock.Add(9 * time.Second)
	retry := object(t, r.refresh(first["refresh_token"]).body)
	if retry["refresh_token"] != second["refresh_token"] || retry["access_token"] != second["access_token"] {
		t.Errorf("the retry got other tokens: %v, then %v", second, retry)
	}
	third := object(t, r.refresh(second["refresh_token"]).body)
	if !r.active(third["access_token"]) || r.active(second["refresh_token"]) || !r.active(third["refresh_token"]) {
		t.Error("introspection is wrong about the family")
	}
	if a := r.refresh(first["refresh_token"]); a.StatusCode != http.StatusBadRequest || object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("reuse: %d %s", a.StatusCode, a.body)
	}
	r.wantAudit(t, "refresh_token.replayed/revoked")
	if a := r.refresh(third["refresh_token"]); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the family lives on: %s", a.body)
	}
	for _, token := range []any{first["access_token"], third["access_token"]} {
		if a := r.userinfo(token.(string)); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("an access token lives on: %d", a.StatusCode)
		}
	}
}

// O-46: a broker that is killed between rotation and answer. The client asks the next one
// again and gets the very tokens that were lost, so that there is no second set of them;
// once the time for retries is over, asking again is reuse.
func TestRefreshWhoseAnswerWasLost(t *testing.T) {
	s := sqliteStore(t)
	killed := newRig(t, options{client: refreshing, store: s})
	first := killed.offline()["refresh_token"]
	lost := object(t, killed.refresh(first).body)
	r := newRig(t, options{client: refreshing, store: s, clock: killed.clock})
	r.clock.Add(9 * time.Second)
	retry := object(t, r.refresh(first).body)
	if retry["refresh_token"] == nil || retry["refresh_token"] != lost["refresh_token"] || retry["access_token"] != lost["access_token"] {
		t.Fatalf("the retry got other tokens: %v, lost were %v", retry, lost)
	}
	if r.active(first) || !r.active(retry["refresh_token"]) || !r.active(retry["access_token"]) {
		t.Error("not exactly the tokens of the rotation are good")
	}
	r.clock.Add(30 * time.Second)
	if a := r.refresh(first); a.StatusCode != http.StatusBadRequest || object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("after the time for retries: %d %s", a.StatusCode, a.body)
	}
	if r.active(retry["refresh_token"]) || r.active(retry["access_token"]) {
		t.Error("reuse ended nothing")
	}
}

// O-44, O-45
func TestRefreshRefuses(t *testing.T) {
	for _, c := range []struct {
		name          string
		before        func(r *rig)
		change        []string
		code, audited string
	}{
		{"O-44 another client", nil, []string{"basic", "other:other secret"}, "invalid_grant", "refresh_token_of_other_client"},
		{"O-44 more scope", nil, []string{"scope", "openid national_id"}, "invalid_scope", "scope_not_granted"},
		{"an unknown token", nil, []string{"refresh_token", "x"}, "invalid_grant", "refresh_token_unknown"},
		{"no token", nil, []string{"refresh_token", "-"}, "invalid_request", "refresh_token_missing"},
		{"O-45 idle too long", func(r *rig) { r.clock.Add(6 * time.Hour) }, nil, "invalid_grant", "refresh_token_unknown"},
		{"a wrong secret", nil, []string{"basic", "portal:x"}, "invalid_client", "wrong_secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{client: refreshing, clients: []provider.Client{otherClient()}})
			token := r.offline()["refresh_token"]
			if c.before != nil {
				c.before(r)
			}
			a := r.refresh(token, c.change...)
			if object(t, a.body)["error"] != c.code {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if last := r.reasons(); last[len(last)-1] != "token.refused/"+c.audited {
				t.Errorf("audit has %v, want %s", last, c.audited)
			}
			if alive := r.refresh(token).StatusCode == http.StatusOK; alive != (c.before == nil) {
				t.Errorf("afterwards the token lives: %t", alive)
			}
		})
	}
}

// O-45: however often it is used, a grant ends.
func TestRefreshEndsWithTheGrant(t *testing.T) {
	r := newRig(t, options{client: refreshing})
	token := r.offline()["refresh_token"]
	for range 4 {
		r.clock.Add(5 * time.Hour)
		a := object(t, r.refresh(token).body)
		if token = a["refresh_token"]; token == nil {
			t.Fatalf("got %v", a)
		}
	}
	r.clock.Add(4 * time.Hour)
	if a := r.refresh(token); a.StatusCode != http.StatusBadRequest {
		t.Errorf("after a day: %s", a.body)
	}
}

// O-44: a new secret ends what the old one had.
func TestRefreshTokenDiesWithTheSecret(t *testing.T) {
	s := sqliteStore(t)
	old := newRig(t, options{client: refreshing, store: s})
	token := old.offline()["refresh_token"]
	r := newRig(t, options{store: s, clock: old.clock, client: func(c *provider.Client) { refreshing(c); c.SecretHash = brokers.HashOf("new") }})
	if a := r.refresh(token, "basic", "portal:new"); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	r.wantAudit(t, "token.refused/client_secret_changed")
}

func TestRefreshNarrowsScopes(t *testing.T) {
	r := newRig(t, options{client: refreshing})
	a := object(t, r.refresh(r.offline()["refresh_token"], "scope", "openid").body)
	if a["scope"] != "openid" {
		t.Fatalf("got %v", a)
	}
	if info := r.userinfo(a["access_token"].(string)); object(t, info.body)["name"] != nil {
		t.Errorf("userinfo gives more than the scope: %s", info.body)
	}
	if again := object(t, r.refresh(a["refresh_token"]).body); again["scope"] != "openid name offline_access" {
		t.Errorf("the next one got %v", again)
	}
}

// O-39
func TestRevocationAndIntrospection(t *testing.T) {
	for _, which := range []string{"access_token", "refresh_token"} {
		r := newRig(t, options{client: refreshing, clients: []provider.Client{otherClient(), publicClient()}})
		tokens := r.offline()
		form := url.Values{"token": {tokens[which].(string)}}
		for _, basic := range []string{"", "portal:wrong", "nobody:x"} {
			if a := r.call("/introspect", form, "basic", basic); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("introspection by %q: %d", basic, a.StatusCode)
			}
			if a := r.call("/revoke", form, "basic", basic); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("revocation by %q: %d", basic, a.StatusCode)
			}
		}
		form.Del("basic")
		if a := r.call("/introspect", form, "basic", "", "client_id", "public"); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("introspection by a public client: %d", a.StatusCode)
		}
		form = url.Values{"token": {tokens[which].(string)}}
		if a := r.call("/introspect", form, "basic", "other:other secret"); a.body != `{"active":false}` {
			t.Errorf("another client learns %s", a.body)
		}
		form = url.Values{"token": {tokens[which].(string)}}
		if a := r.call("/revoke", form, "basic", "other:other secret"); a.StatusCode != http.StatusOK || !r.active(tokens[which]) {
			t.Errorf("another client revokes: %d", a.StatusCode)
		}
		form = url.Values{"token": {tokens[which].(string)}}
		info := object(t, r.call("/introspect", form).body)
		if info["active"] != true || info["client_id"] != "portal" || info["sub"] == nil || info["acr"] != "http://eidas.europa.eu/LoA/substantial" ||
			info["scope"] != "openid name offline_access" || info["token_type"] != "Bearer" || info["cnf"] != nil {
			t.Errorf("introspection: %v", info)
		}
		for range 2 {
			if a := r.call("/revoke", form); a.StatusCode != http.StatusOK || a.body != "" {
				t.Errorf("revocation: %d %s", a.StatusCode, a.body)
			}
		}
		if r.active(tokens["access_token"]) || r.active(tokens["refresh_token"]) || r.refresh(tokens["refresh_token"]).StatusCode == http.StatusOK {
			t.Errorf("after revoking the %s a token lives", which)
		}
		if !slices.Contains(r.reasons(), "token.revoked/ok") {
			t.Error("revocation is not in the audit log")
		}
	}
}
