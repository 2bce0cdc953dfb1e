package provider_test

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	filesAPI = "https://files.example/"
	loansAPI = "https://loans.example/v1"
)

// services lets the portal ask for two services.
func services(c *provider.Client) {
	c.RefreshTokens, c.AccessTokenJWT, c.DeviceFlow = true, true, true
	c.Resources = []string{filesAPI, loansAPI}
}

// authorizeFor is an authorization request for resources, as often as there are some.
func (r *rig) authorizeFor(b *browser, resources []string, change ...string) answer {
	form := with(r.request(), append([]string{"scope", "openid name offline_access"}, change...)...)
	form["resource"] = resources
	return b.get(r.server.URL + "/authorize?" + form.Encode())
}

// codeFor logs in for resources.
func (r *rig) codeFor(resources ...string) string {
	r.t.Helper()
	b := newBrowser(r.t)
	return b.back(r, r.callback(r.authorizeFor(b, resources).location(r.t))).location(r.t).Query().Get("code")
}

// redeemFor is a token request for resources.
func (r *rig) redeemFor(code string, resources ...string) answer {
	form := codeForm(code)
	form["resource"] = resources
	return r.call("/token", form)
}

func wantTarget(t *testing.T, name string, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusBadRequest || object(t, a.body)["error"] != "invalid_target" {
		t.Errorf("%s: %d %s, want invalid_target", name, a.StatusCode, a.body)
	}
}

// RFC 8707 2.1: the authorization request names where the token is to be used.
func TestResourceOfTheAuthorizationRequest(t *testing.T) {
	r := newRig(t, options{client: services})
	for _, c := range []struct {
		resources []string
		audience  string
	}{
		{nil, r.server.URL},
		{[]string{""}, r.server.URL},
		{[]string{filesAPI}, filesAPI},
		{[]string{filesAPI, filesAPI}, filesAPI},
		{[]string{loansAPI, filesAPI}, `["` + loansAPI + `","` + filesAPI + `"]`},
		{[]string{"", loansAPI}, loansAPI},
	} {
		tokens := object(t, r.redeem(r.codeFor(c.resources...)).body)
		claims := verifiedClaims(t, r, tokens["access_token"].(string))
		if claims["aud"] != c.audience {
			t.Errorf("%q gave a token for %s, want %s", c.resources, claims["aud"], c.audience)
		}
		// The ID token is for the client, whatever its access tokens are for.
		if id := verifiedClaims(t, r, tokens["id_token"].(string)); id["aud"] != "portal" {
			t.Errorf("ID token for %s", id["aud"])
		}
	}
	for name, resources := range map[string][]string{
		"not registered":           {"https://other.example/"},
		"one of them not":          {filesAPI, "https://other.example/"},
		"relative":                 {"/files"},
		"fragment":                 {filesAPI + "#x"},
		"empty fragment":           {filesAPI + "#"},
		"no URI":                   {"https://files example/"},
		"other case":               {"https://FILES.example/"},
		"without the slash":        {"https://files.example"},
		"two in one":               {filesAPI + " " + loansAPI},
		"more than there may be":   strings.Fields(strings.Repeat(filesAPI+"x ", 40)),
		"longer than there may be": {filesAPI + strings.Repeat("a", 4000)},
	} {
		a := r.authorizeFor(newBrowser(t), resources)
		if q := a.location(t).Query(); q.Get("error") != "invalid_target" || q.Get("code") != "" || q.Get("state") != "the state" {
			t.Errorf("%s: %v", name, q)
		}
	}
	if a := r.authorizeFor(newBrowser(t), []string{filesAPI, "https://a.example/\n" + loansAPI}); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a line end got %d", a.StatusCode)
	}
	if a := newBrowser(t).get(r.server.URL + "/authorize?" + r.request().Encode() + "&scope=openid"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("another parameter twice got %d", a.StatusCode)
	}
}

