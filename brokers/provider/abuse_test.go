package provider_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// guarded sets a guard with these settings, on the rig's clock and store.
func guarded(t testing.TB, s abuse.Settings) func(*provider.Config) {
	return func(c *provider.Config) {
		var err error
		c.Guard, err = abuse.New(s, abuse.Options{Strikes: c.Store, Key: provider.GuardKey(c.PairwiseSecret), Now: c.Now, Audit: c.Log})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// W-53: starts are counted by address.
func TestStartsAreLimited(t *testing.T) {
	r := newRig(t, options{config: guarded(t, abuse.Settings{StartsPerMinute: 3})})
	statuses := map[int]int{}
	for range 5 {
		a := r.authorize(newBrowser(t))
		statuses[a.StatusCode]++
		if a.StatusCode == http.StatusTooManyRequests && a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if statuses[http.StatusSeeOther] != 3 || statuses[http.StatusTooManyRequests] != 2 {
		t.Errorf("got %v", statuses)
	}
	r.clock.Add(20 * time.Second)
	if a := r.authorize(newBrowser(t)); a.StatusCode != http.StatusSeeOther {
		t.Errorf("after a while: %d", a.StatusCode)
	}
}

// W-12, W-13: above a threshold a login costs work or a wait, and then is the
// login that was asked for, state and nonce included.
func TestChallengeLeadsToTheLogin(t *testing.T) {
	r := newRig(t, options{config: guarded(t, abuse.Settings{ChallengeAbove: 1, Difficulty: 8})})
	if a := r.authorize(newBrowser(t)); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("below the threshold: %d", a.StatusCode)
	}
	page := func(a answer) (c abuse.Challenge, location string) {
		t.Helper()
		found := regexp.MustCompile(`data-seed="([^"]+)" data-bits="8" data-location="([^"]+)"`).FindStringSubmatch(a.body)
		if a.StatusCode != http.StatusOK || found == nil {
			t.Fatalf("no challenge: %d %s", a.StatusCode, a.body)
		}
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy %q", csp)
		}
		return abuse.Challenge{Seed: found[1], Bits: 8}, html.UnescapeString(found[2])
	}
	b := newBrowser(t)
	c, location := page(r.authorize(b, "state", "s&t\"<"))
	if a := b.get(location); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "data-seed") {
		t.Errorf("without work or wait: %d", a.StatusCode)
	}
	a := b.get(location + "&challenge_solution=" + c.Solve())
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("after the work: %d %s", a.StatusCode, a.body)
	}
	if back := b.back(r, r.callback(a.location(t))).location(t).Query(); back.Get("code") == "" || back.Get("state") != "s&t\"<" {
		t.Errorf("the login ends in %v", back)
	}
	// The wait of a browser without scripts.
	b = newBrowser(t)
	a = r.authorize(b)
	if !strings.Contains(a.body, `<noscript><meta http-equiv="refresh" content="9; url=`) {
		t.Errorf("no way without scripts: %s", a.body)
	}
	_, location = page(a)
	r.clock.Add(9 * time.Second)
	if a := b.get(location); a.StatusCode != http.StatusSeeOther {
		t.Errorf("after the wait: %d", a.StatusCode)
	}
	if a := newBrowser(t).get(location); a.StatusCode == http.StatusSeeOther {
		t.Error("a wait counts twice")
	}
}

