package provider_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// decodeIDToken reads an ID token's claims; its signature is go-oidc's matter in
// another test.
func decodeIDToken(t testing.TB, a answer) map[string]any {
	t.Helper()
	raw, _ := object(t, a.body)["id_token"].(string)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("no ID token in %s", a.body)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return object(t, string(claims))
}

func otherClient() provider.Client {
	c := portal()
	c.ID, c.SecretHash, c.RedirectURIs, c.Sector = "other", brokers.HashOf("other secret"), []string{redirectURI}, "other.example"
	return c
}

func publicClient() provider.Client {
	c := portal()
	c.ID, c.Auth, c.SecretHash = "public", provider.AuthNone, brokers.Hash{}
	return c
}

func postClient() provider.Client {
	c := portal()
	c.ID, c.Auth, c.SecretHash = "poster", provider.AuthPost, brokers.HashOf(secret)
	return c
}

// Every way to bring a code wrongly. After each, the code is dead if it got as
// far as being looked at.
func TestTokenRefuses(t *testing.T) {
	r := newRig(t, options{clients: []provider.Client{otherClient(), publicClient(), postClient()}})
	for _, c := range []struct {
		name   string
		change []string
		code   string // the OAuth error
		audit  string
		dead   bool
	}{
		{"no grant type", []string{"grant_type", "-"}, "invalid_request", "grant_type_missing", false},
		{"password grant", []string{"grant_type", "password"}, "unsupported_grant_type", "grant_type", false},
		{"O-72 device grant", []string{"grant_type", "urn:ietf:params:oauth:grant-type:device_code"}, "unsupported_grant_type", "device_not_allowed", false},
		{"refresh grant without a token", []string{"grant_type", "refresh_token"}, "invalid_request", "refresh_token_missing", false},
		{"O-40 token exchange", []string{"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"}, "unsupported_grant_type", "grant_type", false},
		{"no code", []string{"code", "-"}, "invalid_request", "code_missing", false},
		{"O-22 another code", []string{"code", strings.Repeat("A", 43)}, "invalid_grant", "code_unknown", false},
		{"O-15 another client", []string{"basic", "other:other secret"}, "invalid_grant", "code_of_other_client", true},
		{"O-16 another redirect URI", []string{"redirect_uri", redirectURI + "x"}, "invalid_grant", "redirect_uri", true},
		{"O-16 no redirect URI", []string{"redirect_uri", "-"}, "invalid_grant", "redirect_uri", true},
		{"O-19 no verifier", []string{"code_verifier", "-"}, "invalid_grant", "code_verifier", true},
		{"O-19 empty verifier", []string{"code_verifier", ""}, "invalid_grant", "code_verifier", true},
		{"O-20 another verifier", []string{"code_verifier", strings.Repeat("a", 43)}, "invalid_grant", "code_verifier", true},
		{"O-20 verifier of 42", []string{"code_verifier", verifier[:42]}, "invalid_grant", "code_verifier", true},
		{"O-20 verifier of 129", []string{"code_verifier", strings.Repeat("a", 129)}, "invalid_grant", "code_verifier", true},
		{"O-20 verifier of another alphabet", []string{"code_verifier", strings.Repeat("ä", 43)}, "invalid_grant", "code_verifier", true},
		{"O-20 verifier in another case", []string{"code_verifier", strings.ToLower(verifier)}, "invalid_grant", "code_verifier", true},
		{"O-20 verifier with newline", []string{"code_verifier", verifier + "\n"}, "invalid_request", "parameters", false},
		{"the challenge as verifier", []string{"code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "invalid_grant", "code_verifier", true},
		{"O-50 wrong secret", []string{"basic", "portal:wrong"}, "invalid_client", "wrong_secret", false},
		{"empty secret", []string{"basic", "portal:"}, "invalid_client", "wrong_secret", false},
		{"unknown client", []string{"basic", "nobody:" + secret}, "invalid_client", "client_unknown", false},
		{"no client", []string{"basic", "-"}, "invalid_client", "client_missing", false},
		{"O-52 confidential as public", []string{"basic", "-", "client_id", "portal"}, "invalid_client", "wrong_method", false},
		{"O-52 public with a secret", []string{"basic", "-", "client_id", "public", "client_secret", secret}, "invalid_client", "wrong_method", false},
		{"O-49 another method than registered", []string{"basic", "-", "client_id", "portal", "client_secret", secret}, "invalid_client", "wrong_method", false},
		{"O-49 basic instead of post", []string{"basic", "poster:" + secret}, "invalid_client", "wrong_method", false},
		{"O-49 two methods", []string{"client_secret", secret}, "invalid_request", "two_methods", false},
		{"O-49 two clients", []string{"client_id", "other"}, "invalid_client", "basic", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := r.login(newBrowser(t), nil).Get("code")
			before := len(r.reasons())
			a := r.redeem(code, slices.Concat([]string{"code", code}, c.change)...)
			want := http.StatusBadRequest
			if c.code == "invalid_client" {
				want = http.StatusUnauthorized
			}
			if a.StatusCode != want || object(t, a.body)["error"] != c.code {
				t.Errorf("status %d, body %s", a.StatusCode, a.body)
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
			if strings.Contains(a.body, c.audit) && c.audit != "redirect_uri" && c.audit != "grant_type" {
				t.Errorf("the answer tells the reason: %s (I-7)", a.body)
			}
			if after := r.reasons()[before:]; !slices.Equal(after, []string{"token.refused/" + c.audit}) {
				t.Errorf("audit has %v, want %s", after, c.audit)
			}
			if alive := r.redeem(code).StatusCode == http.StatusOK; alive == c.dead {
				t.Errorf("afterwards the code lives: %t", alive)
			}
		})
	}
}

func TestTokenRefusesMalformedRequests(t *testing.T) {
	r := newRig(t, options{})
	good := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}.Encode()
	for name, c := range map[string]struct {
		method, query, kind, body string
		basic                     string
		status                    int
	}{
		"GET":                         {"GET", "?" + good, "", "", "", 405},
		"O-49 secret in the query":    {"POST", "?client_secret=x", "application/x-www-form-urlencoded", good, "", 400},
		"JSON":                        {"POST", "", "application/json", "{}", "", 400},
		"no type":                     {"POST", "", "", good, "", 400},
		"parameter twice":             {"POST", "", "application/x-www-form-urlencoded", good + "&code=y", "", 400},
		"one byte too large":          {"POST", "", "application/x-www-form-urlencoded", "x=" + strings.Repeat("x", 16<<10-1), "", 400},
		"O-49 raw special characters": {"POST", "", "application/x-www-form-urlencoded", good, "Basic " + base64.StdEncoding.EncodeToString([]byte("portal:100%")), 401},
		"basic that is not base64":    {"POST", "", "application/x-www-form-urlencoded", good, "Basic !", 401},
		"bearer":                      {"POST", "", "application/x-www-form-urlencoded", good, "Bearer x", 401},
	} {
		req, err := http.NewRequest(c.method, r.server.URL+"/token"+c.query, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			req.Header.Set("Content-Type", c.kind)
		}
		if c.basic != "" {
			req.Header.Set("Authorization", c.basic)
		}
		a := newBrowser(t).do(req)
		if a.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", name, a.StatusCode, c.status)
		}
		if c.status == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: no challenge", name)
		}
	}
}