// RFC 8707 2.2: code and refresh token give tokens for fewer resources, never for more.
func TestResourceOfTheTokenRequest(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) {
		services(c)
		c.AccessTokenAudience = []string{"https://api.example"}
	}})
	audience := func(a answer) string {
		t.Helper()
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		text := object(t, a.body)["access_token"].(string)
		if told := object(t, r.call("/introspect", url.Values{"token": {text}}).body); fmt.Sprint(told["aud"]) != strings.NewReplacer(`","`, " ", `"`, "").Replace(verifiedClaims(t, r, text)["aud"]) {
			t.Errorf("introspection tells of %v, the token of %s", told["aud"], verifiedClaims(t, r, text)["aud"])
		}
		return verifiedClaims(t, r, text)["aud"]
	}
	both := `["` + filesAPI + `","` + loansAPI + `"]`
	first := r.redeemFor(r.codeFor(filesAPI, loansAPI), loansAPI)
	if got := audience(first); got != loansAPI {
		t.Errorf("the code was for %s", got)
	}
	refresh := object(t, first.body)["refresh_token"]
	again := r.refresh(refresh, "resource", filesAPI)
	if got := audience(again); got != filesAPI {
		t.Errorf("the refresh token was for %s", got)
	}
	all := r.refresh(object(t, again.body)["refresh_token"])
	if got := audience(all); got != both {
		t.Errorf("without a resource the refresh token was for %s", got)
	}
	refresh = object(t, all.body)["refresh_token"]
	wantTarget(t, "refresh for what is not registered", r.refresh(refresh, "resource", "https://other.example/"))
	wantTarget(t, "refresh for what was not granted", r.refresh(refresh, "resource", "https://api.example"))
	wantTarget(t, "refresh for nonsense", r.refresh(refresh, "resource", "files"))
	if got := audience(r.refresh(refresh)); got != both {
		t.Errorf("a refused refresh cost the refresh token: %s", got)
	}
	wantTarget(t, "a code for more", r.redeemFor(r.codeFor(filesAPI), filesAPI, loansAPI))
	wantTarget(t, "a code without resource for more than the default", r.redeemFor(r.codeFor(), filesAPI))
	if got := audience(r.redeemFor(r.codeFor(), "https://api.example")); got != "https://api.example" {
		t.Errorf("the default by name is for %s", got)
	}
	// One that is malformed is seen before the code is used up.
	code := r.codeFor(filesAPI)
	wantTarget(t, "a malformed one", r.redeemFor(code, "#"))
	if got := audience(r.redeemFor(code)); got != filesAPI {
		t.Errorf("the code was for %s", got)
	}
}

// The same parameter where a request is pushed, signed, or a device's.
func TestResourceElsewhere(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) { services(c); c.Keys = []jose.JSONWebKey{k.public()} }})
	b := newBrowser(t)
	audienceOf := func(departure *url.URL) string {
		code := b.back(r, r.callback(departure)).location(t).Query().Get("code")
		return verifiedClaims(t, r, object(t, r.redeem(code).body)["access_token"].(string))["aud"]
	}
	form := r.request()
	form["resource"] = []string{loansAPI, filesAPI}
	uri := object(t, r.call("/par", form).body)["request_uri"].(string)
	if got := audienceOf(r.open(b, "client_id", "portal", "request_uri", uri).location(t)); got != `["`+loansAPI+`","`+filesAPI+`"]` {
		t.Errorf("pushed: %s", got)
	}
	wantTarget(t, "pushed", r.push(with(r.request(), "resource", "https://other.example/")))
	for want, claim := range map[string]any{filesAPI: filesAPI, `["` + filesAPI + `","` + loansAPI + `"]`: []string{filesAPI, loansAPI}} {
		object := k.sign(changed(r.requestClaims(), claimSet{"resource": claim}), nil)
		if got := audienceOf(r.open(b, "client_id", "portal", "request", object).location(t)); got != want {
			t.Errorf("signed %v: %s", claim, got)
		}
	}
	for name, claim := range map[string]any{"other": "https://other.example/", "list": []string{filesAPI, "https://other.example/"}, "number": 1, "list of numbers": []int{1}, "list in one text": `["` + filesAPI + `"]`} {
		wantTarget(t, "signed: "+name, r.push(url.Values{"request": {k.sign(changed(r.requestClaims(), claimSet{"resource": claim}), nil)}}))
	}
	wantTarget(t, "device", r.call("/device_authorization", url.Values{"resource": {"https://other.example/"}}))
	d := r.beginDevice("resource", loansAPI)
	to, err := url.Parse(refreshTarget(t, r.confirm(b, d, "yes")))
	if err != nil {
		t.Fatal(err)
	}
	b.back(r, r.callback(to))
	tokens := object(t, r.poll(d.Code).body)
	if got := verifiedClaims(t, r, tokens["access_token"].(string))["aud"]; got != loansAPI {
		t.Errorf("device: %s", got)
	}
}

