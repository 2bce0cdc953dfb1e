package oidcup_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/oidcup"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// provider is a small OpenID Provider in the test's hands: what it says can be
// changed before it says it.
type provider struct {
	t      *testing.T
	server *httptest.Server
	key    *ecdsa.PrivateKey
	// now is the time of the tokens.
	now func() time.Time
	// request is what was asked for, pushed or in the URL; form what came to the token
	// endpoint, with what authenticated it in basic.
	request, form url.Values
	basic         string
	pushed        int
	// discovery, claims and info may be changed by a test; tokens is how the ID token
	// travels.
	discovery func(map[string]any)
	claims    func(map[string]any)
	info      func(map[string]any)
	infoType  string
	encrypt   *jose.Recipient
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t, now: time.Now, infoType: "application/json"}
	var err error
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	base := p.server.URL
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		document := map[string]any{
			"issuer": base, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token", "jwks_uri": base + "/jwks",
			"userinfo_endpoint": base + "/userinfo", "pushed_authorization_request_endpoint": base + "/par",
			"authorization_response_iss_parameter_supported": true,
		}
		if p.discovery != nil {
			p.discovery(document)
		}
		p.json(w, http.StatusOK, document)
	case "/jwks":
		p.json(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k", Use: "sig", Algorithm: "ES256"}}})
	case "/par":
		if err := r.ParseForm(); err != nil {
			p.t.Error(err)
		}
		p.request, p.basic = r.PostForm, r.Header.Get("Authorization")
		p.pushed++
		p.json(w, http.StatusCreated, map[string]any{"request_uri": "urn:example:1", "expires_in": 60})
	case "/token":
		if err := r.ParseForm(); err != nil {
			p.t.Error(err)
		}
		p.form = r.PostForm
		p.json(w, http.StatusOK, map[string]any{"access_token": "the access token", "token_type": "Bearer", "id_token": p.idToken()})
	case "/userinfo":
		info := map[string]any{"sub": "person-1", "given_name": "Angela", "family_name": "Sample", "birthdate": "1976-02-24"}
		if p.info != nil {
			p.info(info)
		}
		w.Header().Set("Content-Type", p.infoType)
		if p.infoType == "application/jwt" {
			_, _ = io.WriteString(w, p.sign(info))
			return
		}
		if err := json.NewEncoder(w).Encode(info); err != nil {
			p.t.Error(err)
		}
	default:
		http.NotFound(w, r)
	}
}

