package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// O-01: a redirect URI that is not the registered one byte by byte is a page,
// never a redirection.
func TestAuthorizeRefusesOtherRedirectURIs(t *testing.T) {
	const registered = "https://portal.example/cb"
	r := newRig(t, options{client: func(c *provider.Client) {
		c.RedirectURIs = []string{registered, "http://localhost:7777/cb"}
		c.Sector = "s"
	}})
	for _, uri := range []string{
		"https://PORTAL.example/cb", "https://portal.example/CB", "https://portal.example/cb/", "https://portal.example//cb",
		"https://portal.example/x/../cb", "https://portal.example/./cb", "https://portal.example/%63b", "https://portal.example/cb%2e",
		"https://portal.example/cb;x", "https://portal.example/cb?", "https://portal.example/cb?x=1", "https://portal.example/cb#", "https://portal.example/cb#x",
		"https://portal.example:443/cb", "https://portal.example:8443/cb", "http://portal.example/cb", "ftp://portal.example/cb",
		"https://user@portal.example/cb", "https://portal.example@evil.example/cb", "https://portal.example.evil.example/cb", "https://evil.example/cb",
		"https://evil.example/https://portal.example/cb", "https:portal.example/cb", "//portal.example/cb", "/cb", "cb", "https://portal.example\\@evil.example/cb",
		"https:\\\\portal.example/cb", "https://portal.example/cb ", " https://portal.example/cb", "https://portal.example/c\tb", "https://portal.example/cb\n",
		"https://pörtal.example/cb", "https://xn--prtal-kva.example/cb", "javascript:alert(1)", "data:text/html,x", "https://portal.example/*", "https://*.example/cb",
		"http://localhost:7778/cb", "http://localhost/cb", "http://127.0.0.1:7777/cb", "https://portal.example/cb\x00", "https://portal.example/cb,https://evil.example",
	} {
		a := r.authorize(newBrowser(t), "redirect_uri", uri)
		if a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" || len(a.Cookies()) != 0 {
			t.Errorf("%q: status %d, location %q", uri, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if a := r.authorize(newBrowser(t), "redirect_uri", registered); a.location(t).Host != "idp.example" {
		t.Errorf("the registered one was refused: %s", a.body)
	}
}

// Before client and redirect URI are known good, every refusal is a page.
func TestAuthorizeRefusesWithAPage(t *testing.T) {
	r := newRig(t, options{})
	raw := func(change func(string) string) func() answer {
		return func() answer { return newBrowser(t).get(r.server.URL + "/authorize?" + change(r.request().Encode())) }
	}
	form := func(contentType, query, body string) func() answer {
		return func() answer {
			req, err := http.NewRequest(http.MethodPost, r.server.URL+"/authorize"+query, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", contentType)
			return newBrowser(t).do(req)
		}
	}
	const kind = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, audit string
		ask         func() answer
	}{
		{"O-02 no redirect URI, though only one is registered", "redirect_uri_missing", func() answer { return r.authorize(newBrowser(t), "redirect_uri", "-") }},
		{"O-03 wrong redirect URI and wrong scope", "redirect_uri_unregistered", func() answer {
			return r.authorize(newBrowser(t), "redirect_uri", "https://evil.example/", "scope", "nonsense")
		}},
		{"O-05 no client", "client_id_missing", func() answer { return r.authorize(newBrowser(t), "client_id", "-") }},
		{"O-05 unknown client", "client_unknown", func() answer { return r.authorize(newBrowser(t), "client_id", "nobody") }},
		{"O-05 client twice", "parameters", raw(func(q string) string { return q + "&client_id=portal" })},
		{"O-05 redirect URI twice", "parameters", raw(func(q string) string { return q + "&redirect_uri=https%3A%2F%2Fevil.example" })},
		{"O-05 state twice", "parameters", raw(func(q string) string { return q + "&state=2" })},
		{"O-05 an unknown parameter twice", "parameters", raw(func(q string) string { return q + "&x=1&x=2" })},
		{"O-05 bad escape", "parameters", raw(func(q string) string { return q + "&x=%zz" })},
		{"O-05 semicolon", "parameters", raw(func(q string) string { return q + ";x=1" })},
		{"O-05 NUL", "parameters", raw(func(q string) string { return q + "&x=%00" })},
		{"O-05 invalid UTF-8", "parameters", raw(func(q string) string { return q + "&x=%ff" })},
		{"W-40 line break in state", "parameters", func() answer { return r.authorize(newBrowser(t), "state", "a\r\nSet-Cookie: x=1") }},
		{"W-40 Unicode line break in state", "parameters", func() answer { return r.authorize(newBrowser(t), "state", "a\u2028b") }},
		{"O-05 64 KB parameter", "", func() answer { return r.authorize(newBrowser(t), "x", strings.Repeat("x", 64<<10)) }},
		{"O-05 one byte over the bound", "parameters", func() answer {
			free := 16<<10 - len(r.request().Encode()) - len("&x=")
			return r.authorize(newBrowser(t), "x", strings.Repeat("x", free+1))
		}},
		{"O-05 state one byte too long", "state_too_long", func() answer { return r.authorize(newBrowser(t), "state", strings.Repeat("s", 1025)) }},
		{"O-05 query and body", "parameters", form(kind, "?client_id=portal", r.request().Encode())},
		{"O-05 body of another type", "parameters", form("application/json", "", `{"client_id":"portal"}`)},
		{"O-05 body too large", "parameters", form(kind, "", "x="+strings.Repeat("x", 16<<10))},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(r.reasons())
			a := c.ask()
			if a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusRequestHeaderFieldsTooLarge || a.Header.Get("Location") != "" {
				t.Fatalf("status %d, location %q", a.StatusCode, a.Header.Get("Location"))
			}
			after := r.reasons()[before:]
			if c.audit != "" && !slices.Equal(after, []string{"authorization.refused/" + c.audit}) {
				t.Errorf("audit has %v (I-6)", after)
			}
		})
	}
	if a := form(kind, "", r.request().Encode())(); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "idp.example") {
		t.Errorf("a good POST was refused: %d", a.StatusCode)
	}
}

