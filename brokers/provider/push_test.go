package provider_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

func (r *rig) push(form url.Values, change ...string) answer {
	r.t.Helper()
	return r.call("/par", form, change...)
}

// pushed pushes a request and returns its name.
func (r *rig) pushed(change ...string) string {
	r.t.Helper()
	a := r.push(with(r.request(), change...))
	uri, _ := object(r.t, a.body)["request_uri"].(string)
	if a.StatusCode != http.StatusCreated || uri == "" {
		r.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return uri
}

// open brings the browser to the authorization endpoint with nothing but these.
func (r *rig) open(b *browser, pairs ...string) answer {
	b.t.Helper()
	return b.get(r.server.URL + "/authorize?" + with(url.Values{}, pairs...).Encode())
}

func (r *rig) requestClaims() claimSet {
	now := r.clock.Now()
	claims := claimSet{"iss": "portal", "aud": r.server.URL, "jti": random(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for name, values := range r.request() {
		claims[name] = values[0]
	}
	return claims
}

// guess is a secret with another last character.
func guess(secret string) string {
	last := "A"
	if strings.HasSuffix(secret, last) {
		last = "B"
	}
	return secret[:len(secret)-1] + last
}

// The same request does the same through the query, a form, a pushed request, a
// request object, and a pushed request object.
func TestParametersMeanTheSameByEveryWay(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	const high = "http://eidas.europa.eu/LoA/high"
	for name, change := range map[string][]string{
		"nothing special":      nil,
		"acr_values":           {"acr_values", high + " x"},
		"essential acr":        {"claims", `{"id_token":{"acr":{"essential":true,"values":["` + high + `"]}}}`},
		"unknown acr":          {"claims", `{"id_token":{"acr":{"essential":true,"value":"x"}}}`},
		"boolean claim value":  {"claims", `{"userinfo":{"email_verified":{"value":true},"name":null},"id_token":{"acr":{"essential":true,"value":"` + high + `"}}}`},
		"malformed claims":     {"claims", `{"id_token":[]}`},
		"max_age":              {"max_age", "1"},
		"max_age that is none": {"max_age", "01"},
		"prompt login":         {"prompt", "login"},
		"prompt list":          {"prompt", "login consent"},
		"prompt none":          {"prompt", "none"},
		"prompt none and more": {"prompt", "none login"},
		"ui_locales":           {"ui_locales", "et nl"},
		"unregistered scope":   {"scope", "openid birthdate"},
		"plain challenge":      {"code_challenge_method", "plain"},
		"token response":       {"response_type", "id_token"},
		"response mode":        {"response_mode", "fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{client: func(c *provider.Client) { c.Keys = []jose.JSONWebKey{k.public()} }})
			object := func() string {
				claims := r.requestClaims()
				for i := 0; i+1 < len(change); i += 2 {
					claims[change[i]] = change[i+1]
					if change[i] == "claims" || change[i] == "max_age" && change[i+1] == "1" {
						claims[change[i]] = json.RawMessage(change[i+1]) // as JSON has it
					}
				}
				return k.sign(claims, map[jose.HeaderKey]any{"typ": "oauth-authz-req+jwt"})
			}
			push := func(form url.Values) answer {
				a := r.push(form)
				if a.StatusCode != http.StatusCreated {
					return a
				}
				return r.open(newBrowser(t), "client_id", "portal", "request_uri", objectOf(t, a)["request_uri"].(string))
			}
			ways := map[string]answer{
				"query":         r.authorize(newBrowser(t), change...),
				"form":          newBrowser(t).post(r.server.URL+"/authorize", with(r.request(), change...)),
				"object":        r.open(newBrowser(t), "client_id", "portal", "response_type", "code", "scope", "openid", "request", object()),
				"pushed":        push(with(r.request(), change...)),
				"pushed object": push(url.Values{"request": {object()}}),
			}
			want := effect(t, ways["query"])
			for way, a := range ways {
				if got := effect(t, a); got != want {
					t.Errorf("by %s: %s, by query: %s", way, got, want)
				}
			}
		})
	}
}

func objectOf(t testing.TB, a answer) map[string]any { t.Helper(); return object(t, a.body) }

var refresh = regexp.MustCompile(`content="0; url=([^"]+)"`)

// effect is what an authorization request came to: an error, or what the
// upstream is asked.
func effect(t testing.TB, a answer) string {
	t.Helper()
	if a.StatusCode == http.StatusBadRequest && strings.HasPrefix(a.body, "{") {
		return "error " + object(t, a.body)["error"].(string)
	}
	target := a.Header.Get("Location")
	if found := refresh.FindStringSubmatch(a.body); found != nil {
		target = html.UnescapeString(found[1])
	}
	u, err := url.Parse(target)
	if err != nil || target == "" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if code := u.Query().Get("error"); code != "" {
		return "error " + code
	}
	return "asked " + u.Query().Get("level") + " force " + u.Query().Get("force")
}

// O-08 and the rest of RFC 9126.
func TestPushedRequests(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{clients: []provider.Client{otherClient()}, client: func(c *provider.Client) {
		c.RequirePushed, c.Keys = true, []jose.JSONWebKey{k.public()}
	}})
	if a := r.authorize(newBrowser(t)); effect(t, a) != "error invalid_request" {
		t.Errorf("a request that was not pushed: %s", effect(t, a))
	}
	uri := r.pushed()
	if !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || len(uri) < 60 {
		t.Errorf("got %s", uri)
	}
	for name, pairs := range map[string][]string{
		"of another client": {"client_id", "other", "request_uri", uri},
		"guessed":           {"client_id", "portal", "request_uri", guess(uri)},
		"foreign":           {"client_id", "portal", "request_uri", "http://169.254.169.254/"},
		"with an object":    {"client_id", "portal", "request_uri", uri, "request", "x.y.z"},
	} {
		if a := r.open(newBrowser(t), pairs...); a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
	// Opened twice, which browsers do; parameters beside it are ignored.
	b := newBrowser(t)
	r.open(b, "client_id", "portal", "request_uri", uri)
	departure := r.open(b, "client_id", "portal", "request_uri", uri, "state", "other", "redirect_uri", "https://evil.example", "acr_values", "x").location(t)
	back := b.back(r, r.callback(departure)).location(t)
	if back.Query().Get("state") != "the state" || back.Query().Get("code") == "" || !strings.HasPrefix(back.String(), redirectURI) {
		t.Fatalf("got %s", back)
	}
	if a := r.redeem(back.Query().Get("code")); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := r.open(newBrowser(t), "client_id", "portal", "request_uri", uri); a.StatusCode != http.StatusBadRequest {
		t.Errorf("used and opened again: %d", a.StatusCode)
	}
	uri = r.pushed()
	r.clock.Add(90 * time.Second)
	if a := r.open(newBrowser(t), "client_id", "portal", "request_uri", uri); a.StatusCode != http.StatusBadRequest {
		t.Errorf("expired: %d", a.StatusCode)
	}
	r.wantAudit(t, "authorization.refused/request_uri_unknown")
}

func TestPushRefuses(t *testing.T) {
	r := newRig(t, options{upstream: nil, client: func(c *provider.Client) { c.Methods = []string{"other"} }, clients: []provider.Client{otherClient()}})
	other := []string{"basic", "other:other secret", "client_id", "other"}
	for _, c := range []struct {
		name   string
		change []string
		status int
		code   string
	}{
		{"a wrong secret", []string{"basic", "portal:x"}, 401, "invalid_client"},
		{"another client's request", []string{"client_id", "other"}, 401, "invalid_client"},
		{"a request_uri", []string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}, 400, "invalid_request"},
		{"no redirect URI", append(slices.Clone(other), "redirect_uri", "-"), 400, "invalid_request"},
		{"an unregistered redirect URI", append(slices.Clone(other), "redirect_uri", redirectURI+"/"), 400, "invalid_request"},
		{"no challenge", append(slices.Clone(other), "code_challenge", "-"), 400, "invalid_request"},
		{"a level that no method reaches", nil, 400, "unmet_authentication_requirements"},
		{"sound", other, 201, ""},
	} {
		a := r.push(r.request(), c.change...)
		got, _ := object(t, a.body)["error"].(string)
		if a.StatusCode != c.status || got != c.code {
			t.Errorf("%s: %d %s", c.name, a.StatusCode, a.body)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		req, err := http.NewRequest(method, r.server.URL+"/par", nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := newBrowser(t).do(req); a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.StatusCode)
		}
	}
}

// O-07: request objects that are refused. The client's address is in the
// registered request beside them, so the browser goes there.
func TestRequestObjects(t *testing.T) {
	k, other := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	rs := newClientKey(t, jose.RS256)
	now := time.Now().Truncate(time.Second) // and it stays so for the broker, however long the table takes
	for _, c := range []struct {
		name   string
		claims claimSet
		header map[jose.HeaderKey]any
		key    *clientKey
		fapi   bool
		change func(string) string
		want   string
	}{
		{name: "sound"},
		{name: "several audiences", claims: claimSet{"aud": []string{"https://other.example", "issuer"}}},
		{name: "nbf a little ahead", claims: claimSet{"nbf": now.Add(8 * time.Second).Unix()}},
		{name: "no times", claims: claimSet{"exp": nil, "nbf": nil}},
		{name: "no exp where it has to be signed", fapi: true, claims: claimSet{"exp": nil}, want: "request_object_time"},
		{name: "no nbf where it has to be signed", fapi: true, claims: claimSet{"nbf": nil}, want: "request_object_time"},
		{name: "exp more than an hour after nbf", fapi: true, claims: claimSet{"exp": now.Add(61 * time.Minute).Unix()}, want: "request_object_time"},
		{name: "nbf more than an hour ago", claims: claimSet{"nbf": now.Add(-61 * time.Minute).Unix()}, want: "request_object_time"},
		{name: "expired", claims: claimSet{"exp": now.Add(-time.Minute).Unix()}, want: "request_object_time"},
		{name: "not valid yet", claims: claimSet{"nbf": now.Add(time.Minute).Unix()}, want: "request_object_time"},
		{name: "another audience", claims: claimSet{"aud": "https://other.example"}, want: "request_object_audience"},
		{name: "no issuer", claims: claimSet{"iss": nil}, want: "request_object_issuer"},
		{name: "O-28 an assertion", claims: claimSet{"sub": "portal"}, want: "request_object_subject"},
		{name: "another client inside", claims: claimSet{"client_id": "other"}, want: "request_object_client"},
		{name: "nested", claims: claimSet{"request": "x"}, want: "request_object_nested"},
		{name: "request_uri inside", claims: claimSet{"request_uri": "http://169.254.169.254/"}, want: "request_object_nested"},
		{name: "O-23 none", change: unsigned("none"), want: "request_object_malformed"},
		{name: "another key", key: other, want: "request_object_signature"},
		{name: "RS256 outside FAPI", key: rs},
		{name: "another type", header: map[jose.HeaderKey]any{"typ": "dpop+jwt"}, want: "request_object_malformed"},
		{name: "control character", claims: claimSet{"state": "a\nb"}, want: "request_object_claims"},
		{name: "no redirect URI", claims: claimSet{"redirect_uri": nil}, want: "redirect_uri_missing"},
		{name: "O-03 another redirect URI", claims: claimSet{"redirect_uri": "https://evil.example"}, want: "redirect_uri_unregistered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{clock: brokertest.NewClock(now), client: func(p *provider.Client) {
				p.Keys, p.RequireSigned = []jose.JSONWebKey{k.public(), rs.public()}, c.fapi
			}})
			claims := changed(r.requestClaims(), c.claims)
			if list, ok := claims["aud"].([]string); ok {
				list[1] = r.server.URL
			}
			key := k
			if c.key != nil {
				key = c.key
			}
			text := key.sign(claims, c.header)
			if c.change != nil {
				text = c.change(text)
			}
			a := r.open(newBrowser(t), "client_id", "portal", "response_type", "code", "redirect_uri", redirectURI, "state", "outside", "request", text)
			switch {
			case c.want == "":
				if got := effect(t, a); got != "asked low force false" {
					t.Errorf("got %s", got)
				}
				return
			case strings.HasPrefix(c.want, "redirect_uri"):
				if a.StatusCode != http.StatusBadRequest {
					t.Errorf("got %d", a.StatusCode)
				}
				r.wantAudit(t, "authorization.refused/"+c.want)
				return
			}
			if got := effect(t, a); got != "error invalid_request_object" {
				t.Errorf("got %s", got)
			}
			r.wantAudit(t, "authorization.denied/"+c.want)
		})
	}
}