// O-13, also after the code's own life: the second use kills what the first got.
func TestCodeReplayRevokesTheToken(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 31 * time.Second} {
		r := newRig(t, options{})
		code := r.login(newBrowser(t), nil).Get("code")
		token, _ := object(t, r.redeem(code).body)["access_token"].(string)
		if a := r.userinfo(token); a.StatusCode != http.StatusOK {
			t.Fatalf("userinfo: %d", a.StatusCode)
		}
		r.clock.Add(after)
		if a := r.redeem(code); a.StatusCode != http.StatusBadRequest || object(t, a.body)["error"] != "invalid_grant" {
			t.Errorf("after %s: %d %s", after, a.StatusCode, a.body)
		}
		if a := r.userinfo(token); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("after %s the token still works: %d", after, a.StatusCode)
		}
		r.wantAudit(t, "code.replayed/revoked")
	}
}

// O-17
func TestCodeExpires(t *testing.T) {
	r := newRig(t, options{})
	code := r.login(newBrowser(t), nil).Get("code")
	r.clock.Add(30 * time.Second)
	if a := r.redeem(code); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// O-14: of eight who bring one code at once, one gets tokens; on both stores.
func TestConcurrentRedemptionHasOneWinner(t *testing.T) {
	for name, s := range map[string]provider.Store{"memory": store.NewMemory(), "SQLite": sqliteStore(t)} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{store: s})
			for range 5 {
				code := r.login(newBrowser(t), nil).Get("code")
				statuses := make([]int, 8)
				var wg sync.WaitGroup
				for i := range statuses {
					wg.Go(func() { statuses[i] = r.redeem(code).StatusCode })
				}
				wg.Wait()
				slices.Sort(statuses)
				if statuses[0] != http.StatusOK || statuses[1] != http.StatusBadRequest {
					t.Fatalf("statuses %v, want one 200", statuses)
				}
			}
		})
	}
}

