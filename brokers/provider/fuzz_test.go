package provider_test

import (
	"crypto"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Whatever is asked, the browser is sent nowhere but to the registered redirect
// URI, the login pages, or the upstream; and nothing of ours fails (O-82).
func FuzzAuthorize(f *testing.F) {
	r := newRig(f, options{config: undelayed(f)})
	f.Add(r.request().Encode())
	for _, change := range [][]string{
		{"redirect_uri", "https://evil.example"},
		{"prompt", "none"},
		{"claims", `{"id_token":{"acr":{"essential":true,"values":["http://eidas.europa.eu/LoA/high"]}}}`},
		{"acr_values", "http://eidas.europa.eu/LoA/high", "max_age", "0", "ui_locales", "et nl"},
	} {
		f.Add(with(r.request(), change...).Encode())
	}
	f.Fuzz(func(t *testing.T, query string) {
		req := httptest.NewRequest(http.MethodGet, r.server.URL+"/authorize", nil)
		req.URL.RawQuery = query
		a := httptest.NewRecorder()
		r.provider.ServeHTTP(a, req)
		location := a.Header().Get("Location")
		switch a.Code {
		case http.StatusBadRequest:
			if location != "" {
				t.Errorf("a refusal redirects to %q", location)
			}
		case http.StatusSeeOther:
			if !strings.HasPrefix(location, redirectURI+"&") && !strings.HasPrefix(location, r.server.URL+"/login/") &&
				!strings.HasPrefix(location, "https://idp.example/login?") || strings.ContainsAny(location, "\r\n") {
				t.Errorf("redirected to %q", location)
			}
		case http.StatusTooManyRequests:
		default:
			t.Errorf("status %d", a.Code)
		}
	})
}

// undelayed trusts the fuzzer, who is wrong all the time.
func undelayed(t testing.TB) func(*provider.Config) {
	return guarded(t, abuse.Settings{Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
}

// Nothing but the one live code opens anything, and every answer is JSON that
// must not be kept.
func FuzzToken(f *testing.F) {
	r := newRig(f, options{config: undelayed(f)})
	f.Add("grant_type=authorization_code&code=x&redirect_uri=y&code_verifier=z", "Basic cG9ydGFsOng=")
	f.Add("grant_type=authorization_code&client_id=portal&client_secret=a+secret+of+the+portal", "")
	f.Fuzz(func(t *testing.T, body, authorization string) {
		req := httptest.NewRequest(http.MethodPost, r.server.URL+"/token", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			req.Header["Authorization"] = []string{authorization}
		}
		a := httptest.NewRecorder()
		r.provider.ServeHTTP(a, req)
		if a.Code != http.StatusBadRequest && a.Code != http.StatusUnauthorized {
			t.Errorf("status %d", a.Code)
		}
		if a.Header().Get("Cache-Control") != "no-store" || object(t, a.Body.String())["error"] == nil {
			t.Errorf("got %v %s", a.Header(), a.Body)
		}
	})
}

// Whatever comes as assertion, request object or proof: only what the registered
// key signed gets through, and every refusal is one of ours (O-82).
func FuzzStatements(f *testing.F) {
	k := newClientKey(f, jose.ES256)
	ours := newClientKey(f, jose.ES256)
	r := newRig(f, options{client: keyedClient(k), config: func(c *provider.Config) {
		undelayed(f)(c)
		c.DecryptionKeys = []crypto.PrivateKey{ours.key}
	}})
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: ours.key.Public()}, nil)
	if err != nil {
		f.Fatal(err)
	}
	jwe, err := encrypter.Encrypt([]byte(newClientKey(f, jose.ES256).sign(r.requestClaims(), nil)))
	if err != nil {
		f.Fatal(err)
	}
	encrypted, err := jwe.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encrypted)
	for _, header := range []map[jose.HeaderKey]any{nil, {"typ": "JWT"}, {"crit": []string{"b64"}, "b64": false}, {"kid": "x"}} {
		f.Add(newClientKey(f, jose.ES256).sign(r.assertionClaims(), header))
	}
	f.Add(unsigned("none")(k.sign(r.requestClaims(), nil)))
	f.Add(k.proof(r, "POST", "/token", nil, nil))
	f.Fuzz(func(t *testing.T, text string) {
		form := with(url.Values{"token": {"x"}}, assertion(text)...)
		form.Del("basic")
		for path, headers := range map[string]http.Header{
			"/introspect": {}, "/token": {"Dpop": {text}}, "/par": {"Dpop": {text}},
		} {
			req := httptest.NewRequest(http.MethodPost, r.server.URL+path, strings.NewReader(form.Encode()))
			req.Header = headers
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			a := httptest.NewRecorder()
			r.provider.ServeHTTP(a, req)
			if a.Code != http.StatusBadRequest && a.Code != http.StatusUnauthorized || object(t, a.Body.String())["error"] == nil {
				t.Errorf("%s: %d %s", path, a.Code, a.Body)
			}
		}
		if strings.Contains(text, ".") { // as an access token
			req := httptest.NewRequest(http.MethodGet, r.server.URL+"/userinfo", nil)
			req.Header = http.Header{"Authorization": {"Bearer " + text}}
			a := httptest.NewRecorder()
			r.provider.ServeHTTP(a, req)
			if a.Code != http.StatusUnauthorized {
				t.Errorf("userinfo: %d %s", a.Code, a.Body)
			}
		}
		q := url.Values{"client_id": {"portal"}, "redirect_uri": {redirectURI}, "request": {text}}
		a := httptest.NewRecorder()
		r.provider.ServeHTTP(a, httptest.NewRequest(http.MethodGet, r.server.URL+"/authorize?"+q.Encode(), nil))
		if to := a.Header().Get("Location"); text != "" && a.Code != http.StatusBadRequest && !strings.Contains(to, "error=") {
			t.Errorf("authorize: %d %s", a.Code, to)
		}
	})
}

// Whatever a client has at its address, nobody but the holder of a key there gets
// through, and what is no key set changes nothing.
func FuzzClientKeys(f *testing.F) {
	k, keys := newClientKey(f, jose.ES256), newSite(f)
	r := newRig(f, options{client: func(c *provider.Client) {
		c.Auth, c.SecretHash, c.JWKSURI = provider.AuthPrivateKeyJWT, brokers.Hash{}, keys.URL
	}, config: undelayed(f)})
	f.Add(keySet(f, newClientKey(f, jose.ES256).public()))
	f.Add(keySet(f, newClientKey(f, jose.RS256).public(), map[string]any{"kty": "oct", "k": "AA"}))
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys.serve(http.StatusOK, text)
		r.clock.Add(time.Hour)
		k, r := &clientKey{t, k.key, k.algorithm}, &rig{t: t, server: r.server, clock: r.clock}
		if a := r.call("/introspect", url.Values{"token": {"x"}}, assertion(k.sign(r.assertionClaims(), nil))...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
}
