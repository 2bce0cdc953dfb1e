package webeid_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/brokers/webeid"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/levels"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

const origin = "https://broker.example"

// lab is a country and a card login before it.
type lab struct {
	*webeid.Upstream
	country *pki.Country
	ee, es  *pki.CitizenKeys
	phone   pki.Credential
	config  webeid.Config
	now     time.Time
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{now: time.Now()}
	server := httptest.NewServer(nil)
	t.Cleanup(server.Close)
	var err error
	if l.country, err = pki.New(pki.Options{BaseURL: server.URL}); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = l.country.Handler()
	person := func(number string) pki.Person {
		p, ok := pki.Citizen(number)
		if !ok {
			t.Fatal("no such person")
		}
		return p
	}
	if l.ee, err = l.country.EstonianCitizen(person("60001019906")); err != nil {
		t.Fatal(err)
	}
	if l.es, err = l.country.SpanishCitizen(person("99999018D")); err != nil {
		t.Fatal(err)
	}
	if l.phone, err = l.country.MobileIDCitizen(person("60001019906")); err != nil {
		t.Fatal(err)
	}
	judge, err := authcert.New(authcert.Judge{
		Anchors: l.country.Roots(), Intermediates: l.country.Issuers(),
		Fetch: fetch.New(fetch.Options{Allow: []string{strings.TrimPrefix(server.URL, "http://")}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.config = webeid.Config{Origin: origin, Judge: judge, Replay: store.NewMemory(), Clock: func() time.Time { return l.now }}
	l.with(t, func(*webeid.Config) {})
	return l
}

// with makes the login anew with another configuration.
func (l *lab) with(t *testing.T, change func(*webeid.Config)) {
	t.Helper()
	c := l.config
	change(&c)
	var err error
	if l.Upstream, err = webeid.New(c); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) start(t *testing.T) (*brokers.Departure, string) {
	t.Helper()
	d, err := l.Start(t.Context(), brokers.AuthenticationRequest{Method: "card", Level: levels.Low, RelayState: "relay"})
	if err != nil {
		t.Fatal(err)
	}
	view, err := l.View(d)
	if err != nil {
		t.Fatal(err)
	}
	card, ok := view.(*brokers.Card)
	if !ok || len(card.Nonce) != 44 || !card.Until.Equal(l.now.Add(2*time.Minute)) {
		t.Fatalf("view %#v", view)
	}
	return d, card.Nonce
}

// token signs as an agent does; what it is about can be anything.
func token(t *testing.T, c pki.Credential, algorithm, origin, nonce string, change ...func(map[string]any)) string {
	t.Helper()
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[algorithm[2:]]
	sum := func(data []byte) []byte { h := hash.New(); h.Write(data); return h.Sum(nil) }
	digest := sum(append(sum([]byte(origin)), sum([]byte(nonce))...))
	var value []byte
	switch key := c.Key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		value = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		var options crypto.SignerOpts = hash
		if algorithm[:2] == "PS" {
			options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		var err error
		if value, err = key.Sign(rand.Reader, digest, options); err != nil {
			t.Fatal(err)
		}
	}
	members := map[string]any{
		"unverifiedCertificate": c.Certificate.Raw, "algorithm": algorithm, "signature": value, "format": "web-eid:1.0", "appVersion": "test/1",
	}
	for _, f := range change {
		f(members)
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCardsLogIn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	mari := brokers.Subject{Key: "ee-ik:60001019906", GivenName: "MARI-LIIS", FamilyName: "MÄNNIK", Birthdate: "2000-01-01", Country: "EE"}
	carmen := brokers.Subject{Key: "es-nif:99999018D", GivenName: "CARMEN", FamilyName: "PRUEBA", Country: "ES"}
	for name, row := range map[string]struct {
		card      pki.Credential
		algorithm string
		person    brokers.Subject
	}{
		"Estonian card":       {l.ee.Authentication, "ES384", mari},
		"DNIe":                {l.es.Authentication, "RS256", carmen},
		"DNIe, other hash":    {l.es.Authentication, "RS512", carmen},
		"DNIe, signed by PSS": {l.es.Authentication, "PS256", carmen},
	} {
		d, nonce := l.start(t)
		text := token(t, row.card, row.algorithm, origin, nonce, func(m map[string]any) { m["unknown"] = "member" })
		event, err := l.Proceed(t.Context(), d, map[string]string{"web_eid": text})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if event.Subject != row.person || event.Assessment.Level != levels.High || !event.Assessment.Notified || event.Upstream != "card" ||
			!slices.Equal(event.AMR, []string{"sc", "hwk", "pin", "mfa"}) {
			t.Errorf("%s: %+v", name, event)
		}
		// The challenge is good for one token.
		_, err = l.Proceed(t.Context(), d, map[string]string{"web_eid": text})
		brokertest.Rejected(t, name+" again", err, "replayed", brokers.CategoryProtocol)
	}
}

func TestTokensAreRefused(t *testing.T) {
	t.Parallel()
	const protocol = brokers.CategoryProtocol
	l := newLab(t)
	expired, err := l.country.Expired(l.ee)
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := l.country.EstonianCitizen(l.ee.Person)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.country.Revoke(revoked.Authentication.Certificate, l.now.Add(-time.Hour), pki.KeyCompromise); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := pki.New(pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := elsewhere.EstonianCitizen(l.ee.Person)
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, value any) func(map[string]any) {
		return func(m map[string]any) { m[name] = value }
	}
	good := func(nonce string) string { return token(t, l.ee.Authentication, "ES384", origin, nonce) }
	for name, row := range map[string]struct {
		token    func(nonce string) string
		reason   string
		category brokers.Category
	}{
		"L-32 token for another origin": {func(n string) string { return token(t, l.ee.Authentication, "ES384", "https://evil.example", n) }, authcert.ReasonSignature, protocol},
		"origin with a slash":           {func(n string) string { return token(t, l.ee.Authentication, "ES384", origin+"/", n) }, authcert.ReasonSignature, protocol},
		"O-54 nonce of another login":   {func(string) string { _, other := l.start(t); return good(other) }, authcert.ReasonSignature, protocol},
		"other certificate": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("unverifiedCertificate", revoked.Issuers[0].Raw))
		}, authcert.ReasonPurpose, brokers.CategoryCard},
		"signature certificate":     {func(n string) string { return token(t, l.ee.Signature, "ES384", origin, n) }, authcert.ReasonPurpose, brokers.CategoryCard},
		"telephone":                 {func(n string) string { return token(t, l.phone, "ES256", origin, n) }, authcert.ReasonPolicy, brokers.CategoryCard},
		"expired":                   {func(n string) string { return token(t, expired.Authentication, "ES384", origin, n) }, authcert.ReasonValidity, brokers.CategoryCard},
		"revoked":                   {func(n string) string { return token(t, revoked.Authentication, "ES384", origin, n) }, authcert.ReasonRevoked, brokers.CategoryCard},
		"other country's authority": {func(n string) string { return token(t, foreign.Authentication, "ES384", origin, n) }, authcert.ReasonPath, brokers.CategoryCard},
		"O-23 algorithm of another key": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("algorithm", "RS256"))
		}, authcert.ReasonAlgorithm, protocol},
		"O-23 weaker hash": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("algorithm", "ES256"))
		}, authcert.ReasonAlgorithm, protocol},
		"O-23 none": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("algorithm", "none"))
		}, authcert.ReasonAlgorithm, protocol},
		"SHA-1": {func(n string) string {
			return token(t, l.es.Authentication, "RS256", origin, n, set("algorithm", "RS1"))
		}, authcert.ReasonAlgorithm, protocol},
		"PSS called PKCS #1": {func(n string) string {
			return token(t, l.es.Authentication, "PS256", origin, n, set("algorithm", "RS256"))
		}, authcert.ReasonSignature, protocol},
		"format 2": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("format", "web-eid:2.0"))
		}, "token_malformed", protocol},
		"no format": {func(n string) string { return token(t, l.ee.Authentication, "ES384", origin, n, set("format", "")) }, "token_malformed", protocol},
		"format with more": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("format", "web-eid:1.0 "))
		}, "token_malformed", protocol},
		"no signature": {func(n string) string { return token(t, l.ee.Authentication, "ES384", origin, n, set("signature", "")) }, "token_malformed", protocol},
		"no version":   {func(n string) string { return token(t, l.ee.Authentication, "ES384", origin, n, set("appVersion", "")) }, "token_malformed", protocol},
		"certificate cut": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("unverifiedCertificate", l.ee.Authentication.Certificate.Raw[:200]))
		}, authcert.ReasonMalformed, protocol},
		"O-27 member twice":       {func(n string) string { return strings.Replace(good(n), "{", `{"format":"web-eid:1.0",`, 1) }, "token_malformed", protocol},
		"O-27 member in capitals": {func(n string) string { return strings.Replace(good(n), `"algorithm"`, `"Algorithm"`, 1) }, "token_malformed", protocol},
		"too short":               {func(string) string { return `{"format":"web-eid:1.0"}` }, "token_malformed", protocol},
		"too long": {func(n string) string {
			return token(t, l.ee.Authentication, "ES384", origin, n, set("x", strings.Repeat("x", 10_000)))
		}, "token_malformed", protocol},
		"no token": {func(string) string { return "" }, "token_malformed", protocol},
		"not JSON": {func(n string) string { return strings.Repeat("x", 200) }, "token_malformed", protocol},
	} {
		d, nonce := l.start(t)
		event, err := l.Proceed(t.Context(), d, map[string]string{"web_eid": row.token(nonce)})
		if event != nil {
			t.Errorf("%s: somebody was logged in", name)
		}
		brokertest.Rejected(t, name, err, row.reason, row.category)
		// Whatever it was, the challenge is used up.
		_, err = l.Proceed(t.Context(), d, map[string]string{"web_eid": good(nonce)})
		brokertest.Rejected(t, name+", then a good one", err, "replayed", protocol)
	}
	d, nonce := l.start(t)
	l.now = l.now.Add(121 * time.Second)
	_, err = l.Proceed(t.Context(), d, map[string]string{"web_eid": good(nonce)})
	brokertest.Rejected(t, "two minutes later", err, "timeout", brokers.CategoryTimeout)
}

