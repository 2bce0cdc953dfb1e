package brokertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	"github.com/eidbridge/eidbridge/levels"
)

// Desk is a whole broker with a portal, both served on this machine, for tests that go
// from a portal through an upstream's emulator and back, in a browser without scripts.
type Desk struct {
	// Issuer is the broker's address, Portal the portal's.
	Issuer, Portal string
	Provider       *provider.Provider
	// Browser stands on Page.
	Browser *demo.Browser
	Page    *demo.Page
	t       *testing.T
	mu      sync.Mutex
	log     bytes.Buffer
}

// NewDesk starts one with the upstreams that a function makes for an issuer, and with
// sessions that last.
func NewDesk(t *testing.T, connect func(issuer string) []brokers.Upstream) *Desk {
	t.Helper()
	d := &Desk{t: t}
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.Provider.ServeHTTP(w, r) }))
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	t.Cleanup(broker.Close)
	t.Cleanup(portal.Close)
	// By another name than the emulator's: cookies know no ports.
	d.Issuer, d.Portal = strings.Replace(broker.URL, "127.0.0.1", "localhost", 1), portal.URL
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	keys, err := provider.NewKeys(provider.Key{Signer: key})
	must(t, err)
	clients, err := provider.NewStaticClients(levels.Default(), []provider.Client{{
		ID: "portal", Name: "Portal", SecretHash: brokers.HashOf("secret"), RedirectURIs: []string{d.Portal + "/callback"}, PostLogoutURIs: []string{d.Portal + "/bye"},
		MinLevel: levels.BelowLow, Scopes: []string{"national_id"}, SingleSignOn: true,
	}})
	must(t, err)
	d.Provider, err = provider.New(provider.Config{
		Issuer: d.Issuer, Clients: clients, Upstreams: connect(d.Issuer), Store: store.NewMemory(), Keys: keys, PairwiseSecret: bytes.Repeat([]byte{7}, 32),
		Freshness: brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}, Log: slog.New(slog.NewJSONHandler(d, nil)),
	})
	must(t, err)
	d.Browser, err = demo.NewBrowser()
	must(t, err)
	return d
}

// Write takes the log.
func (d *Desk) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(line)
}

// Log is the broker's log so far, audit events included.
func (d *Desk) Log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// Authorize asks for a login, and stands where that leads.
func (d *Desk) Authorize(change ...string) {
	d.t.Helper()
	q := url.Values{
		"client_id": {"portal"}, "redirect_uri": {d.Portal + "/callback"}, "response_type": {"code"}, "scope": {"openid"}, "ui_locales": {"en"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(rand.Text() + rand.Text())}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	d.Open(d.Issuer + "/authorize?" + q.Encode())
}

// LoggedIn asks whether the browser has a session.
func (d *Desk) LoggedIn() bool {
	d.t.Helper()
	d.Authorize("prompt", "none")
	return d.Page.URL.Path == "/callback" && d.Page.URL.Query().Get("code") != ""
}

// LogOut asks to log out, answers the question, and goes where that leads.
func (d *Desk) LogOut() {
	d.t.Helper()
	q := url.Values{"client_id": {"portal"}, "post_logout_redirect_uri": {d.Portal + "/bye"}, "state": {"s"}, "ui_locales": {"en"}}
	d.Open(d.Issuer + "/logout?" + q.Encode())
	d.Submit("token", "answer", "end")
	d.Onward()
}

// Back reports whether the browser is at the portal's page for those who logged out.
func (d *Desk) Back() bool {
	return strings.HasPrefix(d.Page.URL.String(), d.Portal+"/bye") && d.Page.URL.Query().Get("state") == "s"
}

// Open loads a page.
func (d *Desk) Open(address string) {
	d.t.Helper()
	page, err := d.Browser.Open(d.t.Context(), address)
	must(d.t, err)
	d.Page = page
}

// Submit sends the form that has a field.
func (d *Desk) Submit(field string, pairs ...string) {
	d.t.Helper()
	form, err := d.Page.FormWith(field)
	if err != nil {
		d.t.Fatalf("%v: %s", err, d.Page.Text())
	}
	set := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		set[pairs[i]] = pairs[i+1]
	}
	d.Page, err = d.Browser.Submit(d.t.Context(), form, set)
	must(d.t, err)
}

var refresh = regexp.MustCompile(`http-equiv="refresh" content="[0-9]+; url=([^"]+)"`)

// Onward follows pages that lead on by themselves.
func (d *Desk) Onward() {
	d.t.Helper()
	for range 5 {
		if to := refresh.FindSubmatch(d.Page.Body); to != nil {
			d.Open(strings.ReplaceAll(string(to[1]), "&amp;", "&"))
			continue
		}
		forms, err := d.Page.Forms()
		if err != nil {
			return // it is not one of these pages
		}
		auto := slices.IndexFunc(forms, func(f *demo.Form) bool { return f.ID == "onward" || f.Fields.Has("SAMLResponse") })
		if auto < 0 {
			return
		}
		d.Page, err = d.Browser.Submit(d.t.Context(), forms[auto], nil)
		must(d.t, err)
	}
}
