package provider_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// site serves one document of a client, which may change.
type site struct {
	*httptest.Server
	mu      sync.Mutex
	status  int
	text    string
	fetched int
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{status: http.StatusOK}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fetched++
		if s.status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(s.status)
		_, _ = w.Write([]byte(s.text))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(status int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.text = status, text
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched
}

func keySet(t testing.TB, keys ...any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Keys at the client's own address: read when they are needed, remembered, read
// anew for a key that is not known but once a minute at most, and believed for a
// day when the address fails.
func TestClientKeysAtItsAddress(t *testing.T) {
	first, second := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	keys := newSite(t)
	keys.serve(http.StatusOK, keySet(t, map[string]string{"kty": "unheard of"}, jose.JSONWebKey{Key: first.key}, first.public()))
	r := newRig(t, options{client: func(c *provider.Client) {
		c.Auth, c.SecretHash, c.JWKSURI = provider.AuthPrivateKeyJWT, brokers.Hash{}, keys.URL
	}})
	call := func(k *clientKey, want int, fetches int) {
		t.Helper()
		a := r.call("/introspect", url.Values{"token": {"x"}}, assertion(k.sign(r.assertionClaims(), nil))...)
		if a.StatusCode != want || keys.count() != fetches {
			t.Errorf("%d after %d fetches, want %d after %d: %s", a.StatusCode, keys.count(), want, fetches, a.body)
		}
	}
	call(first, http.StatusOK, 1)
	call(first, http.StatusOK, 1)
	call(second, http.StatusUnauthorized, 1) // it was asked just now
	r.clock.Add(2 * time.Minute)
	call(second, http.StatusUnauthorized, 2)
	keys.serve(http.StatusOK, keySet(t, second.public()))
	call(second, http.StatusUnauthorized, 2)
	r.clock.Add(2 * time.Minute)
	call(second, http.StatusOK, 3)
	call(first, http.StatusUnauthorized, 3)
	// What is not a key set changes nothing.
	for i, broken := range []struct {
		status int
		text   string
	}{
		{http.StatusInternalServerError, ""},
		{http.StatusFound, keySet(t, first.public())},
		{http.StatusOK, "{"},
		{http.StatusOK, `{"keys":{}}`},
		{http.StatusOK, `{"keys":[]}`},
		{http.StatusOK, keySet(t, jose.JSONWebKey{Key: first.key})},
		{http.StatusOK, strings.Repeat(" ", 100<<10) + keySet(t, first.public())},
	} {
		keys.serve(broken.status, broken.text)
		r.clock.Add(20 * time.Minute)
		call(second, http.StatusOK, 4+i)
		call(first, http.StatusUnauthorized, 4+i)
	}
	r.clock.Add(24 * time.Hour)
	call(second, http.StatusUnauthorized, 11)
}

// Request objects and encryption by keys at the client's address.
func TestClientKeysForRequestsAndEncryption(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	keys := newSite(t)
	keys.serve(http.StatusOK, keySet(t, k.public()))
	r := newRig(t, options{client: func(c *provider.Client) {
		c.JWKSURI, c.RequireSigned, c.IDTokenEncryption = keys.URL, true, provider.Encryption{Key: jose.ECDH_ES}
	}})
	b := newBrowser(t)
	departure := r.open(b, "client_id", "portal", "request", k.sign(r.requestClaims(), nil)).location(t)
	code := b.back(r, r.callback(departure)).location(t).Query().Get("code")
	tokens := object(t, r.redeem(code).body)
	if claims := verifiedClaims(t, r, decrypted(t, k, tokens["id_token"].(string), "JWT")); claims["nonce"] != "the nonce" || keys.count() != 1 {
		t.Errorf("%v after %d fetches", claims, keys.count())
	}
}

// O-70, O-77: what a client names is never fetched from inside, unless we are
// inside ourselves.
func TestClientDocumentsComeFromPublicAddresses(t *testing.T) {
	for _, address := range []string{
		"https://127.0.0.1/", "https://[::1]/", "https://10.1.2.3/", "https://169.254.169.254/", "https://100.64.0.1/", "https://0.0.0.0/", "https://[::ffff:10.0.0.1]/",
		"https://[64:ff9b::a00:1]/", "https://[fd00::1]/", "https://[fe80::1]/", "https://192.0.0.1/", "https://198.18.0.1/", "https://255.255.255.255/", "https://224.0.0.1/",
	} {
		resp, err := provider.GuardedClient(false).Get(address)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was reached", address)
		} else if !strings.Contains(err.Error(), "not public") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A sector of several hosts is one only if its document names every redirect URI;
// then its clients know a citizen by one subject.
func TestSectorIdentifier(t *testing.T) {
	r, sector := registrationRig(t), newSite(t)
	one, two := "http://localhost:7777/callback", "http://127.0.0.1:7778/callback"
	listed := fmt.Sprintf(`[%q,%q]`, one, two)
	body := func(uris ...string) string {
		text, err := json.Marshal(map[string]any{"redirect_uris": uris, "sector_identifier_uri": sector.URL, "jwks_uri": sector.URL})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, c := range map[string]struct {
		status int
		text   string
	}{
		"one is missing":  {http.StatusOK, fmt.Sprintf(`[%q]`, one)},
		"nearly the same": {http.StatusOK, fmt.Sprintf(`[%q,%q]`, one, two+"/")},
		"no array":        {http.StatusOK, `{"redirect_uris":` + listed + `}`},
		"other types":     {http.StatusOK, `[1,2]`},
		"not there":       {http.StatusNotFound, listed},
		"elsewhere":       {http.StatusFound, listed},
		"far too large":   {http.StatusOK, strings.Repeat(" ", 100<<10) + listed},
		"nothing":         {http.StatusOK, ""},
	} {
		sector.serve(c.status, c.text)
		if a := r.manage(http.MethodPost, r.server.URL+"/register", initialToken, body(one, two)); a.StatusCode != http.StatusBadRequest || object(t, a.body)["error"] != "invalid_client_metadata" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	sector.serve(http.StatusOK, listed)
	subject := func(uris ...string) any {
		info := r.register(body(uris...))
		id, password := info["client_id"].(string), info["client_secret"].(string)
		if info["sector_identifier_uri"] != sector.URL || info["jwks_uri"] != sector.URL {
			t.Errorf("registered %v", info)
		}
		b := newBrowser(t)
		departure := b.get(r.server.URL + "/authorize?" + with(r.request(), "client_id", id, "scope", "openid", "redirect_uri", uris[0]).Encode()).location(t)
		code := b.back(r, r.callback(departure)).location(t).Query().Get("code")
		return decodeIDToken(t, r.redeem(code, "basic", id+":"+password, "redirect_uri", uris[0]))["sub"]
	}
	first, other := subject(one), subject(two)
	both := subject(two, one)
	if first != other || first != both {
		t.Errorf("subjects %v, %v, %v", first, other, both)
	}
	if a := r.manage(http.MethodPost, r.server.URL+"/register", initialToken, `{"redirect_uris":["`+one+`"],"jwks":{"keys":[]},"jwks_uri":"https://a.example/"}`); a.StatusCode != http.StatusBadRequest {
		t.Errorf("keys in two places: %d %s", a.StatusCode, a.body)
	}
}

// headerOf is the protected header of a JWT.
func headerOf(t *testing.T, text string) map[string]any {
	t.Helper()
	head, _, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	return object(t, string(raw))
}

// RFC 9068: access tokens that a portal's services read by themselves.
func TestJWTAccessTokens(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) {
		c.AccessTokenJWT, c.AccessTokenAudience, c.RefreshTokens = true, []string{"https://api.example", "https://files.example"}, true
	}})
	tokens := r.offline()
	access := tokens["access_token"].(string)
	claims := verifiedClaims(t, r, access)
	id := verifiedClaims(t, r, tokens["id_token"].(string))
	if headerOf(t, access)["typ"] != "at+jwt" || claims["iss"] != r.server.URL || claims["client_id"] != "portal" || claims["aud"] != `["https://api.example","https://files.example"]` ||
		claims["sub"] != id["sub"] || claims["acr"] != id["acr"] || claims["auth_time"] != id["auth_time"] || claims["scope"] != "openid name offline_access" || claims["jti"] == "" || claims["exp"] == "" || claims["iat"] == "" {
		t.Errorf("%v beside %v", claims, id)
	}
	if id["at_hash"] == "" || id["at_hash"] != leftHalf(access) {
		t.Errorf("at_hash %s", id["at_hash"])
	}
	if a := r.userinfo(access); a.StatusCode != http.StatusOK || object(t, a.body)["sub"] != id["sub"] {
		t.Errorf("userinfo: %d %s", a.StatusCode, a.body)
	}
	if a := object(t, r.call("/introspect", url.Values{"token": {access}}).body); a["active"] != true || fmt.Sprint(a["aud"]) != "[https://api.example https://files.example]" {
		t.Errorf("introspection %v", a)
	}
	forged := k.sign(map[string]any{"iss": r.server.URL, "jti": claims["jti"], "exp": time.Now().Add(time.Hour).Unix()}, map[jose.HeaderKey]any{"typ": "at+jwt"})
	for name, text := range map[string]string{
		"its ID alone": claims["jti"], "an ID token": tokens["id_token"].(string), "signed by somebody else": forged,
		"without a signature": access[:strings.LastIndex(access, ".")+1], "with another signature": guess(access[:len(access)-1]) + access[len(access)-1:],
	} {
		if a := r.userinfo(text); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	fresh := object(t, r.refresh(tokens["refresh_token"]).body)
	if a := r.userinfo(fresh["access_token"].(string)); a.StatusCode != http.StatusOK || headerOf(t, fresh["access_token"].(string))["typ"] != "at+jwt" {
		t.Errorf("after a refresh: %d %s", a.StatusCode, a.body)
	}
	if a := r.call("/revoke", url.Values{"token": {access}}); a.StatusCode != http.StatusOK || r.active(access) {
		t.Errorf("revocation: %d %s", a.StatusCode, a.body)
	}
	if a := r.userinfo(access); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("revoked, userinfo says %d", a.StatusCode)
	}
	// Bound to a key, which the token names.
	code := r.login(newBrowser(t), nil).Get("code")
	bound := object(t, r.send(http.MethodPost, "/token", codeForm(code), "DPoP", k.proof(r, http.MethodPost, "/token", nil, nil)).body)
	if c := verifiedClaims(t, r, bound["access_token"].(string)); c["cnf"] != `{"jkt":"`+k.thumbprint()+`"}` {
		t.Errorf("cnf %v", c["cnf"])
	}
	r.clock.Add(time.Hour)
	if a := r.userinfo(fresh["access_token"].(string)); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("expired: %d", a.StatusCode)
	}
}

func leftHalf(token string) string {
	h := crypto.SHA256.New()
	h.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// RFC 9701: introspection that is signed, for who asks for it.
func TestSignedIntrospection(t *testing.T) {
	r := newRig(t, options{})
	token := object(t, r.redeem(r.login(newBrowser(t), nil).Get("code")).body)["access_token"].(string)
	const mediaType = "application/token-introspection+jwt"
	ask := func(token, accept string) answer {
		return r.send(http.MethodPost, "/introspect", url.Values{"token": {token}}, "Accept", accept)
	}
	for _, accept := range []string{"application/json", "*/*", "", "application/*", mediaType + "x"} {
		if a := ask(token, accept); a.Header.Get("Content-Type") != "application/json" || object(t, a.body)["active"] != true {
			t.Errorf("%q: %v %s", accept, a.Header, a.body)
		}
	}
	for _, c := range []struct {
		accept, token string
		active        bool
	}{{mediaType, token, true}, {"application/json;q=0.5, " + strings.ToUpper(mediaType) + "; q=1", token, true}, {mediaType, "unknown", false}} {
		a := ask(c.token, c.accept)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != mediaType || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", a.StatusCode, a.Header)
		}
		claims := verifiedClaims(t, r, a.body)
		inside := object(t, claims["token_introspection"])
		if headerOf(t, a.body)["typ"] != "token-introspection+jwt" || claims["iss"] != r.server.URL || claims["aud"] != "portal" || claims["iat"] == "" || claims["sub"] != "" || claims["exp"] != "" {
			t.Errorf("%v", claims)
		}
		if inside["active"] != c.active || (len(inside) == 1) == c.active || c.active && inside["scope"] != "openid name" {
			t.Errorf("inside %v", inside)
		}
		// Nothing takes the answer for an access token.
		if u := r.userinfo(a.body); u.StatusCode != http.StatusUnauthorized {
			t.Errorf("as an access token: %d", u.StatusCode)
		}
	}
}

// RFC 9101 6.1: request objects that only we can read, signed all the same.
func TestEncryptedRequestObjects(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	rsa, ec := newClientKey(t, jose.PS256), newClientKey(t, jose.ES256)
	r := newRig(t, options{client: func(c *provider.Client) { c.Keys = []jose.JSONWebKey{k.public()} }, config: func(c *provider.Config) {
		c.DecryptionKeys = []crypto.PrivateKey{rsa.key, ec.key}
	}})
	d := object(t, newBrowser(t).get(r.server.URL+"/.well-known/openid-configuration").body)
	if fmt.Sprint(d["request_object_encryption_alg_values_supported"]) != "[RSA-OAEP-256 ECDH-ES ECDH-ES+A256KW RSA-OAEP]" || fmt.Sprint(d["request_object_encryption_enc_values_supported"]) != "[A256GCM A128CBC-HS256]" {
		t.Errorf("discovery says %v", d)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(newBrowser(t).get(r.server.URL+"/jwks").body), &set); err != nil {
		t.Fatal(err)
	}
	ours := func(algorithm jose.KeyAlgorithm) jose.JSONWebKey {
		for _, key := range set.Keys {
			if key.Use == "enc" && (key.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(rsa.key.Public()) == (algorithm == jose.RSA_OAEP || algorithm == jose.RSA_OAEP_256)) {
				return key
			}
		}
		t.Fatalf("no key for %s in %v", algorithm, set)
		return jose.JSONWebKey{}
	}
	encrypt := func(algorithm jose.KeyAlgorithm, key jose.JSONWebKey, inside string, compression jose.CompressionAlgorithm) string {
		e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: algorithm, Key: key.Key, KeyID: key.KeyID}, &jose.EncrypterOptions{Compression: compression})
		if err != nil {
			t.Fatal(err)
		}
		jwe, err := e.Encrypt([]byte(inside))
		if err != nil {
			t.Fatal(err)
		}
		text, err := jwe.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, algorithm := range []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP, jose.ECDH_ES, jose.ECDH_ES_A256KW} {
		text := encrypt(algorithm, ours(algorithm), k.sign(r.requestClaims(), nil), "")
		if departure := r.open(newBrowser(t), "client_id", "portal", "request", text).location(t); departure.Query().Get("level") == "" {
			t.Errorf("%s: %s", algorithm, departure)
		}
		if uri := r.push(url.Values{"request": {encrypt(algorithm, ours(algorithm), k.sign(r.requestClaims(), nil), "")}}); uri.StatusCode != http.StatusCreated {
			t.Errorf("%s, pushed: %d %s", algorithm, uri.StatusCode, uri.body)
		}
	}
	other := jose.JSONWebKey{Key: newClientKey(t, jose.ES256).key.Public()}
	named := other
	named.KeyID = ours(jose.ECDH_ES).KeyID
	plain, err := json.Marshal(r.requestClaims())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"for another key":          encrypt(jose.ECDH_ES, other, k.sign(r.requestClaims(), nil), ""),
		"for another key by name":  encrypt(jose.ECDH_ES, named, k.sign(r.requestClaims(), nil), ""),
		"compressed":               encrypt(jose.ECDH_ES, ours(jose.ECDH_ES), k.sign(r.requestClaims(), nil), jose.DEFLATE),
		"not signed inside":        encrypt(jose.ECDH_ES, ours(jose.ECDH_ES), string(plain), ""),
		"signed by somebody else":  encrypt(jose.ECDH_ES, ours(jose.ECDH_ES), newClientKey(t, jose.ES256).sign(r.requestClaims(), nil), ""),
		"encrypted twice":          encrypt(jose.ECDH_ES, ours(jose.ECDH_ES), encrypt(jose.ECDH_ES, ours(jose.ECDH_ES), k.sign(r.requestClaims(), nil), ""), ""),
		"an algorithm none of us":  encrypt(jose.ECDH_ES_A128KW, ours(jose.ECDH_ES), k.sign(r.requestClaims(), nil), ""),
		"cut off":                  "a.b.c.d.",
		"signed with no algorithm": encrypt(jose.ECDH_ES, ours(jose.ECDH_ES), unsigned("none")(k.sign(r.requestClaims(), nil)), ""),
	} {
		if a := r.push(url.Values{"request": {text}}); object(t, a.body)["error"] != "invalid_request_object" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
}