// Levels come from a table; what is in no row is never high.
func TestLevelComesFromTheKindOfCard(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	login := func(c pki.Credential, algorithm string) (*brokers.AuthenticationEvent, error) {
		d, nonce := l.start(t)
		return l.Proceed(t.Context(), d, map[string]string{"web_eid": token(t, c, algorithm, origin, nonce)})
	}
	estonian := webeid.Cards()[:1]
	l.with(t, func(c *webeid.Config) { c.Cards = estonian })
	_, err := login(l.es.Authentication, "RS256")
	brokertest.Rejected(t, "kind that is not known", err, authcert.ReasonPolicy, brokers.CategoryCard)
	l.with(t, func(c *webeid.Config) { c.Cards, c.Others = estonian, true })
	if event, err := login(l.es.Authentication, "RS256"); err != nil || event.Assessment.Level != levels.Substantial || event.Assessment.Rule != "card.other" || event.Assessment.Notified {
		t.Errorf("other card where accepted: %+v, %v", event, err)
	}
	// The policy of one country's card in another country's certificate is nothing.
	l.with(t, func(c *webeid.Config) {
		c.Cards = []webeid.Card{{Policies: webeid.Cards()[1].Policies, Country: "EE", Scheme: "ee-card", Class: "idcard"}}
	})
	_, err = login(l.es.Authentication, "RS256")
	brokertest.Rejected(t, "policy of another country", err, authcert.ReasonPolicy, brokers.CategoryCard)
	l.with(t, func(c *webeid.Config) { c.MaxLevel = levels.Low })
	if event, err := login(l.ee.Authentication, "ES384"); err != nil || event.Assessment.Level != levels.Low || l.Methods()[0].Level != levels.Low {
		t.Errorf("under a ceiling: %+v, %v", event, err)
	}
	if _, err := l.Start(t.Context(), brokers.AuthenticationRequest{Method: "card", Level: levels.High}); err == nil {
		t.Error("a login above the ceiling was begun")
	}
}

