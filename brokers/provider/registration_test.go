package provider_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

const initialToken = "an initial access token"

func registrationRig(t *testing.T) *rig {
	t.Helper()
	return newRig(t, options{config: func(c *provider.Config) {
		c.Registration = provider.RegistrationPolicy{
			Tokens:   []brokers.Hash{brokers.HashOf(initialToken)},
			Template: provider.Client{MinLevel: levels.Substantial, Scopes: []string{"name"}, RefreshTokens: true},
		}
	}})
}

// manage sends metadata with a bearer token.
func (r *rig) manage(method, address, token, body string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return newBrowser(r.t).do(req)
}

func (r *rig) register(body string) map[string]any {
	r.t.Helper()
	a := r.manage(http.MethodPost, r.server.URL+"/register", initialToken, body)
	if a.StatusCode != http.StatusCreated || a.Header.Get("Cache-Control") != "no-store" {
		r.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return object(r.t, a.body)
}

// RFC 7591: a client that registered itself logs people in, within what the
// operator allows.
func TestRegisteredClientLogsIn(t *testing.T) {
	r := registrationRig(t)
	if a := newBrowser(t).get(r.server.URL + "/.well-known/openid-configuration"); object(t, a.body)["registration_endpoint"] != r.server.URL+"/register" {
		t.Errorf("discovery does not say where to register: %s", a.body)
	}
	info := r.register(`{"redirect_uris":["` + redirectURI + `"],"client_name":"New <i>","scope":"openid name national_id","unheard_of":[1],
		"grant_types":["authorization_code","refresh_token"],"subject_type":"public"}`)
	id, password := info["client_id"].(string), info["client_secret"].(string)
	if info["scope"] != "openid name" || info["subject_type"] != "pairwise" || info["client_secret_expires_at"] != 0.0 || info["unheard_of"] != nil ||
		info["token_endpoint_auth_method"] != "client_secret_basic" || len(password) < 43 {
		t.Errorf("registered: %v", info)
	}
	b := newBrowser(t)
	q := with(r.request(), "client_id", id, "scope", "openid name offline_access")
	departure := b.get(r.server.URL + "/authorize?" + q.Encode()).location(t)
	if departure.Query().Get("level") != "substantial" {
		t.Errorf("the level of the template does not hold: %s", departure)
	}
	code := b.back(r, r.callback(departure)).location(t).Query().Get("code")
	a := r.redeem(code, "basic", id+":"+password)
	tokens := object(t, a.body)
	if a.StatusCode != http.StatusOK || tokens["refresh_token"] == nil {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if claims := decodeIDToken(t, a); claims["aud"] != id {
		t.Errorf("claims %v", claims)
	}
	if person := r.userinfo(tokens["access_token"].(string)); !strings.Contains(person.body, "TESTMAA") || strings.Contains(person.body, "national_id") {
		t.Errorf("userinfo %s", person.body)
	}

	// RFC 7592: read, replace, remove.
	address, token := info["registration_client_uri"].(string), info["registration_access_token"].(string)
	read := r.manage(http.MethodGet, address, token, "")
	if o := object(t, read.body); read.StatusCode != http.StatusOK || o["client_name"] != "New <i>" || o["client_secret"] != nil {
		t.Errorf("read %d %s", read.StatusCode, read.body)
	}
	for _, wrong := range []string{"", "x", initialToken, password} {
		if a := r.manage(http.MethodGet, address, wrong, ""); a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("token %q: %d", wrong, a.StatusCode)
		}
	}
	if a := r.manage(http.MethodPut, address, token, `{"client_id":"portal","redirect_uris":["`+redirectURI+`"]}`); a.StatusCode != http.StatusBadRequest {
		t.Errorf("another client's ID: %d", a.StatusCode)
	}
	replaced := r.manage(http.MethodPut, address, token, `{"client_id":"`+id+`","redirect_uris":["https://rp.example/other"],"token_endpoint_auth_method":"client_secret_post"}`)
	o := object(t, replaced.body)
	if replaced.StatusCode != http.StatusOK || o["client_name"] != nil || o["client_secret"] == password {
		t.Errorf("replaced %d %s", replaced.StatusCode, replaced.body)
	}
	if a := b.get(r.server.URL + "/authorize?" + q.Encode()); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the old redirect URI still holds: %d", a.StatusCode)
	}
	if a := r.refresh(tokens["refresh_token"], "basic", id+":"+password); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old secret still holds: %d (O-44)", a.StatusCode)
	}
	if a := r.manage(http.MethodDelete, address, token, ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old token still holds: %d", a.StatusCode)
	}
	if a := r.manage(http.MethodDelete, address, o["registration_access_token"].(string), ""); a.StatusCode != http.StatusNoContent {
		t.Errorf("removing: %d %s", a.StatusCode, a.body)
	}
	if a := r.userinfo(tokens["access_token"].(string)); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("tokens of a removed client live: %d", a.StatusCode)
	}
}