// W-01, W-04, W-09: guessing a client's secret is slowed down, a right one from
// elsewhere is not, and an unknown client looks like a wrong secret.
func TestGuessingSecretsIsSlowedDown(t *testing.T) {
	address := "192.0.2.1"
	r := newRig(t, options{config: func(c *provider.Config) { c.ClientAddress = func(*http.Request) string { return address } }})
	guess := func(id, secret string) answer {
		b := newBrowser(t)
		return b.post(r.server.URL+"/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {id}, "client_secret": {secret}, "code": {"x"}})
	}
	var known, unknown answer
	for range 6 {
		known, unknown = guess("portal", "wrong"), guess("nobody", "wrong")
		if known.StatusCode != http.StatusUnauthorized || known.StatusCode != unknown.StatusCode || known.body != unknown.body {
			t.Fatalf("known %d %s, unknown %d %s", known.StatusCode, known.body, unknown.StatusCode, unknown.body)
		}
	}
	for _, id := range []string{"portal", "nobody"} {
		a := guess(id, "wrong")
		if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "2" || object(t, a.body)["error"] != "temporarily_unavailable" {
			t.Errorf("%s, one too many: %d %v %s", id, a.StatusCode, a.Header, a.body)
		}
	}
	address = "192.0.2.2"
	if a := guess("portal", "wrong"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("another address: %d", a.StatusCode)
	}
	if !strings.Contains(r.log.String(), `"event":"abuse.delayed","reason":"secret"`) {
		t.Error("no event")
	}
}

// Guessing tokens of registrations is slowed down.
func TestGuessingRegistrationTokensIsSlowedDown(t *testing.T) {
	r := newRig(t, options{config: func(c *provider.Config) {
		c.Registration = provider.RegistrationPolicy{Tokens: []brokers.Hash{brokers.HashOf("right")}, Template: portal()}
	}})
	ask := func(method, path string) answer {
		q, err := http.NewRequest(method, r.server.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer wrong")
		return newBrowser(t).do(q)
	}
	for n := range 8 {
		want := http.StatusUnauthorized
		if n >= 6 {
			want = http.StatusTooManyRequests
		}
		path, method := "/register", http.MethodPost
		if n%2 == 1 {
			path, method = "/register/unknown", http.MethodGet
		}
		if a := ask(method, path); a.StatusCode != want || want == http.StatusTooManyRequests && a.Header.Get("Retry-After") == "" {
			t.Errorf("try %d: %d, want %d", n+1, a.StatusCode, want)
		}
	}
}

// W-54: requests over the rate are told when to come again; public documents and
// portals are not counted among the visitors of an address.
func TestFloodsAreRefused(t *testing.T) {
	r := newRig(t, options{config: guarded(t, abuse.Settings{RequestsPerSecond: 2, ClientRequestsPerSecond: 3})})
	statuses := map[int]int{}
	for range 15 {
		a := newBrowser(t).get(r.server.URL + "/device")
		statuses[a.StatusCode]++
		if a.StatusCode == http.StatusTooManyRequests && a.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
		}
	}
	if statuses[http.StatusOK] != 10 || statuses[http.StatusTooManyRequests] != 5 {
		t.Errorf("got %v", statuses)
	}
	if a := newBrowser(t).get(r.server.URL + "/jwks"); a.StatusCode != http.StatusOK {
		t.Errorf("a public document: %d", a.StatusCode)
	}
	statuses = map[int]int{}
	for range 8 {
		statuses[r.redeem("x").StatusCode]++
	}
	if statuses[http.StatusBadRequest] != 6 || statuses[http.StatusTooManyRequests] != 2 {
		t.Errorf("a client: %v", statuses)
	}
}

// A client that signs is not guessing: whatever is wrong with its assertions, it is
// told so, however often. Whoever tries secrets in its name waits.
func TestSignaturesAreNoGuesses(t *testing.T) {
	k, other := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	r := newRig(t, options{client: keyedClient(k), config: guarded(t, abuse.Settings{})})
	for range 30 {
		if a := r.call("/introspect", url.Values{"token": {"x"}}, assertion(other.sign(r.assertionClaims(), nil))...); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	if a := r.call("/introspect", url.Values{"token": {"x"}}, assertion(k.sign(r.assertionClaims(), nil))...); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	last := 0
	for range 10 {
		last = r.call("/introspect", url.Values{"token": {"x"}}, "basic", "portal:guess").StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("guessing goes on: %d", last)
	}
}