// What comes beside the token helps to find a path and proves nothing.
// C-37: two cards with one key. The first person goes on, the second is refused
// with evidence for the operator, until the operator decides.
func TestKeyOfAnotherIsRefused(t *testing.T) {
	l := newLab(t)
	other, ok := pki.Citizen("38001085718")
	if !ok {
		t.Fatal("no such person")
	}
	twin, err := l.country.EstonianTwin(other, l.ee)
	if err != nil {
		t.Fatal(err)
	}
	var level levels.Level
	login := func(c pki.Credential) error {
		d, nonce := l.start(t)
		event, err := l.Proceed(t.Context(), d, map[string]string{"web_eid": token(t, c, "ES384", origin, nonce)})
		if level = levels.None; err == nil {
			level = event.Assessment.Level
		}
		return err
	}
	if err := login(l.ee.Authentication); err != nil {
		t.Fatal(err)
	}
	err = login(twin.Authentication)
	brokertest.Rejected(t, "twin", err, "key_of_another", brokers.CategoryCard)
	key := sha256.Sum256(twin.Authentication.Certificate.RawSubjectPublicKeyInfo)
	var refused *brokers.RejectedError
	if !errors.As(err, &refused) || refused.Evidence != hex.EncodeToString(key[:]) {
		t.Errorf("evidence %q", refused.Evidence)
	}
	if err := login(l.ee.Authentication); err != nil {
		t.Errorf("the first person: %v", err)
	}
	if err := l.config.Replay.(*store.Memory).ForgetKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	// W-15: the decision lets the card in, at what its login proves by today's rules.
	l.with(t, func(c *webeid.Config) { c.MaxLevel = levels.Low })
	if err := login(twin.Authentication); err != nil || level != levels.Low {
		t.Errorf("after the decision: %s, %v", level, err)
	}
}

func TestIntermediatesComeBesideTheToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	judge := *l.config.Judge
	judge.Intermediates = nil
	l.with(t, func(c *webeid.Config) { c.Judge = &judge })
	beside := encode(l.ee.Issuers[0].Raw)
	for name, row := range map[string]struct{ beside, reason string }{
		"none":       {"", authcert.ReasonPath},
		"not base64": {"%", "token_malformed"},
		"too much":   {strings.Repeat("A", 17<<10), "token_malformed"},
		"garbage":    {encode([]byte("certificate")), authcert.ReasonMalformed},
		"the issuer": {beside, ""},
	} {
		d, nonce := l.start(t)
		event, err := l.Proceed(t.Context(), d, map[string]string{"web_eid": token(t, l.ee.Authentication, "ES384", origin, nonce), "intermediates": row.beside})
		if row.reason == "" {
			if err != nil || event == nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var r *brokers.RejectedError
		if !errors.As(err, &r) || r.Reason != row.reason {
			t.Errorf("%s: %v, want %s", name, err, row.reason)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, change := range map[string]func(*webeid.Config){
		"path":            func(c *webeid.Config) { c.Origin = origin + "/" },
		"capitals":        func(c *webeid.Config) { c.Origin = "https://Broker.example" },
		"usual port":      func(c *webeid.Config) { c.Origin = "https://broker.example:443" },
		"http":            func(c *webeid.Config) { c.Origin = "http://broker.example" },
		"no origin":       func(c *webeid.Config) { c.Origin = "" },
		"no anchors":      func(c *webeid.Config) { c.Judge = nil },
		"no replay store": func(c *webeid.Config) { c.Replay = nil },
		"agent elsewhere": func(c *webeid.Config) { c.Agents = []string{"http://192.0.2.1:27184"} },
		"unknown class":   func(c *webeid.Config) { c.Cards = []webeid.Card{{Scheme: "ee-card", Class: "paper"}} },
	} {
		c := l.config
		change(&c)
		if _, err := webeid.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func encode(der []byte) string { return base64.StdEncoding.EncodeToString(der) }

// Whatever comes as a token, nobody is logged in unless the card signed it.
func FuzzToken(f *testing.F) {
	country, err := pki.New(pki.Options{})
	if err != nil {
		f.Fatal(err)
	}
	person, _ := pki.Citizen("60001019906")
	keys, err := country.EstonianCitizen(person)
	if err != nil {
		f.Fatal(err)
	}
	judge, err := authcert.New(authcert.Judge{Anchors: country.Roots(), Intermediates: country.Issuers()})
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(map[string]any{
		"unverifiedCertificate": keys.Authentication.Certificate.Raw, "algorithm": "ES384", "signature": make([]byte, 96), "format": "web-eid:1.0", "appVersion": "x",
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good), "")
	f.Add(strings.Replace(string(good), "1.0", "1.1", 1), encode(keys.Issuers[0].Raw))
	f.Fuzz(func(t *testing.T, token, beside string) {
		u, err := webeid.New(webeid.Config{Origin: origin, Judge: judge, Replay: store.NewMemory()})
		if err != nil {
			t.Fatal(err)
		}
		d, err := u.Start(t.Context(), brokers.AuthenticationRequest{Method: "card", RelayState: "r"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody is asked about revocation
		event, err := u.Proceed(ctx, d, map[string]string{"web_eid": token, "intermediates": beside})
		if event != nil || err == nil {
			t.Errorf("%q logged somebody in", token)
		}
	})
}