func TestPushedRequestObjectIsUsedOnce(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) { c.Keys, c.RequireSigned = []jose.JSONWebKey{k.public()}, true }})
	if a := r.push(r.request()); object(t, a.body)["error"] != "invalid_request" {
		t.Errorf("unsigned: %s", a.body)
	}
	text := k.sign(r.requestClaims(), nil)
	if a := r.push(url.Values{"request": {text}}); a.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := r.push(url.Values{"request": {text}}); object(t, a.body)["error"] != "invalid_request_object" {
		t.Errorf("again: %d %s", a.StatusCode, a.body)
	}
}

// Answers by form, and as signed JWTs (JARM), errors among them.
func TestResponseModes(t *testing.T) {
	field := regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`)
	for _, mode := range []string{"query", "form_post", "jwt", "query.jwt", "form_post.jwt"} {
		for _, failing := range []bool{false, true} {
			r := newRig(t, options{})
			b := newBrowser(t)
			var a answer
			if failing {
				a = r.authorize(b, "response_mode", mode, "prompt", "none")
			} else {
				departure := r.authorize(b, "response_mode", mode).location(t)
				a = b.back(r, r.callback(departure))
			}
			got := map[string]string{}
			if strings.HasPrefix(mode, "form_post") {
				if a.StatusCode != http.StatusOK || !strings.Contains(a.Header.Get("Content-Security-Policy"), "form-action 'self' http://localhost:7777") {
					t.Errorf("%s: %d %v", mode, a.StatusCode, a.Header)
				}
				for _, f := range field.FindAllStringSubmatch(a.body, -1) {
					got[f[1]] = html.UnescapeString(f[2])
				}
			} else {
				for name, values := range a.location(t).Query() {
					got[name] = values[0]
				}
			}
			if strings.HasSuffix(mode, "jwt") {
				if len(got) > 2 || got["code"] != "" { // response, and app of the redirect URI
					t.Errorf("%s: outside the JWT there is %v", mode, got)
				}
				got = verifiedClaims(t, r, got["response"])
				if got["aud"] != "portal" || got["exp"] == "" {
					t.Errorf("%s: got %v", mode, got)
				}
			}
			if got["iss"] != r.server.URL || got["state"] != "the state" || (got["code"] == "") != failing || failing && got["error"] != "login_required" {
				t.Errorf("%s: got %v", mode, got)
			}
		}
	}
}

// verifiedClaims checks a JWT of ours against the published keys.
func verifiedClaims(t testing.TB, r *rig, text string) map[string]string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(newBrowser(t).get(r.server.URL+"/jwks").body), &set); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	payload, err := jws.Verify(&set)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, value := range object(t, string(payload)) {
		if s, ok := value.(string); ok {
			out[name] = s
		} else {
			raw, _ := json.Marshal(value) // came from JSON
			out[name] = string(raw)
		}
	}
	return out
}
