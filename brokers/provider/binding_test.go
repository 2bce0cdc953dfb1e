package provider_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// proof makes a DPoP proof for a request of the rig.
func (k *clientKey) proof(r *rig, method, path string, change claimSet, header map[jose.HeaderKey]any) string {
	k.t.Helper()
	claims := changed(claimSet{"jti": random(), "htm": method, "htu": r.server.URL + path, "iat": r.clock.Now().Unix()}, change)
	all := map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: k.key.Public()}}
	for name, value := range header {
		all[name] = value
	}
	return k.sign(claims, all)
}

// send posts a form or gets, with headers.
func (r *rig) send(method, path string, form url.Values, headers ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	if headers == nil || form != nil && req.Header.Get("Authorization") == "" && form.Get("client_id") == "" {
		req.SetBasicAuth("portal", url.QueryEscape(secret))
	}
	return newBrowser(r.t).do(req)
}

func codeForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
}

// Proofs that bind no token (RFC 9449 4.3).
func TestProofsAtTheTokenEndpoint(t *testing.T) {
	k, other := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	private := jose.JSONWebKey{Key: k.key}
	now := time.Now().Truncate(time.Second) // and it stays so for the broker, however long the keys take
	for _, c := range []struct {
		name   string
		claims claimSet
		header map[jose.HeaderKey]any
		key    *clientKey
		want   string
	}{
		{name: "sound"},
		{name: "ten seconds old", claims: claimSet{"iat": now.Add(-10 * time.Second).Unix()}},
		{name: "ten seconds ahead", claims: claimSet{"iat": now.Add(10 * time.Second).Unix()}},
		{name: "query and fragment in the URL do not matter", claims: claimSet{"htu": "query"}},
		{name: "by EdDSA", key: newClientKey(t, jose.EdDSA)},
		{name: "by PS256", key: newClientKey(t, jose.PS256)},
		{name: "by RS256", key: newClientKey(t, jose.RS256), want: "proof_malformed"},
		{name: "no jti", claims: claimSet{"jti": nil}, want: "proof_id"},
		{name: "another method", claims: claimSet{"htm": "GET"}, want: "proof_method"},
		{name: "no URL", claims: claimSet{"htu": nil}, want: "proof_url"},
		{name: "another path", claims: claimSet{"htu": "https://login.example/userinfo"}, want: "proof_url"},
		{name: "no time", claims: claimSet{"iat": nil}, want: "proof_time"},
		{name: "too old", claims: claimSet{"iat": now.Add(-2 * time.Minute).Unix()}, want: "proof_time"},
		{name: "too far ahead", claims: claimSet{"iat": now.Add(2 * time.Minute).Unix()}, want: "proof_time"},
		{name: "no type", header: map[jose.HeaderKey]any{"typ": "JWT"}, want: "proof_malformed"},
		{name: "symmetric key", header: map[jose.HeaderKey]any{"jwk": nil}, want: "proof_malformed"},
		{name: "private key", header: map[jose.HeaderKey]any{"jwk": private}, want: "proof_malformed"},
		{name: "another key", header: map[jose.HeaderKey]any{"jwk": other.public()}, want: "proof_signature"},
		{name: "unknown nonce", claims: claimSet{"nonce": "x"}, want: "proof_nonce"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{clock: brokertest.NewClock(now)})
			key := k
			if c.key != nil {
				key = c.key
			}
			if c.claims["htu"] == "query" {
				c.claims = claimSet{"htu": r.server.URL + "/token?a=b#c"}
			}
			if v, ok := c.header["jwk"]; ok && v == nil {
				c.header = map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: []byte("symmetric")}}
			}
			a := r.send("POST", "/token", codeForm(r.login(newBrowser(t), nil).Get("code")), "DPoP", key.proof(r, "POST", "/token", c.claims, c.header))
			o := object(t, a.body)
			if c.want == "" {
				if o["token_type"] != "DPoP" {
					t.Errorf("got %v", o)
				}
				return
			}
			want := "invalid_dpop_proof"
			if c.want == "proof_nonce" {
				want = "use_dpop_nonce"
			}
			if a.StatusCode != http.StatusBadRequest || o["error"] != want || want == "use_dpop_nonce" && a.Header.Get("DPoP-Nonce") == "" {
				t.Errorf("%d %v", a.StatusCode, o)
			}
			if last := r.reasons(); last[len(last)-1] != "token.refused/"+c.want {
				t.Errorf("audit has %v, want %s", last[len(last)-1], c.want)
			}
		})
	}
}

