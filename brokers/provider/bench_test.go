package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// A whole login without the network: authorize, callback, token, userinfo; eight
// at a time.
func BenchmarkLogin(b *testing.B) {
	for name, open := range map[string]func() provider.Store{
		"memory": func() provider.Store { return store.NewMemory() },
		"SQLite": func() provider.Store { return sqliteStore(b) },
	} {
		b.Run(name, func(b *testing.B) {
			p := benchProvider(b, open())
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := benchLogin(p); err != "" {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
		})
	}
}

func benchProvider(b *testing.B, s provider.Store) *provider.Provider {
	b.Helper()
	clients, err := provider.NewStaticClients(levels.Default(), []provider.Client{portal()})
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := provider.NewKeys(provider.Key{Signer: key})
	if err != nil {
		b.Fatal(err)
	}
	p, err := provider.New(provider.Config{
		Issuer: "https://login.example", Clients: clients, Upstreams: []brokers.Upstream{&brokertest.Upstream{}}, Store: s,
		Keys: keys, PairwiseSecret: make([]byte, 32), Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func benchLogin(p *provider.Provider) string {
	get := func(target string, cookies []*http.Cookie) *http.Response {
		req := httptest.NewRequest(http.MethodGet, target, nil)
		for _, c := range cookies {
			req.AddCookie(c)
		}
		a := httptest.NewRecorder()
		p.ServeHTTP(a, req)
		return a.Result()
	}
	q := url.Values{
		"client_id": {"portal"}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid name"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	start := get("https://login.example/authorize?"+q.Encode(), nil)
	departure, err := start.Location()
	if err != nil {
		return "authorize: " + start.Status
	}
	callback := url.Values{"relay": {departure.Query().Get("relay")}, "level": {"high"}}
	done := get("https://login.example/upstream/fake/callback?"+callback.Encode(), start.Cookies())
	back, err := done.Location()
	if err != nil {
		return "callback: " + done.Status
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
	req := httptest.NewRequest(http.MethodPost, "https://login.example/token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("portal", url.QueryEscape(secret))
	a := httptest.NewRecorder()
	p.ServeHTTP(a, req)
	_, rest, ok := strings.Cut(a.Body.String(), `"access_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if !ok {
		return "token: " + a.Body.String()
	}
	req = httptest.NewRequest(http.MethodGet, "https://login.example/userinfo", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	a = httptest.NewRecorder()
	if p.ServeHTTP(a, req); a.Code != http.StatusOK {
		return "userinfo: " + a.Body.String()
	}
	return ""
}