// O-77, O-78, and what RFC 7591 3.2.2 calls errors.
func TestRegistrationRefuses(t *testing.T) {
	r := registrationRig(t)
	for _, token := range []string{"", "x", secret} {
		if a := r.manage(http.MethodPost, r.server.URL+"/register", token, `{"redirect_uris":["`+redirectURI+`"]}`); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("token %q: %d", token, a.StatusCode)
		}
	}
	good := `"redirect_uris":["https://rp.example/cb"]`
	for body, want := range map[string]string{
		``:   "invalid_client_metadata",
		`[]`: "invalid_client_metadata",
		`{}`: "invalid_redirect_uri",
		`{"redirect_uris":["http://rp.example/cb"]}`:                                        "invalid_redirect_uri",
		`{"redirect_uris":["https://*.example/cb"]}`:                                        "invalid_redirect_uri",
		`{"redirect_uris":["https://rp.example/cb#x"]}`:                                     "invalid_redirect_uri",
		`{"redirect_uris":["https://a.example/cb","https://b.example/cb"]}`:                 "invalid_redirect_uri",
		`{` + good + `,` + good + `}`:                                                       "invalid_client_metadata",
		`{` + good + `,"client_name":7}`:                                                    "invalid_client_metadata",
		`{` + good + `,"client_name":"a\u0000b"}`:                                           "invalid_client_metadata",
		`{` + good + `,"logo_uri":"javascript:alert(1)"}`:                                   "invalid_client_metadata",
		`{` + good + `,"policy_uri":"http://rp.example"}`:                                   "invalid_client_metadata",
		`{` + good + `,"jwks_uri":"http://169.254.169.254/"}`:                               "invalid_client_metadata",
		`{` + good + `,"sector_identifier_uri":"https://127.0.0.1/"}`:                       "invalid_client_metadata",
		`{` + good + `,"response_types":["code id_token"]}`:                                 "invalid_client_metadata",
		`{` + good + `,"grant_types":["implicit"]}`:                                         "invalid_client_metadata",
		`{` + good + `,"id_token_signed_response_alg":"none"}`:                              "invalid_client_metadata",
		`{` + good + `,"id_token_signed_response_alg":"HS256"}`:                             "invalid_client_metadata",
		`{` + good + `,"token_endpoint_auth_method":"client_secret_jwt"}`:                   "invalid_client_metadata",
		`{` + good + `,"token_endpoint_auth_method":"private_key_jwt"}`:                     "invalid_client_metadata",
		`{` + good + `,"backchannel_logout_uri":"http://10.0.0.1/x"}`:                       "invalid_client_metadata",
		`{` + good + `,"jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}}`:                         "invalid_client_metadata",
		`{` + good + `,"contacts":["` + strings.Repeat(`x","`, 40) + `x"]}`:                 "invalid_client_metadata",
		`{` + good + `,"tos_uri":"https://rp.example/` + strings.Repeat("x", 40<<10) + `"}`: "invalid_client_metadata",
		`{` + good + `,"default_max_age":-1}`:                                               "invalid_client_metadata",
		`{` + good + `,"id_token_encrypted_response_alg":"RSA1_5"}`:                         "invalid_client_metadata",
		`{` + good + `,"a":` + strings.Repeat(`[`, 30) + strings.Repeat(`]`, 30) + `}`:      "invalid_client_metadata",
		`{` + good + `,"token_endpoint_auth_method":"tls_client_auth"}`:                     "invalid_client_metadata",
		`{` + good + `,"post_logout_redirect_uris":["javascript:alert(1)"]}`:                "invalid_client_metadata",
		`{` + good + `,"frontchannel_logout_uri":"https://rp.example/x#y"}`:                 "invalid_client_metadata",
	} {
		a := r.manage(http.MethodPost, r.server.URL+"/register", initialToken, body)
		if a.StatusCode != http.StatusBadRequest || object(t, a.body)["error"] != want {
			t.Errorf("%.120s: %d %.200s, want %s", body, a.StatusCode, a.body, want)
		}
	}
	plain := newRig(t, options{})
	if a := plain.manage(http.MethodPost, plain.server.URL+"/register", initialToken, "{}"); a.StatusCode != http.StatusNotFound {
		t.Errorf("nobody may register, and one gets %d", a.StatusCode)
	}
}