// O-22: mutations of a live code open nothing.
func TestMutatedCodesAreUnknown(t *testing.T) {
	r := newRig(t, options{})
	code := r.login(newBrowser(t), nil).Get("code")
	if len(code) != 43 { // 256 bits
		t.Fatalf("a code has %d characters", len(code))
	}
	for i := range code {
		changed := []byte(code)
		changed[i] = 'A'
		if code[i] == 'A' {
			changed[i] = 'B'
		}
		for _, c := range []string{string(changed), code[:i], code[i:] + code[:i] + code} {
			if c == "-" { // the rig's word for leaving a parameter out
				continue
			}
			if a := r.redeem(c); c != "" && object(t, a.body)["error"] != "invalid_grant" {
				t.Fatalf("%q: %d %s", c, a.StatusCode, a.body)
			}
		}
	}
	if r.redeem(code).StatusCode != http.StatusOK {
		t.Error("the code itself is dead")
	}
}

func TestPublicAndPostingClientsGetTokens(t *testing.T) {
	r := newRig(t, options{clients: []provider.Client{publicClient(), postClient()}})
	for id, change := range map[string][]string{
		"public": {"basic", "-", "client_id", "public"},
		"poster": {"basic", "-", "client_id", "poster", "client_secret", secret},
	} {
		code := r.login(newBrowser(t), []string{"client_id", id}).Get("code")
		a := r.redeem(code, change...)
		if a.StatusCode != http.StatusOK || decodeIDToken(t, a)["aud"] != id {
			t.Errorf("%s: %d %s", id, a.StatusCode, a.body)
		}
	}
}

// O-65: nothing that two clients of different sectors receive can be compared.
func TestSubjectsArePairwise(t *testing.T) {
	r := newRig(t, options{
		clients: []provider.Client{otherClient(), publicClient()},
		client:  func(c *provider.Client) { c.SingleSignOn = true },
	})
	subject := func(client, person string) string {
		code := r.login(newBrowser(t), []string{"client_id", client}, "person", person).Get("code")
		change := map[string][]string{"portal": nil, "other": {"basic", "other:other secret"}, "public": {"basic", "-", "client_id", "public"}}[client]
		a := r.redeem(code, change...)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return decodeIDToken(t, a)["sub"].(string)
	}
	one := subject("portal", "nl-bsn:900029365")
	if again := subject("portal", "nl-bsn:900029365"); again != one {
		t.Error("a person is a stranger on the second visit")
	}
	if same := subject("public", "nl-bsn:900029365"); same != one {
		t.Error("two clients of one sector see different subjects")
	}
	for name, other := range map[string]string{
		"another sector":                    subject("other", "nl-bsn:900029365"),
		"another person":                    subject("portal", "nl-bsn:999993653"),
		"O-58, O-59 another country's same": subject("portal", "ee-ik:900029365"),
	} {
		if other == one {
			t.Errorf("%s: same subject", name)
		}
	}
	if len(one) != 43 || strings.Contains(one, "900029365") {
		t.Errorf("subject %q", one)
	}
}