// RFC 8707 3: whoever a token is sent to gets no further with it.
func TestTokenForAServiceIsNotForUserinfo(t *testing.T) {
	for _, jwt := range []bool{false, true} {
		r := newRig(t, options{config: func(c *provider.Config) {
			client := portal()
			services(&client)
			client.AccessTokenJWT, client.Resources = jwt, append(client.Resources, c.Issuer)
			clients, err := provider.NewStaticClients(levels.Default(), []provider.Client{client})
			if err != nil {
				t.Fatal(err)
			}
			c.Clients = clients
		}})
		issuer := r.server.URL
		for _, c := range []struct {
			resources, narrowed []string
			status              int
		}{
			{nil, nil, http.StatusOK},
			{[]string{filesAPI}, nil, http.StatusUnauthorized},
			{[]string{filesAPI, issuer}, nil, http.StatusOK},
			{[]string{filesAPI, issuer}, []string{filesAPI}, http.StatusUnauthorized},
			{[]string{filesAPI, issuer}, []string{issuer}, http.StatusOK},
		} {
			token := object(t, r.redeemFor(r.codeFor(c.resources...), c.narrowed...).body)["access_token"].(string)
			a := r.userinfo(token)
			if a.StatusCode != c.status {
				t.Errorf("JWT %v: a token for %q, %q got %d", jwt, c.resources, c.narrowed, a.StatusCode)
			}
			if a.StatusCode == http.StatusUnauthorized && a.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
				t.Errorf("challenge %q", a.Header.Get("WWW-Authenticate"))
			}
		}
	}
}