// A bound token opens userinfo for the holder of its key only.
func TestProofBoundTokens(t *testing.T) {
	k, other := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) { c.RefreshTokens, c.SenderConstrained = true, true }})
	code := func(change ...string) string {
		return r.login(newBrowser(t), append([]string{"scope", "openid name offline_access"}, change...)).Get("code")
	}
	if a := r.redeem(code()); object(t, a.body)["error"] != "invalid_request" {
		t.Errorf("without proof: %s", a.body)
	}
	twice := k.proof(r, "POST", "/token", nil, nil)
	tokens := object(t, r.send("POST", "/token", codeForm(code()), "DPoP", twice).body)
	if a := r.send("POST", "/token", codeForm(code()), "DPoP", twice); object(t, a.body)["error"] != "invalid_dpop_proof" {
		t.Errorf("the same proof again: %s", a.body)
	}
	if a := r.send("POST", "/token", codeForm(code()), "DPoP", k.proof(r, "POST", "/token", nil, nil), "DPoP", k.proof(r, "POST", "/token", nil, nil)); a.StatusCode != http.StatusBadRequest {
		t.Errorf("two proofs: %s", a.body)
	}
	token := tokens["access_token"].(string)
	ath := claimSet{"ath": hash(token)}
	for _, c := range []struct {
		name, scheme string
		proof        string
		status       int
		challenge    string
	}{
		{"with its key", "DPoP", k.proof(r, "GET", "/userinfo", ath, nil), 200, ""},
		{"scheme in another case", "dpop", k.proof(r, "GET", "/userinfo", ath, nil), 200, ""},
		{"as bearer", "Bearer", "", 401, `Bearer error="invalid_token"`},
		{"as bearer with a proof", "Bearer", k.proof(r, "GET", "/userinfo", ath, nil), 401, `Bearer error="invalid_token"`},
		{"without proof", "DPoP", "", 401, `DPoP error="invalid_dpop_proof", algs="ES256 ES384 PS256 EdDSA"`},
		{"with another key", "DPoP", other.proof(r, "GET", "/userinfo", ath, nil), 401, `DPoP error="invalid_token", algs="ES256 ES384 PS256 EdDSA"`},
		{"without the token's hash", "DPoP", k.proof(r, "GET", "/userinfo", nil, nil), 401, `DPoP error="invalid_dpop_proof", algs="ES256 ES384 PS256 EdDSA"`},
		{"with a proof for POST", "DPoP", k.proof(r, "POST", "/userinfo", ath, nil), 401, `DPoP error="invalid_dpop_proof", algs="ES256 ES384 PS256 EdDSA"`},
	} {
		headers := []string{"Authorization", c.scheme + " " + token}
		if c.proof != "" {
			headers = append(headers, "DPoP", c.proof)
		}
		if a := r.send("GET", "/userinfo", nil, headers...); a.StatusCode != c.status || a.Header.Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: %d %q", c.name, a.StatusCode, a.Header.Get("WWW-Authenticate"))
		}
	}
	info := object(t, r.call("/introspect", url.Values{"token": {token}}).body)
	if cnf, _ := info["cnf"].(map[string]any); cnf["jkt"] != k.thumbprint() || info["token_type"] != "DPoP" {
		t.Errorf("introspection: %v", info)
	}
	// A confidential client's bound refresh token stays as it is (FAPI 2.0).
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"].(string)}}
	for range 3 {
		again := object(t, r.send("POST", "/token", form, "DPoP", k.proof(r, "POST", "/token", nil, nil)).body)
		if again["refresh_token"] != tokens["refresh_token"] || again["access_token"] == token {
			t.Errorf("refreshed to %v", again)
		}
	}
	if a := r.send("POST", "/token", form); object(t, a.body)["error"] != "invalid_request" {
		t.Errorf("refreshed without proof: %s", a.body)
	}
}

// The key of a public client's refresh token cannot be changed (O-44).
func TestPublicClientsRefreshTokenIsBound(t *testing.T) {
	k, other := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) {
		c.Auth, c.SecretHash, c.RefreshTokens = provider.AuthNone, brokers.Hash{}, true
	}})
	code := r.login(newBrowser(t), []string{"scope", "openid offline_access"}).Get("code")
	form := codeForm(code)
	form.Set("client_id", "portal")
	tokens := object(t, r.send("POST", "/token", form, "DPoP", k.proof(r, "POST", "/token", nil, nil)).body)
	again := url.Values{"grant_type": {"refresh_token"}, "client_id": {"portal"}, "refresh_token": {tokens["refresh_token"].(string)}}
	if a := r.send("POST", "/token", again, "DPoP", other.proof(r, "POST", "/token", nil, nil)); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("with another key: %s", a.body)
	}
	if a := r.send("POST", "/token", again, "X", ""); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("without key: %s", a.body)
	}
	if a := object(t, r.send("POST", "/token", again, "DPoP", k.proof(r, "POST", "/token", nil, nil)).body); a["refresh_token"] == tokens["refresh_token"] || a["refresh_token"] == nil {
		t.Errorf("with its key: %v", a)
	}
}

