package loadtarget_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/loadtarget"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// suite drives a target as the conformance suites of the OpenID Foundation do:
// from outside, with what the target prints.
type suite struct {
	t *testing.T
	loadtarget.Description
	clock *brokertest.Clock
	// logout is the last logout token that the client was sent.
	logout chan string
}

// sharedSecrets are the same for all: RSA keys are slow to make.
var sharedSecrets = sync.OnceValues(loadtarget.NewSecrets)

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{t: t, clock: brokertest.NewClock(time.Now()), logout: make(chan string, 4)}
	var target *loadtarget.Target
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { target.ServeHTTP(w, r) }))
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { s.logout <- r.FormValue("logout_token") }))
	t.Cleanup(server.Close)
	t.Cleanup(receiver.Close)
	secrets, err := sharedSecrets()
	if err != nil {
		t.Fatal(err)
	}
	target, err = loadtarget.New(loadtarget.Options{
		Issuer: server.URL, Store: store.NewMemory(), Secrets: secrets, BackChannelLogoutURI: receiver.URL, Now: s.clock.Now,
		RedirectURIs: []string{"https://rp.example/cb", "https://rp.example/cb?a=b"}, PostLogoutURIs: []string{"https://rp.example/bye"},
	})
	if err != nil {
		t.Fatal(err)
	}
	go target.DeliverNotices(t.Context(), time.Minute)
	s.Description = target.Describe()
	return s
}

// userAgent is a browser that stops at the client.
func (s *suite) userAgent() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "rp.example" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func (s *suite) do(client *http.Client, req *http.Request) (*http.Response, string) {
	s.t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

func (s *suite) request(method, target string, form url.Values) *http.Request {
	s.t.Helper()
	body := ""
	if method == http.MethodPost {
		body = form.Encode()
	} else if len(form) > 0 {
		target += "?" + form.Encode()
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req
}

// parameters of an authorization request; a change to "-" removes one.
func (s *suite) parameters(change ...string) url.Values {
	q := url.Values{
		"client_id": {s.ID}, "redirect_uri": {"https://rp.example/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"st"}, "nonce": {"no"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		if q.Set(change[i], change[i+1]); change[i+1] == "-" {
			q.Del(change[i])
		}
	}
	return q
}

// authorize returns what came back to the client, or the status of the page on
// which the browser stayed.
func (s *suite) authorize(browser *http.Client, change ...string) (url.Values, int) {
	s.t.Helper()
	resp, _ := s.do(browser, s.request(http.MethodGet, s.Issuer+"/authorize", s.parameters(change...)))
	return s.landed(resp), resp.StatusCode
}

func (s *suite) landed(resp *http.Response) url.Values {
	to, err := resp.Location()
	if err != nil || to.Host != "rp.example" {
		return url.Values{}
	}
	q := to.Query()
	if q.Get("iss") != s.Issuer {
		s.t.Errorf("the response names the issuer %q", q.Get("iss"))
	}
	return q
}

// token asks the token endpoint as the first client.
func (s *suite) token(form url.Values) (int, map[string]any) {
	s.t.Helper()
	req := s.request(http.MethodPost, s.Issuer+"/token", form)
	if !form.Has("client_secret") {
		req.SetBasicAuth(url.QueryEscape(s.ID), url.QueryEscape(s.Secret))
	}
	resp, body := s.do(http.DefaultClient, req)
	if resp.Header.Get("Cache-Control") != "no-store" {
		s.t.Error("the token endpoint's answer may be stored")
	}
	return resp.StatusCode, s.object(body)
}

func (s *suite) object(text string) map[string]any {
	s.t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		s.t.Fatalf("%v in %q", err, text)
	}
	return o
}

func (s *suite) code(code string, more ...string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"https://rp.example/cb"}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// session is a login with its tokens and the verified claims of its ID token.
type session struct {
	tokens, claims map[string]any
	access         string
}

func (s *suite) login(browser *http.Client, change ...string) session {
	s.t.Helper()
	q, status := s.authorize(browser, change...)
	if q.Get("code") == "" || q.Get("state") != "st" {
		s.t.Fatalf("came back with %v, status %d", q, status)
	}
	status, tokens := s.token(s.code(q.Get("code")))
	if status != http.StatusOK {
		s.t.Fatalf("token endpoint: %d %v", status, tokens)
	}
	raw, _ := tokens["id_token"].(string)
	provider, err := oidc.NewProvider(context.Background(), s.Issuer)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: s.ID, Now: s.clock.Now}).Verify(context.Background(), raw)
	if err != nil {
		s.t.Fatal(err)
	}
	out := session{tokens: tokens, claims: map[string]any{}}
	if err := id.Claims(&out.claims); err != nil {
		s.t.Fatal(err)
	}
	out.access, _ = tokens["access_token"].(string)
	if err := id.VerifyAccessToken(out.access); err != nil {
		s.t.Error(err)
	}
	return out
}

