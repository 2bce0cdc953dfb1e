package provider_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Two replicas with one PostgreSQL: every request of a login reaches the other
// one, with refreshing, single sign-on, pushed requests and logout.
func TestRequestsAlternateBetweenReplicas(t *testing.T) {
	_, connection := newCluster(t, "replicas")
	open := func() provider.Store { return openStore(t, connection, 4) }
	setup := options{store: open(), client: func(c *provider.Client) {
		c.SingleSignOn, c.RefreshTokens, c.PostLogoutURIs = true, true, []string{afterLogout}
	}}
	var keys *provider.Keys
	setup.config = func(c *provider.Config) {
		c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
		keys = c.Keys
	}
	r := newRig(t, setup)
	setup.store, setup.foreign = open(), true
	setup.config = func(c *provider.Config) {
		c.Issuer, c.Keys = r.server.URL, keys
		c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
	}
	second := newRig(t, setup)
	second.clock.Add(r.clock.Now().Sub(second.clock.Now()) - time.Second) // clocks differ
	var served [2]atomic.Int64
	var turn atomic.Int64
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n := turn.Add(1) % 2
		served[n].Add(1)
		[]*provider.Provider{r.provider, second.provider}[n].ServeHTTP(w, q)
	})
	for trial := range 11 { // an odd number of requests each, so that every step meets both
		b := newBrowser(t)
		uri := r.pushed("scope", "openid name offline_access")
		departure := r.open(b, "client_id", "portal", "request_uri", uri).location(t)
		tokens := r.redeem(b.back(r, r.callback(departure)).location(t).Query().Get("code"))
		if tokens.StatusCode != http.StatusOK {
			t.Fatalf("trial %d: %d %s", trial, tokens.StatusCode, tokens.body)
		}
		o := object(t, tokens.body)
		if a := r.userinfo(o["access_token"].(string)); a.StatusCode != http.StatusOK {
			t.Fatalf("trial %d: userinfo %d", trial, a.StatusCode)
		}
		next := object(t, r.refresh(o["refresh_token"]).body)
		if retry := object(t, r.refresh(o["refresh_token"]).body); retry["refresh_token"] != next["refresh_token"] || next["refresh_token"] == nil {
			t.Errorf("trial %d: refreshed to %v, then %v", trial, next, retry)
		}
		if !r.loggedIn(b) {
			t.Errorf("trial %d: no session", trial)
		}
		b.get(r.server.URL + "/logout?id_token_hint=" + o["id_token"].(string))
		if r.loggedIn(b) || r.active(next["access_token"]) {
			t.Errorf("trial %d: logged out in vain", trial)
		}
	}
	if served[0].Load() < 50 || served[1].Load() < 50 {
		t.Errorf("served %d and %d", served[0].Load(), served[1].Load())
	}
}