func (p *provider) sign(claims any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func (p *provider) idToken() string {
	now := p.now()
	sum := sha256.Sum256([]byte("the access token"))
	claims := map[string]any{
		"iss": p.server.URL, "sub": "person-1", "aud": "client", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "auth_time": now.Unix(),
		"nonce": p.request.Get("nonce"), "acr": p.request.Get("acr_values"), "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if p.claims != nil {
		p.claims(claims)
	}
	text := p.sign(claims)
	if p.encrypt == nil {
		return text
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, *p.encrypt, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		p.t.Fatal(err)
	}
	sealed, err := encrypter.Encrypt([]byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	text, err = sealed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

const genericCallback = "https://broker.example/upstream/gold/callback"

func (p *provider) upstream(change func(*oidcup.Config)) *oidcup.Upstream {
	p.t.Helper()
	mapping, err := levels.Default().With("gold", []levels.Row{
		{Rule: "gold.lead", Value: "lead", Level: levels.Low, Source: "operator's configuration"},
		{Rule: "gold.gold", Value: "gold", Level: levels.Substantial, Source: "operator's configuration"},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	c := oidcup.Config{
		ID: "gold", Kind: oidcup.Generic, Issuer: p.server.URL, ClientID: "client", Secret: "secret", RedirectURL: genericCallback, Scheme: "gold",
		SubjectScheme: "xx-gold", Country: "XX", Mapping: mapping, Replay: store.NewMemory(),
	}
	if change != nil {
		change(&c)
	}
	u, err := oidcup.New(c)
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

// login goes from Start to Finish; the provider answers at once.
func (p *provider) login(u *oidcup.Upstream, r brokers.AuthenticationRequest) (*brokers.AuthenticationEvent, error) {
	p.t.Helper()
	r.RelayState = "relay-state-1"
	r.Method = u.Methods()[0].ID
	d, err := u.Start(p.t.Context(), r)
	if err != nil {
		return nil, err
	}
	if query := mustParse(p.t, d.Location).Query(); !query.Has("request_uri") {
		p.request = query
	}
	back := url.Values{"state": {"relay-state-1"}, "code": {"the code"}, "iss": {p.server.URL}}
	return u.Finish(p.t.Context(), httptest.NewRequest(http.MethodGet, genericCallback+"?"+back.Encode(), nil), d)
}

func TestGenericUpstream(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	event, err := p.login(p.upstream(nil), brokers.AuthenticationRequest{Level: levels.Low, Locale: "es-ES"})
	if err != nil {
		t.Fatal(err)
	}
	if event.Subject != (brokers.Subject{Key: "xx-gold:person-1", Country: "XX"}) || event.Assessment.Level != levels.Low || event.Assessment.Rule != "gold.lead" || event.Assessment.Notified {
		t.Errorf("event %+v", event)
	}
	challenge := sha256.Sum256([]byte(p.form.Get("code_verifier")))
	if p.request.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) || p.request.Get("code_challenge_method") != "S256" {
		t.Error("O-18: PKCE is not used")
	}
	if p.request.Get("acr_values") != "lead" || p.request.Get("ui_locales") != "es" || p.form.Get("redirect_uri") != genericCallback {
		t.Errorf("asked %v, redeemed %v", p.request, p.form)
	}
	// A new login is asked for and has to be shown.
	u := p.upstream(nil)
	if _, err := p.login(u, brokers.AuthenticationRequest{ForceAuthn: true}); err != nil || p.request.Get("prompt") != "login" || p.request.Get("max_age") != "0" {
		t.Errorf("forced login: %v, asked %v", err, p.request)
	}
	for name, change := range map[string]func(map[string]any){
		"O-60 old login":    func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() },
		"O-60 no auth_time": func(c map[string]any) { delete(c, "auth_time") },
	} {
		p.claims = change
		_, err := p.login(p.upstream(nil), brokers.AuthenticationRequest{ForceAuthn: true})
		brokertest.Rejected(t, name, err, "id_token_auth_time", brokers.CategoryProtocol)
	}
	p.claims = func(c map[string]any) { c["acr"] = "gold" }
	if event, err := p.login(p.upstream(nil), brokers.AuthenticationRequest{Level: levels.Low}); err != nil || event.Assessment.Level != levels.Substantial {
		t.Errorf("more than asked for: %+v, %v", event, err)
	}
	p.claims = func(c map[string]any) { c["acr"] = "lead" }
	_, err = p.login(p.upstream(nil), brokers.AuthenticationRequest{Level: levels.Substantial})
	brokertest.Rejected(t, "O-60 less than asked for", err, "loa_too_low", brokers.CategoryLevel)
	// O-41: claims that look like ours are nothing.
	p.claims = func(c map[string]any) { c["level"], c["roles"], c["subject_key"] = "high", "admin", "es-nif:12345678Z" }
	if event, err := p.login(p.upstream(nil), brokers.AuthenticationRequest{}); err != nil || event.Subject.Key != "xx-gold:person-1" {
		t.Errorf("%+v, %v", event, err)
	}
	p.claims = func(c map[string]any) { delete(c, "at_hash") }
	if _, err := p.login(p.upstream(nil), brokers.AuthenticationRequest{}); err != nil {
		t.Errorf("at_hash may be left out in the code flow: %v", err)
	}
	p.claims = func(c map[string]any) { c["at_hash"] = "AAAA" }
	_, err = p.login(p.upstream(nil), brokers.AuthenticationRequest{})
	brokertest.Rejected(t, "O-36", err, "id_token_at_hash", brokers.CategoryProtocol)
}

// what two issuers call by one name are two people, and no issuer names the
// people of registers, of certificates or of another kind of upstream.
func TestOneNameOfTwoIssuers(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{}
	for _, scheme := range []string{"xx-gold", "xx-iron"} {
		event, err := newProvider(t).loginAt(func(c *oidcup.Config) { c.SubjectScheme = scheme })
		if err != nil {
			t.Fatal(err)
		}
		keys[event.Subject.Key] = true
	}
	if len(keys) != 2 {
		t.Errorf("one person of two issuers: %v", keys)
	}
	good := newProvider(t).upstream(nil)
	if scheme, issuer := good.Names(); scheme != "xx-gold" || issuer == "" {
		t.Errorf("names of %q, given by %q", scheme, issuer)
	}
	for _, scheme := range []string{"ee-ik", "es-nif", "nl-bsn", "nl-pseudo", "eidas", "eidas-legal", "fr-fc", "lv-pno", "de-idc", "pt-pas", "it-tin"} {
		c := oidcup.Config{
			ID: "gold", Kind: oidcup.Generic, Issuer: "https://op.example", ClientID: "client", Secret: "secret", RedirectURL: genericCallback,
			Scheme: "tara", SubjectScheme: scheme, Country: "XX", Replay: store.NewMemory(),
		}
		if _, err := oidcup.New(c); err == nil || !strings.Contains(err.Error(), scheme) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// loginAt is a login at an upstream of its own.
func (p *provider) loginAt(change func(*oidcup.Config)) (*brokers.AuthenticationEvent, error) {
	p.t.Helper()
	return p.login(p.upstream(change), brokers.AuthenticationRequest{Level: levels.Low})
}

// RFC 9126 and RFC 7523: the request goes by the back channel, and a key proves us.
func TestPushedRequestsAndClientAssertions(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*oidcup.Upstream{
		p.upstream(func(c *oidcup.Config) { c.Push, c.Auth, c.Key, c.KeyID = true, oidcup.PrivateKeyJWT, p.key, "k" }),
		p.upstream(func(c *oidcup.Config) { c.Push, c.Auth, c.Key, c.KeyID = true, oidcup.PrivateKeyJWT, rsaKey, "r" }),
	} {
		seen := map[string]bool{}
		if _, err := p.login(u, brokers.AuthenticationRequest{Level: levels.Low}); err != nil {
			t.Fatal(err)
		}
		for where, form := range map[string]url.Values{"PAR": p.request, "token": p.form} {
			if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("client_id") != "client" || form.Has("client_secret") {
				t.Errorf("%s: %v", where, form)
			}
			token, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256, jose.PS256})
			if err != nil {
				t.Fatal(err)
			}
			key := any(p.key.Public())
			if token.Headers[0].KeyID == "r" {
				key = rsaKey.Public()
			}
			var claims jwt.Claims
			var raw map[string]any
			if err := token.Claims(key, &claims, &raw); err != nil {
				t.Fatal(err)
			}
			// O-47, O-48: one audience, one use, short life.
			if claims.Issuer != "client" || claims.Subject != "client" || raw["aud"] != p.server.URL || seen[claims.ID] || claims.ID == "" || time.Until(claims.Expiry.Time()) > time.Minute {
				t.Errorf("%s: %+v", where, raw)
			}
			seen[claims.ID] = true
		}
	}
	if p.pushed != 2 {
		t.Errorf("%d requests were pushed", p.pushed)
	}
	basic := p.upstream(func(c *oidcup.Config) { c.Push = true })
	d, err := basic.Start(t.Context(), brokers.AuthenticationRequest{Method: "gold", RelayState: "relay-state-1"})
	if err != nil {
		t.Fatal(err)
	}
	if query := mustParse(t, d.Location).Query(); len(query) != 2 || query.Get("request_uri") != "urn:example:1" || query.Get("client_id") != "client" {
		t.Errorf("browser is sent with %v", query)
	}
	if p.basic != "Basic "+base64.StdEncoding.EncodeToString([]byte("client:secret")) {
		t.Error("pushed request is not authenticated")
	}
}

// O-31: encrypted ID tokens by fixed algorithms only; where a key is set, nothing
// else is taken.
func TestEncryptedIDTokens(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	u := p.upstream(func(c *oidcup.Config) { c.DecryptionKeys = []jose.JSONWebKey{{Key: key, KeyID: "enc", Use: "enc"}} })
	for name, row := range map[string]struct {
		recipient *jose.Recipient
		good      bool
	}{
		"RSA-OAEP-256":    {&jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: &key.PublicKey, KeyID: "enc"}, true},
		"RSA-OAEP, no ID": {&jose.Recipient{Algorithm: jose.RSA_OAEP, Key: &key.PublicKey}, true},
		"RSA 1.5":         {&jose.Recipient{Algorithm: jose.RSA1_5, Key: &key.PublicKey, KeyID: "enc"}, false},
		"password":        {&jose.Recipient{Algorithm: jose.PBES2_HS256_A128KW, Key: []byte("secret"), PBES2Count: 1000}, false},
		"other key":       {&jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: &other.PublicKey, KeyID: "enc"}, false},
		"not encrypted":   {nil, false},
	} {
		p.encrypt = row.recipient
		_, err := p.login(u, brokers.AuthenticationRequest{})
		if row.good {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		brokertest.Rejected(t, name, err, "id_token_encryption", brokers.CategoryProtocol)
	}
	p.encrypt = &jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: &key.PublicKey}
	_, err = p.login(p.upstream(nil), brokers.AuthenticationRequest{})
	brokertest.Rejected(t, "encrypted without being asked for", err, "id_token_malformed", brokers.CategoryProtocol)
}

// O-35: user information is of the same subject, in the form that was demanded.
func TestFranceConnectAndUserInfo(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.claims = func(c map[string]any) { c["acr"] = "eidas2" }
	france := func(change func(*oidcup.Config)) *oidcup.Upstream {
		return p.upstream(func(c *oidcup.Config) {
			*c = oidcup.Config{
				Kind: oidcup.FranceConnect, Issuer: c.Issuer, ClientID: "client", Secret: "secret", RedirectURL: genericCallback,
				Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Replay: store.NewMemory(),
			}
			if change != nil {
				change(c)
			}
		})
	}
	want := brokers.Subject{Key: "fr-fc:person-1", GivenName: "Angela", FamilyName: "Sample", Birthdate: "1976-02-24", Country: "FR"}
	event, err := p.login(france(nil), brokers.AuthenticationRequest{Level: levels.Substantial})
	if err != nil || event.Subject != want || event.Assessment.Level != levels.Substantial || event.Upstream != "franceconnect" {
		t.Fatalf("%+v, %v", event, err)
	}
	if p.request.Get("acr_values") != "eidas2" || p.request.Get("scope") != "openid given_name family_name birthdate" {
		t.Errorf("asked %v", p.request)
	}
	signed := france(func(c *oidcup.Config) { c.SignedUserInfo = true })
	for _, row := range []struct {
		name, kind string
		upstream   *oidcup.Upstream
		change     func(map[string]any)
		reason     string
	}{
		{"another subject", "application/json", france(nil), func(c map[string]any) { c["sub"] = "person-2" }, "userinfo_sub"},
		{"no subject", "application/json", france(nil), func(c map[string]any) { delete(c, "sub") }, "userinfo_sub"},
		{"HTML", "text/html", france(nil), nil, "userinfo_form"},
		{"huge", "application/json", france(nil), func(c map[string]any) { c["x"] = strings.Repeat("x", 65<<10) }, "userinfo_form"},
		{"wrong type", "application/json", france(nil), func(c map[string]any) { c["given_name"] = 1 }, "userinfo_form"},
		{"date", "application/json", france(nil), func(c map[string]any) { c["birthdate"] = "24.2.1976" }, "userinfo_names"},
		{"unsigned where signed is demanded", "application/json", signed, nil, "userinfo_form"},
		{"signed for nobody", "application/jwt", signed, nil, "userinfo_aud"},
		{"signed for somebody else", "application/jwt", signed, func(c map[string]any) { c["iss"], c["aud"] = p.server.URL, "other" }, "userinfo_aud"},
		{"signed", "application/jwt", signed, func(c map[string]any) { c["iss"], c["aud"] = p.server.URL, []string{"client"} }, ""},
	} {
		p.info, p.infoType = row.change, row.kind
		event, err := p.login(row.upstream, brokers.AuthenticationRequest{})
		if row.reason == "" {
			if err != nil || event.Subject != want {
				t.Errorf("%s: %+v, %v", row.name, event, err)
			}
			continue
		}
		brokertest.Rejected(t, row.name, err, row.reason, brokers.CategoryProtocol)
	}
}

// O-34: discovery of somebody else is refused, at first and later.
func TestDiscoveryIsJudged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(map[string]any){
		"other issuer":        func(d map[string]any) { d["issuer"] = "https://other.example" },
		"issuer with a slash": func(d map[string]any) { d["issuer"] = fmt.Sprint(d["issuer"]) + "/" },
		"http":                func(d map[string]any) { d["token_endpoint"] = "http://op.example/token" },
		"other host":          func(d map[string]any) { d["jwks_uri"] = "https://evil.example/jwks" },
		"no keys":             func(d map[string]any) { delete(d, "jwks_uri") },
		"huge":                func(d map[string]any) { d["x"] = strings.Repeat("x", 65<<10) },
	} {
		p := newProvider(t)
		p.discovery = change
		if _, err := p.login(p.upstream(nil), brokers.AuthenticationRequest{}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	p := newProvider(t)
	clock := brokertest.NewClock(time.Now())
	p.now = clock.Now
	u := p.upstream(func(c *oidcup.Config) { c.Clock = clock.Now })
	if _, err := p.login(u, brokers.AuthenticationRequest{}); err != nil {
		t.Fatal(err)
	}
	p.discovery = func(d map[string]any) { d["issuer"] = "https://other.example" }
	clock.Add(2 * time.Hour)
	if _, err := p.login(u, brokers.AuthenticationRequest{}); err != nil {
		t.Errorf("the document of before is not kept: %v", err)
	}
	clock.Add(25 * time.Hour)
	if _, err := p.login(u, brokers.AuthenticationRequest{}); err == nil {
		t.Error("a document is kept for more than a day")
	}
	// O-56: the provider names itself in callbacks, so an answer that does not is
	// somebody else's.
	p = newProvider(t)
	u = p.upstream(nil)
	d, err := u.Start(t.Context(), brokers.AuthenticationRequest{Method: "gold", RelayState: "relay-state-1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = u.Finish(t.Context(), httptest.NewRequest(http.MethodGet, genericCallback+"?state=relay-state-1&code=c", nil), d)
	brokertest.Rejected(t, "O-56", err, "issuer", brokers.CategoryProtocol)
	if err := u.Offer([]string{"none"}); err == nil || errors.Is(err, brokers.ErrNotFound) {
		t.Errorf("a method that is not there is offered: %v", err)
	}
	if !slices.Equal(u.Destinations(), []string{p.server.URL}) {
		t.Errorf("destinations %v", u.Destinations())
	}
}

// Whatever comes as an ID token, nobody is logged in unless the provider signed it.
func FuzzIDToken(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL29wLmV4YW1wbGUiLCJzdWIiOiJ4In0.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		p := &provider{t: t, now: time.Now}
		p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				p.json(w, http.StatusOK, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token})
				return
			}
			p.serve(w, r)
		}))
		defer p.server.Close()
		var err error
		if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		event, err := p.login(p.upstream(nil), brokers.AuthenticationRequest{})
		if event != nil || err == nil {
			t.Errorf("%q logged somebody in", token)
		}
	})
}
