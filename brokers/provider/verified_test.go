package provider_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// What is answered to requests for verified_claims (OpenID Connect for Identity
// Assurance 1.0, 6). The login is by a means that is notified only where said.
func TestVerifiedClaims(t *testing.T) {
	const claims = `"claims":{"given_name":null,"family_name":{"essential":true},"birthdate":null}`
	for _, c := range []struct {
		name     string
		request  string
		notified bool
		want     string
	}{
		{
			"only what is asked for", `{"verification":{"trust_framework":null},` + claims + `}`, true,
			`{"claims":{"family_name":"TESTMAA","given_name":"MARI-LIIS"},"verification":{"trust_framework":"eidas"}}`,
		},
		{
			"an empty object asks like null", `{"verification":{"trust_framework":{},"assurance_level":{}},` + claims + `}`, true,
			`{"claims":{"family_name":"TESTMAA","given_name":"MARI-LIIS"},"verification":{"assurance_level":"substantial","trust_framework":"eidas"}}`,
		},
		{
			"not notified is not eidas", `{"verification":{"trust_framework":null},"claims":{"given_name":null}}`, false,
			`{"claims":{"given_name":"MARI-LIIS"},"verification":{"trust_framework":"ee_fake"}}`,
		},
		{
			"a filter that holds", `{"verification":{"trust_framework":{"value":"eidas"},"assurance_level":{"values":["substantial","high"]}},"claims":{"given_name":null}}`, true,
			`{"claims":{"given_name":"MARI-LIIS"},"verification":{"assurance_level":"substantial","trust_framework":"eidas"}}`,
		},
		{"a framework that does not hold", `{"verification":{"trust_framework":{"value":"eidas"}},"claims":{"given_name":null}}`, false, ``},
		{"a level that was not reached", `{"verification":{"trust_framework":null,"assurance_level":{"value":"high"}},"claims":{"given_name":null}}`, true, ``},
		{"a condition on what there is not", `{"verification":{"trust_framework":null,"policy":{"value":"x"}},"claims":{"given_name":null}}`, true, ``},
		{
			"a member that there is not", `{"verification":{"trust_framework":null,"assurance_process":null},"claims":{"given_name":null}}`, true,
			`{"claims":{"given_name":"MARI-LIIS"},"verification":{"trust_framework":"eidas"}}`,
		},
		{"recent enough", `{"verification":{"trust_framework":null,"time":{"max_age":60}},"claims":{"given_name":null}}`, true, "time"},
		{"not recent enough", `{"verification":{"trust_framework":null,"time":{"max_age":-1}},"claims":{"given_name":null}}`, true, ``},
		{
			"evidence by type", `{"verification":{"trust_framework":null,"evidence":[{"type":{"value":"electronic_record"},"record":{"type":null}}]},"claims":{"given_name":null}}`, true,
			`{"claims":{"given_name":"MARI-LIIS"},"verification":{"evidence":[{"record":{"type":"eidas.ee.fake"},"type":"electronic_record"}],"trust_framework":"eidas"}}`,
		},
		{"evidence of another type", `{"verification":{"trust_framework":null,"evidence":[{"type":{"value":"vouch"}}]},"claims":{"given_name":null}}`, true, ``},
		{
			"unknown and foreign claims", `{"verification":{"trust_framework":null},"claims":{"https://x.example/a:b":null,"national_id":null,"name":null}}`, true,
			`{"claims":{"name":"MARI-LIIS TESTMAA"},"verification":{"trust_framework":"eidas"}}`,
		},
		{"nothing that is ours", `{"verification":{"trust_framework":null},"claims":{"national_id":null}}`, true, ``},
		{"a value that does not match", `{"verification":{"trust_framework":null},"claims":{"given_name":{"value":"X"}}}`, true, ``},
		{
			"two requests, one of which holds", `[{"verification":{"trust_framework":{"value":"x"}},"claims":{"name":null}},{"verification":{"trust_framework":null},"claims":{"given_name":null}}]`, true,
			`{"claims":{"given_name":"MARI-LIIS"},"verification":{"trust_framework":"eidas"}}`,
		},
		{
			"two requests that hold", `[{"verification":{"trust_framework":null},"claims":{"family_name":null}},{"verification":{"trust_framework":null},"claims":{"given_name":null}}]`, true,
			`[{"claims":{"family_name":"TESTMAA"},"verification":{"trust_framework":"eidas"}},{"claims":{"given_name":"MARI-LIIS"},"verification":{"trust_framework":"eidas"}}]`,
		},
		{"no claims", `{"verification":{"trust_framework":null},"claims":{}}`, true, "error"},
		{"no verification", `{"claims":{"name":null}}`, true, "error"},
		{"null", `null`, true, "error"},
		{"text", `"x"`, true, "error"},
	} {
		for _, place := range []string{"id_token", "userinfo"} {
			t.Run(c.name+" in "+place, func(t *testing.T) {
				r := newRig(t, options{
					client: func(p *provider.Client) { p.Scopes = []string{"name", "birthdate"} },
					upstream: &brokertest.Upstream{Change: func(e *brokers.AuthenticationEvent) {
						e.Assessment.Notified, e.Subject.Birthdate = c.notified, ""
					}},
				})
				q := []string{"claims", `{"` + place + `":{"verified_claims":` + c.request + `}}`, "scope", "openid"}
				if c.want == "error" {
					if got := effect(t, r.authorize(newBrowser(t), q...)); got != "error invalid_request" {
						t.Errorf("got %s", got)
					}
					return
				}
				a := r.redeem(r.login(newBrowser(t), q).Get("code"))
				answers := map[string]any{
					"id_token": decodeIDToken(t, a)["verified_claims"],
					"userinfo": object(t, r.userinfo(object(t, a.body)["access_token"].(string)).body)["verified_claims"],
				}
				text := ""
				if answers[place] != nil {
					data, err := json.Marshal(answers[place])
					if err != nil {
						t.Fatal(err)
					}
					text = string(data)
				}
				if c.want == "time" {
					if !strings.Contains(text, `"time":"`) {
						t.Errorf("got %s", text)
					}
				} else if text != c.want {
					t.Errorf("got  %s\nwant %s", text, c.want)
				}
				delete(answers, place)
				for other, v := range answers {
					if v != nil {
						t.Errorf("%s has %v", other, v)
					}
				}
			})
		}
	}
}

