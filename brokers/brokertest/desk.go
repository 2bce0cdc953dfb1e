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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// Desk is a whole broker with a portal, both served on this machine, for tests that go
// from a portal through an upstream's emulator and back, in a browser without scripts.
type Desk struct {
	// Issuer is the broker's address, Portal the portal's.
	Issuer, Portal string
	Provider       *provider.Provider
	later          atomic.Int64 // nanoseconds that the broker's clock is ahead
	mu             sync.Mutex
	log            bytes.Buffer
}

// NewDesk starts one with the upstreams that a function makes for an issuer, and with
// sessions that last.
func NewDesk(t *testing.T, connect func(issuer string) []brokers.Upstream) *Desk {
	t.Helper()
	d := &Desk{}
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
		Now: func() time.Time { return time.Now().Add(time.Duration(d.later.Load())) },
	})
	must(t, err)
	return d
}

// Later sets the broker's clock forward.
func (d *Desk) Later(by time.Duration) { d.later.Add(int64(by)) }

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

// AuthorizeURL is where the portal sends a browser to log in.
func (d *Desk) AuthorizeURL(change ...string) string {
	q := url.Values{
		"client_id": {"portal"}, "redirect_uri": {d.Portal + "/callback"}, "response_type": {"code"}, "scope": {"openid"}, "ui_locales": {"en"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(rand.Text() + rand.Text())}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	return d.Issuer + "/authorize?" + q.Encode()
}

// SilentURL asks whether the browser has a session; IsLoggedIn reads where it leads.
func (d *Desk) SilentURL() string { return d.AuthorizeURL("prompt", "none") }

// IsLoggedIn reports whether a browser at this address brought a code to the portal.
func (d *Desk) IsLoggedIn(at *url.URL) bool {
	return strings.HasPrefix(at.String(), d.Portal+"/callback?") && at.Query().Get("code") != ""
}

// LogoutURL is where the portal sends a browser to log out; the broker asks.
func (d *Desk) LogoutURL() string {
	q := url.Values{"client_id": {"portal"}, "post_logout_redirect_uri": {d.Portal + "/bye"}, "state": {"s"}, "ui_locales": {"en"}}
	return d.Issuer + "/logout?" + q.Encode()
}

// IsBack reports whether a browser at this address is back at the portal from logging
// out.
func (d *Desk) IsBack(at *url.URL) bool {
	return strings.HasPrefix(at.String(), d.Portal+"/bye?") && at.Query().Get("state") == "s"
}