// A code may be bound before it exists: by dpop_jkt, or by a proof at PAR.
func TestCodesBoundToAKey(t *testing.T) {
	k, other := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	r := newRig(t, options{})
	pushed := func(headers ...string) string {
		a := object(t, r.send("POST", "/par", r.request(), append(headers, "Authorization", basic())...).body)
		b := newBrowser(t)
		departure := r.open(b, "client_id", "portal", "request_uri", a["request_uri"].(string)).location(t)
		return b.back(r, r.callback(departure)).location(t).Query().Get("code")
	}
	for name, code := range map[string]func() string{
		"dpop_jkt": func() string { return r.login(newBrowser(t), []string{"dpop_jkt", k.thumbprint()}).Get("code") },
		"PAR":      func() string { return pushed("DPoP", k.proof(r, "POST", "/par", nil, nil)) },
	} {
		if a := r.send("POST", "/token", codeForm(code()), "DPoP", other.proof(r, "POST", "/token", nil, nil)); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s, another key: %s", name, a.body)
		}
		if a := r.send("POST", "/token", codeForm(code())); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s, no key: %s", name, a.body)
		}
		if a := r.send("POST", "/token", codeForm(code()), "DPoP", k.proof(r, "POST", "/token", nil, nil)); a.StatusCode != http.StatusOK {
			t.Errorf("%s, its key: %s", name, a.body)
		}
	}
	form := r.request()
	form.Set("dpop_jkt", other.thumbprint())
	if a := r.send("POST", "/par", form, "DPoP", k.proof(r, "POST", "/par", nil, nil), "Authorization", basic()); object(t, a.body)["error"] != "invalid_dpop_proof" {
		t.Errorf("dpop_jkt beside another proof: %s", a.body)
	}
}

func basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("portal:"+url.QueryEscape(secret)))
}

func TestProofNonce(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) { c.ProofNonce = true }})
	code := r.login(newBrowser(t), nil).Get("code")
	a := r.send("POST", "/token", codeForm(code), "DPoP", k.proof(r, "POST", "/token", nil, nil))
	nonce := a.Header.Get("DPoP-Nonce")
	if object(t, a.body)["error"] != "use_dpop_nonce" || nonce == "" {
		t.Fatalf("%s %v", a.body, a.Header)
	}
	r.clock.Add(5 * time.Minute)
	code = r.login(newBrowser(t), nil).Get("code")
	a = r.send("POST", "/token", codeForm(code), "DPoP", k.proof(r, "POST", "/token", claimSet{"nonce": nonce}, nil))
	next := a.Header.Get("DPoP-Nonce")
	if a.StatusCode != http.StatusOK || next == "" || next == nonce {
		t.Errorf("five minutes later: %d %s, nonce %q", a.StatusCode, a.body, next)
	}
	r.clock.Add(5 * time.Minute)
	a = r.send("POST", "/token", codeForm("x"), "DPoP", k.proof(r, "POST", "/token", claimSet{"nonce": nonce}, nil))
	if object(t, a.body)["error"] != "use_dpop_nonce" {
		t.Errorf("ten minutes later: %s", a.body)
	}
}