// Age without the date of birth.
func TestDerivedClaims(t *testing.T) {
	for _, c := range []struct {
		born string
		now  time.Time
		want map[string]any
	}{
		{"2000-06-15", time.Date(2018, 6, 14, 23, 0, 0, 0, time.UTC), map[string]any{"age_over_16": true, "age_over_18": false, "age_in_years": 17.0}},
		{"2000-06-15", time.Date(2018, 6, 15, 0, 0, 0, 0, time.UTC), map[string]any{"age_over_16": true, "age_over_18": true, "age_in_years": 18.0}},
		{"2000-02-29", time.Date(2018, 2, 28, 12, 0, 0, 0, time.UTC), map[string]any{"age_over_18": false, "age_in_years": 17.0}},
		{"2000-02-29", time.Date(2018, 3, 1, 0, 0, 0, 0, time.UTC), map[string]any{"age_over_18": true, "age_in_years": 18.0}},
		{"2000-00-00", time.Date(2018, 3, 1, 0, 0, 0, 0, time.UTC), map[string]any{"age_over_18": nil, "age_in_years": nil}},
		{"", time.Date(2018, 3, 1, 0, 0, 0, 0, time.UTC), map[string]any{"age_over_18": nil, "age_over_16": nil}},
		{"2030-01-01", time.Date(2018, 3, 1, 0, 0, 0, 0, time.UTC), map[string]any{"age_over_18": nil}},
	} {
		r := newRig(t, options{
			client:   func(p *provider.Client) { p.Scopes = []string{"age_over_16", "age_over_18", "age"} },
			upstream: &brokertest.Upstream{Change: func(e *brokers.AuthenticationEvent) { e.Subject.Birthdate = c.born }},
		})
		r.clock.Add(c.now.Sub(r.clock.Now()))
		a := r.redeem(r.login(newBrowser(t), []string{"scope", "openid age_over_16 age_over_18 age"}).Get("code"))
		info := object(t, r.userinfo(object(t, a.body)["access_token"].(string)).body)
		for name, want := range c.want {
			if info[name] != want {
				t.Errorf("born %s, at %s: %s is %v, want %v", c.born, c.now, name, info[name], want)
			}
		}
		if info["birthdate"] != nil {
			t.Errorf("the date of birth is told: %v", info)
		}
	}
}

// The receipt of a login is found by its event ID, verifies with the published
// keys, names no person, and is another one for another client (O-65).
func TestLevelReceipts(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) { c.LevelReceipts = true }})
	a := r.redeem(r.login(newBrowser(t), nil, "level", "high").Get("code"))
	id, _ := decodeIDToken(t, a)["event_id"].(string)
	answer := newBrowser(t).get(r.server.URL + "/receipts/" + id)
	if id == "" || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/jwt" {
		t.Fatalf("%q: %d %v", id, answer.StatusCode, answer.Header)
	}
	jws, err := jose.ParseSignedCompact(answer.body, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || jws.Signatures[0].Header.ExtraHeaders["typ"] != "level-receipt+jwt" {
		t.Errorf("%v, %v", jws, err)
	}
	got := verifiedClaims(t, r, answer.body)
	if got["iss"] != r.server.URL || got["aud"] != "portal" || got["event_id"] != id || got["acr"] != "http://eidas.europa.eu/LoA/high" ||
		got["level"] != "high" || got["required"] != "low" || !strings.Contains(got["assessment"], `"value":"high"`) || !strings.Contains(got["explanation"], "policy") {
		t.Errorf("got %v", got)
	}
	for _, secret := range []string{"60001019906", "TESTMAA", "MARI", got["sub"] + "event-"} {
		if strings.Contains(string(jws.UnsafePayloadWithoutVerification()), secret) { // verified above; in base64 nothing would be found but by chance
			t.Errorf("the receipt names %s", secret)
		}
	}
	if a := newBrowser(t).get(r.server.URL + "/receipts/" + guess(id)); a.StatusCode != http.StatusNotFound {
		t.Errorf("a guessed ID: %d", a.StatusCode)
	}
	r.clock.Add(31 * 24 * time.Hour)
	if a := newBrowser(t).get(r.server.URL + "/receipts/" + id); a.StatusCode != http.StatusNotFound {
		t.Errorf("after its time: %d", a.StatusCode)
	}
	r = newRig(t, options{})
	if id := decodeIDToken(t, r.redeem(r.login(newBrowser(t), nil).Get("code")))["event_id"]; id != nil {
		t.Errorf("without registration: %v", id)
	}
}