// Once the redirect URI is known good, errors go there, with state and iss.
func TestAuthorizeTellsTheClientOfErrors(t *testing.T) {
	r := newRig(t, options{})
	long := strings.Repeat("x", 1025)
	list := strings.Repeat("x ", 33)
	for _, c := range []struct {
		name   string
		change []string
		want   string
	}{
		{"response_type missing", []string{"response_type", "-"}, "invalid_request"},
		{"implicit flow", []string{"response_type", "token"}, "unsupported_response_type"},
		{"hybrid flow", []string{"response_type", "code id_token"}, "unsupported_response_type"},
		{"response mode fragment", []string{"response_mode", "fragment"}, "invalid_request"},
		{"response mode fragment", []string{"response_mode", "fragment"}, "invalid_request"},
		{"O-18 no PKCE", []string{"code_challenge", "-", "code_challenge_method", "-"}, "invalid_request"},
		{"O-18 PKCE without method", []string{"code_challenge_method", "-"}, "invalid_request"},
		{"O-18 plain", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"O-18 unknown method", []string{"code_challenge_method", "S512"}, "invalid_request"},
		{"O-18 short challenge", []string{"code_challenge", "abc"}, "invalid_request"},
		{"O-18 padded challenge", []string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="}, "invalid_request"},
		{"O-18 challenge with unused bits", []string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"}, "invalid_request"},
		{"scope missing", []string{"scope", "-"}, "invalid_scope"},
		{"scope without openid", []string{"scope", "name"}, "invalid_scope"},
		{"O-66 scope not registered", []string{"scope", "openid birthdate"}, "invalid_scope"},
		{"O-81 scope flood", []string{"scope", "openid " + list}, "invalid_scope"},
		{"O-81 claims flood", []string{"claims", `{"userinfo":{"x":"` + strings.Repeat("x", 8<<10) + `"}}`}, "invalid_request"},
		{"nonce one byte too long", []string{"nonce", long}, "invalid_request"},
		{"unknown prompt", []string{"prompt", "dance"}, "invalid_request"},
		{"prompt none and login", []string{"prompt", "none login"}, "invalid_request"},
		{"O-06 prompt none without session", []string{"prompt", "none"}, "login_required"},
		{"max_age negative", []string{"max_age", "-1"}, "invalid_request"},
		{"max_age a word", []string{"max_age", "x"}, "invalid_request"},
		{"max_age with sign", []string{"max_age", "+1"}, "invalid_request"},
		{"max_age huge", []string{"max_age", "99999999999999999999"}, "invalid_request"},
		{"acr_values flood", []string{"acr_values", list}, "invalid_request"},
		{"ui_locales flood", []string{"ui_locales", list}, "invalid_request"},
		{"claims not JSON", []string{"claims", "{"}, "invalid_request"},
		{"claims an array", []string{"claims", "[]"}, "invalid_request"},
		{"claims null", []string{"claims", "null"}, "invalid_request"},
		{"claims of wrong shape", []string{"claims", `{"id_token":[]}`}, "invalid_request"},
		{"acr of wrong shape", []string{"claims", `{"id_token":{"acr":"high"}}`}, "invalid_request"},
		{"O-27 repeated member", []string{"claims", `{"id_token":{"acr":{"essential":true}},"id_token":{}}`}, "invalid_request"},
		{"O-27 member in another case", []string{"claims", `{"id_token":{"acr":{"essential":true,"ESSENTIAL":false}}}`}, "invalid_request"},
		{"claims too deep", []string{"claims", `{"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`}, "invalid_request"},
		{"O-07 request object", []string{"request", "eyJhbGciOiJub25lIn0.e30."}, "invalid_request_object"},
		{"O-07 request_uri", []string{"request_uri", "http://169.254.169.254/"}, "request_uri_not_supported"},
		{"registration", []string{"registration", "{}"}, "registration_not_supported"},
		{"essential acr unknown", []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"urn:x"}}}`}, "unmet_authentication_requirements"},
		{"essential acr of another type", []string{"claims", `{"id_token":{"acr":{"essential":true,"values":[3]}}}`}, "unmet_authentication_requirements"},
		{"essential acr below the client's floor", []string{"claims", `{"id_token":{"acr":{"essential":true,"values":["urn:broker:loa:basic"]}}}`}, "unmet_authentication_requirements"},
	} {
		t.Run(c.name, func(t *testing.T) {
			back := r.authorize(newBrowser(t), c.change...).location(t)
			q := back.Query()
			if !strings.HasPrefix(back.String(), redirectURI+"&") || q.Get("error") != c.want || q.Get("state") != "the state" ||
				q.Get("iss") != r.server.URL || q.Get("app") != "1" || q.Get("code") != "" {
				t.Errorf("got %s, want error %s", back, c.want)
			}
		})
	}
}

// What a request may contain without harm (broker.md 13.4).
func TestAuthorizeToleratesWhatItDoesNotKnow(t *testing.T) {
	r := newRig(t, options{})
	for name, change := range map[string][]string{
		"unknown parameters":      {"foo", "bar", "display", "popup", "claims_locales", "xx", "login_hint", "someone"},
		"unknown scope":           {"scope", "offline_access openid name"},
		"no nonce":                {"nonce", "-"},
		"nonce of 64 characters":  {"nonce", strings.Repeat("n", 64)},
		"state at the bound":      {"state", strings.Repeat("s", 1024)},
		"no state":                {"state", "-"},
		"unknown acr_values":      {"acr_values", "urn:mace:incommon:iap:silver 0"},
		"unknown claims":          {"claims", `{"userinfo":{"unheard_of":[{"x":1}],"email_verified":{"value":true}},"id_token":{"https://x.example/a":{"y":{}}},"z":3}`},
		"unknown languages":       {"ui_locales", "tlh xx-Latn-yy " + strings.Repeat("z", 60)},
		"prompt consent":          {"prompt", "consent"},
		"explicit response mode":  {"response_mode", "query"},
		"empty parameters":        {"request", "", "max_age", ""},
		"max_age of years":        {"max_age", "1000000000"},
		"voluntary acr, no value": {"claims", `{"id_token":{"acr":null,"auth_time":{"essential":true}}}`},
	} {
		if a := r.authorize(newBrowser(t), change...); a.StatusCode != http.StatusSeeOther || a.location(t).Host != "idp.example" {
			t.Errorf("%s: status %d, location %q", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

// The level to ask of the upstream, and who is offered at all (broker.md 8.5
// rules 2, 3, 12, 13).
func TestAuthorizeResolvesTheLevel(t *testing.T) {
	const eidas = "http://eidas.europa.eu/LoA/"
	essential := func(values string) string {
		return `{"id_token":{"acr":{"essential":true,"values":[` + values + `]}}}`
	}
	low, high := brokers.Method{ID: "low", Level: levels.Low, Name: map[string]string{"en": "L"}}, brokers.Method{ID: "high", Level: levels.High, Name: map[string]string{"en": "H"}}
	for _, c := range []struct {
		name      string
		semantics provider.Semantics
		minimum   levels.Level
		offered   []brokers.Method
		allowed   []string
		change    []string
		want      string // level asked, or "error <code>", or "choice"
	}{
		{"nothing asked: the client's floor", provider.Floor, levels.Low, nil, nil, nil, "low"},
		{"a request raises the floor", provider.Floor, levels.Low, nil, nil, []string{"acr_values", eidas + "substantial"}, "substantial"},
		{"a request cannot lower the floor", provider.Floor, levels.Substantial, nil, nil, []string{"acr_values", eidas + "low"}, "substantial"},
		{"the lowest known value is the floor", provider.Floor, levels.Low, nil, nil, []string{"acr_values", "urn:x " + eidas + "high " + eidas + "substantial"}, "substantial"},
		{"a voluntary acr claim counts like acr_values", provider.Floor, levels.Low, nil, nil, []string{"claims", `{"id_token":{"acr":{"value":"` + eidas + `high"}}}`}, "high"},
		{"no method reaches it", provider.Floor, levels.Low, []brokers.Method{low}, nil, []string{"acr_values", eidas + "high"}, "error unmet_authentication_requirements"},
		{"the only method that does is not the client's", provider.Floor, levels.Low, []brokers.Method{low, high}, []string{"low"}, []string{"acr_values", eidas + "high"}, "error unmet_authentication_requirements"},
		{"two methods: a choice", provider.Floor, levels.Low, []brokers.Method{low, high}, nil, nil, "choice"},
		{"one of two reaches it: no choice", provider.Floor, levels.Low, []brokers.Method{low, high}, nil, []string{"acr_values", eidas + "substantial"}, "substantial"},
		{"a wish is asked for where it can be met", provider.Preference, levels.Low, nil, nil, []string{"acr_values", eidas + "high " + eidas + "low"}, "high"},
		{"a wish that cannot be met is no error", provider.Preference, levels.Low, []brokers.Method{low}, nil, []string{"acr_values", eidas + "high"}, "low"},
		{"essential binds", provider.Preference, levels.Low, []brokers.Method{low}, nil, []string{"claims", essential(`"` + eidas + `high"`)}, "error unmet_authentication_requirements"},
		{"essential asks for the least listed", provider.Floor, levels.Low, nil, nil, []string{"claims", essential(`"` + eidas + `high","` + eidas + `substantial"`)}, "substantial"},
		{"essential and a higher floor", provider.Floor, levels.Substantial, nil, nil, []string{"claims", essential(`"` + eidas + `high","` + eidas + `low"`)}, "high"},
		{"essential without values asks for nothing", provider.Floor, levels.Low, nil, nil, []string{"claims", `{"id_token":{"acr":{"essential":true}}}`}, "low"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{
				upstream: &brokertest.Upstream{Offered: c.offered},
				client:   func(p *provider.Client) { p.MinLevel, p.Semantics, p.Methods = c.minimum, c.semantics, c.allowed },
			})
			to := r.authorize(newBrowser(t), c.change...).location(t)
			got := to.Query().Get("level")
			switch {
			case to.Query().Get("error") != "":
				got = "error " + to.Query().Get("error")
			case strings.HasPrefix(to.Path, "/login/"):
				got = "choice"
			}
			if got != c.want {
				t.Errorf("got %q, want %q (%s)", got, c.want, to)
			}
		})
	}
}

func TestClientsAreCheckedWhenTheyAreRegistered(t *testing.T) {
	for name, change := range map[string]func(*provider.Client){
		"no id":                        func(c *provider.Client) { c.ID = "" },
		"id with a space":              func(c *provider.Client) { c.ID = "a b" },
		"no redirect URI":              func(c *provider.Client) { c.RedirectURIs = nil },
		"O-01 wildcard":                func(c *provider.Client) { c.RedirectURIs = []string{"https://*.example/cb"} },
		"fragment":                     func(c *provider.Client) { c.RedirectURIs = []string{"https://a.example/#x"} },
		"empty fragment":               func(c *provider.Client) { c.RedirectURIs = []string{"https://a.example/#"} },
		"plain http":                   func(c *provider.Client) { c.RedirectURIs = []string{"http://a.example/"} },
		"user":                         func(c *provider.Client) { c.RedirectURIs = []string{"https://u@a.example/"} },
		"not a URL":                    func(c *provider.Client) { c.RedirectURIs = []string{"portal"} },
		"script":                       func(c *provider.Client) { c.RedirectURIs = []string{"javascript:alert(1)"} },
		"too long":                     func(c *provider.Client) { c.RedirectURIs = []string{"https://a.example/" + strings.Repeat("a", 2048)} },
		"two hosts without sector":     func(c *provider.Client) { c.RedirectURIs = []string{"https://a.example/", "https://b.example/"} },
		"no level":                     func(c *provider.Client) { c.MinLevel = levels.None },
		"level off the scale":          func(c *provider.Client) { c.MinLevel = 15 },
		"level that cannot be said":    func(c *provider.Client) { c.MinLevel, c.Vocabulary = levels.Low, "ftn" },
		"unknown vocabulary":           func(c *provider.Client) { c.Vocabulary = "klingon" },
		"unknown scope":                func(c *provider.Client) { c.Scopes = []string{"everything"} },
		"unknown semantics":            func(c *provider.Client) { c.Semantics = "maybe" },
		"O-52 public with a secret":    func(c *provider.Client) { c.Auth = provider.AuthNone },
		"O-52 confidential without":    func(c *provider.Client) { c.SecretHash = brokers.Hash{} },
		"unknown authentication":       func(c *provider.Client) { c.Auth = "private_key_jwt" },
		"S-36 the same client twice":   nil,
		"https and other host, sector": func(c *provider.Client) { c.RedirectURIs = append(c.RedirectURIs, "ftp://a.example/") },
	} {
		c := portal()
		list := []provider.Client{c, c}
		if change != nil {
			change(&c)
			list = []provider.Client{c}
		}
		if _, err := provider.NewStaticClients(levels.Default(), list); err == nil {
			t.Errorf("%s: registered", name)
		}
	}
	c := portal()
	c.RedirectURIs, c.Sector = []string{"https://a.example/cb", "https://b.example/cb", "http://[::1]:9/cb"}, "a.example"
	if _, err := provider.NewStaticClients(levels.Default(), []provider.Client{c}); err != nil {
		t.Error(err)
	}
}

func TestIssuerMustBeHTTPSExceptOnThisMachine(t *testing.T) {
	for issuer, good := range map[string]bool{
		"https://login.example": true, "https://login.example/op": true, "http://localhost:8181": true, "http://127.0.0.1:1": true, "http://[::1]:1": true,
		"http://login.example": false, "http://localhost.example": false, "https://login.example/": false, "https://login.example?x": false,
		"https://login.example#": false, "https://u@login.example": false, "ftp://login.example": false, "login.example": false, "": false, "https://": false, "%": false,
	} {
		if _, err := provider.CheckIssuer(issuer); (err == nil) != good {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}
