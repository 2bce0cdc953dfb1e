package provider_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	secret      = "a secret of the portal"
	redirectURI = "http://localhost:7777/callback?app=1"
)

// rig is a broker with a fake upstream, a log and a clock.
type rig struct {
	t        testing.TB
	server   *httptest.Server
	provider *provider.Provider
	upstream *brokertest.Upstream
	log      *brokertest.Buffer
	clock    *brokertest.Clock
	oidc     *oidc.Provider
}

// options change a rig before it is built.
type options struct {
	client    func(*provider.Client)
	clients   []provider.Client
	config    func(*provider.Config)
	upstream  *brokertest.Upstream
	upstreams []brokers.Upstream
	store     provider.Store
	// clock is that of another rig, with whom a store is shared.
	clock *brokertest.Clock
	// foreign is a rig whose issuer is another rig's: nobody asks it for discovery.
	foreign bool
}

func portal() provider.Client {
	return provider.Client{
		ID: "portal", Name: "Portal <b>", SecretHash: brokers.HashOf(secret), RedirectURIs: []string{redirectURI},
		MinLevel: levels.Low, Scopes: []string{"name", "national_id"},
	}
}

func newRig(t testing.TB, o options) *rig {
	t.Helper()
	r := &rig{t: t, upstream: o.upstream, log: &brokertest.Buffer{}, clock: o.clock}
	if r.clock == nil {
		r.clock = brokertest.NewClock(time.Now().Truncate(time.Second))
	}
	if r.upstream == nil {
		r.upstream = &brokertest.Upstream{}
	}
	r.upstream.Now = r.clock.Now
	client := portal()
	if o.client != nil {
		o.client(&client)
	}
	clients, err := provider.NewStaticClients(levels.Default(), append([]provider.Client{client}, o.clients...))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := provider.NewKeys(provider.Key{Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.provider.ServeHTTP(w, q) }))
	t.Cleanup(r.server.Close)
	cfg := provider.Config{
		Issuer: r.server.URL, Clients: clients, Upstreams: append([]brokers.Upstream{r.upstream}, o.upstreams...),
		Store: o.store, Keys: keys, PairwiseSecret: bytes.Repeat([]byte{7}, 32),
		Now: r.clock.Now, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	if cfg.Store == nil {
		cfg.Store = store.NewMemory()
	}
	if o.config != nil {
		o.config(&cfg)
	}
	if r.provider, err = provider.New(cfg); err != nil {
		t.Fatal(err)
	}
	if o.foreign {
		r.server.Config.Handler = r.as(cfg.Issuer)
		return r
	}
	if r.oidc, err = oidc.NewProvider(context.Background(), r.server.URL); err != nil {
		t.Fatal(err)
	}
	return r
}

// as serves requests as if they had come to another address: a replica behind
// one name.
func (r *rig) as(issuer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.Host = strings.TrimPrefix(issuer, "http://")
		r.provider.ServeHTTP(w, q)
	})
}

func sqliteStore(t testing.TB) provider.Store {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "broker.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// config is the relying party's side.
func (r *rig) config() *oauth2.Config {
	endpoint := r.oidc.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return &oauth2.Config{ClientID: "portal", ClientSecret: secret, Endpoint: endpoint, RedirectURL: redirectURI, Scopes: []string{"openid", "name"}}
}

// browser is a cookie jar that follows no redirection.
type browser struct {
	t      testing.TB
	client *http.Client
}

func newBrowser(t testing.TB) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func (b *browser) get(target string) answer {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) post(target string, form url.Values) answer {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// location is where a 303 leads.
func (a answer) location(t testing.TB) *url.URL {
	t.Helper()
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("got status %d, want a redirection; body %s", a.StatusCode, a.body)
	}
	u, err := a.Location()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// request is an authorization request with all that is required.
func (r *rig) request() url.Values {
	return url.Values{
		"client_id": {"portal"}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid name"},
		"state": {"the state"}, "nonce": {"the nonce"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
}

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func (r *rig) authorize(b *browser, change ...string) answer {
	b.t.Helper()
	return b.get(r.server.URL + "/authorize?" + with(r.request(), change...).Encode())
}

// with replaces values, or removes them where the new one is "-".
func with(v url.Values, change ...string) url.Values {
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "-" {
			v.Del(change[i])
		} else {
			v.Set(change[i], change[i+1])
		}
	}
	return v
}

// callback is the address of an answer to a departure.
func (r *rig) callback(departure *url.URL, change ...string) string {
	return r.server.URL + "/upstream/fake/callback?" +
		with(url.Values{"relay": {departure.Query().Get("relay")}, "level": {"substantial"}}, change...).Encode()
}

// login goes from the authorization request to the relying party's callback.
func (r *rig) login(b *browser, authorization []string, answers ...string) url.Values {
	b.t.Helper()
	departure := r.authorize(b, authorization...).location(b.t)
	return b.back(r, r.callback(departure, answers...)).location(b.t).Query()
}

// back follows an upstream's answer as far as the broker's own pages lead.
func (b *browser) back(r *rig, callback string) answer {
	b.t.Helper()
	a := b.get(callback)
	for a.StatusCode == http.StatusSeeOther && strings.HasPrefix(a.Header.Get("Location"), r.server.URL+"/resume/") {
		a = b.get(a.Header.Get("Location"))
	}
	return a
}

// redeem is a token request with all that is required.
func (r *rig) redeem(code string, change ...string) answer {
	r.t.Helper()
	form := with(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
		"client_id": {"-"}, "client_secret": {"-"}, "basic": {"portal:" + secret},
	}, change...)
	basic := form.Get("basic")
	for name, values := range form {
		if name == "basic" || values[0] == "-" {
			form.Del(name)
		}
	}
	req, err := http.NewRequest(http.MethodPost, r.server.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id, password, ok := strings.Cut(basic, ":"); ok {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(password))
	}
	return newBrowser(r.t).do(req)
}

func (r *rig) userinfo(token string) answer {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.server.URL+"/userinfo", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return newBrowser(r.t).do(req)
}

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return o
}

// reasons lists the audit events so far as "event/reason".
func (r *rig) reasons() []string {
	var list []string
	for line := range strings.Lines(r.log.String()) {
		o := object(r.t, line)
		if o["msg"] == "audit" {
			list = append(list, o["event"].(string)+"/"+o["reason"].(string))
		}
	}
	return list
}

func (r *rig) wantAudit(t testing.TB, want string) {
	t.Helper()
	if !slices.Contains(r.reasons(), want) {
		t.Errorf("audit log has no %s: %v", want, r.reasons())
	}
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// formToken reads the token of a page's form.
func (a answer) formToken(t testing.TB) string {
	t.Helper()
	found := tokenField.FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no form in %s", a.body)
	}
	return found[1]
}

// tryLogin goes as far as it comes: to an access token, or to a status that is none
// of a login.
func (r *rig) tryLogin(t *testing.T) (token any, status int) {
	t.Helper()
	b := newBrowser(t)
	a := r.authorize(b)
	if a.StatusCode != http.StatusSeeOther {
		return nil, a.StatusCode
	}
	a = b.back(r, r.callback(a.location(t)))
	if a.StatusCode != http.StatusSeeOther {
		return nil, a.StatusCode
	}
	code := a.location(t).Query().Get("code")
	if code == "" {
		return nil, -1
	}
	a = r.redeem(code)
	if a.StatusCode != http.StatusOK {
		return nil, a.StatusCode
	}
	return object(t, a.body)["access_token"], http.StatusOK
}