// watched is an upstream that may be down.
type watched struct {
	*brokertest.Upstream
	up bool
}

func (w *watched) Up() bool { return w.up }

// The answer at the push endpoint tells what can be had (pre-flight).
func TestPushTellsWhatCanBeHad(t *testing.T) {
	const high = "http://eidas.europa.eu/LoA/high"
	method := func(id string, l levels.Level) []brokers.Method {
		return []brokers.Method{{ID: id, Level: l, Name: map[string]string{"en": id}}}
	}
	card := &watched{&brokertest.Upstream{Name: "card", Offered: method("card", levels.High)}, true}
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: method("app", levels.Substantial)}, upstreams: []brokers.Upstream{card}})
	for _, c := range []struct {
		name   string
		up     bool
		acr    string
		status int
		want   string
	}{
		{"all up", true, "", 201, `"login_methods":["app","card"]`},
		{"high, all up", true, high, 201, `"login_methods":["card"]`},
		{"card down", false, "", 201, `"login_methods":["app"]`},
		{"high, card down", false, high, 503, `"nearest":{"acr":"http://eidas.europa.eu/LoA/substantial","login_methods":["app"]}`},
	} {
		card.up = c.up
		a := r.push(r.request(), "acr_values", c.acr)
		if a.StatusCode != c.status || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d %s", c.name, a.StatusCode, a.body)
		}
	}
	r = newRig(t, options{upstream: &brokertest.Upstream{Offered: method("app", levels.Substantial)}})
	a := r.push(r.request(), "acr_values", high)
	if a.StatusCode != 400 || !strings.Contains(a.body, `"error":"unmet_authentication_requirements"`) || !strings.Contains(a.body, `"nearest":{"acr":"http://eidas.europa.eu/LoA/substantial"`) {
		t.Errorf("no such method at all: %d %s", a.StatusCode, a.body)
	}
}

// A client of the FAPI 2.0 security profile is held to it from the registration
// to the token.
func TestFAPIProfile(t *testing.T) {
	k, proofKey := newClientKey(t, jose.PS256), newClientKey(t, jose.ES256)
	for name, change := range map[string]func(*provider.Client){
		"a secret":                        func(c *provider.Client) { c.Auth, c.SecretHash = provider.AuthBasic, brokers.HashOf("x") },
		"a public client":                 func(c *provider.Client) { c.Auth = provider.AuthNone },
		"RS256":                           func(c *provider.Client) { c.SigningAlgorithm = jose.RS256 },
		"the token endpoint as audience":  func(c *provider.Client) { c.LegacyAudience = true },
		"a profile that nobody heard of":  func(c *provider.Client) { c.Profile = "fapi9" },
		"an algorithm that nobody has":    func(c *provider.Client) { c.SigningAlgorithm = "HS256" },
		"encryption without a key for it": func(c *provider.Client) { c.IDTokenEncryption.Key = jose.ECDH_ES },
	} {
		c := portal()
		keyedClient(k)(&c)
		c.Profile = provider.FAPI2
		change(&c)
		if _, err := provider.NewStaticClients(levels.Default(), []provider.Client{c}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	r := newRig(t, options{client: func(c *provider.Client) {
		keyedClient(k)(c)
		c.Profile = provider.FAPI2
	}})
	if got := effect(t, r.authorize(newBrowser(t))); got != "error invalid_request" {
		t.Errorf("a request that was not pushed: %s", got)
	}
	auth := func() []string { return assertion(k.sign(r.assertionClaims(), nil)) }
	code := func() string {
		a := r.push(r.request(), auth()...)
		b := newBrowser(t)
		departure := r.open(b, "client_id", "portal", "request_uri", object(t, a.body)["request_uri"].(string)).location(t)
		return b.back(r, r.callback(departure)).location(t).Query().Get("code")
	}
	if a := r.call("/token", codeForm(code()), auth()...); object(t, a.body)["error"] != "invalid_request" {
		t.Errorf("a bearer token: %s", a.body)
	}
	form := with(codeForm(code()), auth()...)
	form.Del("basic")
	form.Set("client_id", "portal")
	if a := r.send("POST", "/token", form, "DPoP", proofKey.proof(r, "POST", "/token", nil, nil)); object(t, a.body)["token_type"] != "DPoP" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