// clientCertificate makes a certificate, signed by a parent or by itself.
func clientCertificate(t testing.TB, k *clientKey, name string, parent *x509.Certificate, parentKey *clientKey, until time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, parentKey = template, k
	}
	der, err := x509.CreateCertificate(nil, template, parent, k.key.Public(), parentKey.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// O-51 and RFC 8705: certificates as a proxy hands them on.
// A client that has to bind its tokens may bind them to whatever certificate it
// shows, also if it proves itself otherwise.
func TestTokensAreBoundToTheCertificateThatIsShown(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	certificate := clientCertificate(t, k, "x", nil, nil, time.Now().Add(time.Hour))
	r := newRig(t, options{
		client: func(c *provider.Client) { keyedClient(k)(c); c.SenderConstrained = true },
		config: func(c *provider.Config) {
			c.ClientCertificate = provider.ForwardedCertificate("Client-Cert", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
		},
	})
	redeem := func(headers ...string) answer {
		form := codeForm(r.login(newBrowser(t), nil).Get("code"))
		form.Set("client_id", "portal")
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", k.sign(r.assertionClaims(), nil))
		return r.send("POST", "/token", form, headers...)
	}
	if a := redeem("X", ""); object(t, a.body)["error"] != "invalid_request" {
		t.Errorf("without anything: %d %s", a.StatusCode, a.body)
	}
	shown := []string{"Client-Cert", ":" + base64.StdEncoding.EncodeToString(certificate.Raw) + ":"}
	a := redeem(shown...)
	token, _ := object(t, a.body)["access_token"].(string)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := r.send("GET", "/userinfo", nil, "Authorization", "Bearer "+token); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the token works without the certificate: %d", a.StatusCode)
	}
	if a := r.send("GET", "/userinfo", nil, append(shown, "Authorization", "Bearer "+token)...); a.StatusCode != http.StatusOK {
		t.Errorf("the token does not work with it: %d", a.StatusCode)
	}
}

func TestClientCertificates(t *testing.T) {
	k, ca, otherCA := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	day := time.Now().Add(24 * time.Hour)
	root := clientCertificate(t, ca, "root", nil, nil, day)
	foreign := clientCertificate(t, otherCA, "root", nil, nil, day)
	good := clientCertificate(t, k, "portal.example", root, ca, day)
	pool := x509.NewCertPool()
	pool.AddCert(root)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	tls := func(c *provider.Client) { c.Auth, c.TLSName = provider.AuthTLS, "portal.example" }
	self := func(c *provider.Client) { c.Auth, c.Keys = provider.AuthSelfSignedTLS, []jose.JSONWebKey{k.public()} }
	for _, c := range []struct {
		name        string
		client      func(*provider.Client)
		certificate *x509.Certificate
		proxies     []netip.Prefix
		pem         bool
		want        string
	}{
		{"its name and our root", tls, good, loopback, false, ""},
		{"the same as nginx writes it", tls, good, loopback, true, ""},
		{"its subject", func(c *provider.Client) { c.Auth, c.TLSSubject = provider.AuthTLS, "CN=portal.example" }, good, loopback, false, ""},
		{"O-51 from outside the proxy", tls, good, nil, false, "certificate_missing"},
		{"O-51 another root", tls, clientCertificate(t, k, "portal.example", foreign, otherCA, day), loopback, false, "certificate_untrusted"},
		{"O-51 another name", tls, clientCertificate(t, k, "evil.example", root, ca, day), loopback, false, "certificate_name"},
		{"O-51 expired", tls, clientCertificate(t, k, "portal.example", root, ca, time.Now().Add(-time.Minute)), loopback, false, "certificate_time"},
		{"none", tls, nil, loopback, false, "certificate_missing"},
		{"self-signed with the registered key", self, clientCertificate(t, k, "x", nil, nil, day), loopback, false, ""},
		{"self-signed with another key", self, foreign, loopback, false, "certificate_unregistered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{
				client: func(p *provider.Client) { p.SecretHash = brokers.Hash{}; p.CertificateBound = true; c.client(p) },
				config: func(p *provider.Config) {
					p.ClientRoots, p.ClientCertificate = pool, provider.ForwardedCertificate("Client-Cert", c.proxies)
				},
			})
			headers := []string{"X", ""}
			if c.certificate != nil {
				headers = append(headers, "Client-Cert", ":"+base64.StdEncoding.EncodeToString(c.certificate.Raw)+":")
			}
			if c.pem {
				headers[3] = url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Raw})))
			}
			form := codeForm(r.login(newBrowser(t), nil).Get("code"))
			form.Set("client_id", "portal")
			a := r.send("POST", "/token", form, headers...)
			if c.want != "" {
				if a.StatusCode != http.StatusUnauthorized {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
				r.wantAudit(t, "token.refused/"+c.want)
				return
			}
			token, _ := object(t, a.body)["access_token"].(string)
			if token == "" {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			authorization := []string{"Authorization", "Bearer " + token}
			if a := r.send("GET", "/userinfo", nil, authorization...); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("the token works without the certificate: %d", a.StatusCode)
			}
			if a := r.send("GET", "/userinfo", nil, append(authorization, headers[2:]...)...); a.StatusCode != http.StatusOK {
				t.Errorf("the token does not work with it: %d", a.StatusCode)
			}
		})
	}
}