// O-66, minimisation: a client gets what its registration and the request both
// name, where they name it.
func TestClaimsAreReleasedByRegistrationAndRequest(t *testing.T) {
	r := newRig(t, options{})
	for _, c := range []struct {
		name          string
		authorization []string
		userinfo      []string
		idToken       []string
	}{
		{"openid only", []string{"scope", "openid"}, nil, nil},
		{"a scope goes to userinfo", []string{"scope", "openid name"}, []string{"family_name", "given_name", "name"}, nil},
		{"national_id by scope", []string{"scope", "openid national_id"}, []string{"national_id"}, nil},
		{"single claims go where they are asked for", []string{"scope", "openid", "claims", `{"userinfo":{"given_name":null},"id_token":{"family_name":{"essential":true}}}`}, []string{"given_name"}, []string{"family_name"}},
		{"a claim outside the registration stays away", []string{"scope", "openid", "claims", `{"userinfo":{"birthdate":{"essential":true}},"id_token":{"birthdate":null}}`}, nil, nil},
		{"a value that differs is left out", []string{"scope", "openid", "claims", `{"userinfo":{"given_name":{"value":"JAAK"},"family_name":{"values":["X","TESTMAA"]}}}`}, []string{"family_name"}, nil},
		{"a value of another type is left out", []string{"scope", "openid", "claims", `{"userinfo":{"given_name":{"value":true}}}`}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.redeem(r.login(newBrowser(t), c.authorization).Get("code"))
			token, _ := object(t, a.body)["access_token"].(string)
			claims, info := decodeIDToken(t, a), object(t, r.userinfo(token).body)
			if info["sub"] != claims["sub"] {
				t.Error("userinfo speaks of somebody else")
			}
			person := []string{"birthdate", "family_name", "given_name", "name", "national_id"}
			present := func(o map[string]any) (found []string) {
				for _, name := range person {
					if o[name] != nil {
						found = append(found, name)
					}
				}
				return found
			}
			if got := present(info); !slices.Equal(got, c.userinfo) {
				t.Errorf("userinfo has %v, want %v", got, c.userinfo)
			}
			if got := present(claims); !slices.Equal(got, c.idToken) {
				t.Errorf("ID token has %v, want %v", got, c.idToken)
			}
			if claims["iss"] != r.server.URL || claims["aud"] != "portal" || claims["nonce"] != "the nonce" || claims["exp"].(float64)-claims["iat"].(float64) != 300 {
				t.Errorf("got claims %v", claims)
			}
		})
	}
}

// The level said to the client: never more than proven, in its own words, and
// one of those it insists on (broker.md 8.5 rules 6 and 12).
func TestACRSaysWhatWasProven(t *testing.T) {
	const eidas = "http://eidas.europa.eu/LoA/"
	for _, c := range []struct {
		name       string
		vocabulary string
		change     []string
		proven     string
		want       string
	}{
		{"more than asked is said", "", []string{"acr_values", eidas + "low"}, "high", eidas + "high"},
		{"an insisting client hears the best it listed", "", []string{"claims", `{"id_token":{"acr":{"essential":true,"values":["` + eidas + `low","` + eidas + `substantial"]}}}`}, "high", eidas + "substantial"},
		{"words of another country", "spid", nil, "substantial", "https://www.spid.gov.it/SpidL2"},
		{"words of another country in the request", "franceconnect", []string{"acr_values", "eidas3"}, "high", "eidas3"},
		{"European words are understood beside them", "franceconnect", []string{"acr_values", eidas + "high"}, "high", "eidas3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{client: func(p *provider.Client) { p.Vocabulary = c.vocabulary }})
			if acr := idTokenClaims(t, r, r.login(newBrowser(t), c.change, "level", c.proven).Get("code"))["acr"]; acr != c.want {
				t.Errorf("acr is %v, want %s", acr, c.want)
			}
		})
	}
	r := newRig(t, options{client: func(p *provider.Client) { p.HideAMR = true }})
	if amr := idTokenClaims(t, r, r.login(newBrowser(t), nil).Get("code"))["amr"]; amr != nil {
		t.Errorf("amr is %v although the client must not see it", amr)
	}
}