// default_max_age and default_acr_values stand for what a request leaves out.
func TestRegisteredDefaults(t *testing.T) {
	r := registrationRig(t)
	info := r.register(`{"redirect_uris":["` + redirectURI + `"],"default_max_age":60,"default_acr_values":["` + levels.High.URI() + `"],"require_auth_time":true}`)
	q := with(r.request(), "client_id", info["client_id"].(string))
	departure := newBrowser(t).get(r.server.URL + "/authorize?" + q.Encode()).location(t).Query()
	if departure.Get("level") != "high" || departure.Get("force") != "true" {
		t.Errorf("asked of the upstream: %v", departure)
	}
}

// Some conformance suites and old clients send no code challenge, or put the
// secret where they like.
func TestClientsThatKnowNoBetter(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) { c.EitherSecret, c.WithoutPKCE = true, true }})
	without := []string{"code_challenge", "-", "code_challenge_method", "-", "nonce", "-"}
	for _, way := range [][]string{{}, {"basic", "-", "client_id", "portal", "client_secret", secret}} {
		code := r.login(newBrowser(t), without).Get("code")
		if a := r.redeem(code, append(way, "code_verifier", "-")...); a.StatusCode != http.StatusOK {
			t.Errorf("%v: %d %s", way, a.StatusCode, a.body)
		}
	}
	// O-19: a verifier without challenge, and a challenge without verifier.
	code := r.login(newBrowser(t), without).Get("code")
	if a := r.redeem(code); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("a verifier without challenge: %s", a.body)
	}
	code = r.login(newBrowser(t), nil).Get("code")
	if a := r.redeem(code, "code_verifier", "-"); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("a challenge without verifier: %s", a.body)
	}
	for _, half := range [][]string{{"code_challenge", "-"}, {"code_challenge_method", "-"}, {"code_challenge_method", "plain"}} {
		if q := r.authorize(newBrowser(t), half...).location(t).Query(); q.Get("error") != "invalid_request" {
			t.Errorf("%v: %v", half, q)
		}
	}
	// O-49: both ways at once.
	code = r.login(newBrowser(t), nil).Get("code")
	if a := r.redeem(code, "client_id", "portal", "client_secret", secret); object(t, a.body)["error"] != "invalid_request" {
		t.Errorf("two ways at once: %s", a.body)
	}
	for _, c := range []provider.Client{publicClient(), {ID: "x", Auth: provider.AuthPrivateKeyJWT}} {
		c.MinLevel, c.RedirectURIs = levels.Low, []string{redirectURI}
		for _, change := range []func(*provider.Client){func(c *provider.Client) { c.EitherSecret = true }, func(c *provider.Client) { c.WithoutPKCE = c.Auth == provider.AuthNone; c.EitherSecret = !c.WithoutPKCE }} {
			changed := c
			change(&changed)
			if _, err := provider.NewStaticClients(levels.Default(), []provider.Client{changed}); err == nil {
				t.Errorf("%+v was taken", changed)
			}
		}
	}
}

// The standard scopes give what an upstream delivered, and no more.
func TestStandardScopes(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) { c.Scopes = []string{"profile", "email", "phone", "address"} }})
	r.upstream.Change = func(e *brokers.AuthenticationEvent) {
		e.Subject.Particulars = &brokers.Particulars{
			Gender: "Female", EmailAddress: "m@example.ee", PhoneNumber: "+372 1", Address: "<a><b>Pikk 1</b><c> Tallinn &amp; co</c></a>",
		}
		e.Subject.Account = &brokers.Account{Nickname: "Mari", EmailVerified: true, UpdatedAt: 7}
	}
	person := func(scope string) string {
		code := r.login(newBrowser(t), []string{"scope", scope}).Get("code")
		o := object(t, r.userinfo(object(t, r.redeem(code).body)["access_token"].(string)).body)
		delete(o, "sub")
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for scope, want := range map[string]string{
		"openid":                `{}`,
		"openid email":          `{"email":"m@example.ee","email_verified":true}`,
		"openid phone":          `{"phone_number":"+372 1","phone_number_verified":false}`,
		"openid address":        `{"address":{"formatted":"Pikk 1\nTallinn \u0026 co"}}`,
		"openid profile":        `{"birthdate":"2000-01-01","family_name":"TESTMAA","gender":"female","given_name":"MARI-LIIS","name":"MARI-LIIS TESTMAA","nickname":"Mari","updated_at":7}`,
		"openid unknown scopes": `{}`,
	} {
		if got := person(scope); got != want {
			t.Errorf("%s gives %s, want %s", scope, got, want)
		}
	}
	r.upstream.Change = nil // a national scheme knows less
	if got := person("openid profile email phone address"); got != `{"birthdate":"2000-01-01","family_name":"TESTMAA","given_name":"MARI-LIIS","name":"MARI-LIIS TESTMAA"}` {
		t.Errorf("got %s", got)
	}
}
