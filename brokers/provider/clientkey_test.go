package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// clientKey is a client's key with what it signs.
type clientKey struct {
	t         testing.TB
	key       crypto.Signer
	algorithm jose.SignatureAlgorithm
}

func newClientKey(t testing.TB, algorithm jose.SignatureAlgorithm) *clientKey {
	t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.PS256, jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &clientKey{t, key, algorithm}
}

func (k *clientKey) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.key.Public(), KeyID: "the key"}
}

func (k *clientKey) thumbprint() string {
	print, err := (&jose.JSONWebKey{Key: k.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		k.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(print)
}

// sign makes a JWS; a header value of nil removes the member.
func (k *clientKey) sign(claims any, header map[jose.HeaderKey]any) string {
	k.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		k.t.Fatal(err)
	}
	if text, ok := claims.(string); ok {
		payload = []byte(text)
	}
	options := &jose.SignerOptions{ExtraHeaders: header}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: k.key}, options)
	if err != nil {
		k.t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		k.t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}

type claimSet = map[string]any

// changed is a copy with other members; nil removes one.
func changed(claims claimSet, change claimSet) claimSet {
	out := maps.Clone(claims)
	for name, value := range change {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

func random() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func (r *rig) assertionClaims() claimSet {
	now := r.clock.Now()
	return claimSet{
		"iss": "portal", "sub": "portal", "aud": r.server.URL, "jti": random(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

// keyed registers the key for authentication.
func keyedClient(k *clientKey) func(*provider.Client) {
	return func(c *provider.Client) {
		c.Auth, c.SecretHash, c.Keys = provider.AuthPrivateKeyJWT, brokers.Hash{}, []jose.JSONWebKey{k.public()}
	}
}

func assertion(text string) []string {
	return []string{"basic", "", "client_assertion", text, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
}

// O-23 to O-28, O-47 to O-49: assertions that do not open the token endpoint.
func TestClientAssertions(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	other := newClientKey(t, jose.ES256)
	now := time.Now().Truncate(time.Second) // and it stays so for the broker, however long the table takes
	for _, c := range []struct {
		name   string
		claims claimSet
		header map[jose.HeaderKey]any
		change func(string) string
		want   string
	}{
		{name: "a sound one"},
		{name: "one with a type", header: map[jose.HeaderKey]any{"typ": "JWT"}},
		{name: "one with fractions of seconds", claims: claimSet{"iat": float64(now.Unix()) + 0.5}},
		{name: "O-24 keys in the header are ignored", header: map[jose.HeaderKey]any{"jku": "http://169.254.169.254/", "x5u": "http://169.254.169.254/"}},
		{name: "O-48 token endpoint as audience", claims: claimSet{"aud": "token"}, want: "assertion_audience"},
		{name: "O-48 audience as list", claims: claimSet{"aud": []string{"issuer"}}, want: "assertion_audience"},
		{name: "O-48 other issuer", claims: claimSet{"aud": "https://other.example"}, want: "assertion_audience"},
		{name: "O-26 no audience", claims: claimSet{"aud": nil}, want: "assertion_audience"},
		{name: "O-26 other iss", claims: claimSet{"iss": "other"}, want: "assertion_issuer"},
		{name: "O-26 other sub", claims: claimSet{"sub": "other"}, want: "client_unknown"},
		{name: "O-26 expired", claims: claimSet{"exp": now.Add(-time.Minute).Unix()}, want: "assertion_time"},
		{name: "O-26 no exp", claims: claimSet{"exp": nil}, want: "assertion_time"},
		{name: "O-26 lives too long", claims: claimSet{"exp": now.Add(time.Hour).Unix()}, want: "assertion_time"},
		{name: "O-26 from the future", claims: claimSet{"iat": now.Add(time.Minute).Unix()}, want: "assertion_time"},
		{name: "O-26 not yet valid", claims: claimSet{"nbf": now.Add(time.Minute).Unix()}, want: "assertion_time"},
		{name: "O-26 exp as text", claims: claimSet{"exp": "soon"}, want: "client_missing"},
		{name: "O-47 no jti", claims: claimSet{"jti": nil}, want: "assertion_id"},
		{name: "O-47 very long jti", claims: claimSet{"jti": strings.Repeat("x", 257)}, want: "assertion_id"},
		{name: "O-23 no algorithm", change: unsigned("none"), want: "assertion_malformed"},
		{name: "O-23 no algorithm, odd case", change: unsigned("NoNe"), want: "assertion_malformed"},
		{name: "O-23 symmetric with the public key", change: unsigned("HS256"), want: "assertion_malformed"},
		{name: "O-23 other algorithm of the key type", change: unsigned("ES384"), want: "assertion_signature"},
		{name: "O-23 critical header", header: map[jose.HeaderKey]any{"crit": []string{"b64"}, "b64": true}, want: "assertion_malformed"},
		{name: "O-24 key in the header", change: func(string) string { return "" }, want: "embedded"},
		{name: "O-25 a path as kid", header: map[jose.HeaderKey]any{"kid": "../../etc/passwd"}, want: "assertion_signature"},
		{name: "O-25 SQL as kid", header: map[jose.HeaderKey]any{"kid": "x' OR '1'='1"}, want: "assertion_signature"},
		{name: "O-25 a long kid", header: map[jose.HeaderKey]any{"kid": strings.Repeat("k", 4<<10)}, want: "assertion_signature"},
		{name: "O-25 a kid that is no text", header: map[jose.HeaderKey]any{"kid": 7}, want: "assertion_malformed"},
		{name: "O-28 a proof as assertion", header: map[jose.HeaderKey]any{"typ": "dpop+jwt"}, want: "assertion_malformed"},
		{name: "O-28 a logout token as assertion", header: map[jose.HeaderKey]any{"typ": "logout+jwt"}, want: "assertion_malformed"},
		{name: "O-30 empty signature", change: func(s string) string { return s[:strings.LastIndex(s, ".")+1] }, want: "assertion_malformed"},
		{name: "O-30 zeros as signature", change: func(s string) string {
			return s[:strings.LastIndex(s, ".")+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
		}, want: "assertion_signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{client: keyedClient(k), clock: brokertest.NewClock(now)})
			code := r.login(newBrowser(t), nil).Get("code")
			claims := changed(r.assertionClaims(), c.claims)
			switch claims["aud"].(type) {
			case []string:
				claims["aud"] = []string{r.server.URL}
			case string:
				if claims["aud"] == "token" {
					claims["aud"] = r.server.URL + "/token"
				}
			}
			text := k.sign(claims, c.header)
			if c.want == "embedded" { // signed by another key, which the header offers
				text, c.want = other.sign(claims, map[jose.HeaderKey]any{"jwk": other.public()}), "assertion_signature"
			} else if c.change != nil {
				text = c.change(text)
			}
			a := r.redeem(code, append([]string{"code", code}, assertion(text)...)...)
			if (a.StatusCode == http.StatusOK) != (c.want == "") || c.want != "" && object(t, a.body)["error"] != "invalid_client" {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if c.want != "" && c.name != "O-30 empty signature" {
				r.wantAudit(t, "token.refused/"+c.want)
			}
		})
	}
}

// unsigned replaces the header's algorithm and leaves the signature as it is.
func unsigned(algorithm string) func(string) string {
	return func(s string) string {
		_, rest, _ := strings.Cut(s, ".")
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+algorithm+`"}`)) + "." + rest
	}
}

// O-27: decoders disagree about repeated claims, so there are none.
func TestClientAssertionRefusesRepeatedClaims(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{client: keyedClient(k)})
	good, err := json.Marshal(r.assertionClaims())
	if err != nil {
		t.Fatal(err)
	}
	for _, extra := range []string{`"sub":"portal"`, `"SUB":"portal"`, `"Sub":"other"`} {
		payload := strings.TrimSuffix(string(good), "}") + "," + extra + "}"
		a := r.call("/token", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, assertion(k.signRaw(payload))...)
		if object(t, a.body)["error"] != "invalid_client" {
			t.Errorf("%s: %s", extra, a.body)
		}
	}
}

// signRaw signs a text as it is.
func (k *clientKey) signRaw(payload string) string { return k.sign(payload, nil) }

// O-47: once, over replicas and restarts.
func TestClientAssertionIsUsedOnce(t *testing.T) {
	k, s := newClientKey(t, jose.ES256), sqliteStore(t)
	first := newRig(t, options{client: keyedClient(k), store: s})
	second := newRig(t, options{client: keyedClient(k), store: s, clock: first.clock, config: func(c *provider.Config) { c.Issuer = first.server.URL }, foreign: true})
	text := k.sign(first.assertionClaims(), nil)
	form := url.Values{"token": {"x"}}
	if a := first.call("/introspect", form, assertion(text)...); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, r := range []*rig{first, second} {
		if a := r.call("/introspect", url.Values{"token": {"x"}}, assertion(text)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("again: %d %s", a.StatusCode, a.body)
		}
	}
}

// O-49: two ways at once, or the right one in the wrong clothes.
func TestClientAssertionStandsAlone(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	for name, change := range map[string][]string{
		"with a secret in the header": {"basic", "portal:x"},
		"with a secret in the form":   {"client_secret", "x"},
		"without type":                {"client_assertion_type", "-"},
		"with another type":           {"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
		"for another client":          {"client_id", "other"},
	} {
		r := newRig(t, options{client: keyedClient(k), clients: []provider.Client{otherClient()}})
		form := with(url.Values{"token": {"x"}}, assertion(k.sign(r.assertionClaims(), nil))...)
		if a := r.call("/introspect", form, change...); a.StatusCode == http.StatusOK {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

// Per client, tokens are signed by the algorithm that it registered.
func TestSigningAlgorithms(t *testing.T) {
	signers := map[jose.SignatureAlgorithm]*clientKey{}
	var keys []provider.Key
	for _, a := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.PS256, jose.EdDSA, jose.RS256} {
		signers[a] = newClientKey(t, a)
		keys = append(keys, provider.Key{Signer: signers[a].key, Algorithm: a})
	}
	ring, err := provider.NewKeys(keys...)
	if err != nil {
		t.Fatal(err)
	}
	for algorithm, k := range signers {
		r := newRig(t, options{
			client: func(c *provider.Client) { c.SigningAlgorithm = algorithm },
			config: func(c *provider.Config) { c.Keys = ring },
		})
		a := r.redeem(r.login(newBrowser(t), nil).Get("code"))
		tokens := object(t, a.body)
		jws, err := jose.ParseSignedCompact(tokens["id_token"].(string), []jose.SignatureAlgorithm{algorithm})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jws.Verify(k.key.Public()); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		sum := map[jose.SignatureAlgorithm]crypto.Hash{jose.ES384: crypto.SHA384, jose.EdDSA: crypto.SHA512}[algorithm]
		if sum == 0 {
			sum = crypto.SHA256
		}
		h := sum.New()
		h.Write([]byte(tokens["access_token"].(string)))
		if got := decodeIDToken(t, a)["at_hash"]; got != base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:sum.Size()/2]) {
			t.Errorf("%s: at_hash %v", algorithm, got)
		}
	}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