// The sub claim with a value is binding (OpenID Connect Core 5.5.1).
func TestRequestedSubjectMustMatch(t *testing.T) {
	r := newRig(t, options{})
	sub := idTokenClaims(t, r, r.login(newBrowser(t), nil).Get("code"))["sub"]
	ask := []string{"claims", fmt.Sprintf(`{"id_token":{"sub":{"value":%q}}}`, sub)}
	if r.login(newBrowser(t), ask).Get("code") == "" {
		t.Error("the same person was refused")
	}
	if q := r.login(newBrowser(t), ask, "person", "ee-ik:38001085718"); q.Get("code") != "" || q.Get("error") != "access_denied" {
		t.Errorf("another person got %v", q)
	}
}

// O-37, O-38
func TestUserinfoRefuses(t *testing.T) {
	r := newRig(t, options{})
	token, _ := object(t, r.redeem(r.login(newBrowser(t), nil).Get("code")).body)["access_token"].(string)
	ask := func(method, query, body string, headers ...string) answer {
		req, err := http.NewRequest(method, r.server.URL+"/userinfo"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			req.Header.Add("Authorization", h)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return newBrowser(t).do(req)
	}
	for name, c := range map[string]struct {
		a         answer
		status    int
		challenge string
	}{
		"no token":         {ask("GET", "", ""), 401, "Bearer"},
		"token in query":   {ask("GET", "?access_token="+token, ""), 400, `Bearer error="invalid_request"`},
		"token in form":    {ask("POST", "", "access_token="+token), 200, ""},
		"token in both":    {ask("POST", "?access_token="+token, "access_token="+token), 400, `Bearer error="invalid_request"`},
		"proof scheme":     {ask("GET", "", "", "DPoP "+token), 401, `DPoP error="invalid_token", algs="ES256 ES384 PS256 EdDSA"`},
		"two headers":      {ask("GET", "", "", "Bearer "+token, "Bearer "+token), 400, `Bearer error="invalid_request"`},
		"other scheme":     {ask("GET", "", "", "Basic "+token), 400, `Bearer error="invalid_request"`},
		"no scheme":        {ask("GET", "", "", token), 400, `Bearer error="invalid_request"`},
		"truncated":        {ask("GET", "", "", "Bearer "+token[:42]), 401, `Bearer error="invalid_token"`},
		"extended":         {ask("GET", "", "", "Bearer "+token+"A"), 401, `Bearer error="invalid_token"`},
		"two tokens":       {ask("GET", "", "", "Bearer "+token+" "+token), 401, `Bearer error="invalid_token"`},
		"PUT":              {ask("PUT", "", "", "Bearer "+token), 405, ""},
		"scheme lowercase": {ask("GET", "", "", "bearer "+token), 200, ""},
		"POST with header": {ask("POST", "", "", "Bearer "+token), 200, ""},
	} {
		if c.a.StatusCode != c.status || c.a.Header.Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: status %d, challenge %q", name, c.a.StatusCode, c.a.Header.Get("WWW-Authenticate"))
		}
	}
	for i := range 200 { // O-38
		changed := []byte(token)
		changed[i%len(changed)] = "AB0_-z"[i%6]
		if string(changed) != token && r.userinfo(string(changed)).StatusCode != http.StatusUnauthorized {
			t.Fatalf("a changed token was accepted")
		}
	}
	r.clock.Add(5 * time.Minute)
	if a := r.userinfo(token); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("expired: %d", a.StatusCode)
	}
}