// RFC 7662 4, RFC 9701 5: a service learns of tokens that are meant for it alone.
func TestServiceIntrospectsItsOwnTokens(t *testing.T) {
	files := provider.ResourceServer{ID: "files", Audiences: []string{filesAPI}, SecretHash: brokers.HashOf("files secret")}
	loans := provider.ResourceServer{ID: "loans", Audiences: []string{loansAPI, "https://loans.example/v2"}, SecretHash: brokers.HashOf("loans secret")}
	registry, err := provider.NewResourceServers([]provider.ResourceServer{files, loans})
	if err != nil {
		t.Fatal(err)
	}
	other := portal()
	other.ID, other.SecretHash = "other", brokers.HashOf("other secret")
	r := newRig(t, options{client: services, clients: []provider.Client{other}, config: func(c *provider.Config) { c.ResourceServers = registry }})
	const (
		asFiles, asLoans, asOther, asPortal = "files:files secret", "loans:loans secret", "other:other secret", "portal:" + secret
	)
	ask := func(token any, as string) map[string]any {
		t.Helper()
		a := r.call("/introspect", url.Values{"token": {token.(string)}, "basic": {as}})
		if a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s got %d %s", as, a.StatusCode, a.body)
		}
		told := object(t, a.body)
		if told["active"] != true && len(told) != 1 {
			t.Errorf("%s is told too much: %v", as, told)
		}
		return told
	}
	issue := func(resources ...string) map[string]any { return object(t, r.redeem(r.codeFor(resources...)).body) }
	forFiles, forBoth, forUs := issue(filesAPI), issue(filesAPI, loansAPI), issue()
	for _, c := range []struct {
		name  string
		token any
		knows []string
	}{
		{"for files", forFiles["access_token"], []string{asFiles, asPortal}},
		{"for both", forBoth["access_token"], []string{asFiles, asLoans, asPortal}},
		{"for us", forUs["access_token"], []string{asPortal}},
		{"a refresh token", forBoth["refresh_token"], []string{asPortal}},
		{"an ID token", forFiles["id_token"], nil},
		{"nonsense", "nonsense", nil},
	} {
		active := map[string]bool{}
		for _, as := range []string{asFiles, asLoans, asOther, asPortal} {
			if ask(c.token, as)["active"] == true {
				active[as] = true
			}
		}
		want := map[string]bool{}
		for _, as := range c.knows {
			want[as] = true
		}
		if !maps.Equal(active, want) {
			t.Errorf("%s is known to %v, want %v", c.name, active, want)
		}
	}
	told := ask(forFiles["access_token"], asFiles)
	claims := verifiedClaims(t, r, forFiles["access_token"].(string))
	if told["client_id"] != "portal" || told["aud"] != filesAPI || told["sub"] != claims["sub"] || told["acr"] != claims["acr"] || told["scope"] != "openid name offline_access" {
		t.Errorf("told %v", told)
	}
	// A narrower token of a refresh is for the narrower audience.
	narrow := object(t, r.refresh(forBoth["refresh_token"], "resource", loansAPI).body)["access_token"]
	if ask(narrow, asFiles)["active"] == true || ask(narrow, asLoans)["active"] != true {
		t.Error("a narrowed token is known to the wrong service")
	}
	r.call("/revoke", url.Values{"token": {forFiles["access_token"].(string)}})
	if ask(forFiles["access_token"], asFiles)["active"] == true {
		t.Error("a revoked token is active")
	}
	// A service is no client anywhere else, and proves who it is.
	for _, path := range []string{"/token", "/par", "/revoke", "/device_authorization"} {
		if a := r.call(path, url.Values{"token": {"x"}, "basic": {asFiles}}); a.StatusCode != http.StatusUnauthorized || object(t, a.body)["error"] != "invalid_client" {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if a := r.authorize(newBrowser(t), "client_id", "files"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a service begins a login: %d", a.StatusCode)
	}
	for name, as := range map[string]string{"wrong secret": "files:loans secret", "none": "-"} {
		if a := r.call("/introspect", url.Values{"token": {forBoth["access_token"].(string)}, "client_id": {"files"}, "basic": {as}}); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	r.clock.Add(time.Hour)
	if ask(forBoth["access_token"], asFiles)["active"] == true {
		t.Error("an expired token is active")
	}
}

// RFC 9701: signed answers for a service that proves itself by key or certificate.
func TestServiceWithKeyOrCertificate(t *testing.T) {
	k, ca := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	day := time.Now().Add(24 * time.Hour)
	root := clientCertificate(t, ca, "root", nil, nil, day)
	pool := x509.NewCertPool()
	pool.AddCert(root)
	registry, err := provider.NewResourceServers([]provider.ResourceServer{
		{ID: "files", Audiences: []string{filesAPI}, Auth: provider.AuthPrivateKeyJWT, Keys: []jose.JSONWebKey{k.public()}},
		{ID: "loans", Audiences: []string{loansAPI}, Auth: provider.AuthTLS, TLSName: "loans.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, options{client: services, config: func(c *provider.Config) {
		c.ResourceServers, c.ClientRoots = registry, pool
		c.ClientCertificate = provider.ForwardedCertificate("Client-Cert", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	}})
	const mediaType = "application/token-introspection+jwt"
	token := object(t, r.redeem(r.codeFor(filesAPI, loansAPI)).body)["access_token"].(string)
	byKey := func(change claimSet) answer {
		text := k.sign(changed(claimSet{
			"iss": "files", "sub": "files", "aud": r.server.URL, "jti": random(), "iat": r.clock.Now().Unix(), "exp": r.clock.Now().Add(time.Minute).Unix(),
		}, change), nil)
		return r.send(http.MethodPost, "/introspect", url.Values{
			"token": {token}, "client_id": {"files"}, "client_assertion": {text},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}, "Accept", mediaType)
	}
	byCertificate := func(name string) answer {
		header := ":" + base64.StdEncoding.EncodeToString(clientCertificate(t, k, name, root, ca, day).Raw) + ":"
		return r.send(http.MethodPost, "/introspect", url.Values{"token": {token}, "client_id": {"loans"}}, "Accept", mediaType, "Client-Cert", header)
	}
	for id, a := range map[string]answer{"files": byKey(nil), "loans": byCertificate("loans.example")} {
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != mediaType {
			t.Fatalf("%s: %d %s", id, a.StatusCode, a.body)
		}
		claims := verifiedClaims(t, r, a.body)
		inside := object(t, claims["token_introspection"])
		if headerOf(t, a.body)["typ"] != "token-introspection+jwt" || claims["iss"] != r.server.URL || claims["aud"] != id || claims["sub"] != "" || claims["exp"] != "" {
			t.Errorf("%s: %v", id, claims)
		}
		if inside["active"] != true || inside["client_id"] != "portal" || inside["iss"] != r.server.URL {
			t.Errorf("%s: inside %v", id, inside)
		}
	}
	for name, a := range map[string]answer{
		"another audience": byKey(claimSet{"aud": "https://other.example"}), "another issuer": byKey(claimSet{"iss": "portal"}),
		"another certificate": byCertificate("files.example"),
	} {
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
}

// Services that cannot be registered.
func TestResourceServersAreChecked(t *testing.T) {
	good := func() provider.ResourceServer {
		return provider.ResourceServer{ID: "files", Audiences: []string{filesAPI}, SecretHash: brokers.HashOf("x")}
	}
	for name, change := range map[string]func(*provider.ResourceServer){
		"no ID":           func(s *provider.ResourceServer) { s.ID = "" },
		"no audience":     func(s *provider.ResourceServer) { s.Audiences = nil },
		"relative":        func(s *provider.ResourceServer) { s.Audiences = []string{"files"} },
		"fragment":        func(s *provider.ResourceServer) { s.Audiences = []string{filesAPI + "#"} },
		"not normal":      func(s *provider.ResourceServer) { s.Audiences = []string{"https://files.example/a b"} },
		"public":          func(s *provider.ResourceServer) { s.Auth, s.SecretHash = provider.AuthNone, brokers.Hash{} },
		"no secret":       func(s *provider.ResourceServer) { s.SecretHash = brokers.Hash{} },
		"no key":          func(s *provider.ResourceServer) { s.Auth, s.SecretHash = provider.AuthPrivateKeyJWT, brokers.Hash{} },
		"no name":         func(s *provider.ResourceServer) { s.Auth, s.SecretHash = provider.AuthTLS, brokers.Hash{} },
		"wrong algorithm": func(s *provider.ResourceServer) { s.SigningAlgorithm = "HS256" },
	} {
		s := good()
		change(&s)
		if _, err := provider.NewResourceServers([]provider.ResourceServer{s}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	twin := good()
	twin.ID = "twin"
	for name, list := range map[string][]provider.ResourceServer{"twice": {good(), good()}, "one resource of two": {good(), twin}} {
		if _, err := provider.NewResourceServers(list); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	client, us := good(), good()
	client.ID, us.Audiences = "portal", []string{"https://login.example"}
	for name, s := range map[string]provider.ResourceServer{"the ID of a client": client, "our name": us} {
		registry, err := provider.NewResourceServers([]provider.ResourceServer{s})
		if err != nil {
			t.Fatal(err)
		}
		if registry.Check("https://login.example", []provider.Client{portal()}) == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