func (s *suite) userinfo(access string) (int, map[string]any) {
	s.t.Helper()
	req := s.request(http.MethodGet, s.Issuer+"/userinfo", nil)
	req.Header.Set("Authorization", "Bearer "+access)
	resp, body := s.do(http.DefaultClient, req)
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, s.object(body)
}

// O-83: the modules of the Basic, Form Post and Config plans of the OpenID
// Foundation's suite, in our words and under their names. The suite itself cannot
// be had in continuous integration; CONFORMANCE.md says how it was run.
func TestBasicConformance(t *testing.T) {
	for name, run := range map[string]func(*suite){
		"oidcc-server": func(s *suite) {
			got := s.login(s.userAgent())
			if got.claims["nonce"] != "no" || got.claims["iss"] != s.Issuer || got.claims["aud"] != s.ID || got.tokens["token_type"] != "Bearer" {
				s.t.Errorf("got %v, %v", got.tokens, got.claims)
			}
		},
		"oidcc-response-type-missing": func(s *suite) {
			if q, _ := s.authorize(s.userAgent(), "response_type", "-"); q.Get("error") != "invalid_request" || q.Get("state") != "st" {
				s.t.Errorf("got %v", q)
			}
		},
		"oidcc-unknown-response-type": func(s *suite) {
			for _, kind := range []string{"token", "code id_token", "id_token token", "none", "codes"} {
				if q, _ := s.authorize(s.userAgent(), "response_type", kind); q.Get("error") != "unsupported_response_type" {
					s.t.Errorf("%s: %v", kind, q)
				}
			}
		},
		"oidcc-userinfo": func(s *suite) {
			got := s.login(s.userAgent())
			for _, way := range []func() *http.Request{
				func() *http.Request { return s.request(http.MethodGet, s.Issuer+"/userinfo", nil) },
				func() *http.Request { return s.request(http.MethodPost, s.Issuer+"/userinfo", url.Values{}) },
				func() *http.Request {
					return s.request(http.MethodPost, s.Issuer+"/userinfo", url.Values{"access_token": {got.access}})
				},
			} {
				req := way()
				if req.Method == http.MethodGet || req.ContentLength == 0 {
					req.Header.Set("Authorization", "Bearer "+got.access)
				}
				if resp, body := s.do(http.DefaultClient, req); resp.StatusCode != http.StatusOK || s.object(body)["sub"] != got.claims["sub"] {
					s.t.Errorf("%s: %d %s", req.Method, resp.StatusCode, body)
				}
			}
		},
		"oidcc-ensure-request-without-nonce-succeeds-for-code-flow": func(s *suite) {
			if got := s.login(s.userAgent(), "nonce", "-"); got.claims["nonce"] != nil {
				s.t.Errorf("got %v", got.claims)
			}
		},
		"oidcc-scope": func(s *suite) {
			for scope, claims := range map[string][]string{
				"openid profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
				"openid email":   {"email", "email_verified"}, "openid address": {"address"}, "openid phone": {"phone_number", "phone_number_verified"}, "openid": {},
			} {
				got := s.login(s.userAgent(), "scope", scope)
				_, person := s.userinfo(got.access)
				for _, claim := range claims {
					if person[claim] == nil {
						s.t.Errorf("%s gives no %s", scope, claim)
					}
				}
				if len(person) != len(claims)+1 {
					s.t.Errorf("%s gives %v", scope, person)
				}
			}
		},
		"oidcc-display-and-locales": func(s *suite) {
			for _, change := range [][]string{{"display", "page"}, {"display", "popup"}, {"ui_locales", "sv fr"}, {"claims_locales", "sv"}, {"unknown", "x"}, {"login_hint", "someone@example.com"}} {
				s.login(s.userAgent(), change...)
			}
		},
		"oidcc-prompt-login": func(s *suite) {
			browser := s.userAgent()
			first := s.login(browser)
			s.clock.Add(3 * time.Second)
			second := s.login(browser, "prompt", "login")
			if second.claims["auth_time"].(float64) <= first.claims["auth_time"].(float64) || second.claims["sub"] != first.claims["sub"] {
				s.t.Errorf("%v, then %v", first.claims, second.claims)
			}
		},
		"oidcc-prompt-none": func(s *suite) {
			browser := s.userAgent()
			if q, _ := s.authorize(browser, "prompt", "none"); q.Get("error") != "login_required" {
				s.t.Errorf("not logged in: %v", q)
			}
			first := s.login(browser)
			s.clock.Add(time.Second)
			if second := s.login(browser, "prompt", "none"); second.claims["sub"] != first.claims["sub"] || second.claims["auth_time"] != first.claims["auth_time"] {
				s.t.Errorf("%v, then %v", first.claims, second.claims)
			}
			raw, _ := first.tokens["id_token"].(string)
			if second := s.login(browser, "prompt", "none", "id_token_hint", raw); second.claims["sub"] != first.claims["sub"] {
				s.t.Errorf("with hint: %v", second.claims)
			}
		},
		"oidcc-max-age": func(s *suite) {
			browser := s.userAgent()
			first := s.login(browser)
			s.clock.Add(2 * time.Second)
			if kept := s.login(browser, "max_age", "10000"); kept.claims["auth_time"] != first.claims["auth_time"] {
				s.t.Errorf("10000: %v, then %v", first.claims, kept.claims)
			}
			if anew := s.login(browser, "max_age", "1"); anew.claims["auth_time"].(float64) <= first.claims["auth_time"].(float64) || anew.claims["sub"] != first.claims["sub"] {
				s.t.Errorf("1: %v, then %v", first.claims, anew.claims)
			}
		},
		"oidcc-ensure-request-with-acr-values-succeeds": func(s *suite) {
			resp, body := s.do(http.DefaultClient, s.request(http.MethodGet, s.Issuer+"/.well-known/openid-configuration", nil))
			if resp.StatusCode != http.StatusOK {
				s.t.Fatal(resp.Status)
			}
			var asked []string
			for _, v := range s.object(body)["acr_values_supported"].([]any)[:2] {
				asked = append(asked, v.(string))
			}
			if got := s.login(s.userAgent(), "acr_values", strings.Join(asked, " ")); !slices.Contains(asked, got.claims["acr"].(string)) {
				s.t.Errorf("asked %v, got %v", asked, got.claims["acr"])
			}
			high := "http://eidas.europa.eu/LoA/high"
			if got := s.login(s.userAgent(), "claims", `{"id_token":{"acr":{"essential":true,"values":["`+high+`"]}}}`); got.claims["acr"] != high {
				s.t.Errorf("essential: %v", got.claims["acr"])
			}
			if q, _ := s.authorize(s.userAgent(), "claims", `{"id_token":{"acr":{"essential":true,"values":["unknown"]}}}`); q.Get("error") != "unmet_authentication_requirements" {
				s.t.Errorf("unknown and essential: %v", q)
			}
		},
		"oidcc-codereuse": func(s *suite) {
			for _, wait := range []time.Duration{0, 31 * time.Second} {
				q, _ := s.authorize(s.userAgent())
				_, tokens := s.token(s.code(q.Get("code")))
				s.clock.Add(wait)
				if status, again := s.token(s.code(q.Get("code"))); status != http.StatusBadRequest || again["error"] != "invalid_grant" {
					s.t.Errorf("after %s: %d %v", wait, status, again)
				}
				if status, _ := s.userinfo(tokens["access_token"].(string)); status != http.StatusUnauthorized {
					s.t.Errorf("after %s the token lives: %d", wait, status)
				}
			}
		},
		"oidcc-ensure-registered-redirect-uri": func(s *suite) {
			for _, uri := range []string{"-", "https://rp.example/cb/x", "https://rp.example/cb?a=c", "https://rp.example/cb?a=b&c=d", "https://evil.example/cb"} {
				if q, status := s.authorize(s.userAgent(), "redirect_uri", uri); status != http.StatusBadRequest || len(q) > 0 {
					s.t.Errorf("%s: %d %v", uri, status, q)
				}
			}
			if q, _ := s.authorize(s.userAgent(), "redirect_uri", "https://rp.example/cb?a=b"); q.Get("a") != "b" || q.Get("code") == "" {
				s.t.Errorf("a registered query: %v", q)
			}
		},
		"oidcc-ensure-post-request-succeeds": func(s *suite) {
			resp, _ := s.do(s.userAgent(), s.request(http.MethodPost, s.Issuer+"/authorize", s.parameters()))
			if s.landed(resp).Get("code") == "" {
				s.t.Errorf("status %d", resp.StatusCode)
			}
		},
		"oidcc-server-client-secret-post": func(s *suite) {
			q, _ := s.authorize(s.userAgent())
			if status, tokens := s.token(s.code(q.Get("code"), "client_id", s.ID, "client_secret", s.Secret)); status != http.StatusOK {
				s.t.Errorf("%d %v", status, tokens)
			}
		},
		"oidcc-unsigned-request-object": func(s *suite) {
			unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"scope":"openid"}`)) + "."
			if q, _ := s.authorize(s.userAgent(), "request", unsigned); q.Get("error") != "invalid_request_object" {
				s.t.Errorf("got %v", q)
			}
			if q, _ := s.authorize(s.userAgent(), "request_uri", "https://rp.example/request.jwt"); q.Get("error") != "request_uri_not_supported" {
				s.t.Errorf("got %v", q)
			}
		},
		"oidcc-claims-essential": func(s *suite) {
			got := s.login(s.userAgent(), "claims", `{"userinfo":{"name":{"essential":true}}}`)
			if _, person := s.userinfo(got.access); person["name"] == nil {
				s.t.Errorf("got %v", person)
			}
		},
		"oidcc-refresh-token": func(s *suite) {
			first := s.login(s.userAgent(), "scope", "openid offline_access", "prompt", "consent")
			refresh := func(token any) (int, map[string]any) {
				text, _ := token.(string)
				return s.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}})
			}
			status, second := refresh(first.tokens["refresh_token"])
			if status != http.StatusOK || second["id_token"] == nil || second["access_token"] == first.access {
				s.t.Fatalf("%d %v", status, second)
			}
			req := s.request(http.MethodPost, s.Issuer+"/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second["refresh_token"].(string)}})
			req.SetBasicAuth(url.QueryEscape(s.Second.ID), url.QueryEscape(s.Second.Secret))
			if resp, body := s.do(http.DefaultClient, req); resp.StatusCode != http.StatusBadRequest {
				s.t.Errorf("another client: %d %s", resp.StatusCode, body)
			}
		},
		"oidcc-ensure-request-with-valid-pkce-succeeds": func(s *suite) {
			verifier := strings.Repeat("v", 43)
			sum := sha256.Sum256([]byte(verifier))
			pkce := []string{"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256"}
			q, _ := s.authorize(s.userAgent(), pkce...)
			if status, tokens := s.token(s.code(q.Get("code"), "code_verifier", verifier)); status != http.StatusOK {
				s.t.Errorf("%d %v", status, tokens)
			}
			q, _ = s.authorize(s.userAgent(), pkce...)
			if status, _ := s.token(s.code(q.Get("code"))); status != http.StatusBadRequest {
				s.t.Errorf("without verifier: %d", status)
			}
		},
		"oidcc-formpost": func(s *suite) {
			resp, body := s.do(s.userAgent(), s.request(http.MethodGet, s.Issuer+"/authorize", s.parameters("response_mode", "form_post")))
			if resp.StatusCode != http.StatusOK || !strings.Contains(body, `action="https://rp.example/cb"`) || !strings.Contains(body, `name="code"`) || !strings.Contains(body, `name="state" value="st"`) {
				s.t.Errorf("%d %s", resp.StatusCode, body)
			}
			if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://rp.example;") {
				s.t.Errorf("the browser would not post: %s", csp)
			}
		},
		"oidcc-discovery-endpoint-verification": func(s *suite) {
			_, body := s.do(http.DefaultClient, s.request(http.MethodGet, s.Issuer+"/.well-known/openid-configuration", nil))
			d := s.object(body)
			for name, member := range map[string]string{
				"response_types_supported": "code", "subject_types_supported": "pairwise", "id_token_signing_alg_values_supported": "RS256", "scopes_supported": "openid",
				"token_endpoint_auth_methods_supported": "client_secret_basic", "grant_types_supported": "authorization_code", "code_challenge_methods_supported": "S256",
				"response_modes_supported": "form_post", "claim_types_supported": "normal", "prompt_values_supported": "none",
			} {
				if list, _ := d[name].([]any); !slices.Contains(list, any(member)) {
					s.t.Errorf("%s is %v", name, d[name])
				}
			}
			for _, endpoint := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "registration_endpoint", "end_session_endpoint", "pushed_authorization_request_endpoint"} {
				if text, _ := d[endpoint].(string); !strings.HasPrefix(text, s.Issuer+"/") {
					s.t.Errorf("%s is %v", endpoint, d[endpoint])
				}
			}
			_, body = s.do(http.DefaultClient, s.request(http.MethodGet, d["jwks_uri"].(string), nil))
			seen := map[any]bool{}
			for _, k := range s.object(body)["keys"].([]any) {
				key := k.(map[string]any)
				if seen[key["kid"]] || key["kid"] == nil || key["use"] != "sig" || key["d"] != nil {
					s.t.Errorf("key %v", key)
				}
				seen[key["kid"]] = true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newSuite(t))
		})
	}
}

// The RP-Initiated and Back-Channel Logout plans.
func TestLogoutConformance(t *testing.T) {
	leave := func(s *suite, browser *http.Client, change ...string) (url.Values, int, string) {
		s.t.Helper()
		q := url.Values{"post_logout_redirect_uri": {"https://rp.example/bye"}, "state": {"st"}}
		for i := 0; i+1 < len(change); i += 2 {
			if q.Set(change[i], change[i+1]); change[i+1] == "-" {
				q.Del(change[i])
			}
		}
		resp, body := s.do(browser, s.request(http.MethodGet, s.Issuer+"/logout", q))
		to, err := resp.Location()
		if err != nil {
			return nil, resp.StatusCode, body
		}
		return to.Query(), resp.StatusCode, to.Host + to.Path
	}
	s := newSuite(t)
	browser := s.userAgent()
	first := s.login(browser)
	hint, _ := first.tokens["id_token"].(string)
	for name, change := range map[string][]string{
		"bad-post-logout-redirect-uri":            {"id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example/"},
		"query-added-to-post-logout-redirect-uri": {"id_token_hint", hint, "post_logout_redirect_uri", "https://rp.example/bye?x=y"},
		"modified-id-token-hint":                  {"id_token_hint", hint[:len(hint)-8] + "AAAAAAAA"},
		"bad-id-token-hint":                       {"id_token_hint", "x"},
		"no-id-token-hint":                        {},
		"no-params":                               {"post_logout_redirect_uri", "-", "state", "-"},
		"only-state":                              {"post_logout_redirect_uri", "-"},
	} {
		if q, status, body := leave(s, browser, change...); len(q) > 0 || status == http.StatusSeeOther || body == "" {
			t.Errorf("%s: %d to %v", name, status, q)
		}
	}
	if again := s.login(browser, "prompt", "none"); again.claims["sid"] != first.claims["sid"] {
		t.Errorf("the session did not survive: %v", again.claims)
	}
	q, status, to := leave(s, browser, "id_token_hint", hint)
	if status != http.StatusSeeOther || to != "rp.example/bye" || q.Get("state") != "st" {
		t.Errorf("%d to %s %v", status, to, q)
	}
	if q, _ := s.authorize(browser, "prompt", "none"); q.Get("error") != "login_required" {
		t.Errorf("after logging out: %v", q)
	}
	select {
	case token := <-s.logout:
		provider, err := oidc.NewProvider(t.Context(), s.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		verified, err := provider.Verifier(&oidc.Config{ClientID: s.ID, Now: s.clock.Now}).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := verified.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		if claims["nonce"] != nil || claims["sid"] != first.claims["sid"] || claims["sub"] != first.claims["sub"] || claims["jti"] == nil || claims["events"] == nil {
			t.Errorf("logout token %v", claims)
		}
	case <-time.After(time.Minute):
		t.Error("no logout token came")
	}
}
