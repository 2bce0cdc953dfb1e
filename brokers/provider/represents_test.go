package provider_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

func company() *brokers.Represented {
	return &brokers.Represented{Key: "nl-kvk:69599084", Legal: true, Name: "Voorbeeld BV", Kind: "mandate", Identifiers: map[string]string{"LEI": "x"}}
}

// broker.md 9.12: the person stays the subject, and the client is told for whom
// they act, in the ID token, at userinfo, and verified if asked.
func TestRepresentationIsTold(t *testing.T) {
	for _, c := range []struct {
		name     string
		scopes   []string
		sub      string
		kind     string
		company  any
		official any
	}{
		{"with national numbers", []string{"name", "national_id"}, "69599084", "urn:nl-eid-gdi:1.0:id:KvKnr", "Voorbeeld BV", map[string]any{"LEI": "x"}},
		{"without", nil, "", "urn:nl-eid-gdi:1.0:id:pseudonym", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{client: func(client *provider.Client) { client.Representation, client.Scopes = true, c.scopes }})
			r.upstream.Change = func(e *brokers.AuthenticationEvent) { e.Subject.Represents = company() }
			b := newBrowser(t)
			a := r.redeem(r.login(b, []string{"scope", "openid", "claims", `{"userinfo":{"verified_claims":{"verification":{"trust_framework":null},"claims":{"represents":{},"name":null}}}}`}).Get("code"))
			claims := decodeIDToken(t, a)
			party, ok := claims["represents"].(map[string]any)
			if !ok {
				t.Fatalf("the ID token says nothing: %v", claims)
			}
			if c.sub == "" && (party["sub"] == "69599084" || len(party["sub"].(string)) != 43) || c.sub != "" && party["sub"] != c.sub {
				t.Errorf("sub %v", party["sub"])
			}
			if party["sub_id_type"] != c.kind || party["iss"] != r.server.URL || party["legal_entity"] != true || party["name"] != c.company || party["mandate"] != "mandate" {
				t.Errorf("represents %v", party)
			}
			if (party["identifiers"] == nil) != (c.official == nil) {
				t.Errorf("identifiers %v", party["identifiers"])
			}
			if claims["sub"] == party["sub"] {
				t.Error("the party took the person's place")
			}
			info := object(t, r.userinfo(object(t, a.body)["access_token"].(string)).body)
			verified, _ := info["verified_claims"].(map[string]any)
			inner, _ := verified["claims"].(map[string]any)
			again, _ := inner["represents"].(map[string]any)
			if told, _ := info["represents"].(map[string]any); told["sub"] != party["sub"] || again["sub"] != party["sub"] {
				t.Errorf("userinfo says %v", info)
			}
		})
	}
}

// A client that knows nothing of representation is not given such a login: it
// would take the act for the person's own.
func TestRepresentationIsRefusedWhereNotKnown(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) { c.SingleSignOn = true }, clients: []provider.Client{func() provider.Client {
		c := otherClient()
		c.Representation, c.SingleSignOn = true, true
		return c
	}()}, config: func(c *provider.Config) {
		c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
	}})
	r.upstream.Change = func(e *brokers.AuthenticationEvent) { e.Subject.Represents = company() }
	b := newBrowser(t)
	if q := r.login(b, nil); q.Get("error") != "access_denied" || q.Get("code") != "" {
		t.Errorf("got %v", q)
	}
	r.wantAudit(t, "authorization.denied/representation")
	if q := r.login(b, []string{"client_id", "other"}); q.Get("code") == "" {
		t.Fatalf("got %v", q)
	}
	// Nor from a session that began elsewhere.
	if q := r.authorize(b, "prompt", "none").location(t).Query(); q.Get("error") != "login_required" {
		t.Errorf("got %v", q)
	}
	if q := r.authorize(b, "prompt", "none", "client_id", "other").location(t).Query(); q.Get("code") == "" {
		t.Errorf("got %v", q)
	}
	person := decodeIDToken(t, r.redeem(r.authorize(b, "prompt", "none", "client_id", "other").location(t).Query().Get("code"), "basic", "other:other secret"))
	if person["represents"] == nil {
		t.Errorf("claims %v", person)
	}
}

// O-65: a new pairwise secret changes nobody's subject; only clients that come
// after it use it.
func TestPairwiseSecretIsRotatedWithoutChangingSubjects(t *testing.T) {
	subject := func(later [][]byte, version int) string {
		r := newRig(t, options{client: func(c *provider.Client) { c.PairwiseVersion = version }, config: func(c *provider.Config) {
			c.PairwiseSecret, c.LaterPairwiseSecrets = bytes.Repeat([]byte{1}, 32), later
		}})
		a := r.redeem(r.login(newBrowser(t), nil).Get("code"))
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return decodeIDToken(t, a)["sub"].(string)
	}
	second := [][]byte{bytes.Repeat([]byte{2}, 32)}
	before := subject(nil, 0)
	if after := subject(second, 0); after != before {
		t.Errorf("%s became %s", before, after)
	}
	if after := subject(second, 1); after != before {
		t.Errorf("%s became %s", before, after)
	}
	if fresh := subject(second, 2); fresh == before {
		t.Error("a new client uses the old secret")
	}
	// A version that is not there is an error, never another secret.
	r := newRig(t, options{client: func(c *provider.Client) { c.PairwiseVersion = 2 }})
	if a := r.authorize(newBrowser(t)); a.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d", a.StatusCode)
	}
	one, two := portal(), otherClient()
	one.Sector, two.Sector, two.PairwiseVersion = "same", "same", 2
	if _, err := provider.NewStaticClients(levels.Default(), []provider.Client{one, two}); err == nil {
		t.Error("two versions in one sector were taken")
	}
	one.PairwiseVersion = -1
	if _, err := provider.NewStaticClients(levels.Default(), []provider.Client{one}); err == nil {
		t.Error("a negative version was taken")
	}
}

// The Dutch profile: nonce, no amr, not before, and no secrets.
func TestNLGovProfile(t *testing.T) {
	key := newClientKey(t, jose.PS256)
	r := newRig(t, options{client: func(c *provider.Client) {
		keyedClient(key)(c)
		c.Profile = provider.NLGov
	}})
	if q := r.authorize(newBrowser(t), "nonce", "-").location(t).Query(); q.Get("error") != "invalid_request" {
		t.Errorf("without nonce: %v", q)
	}
	code := r.login(newBrowser(t), nil).Get("code")
	a := r.redeem(code, assertion(key.sign(r.assertionClaims(), nil))...)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	claims := decodeIDToken(t, a)
	if claims["amr"] != nil || claims["nbf"] != claims["iat"] || claims["jti"] == nil || claims["acr"] == nil {
		t.Errorf("claims %v", claims)
	}
	for name, change := range map[string]func(*provider.Client){
		"a secret": func(*provider.Client) {},
		"a public client with refresh tokens": func(c *provider.Client) {
			c.Auth, c.SecretHash, c.RefreshTokens = provider.AuthNone, brokers.Hash{}, true
		},
	} {
		c := portal()
		c.Profile = provider.NLGov
		change(&c)
		if _, err := provider.NewStaticClients(levels.Default(), []provider.Client{c}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
