package provider_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// When an earlier login of the same browser counts, and at which level
// (broker.md 8.5 rules 7, 8 and 11; O-06, O-60).
func TestSingleSignOn(t *testing.T) {
	const eidas = "http://eidas.europa.eu/LoA/"
	for _, c := range []struct {
		name   string
		client string
		level  string // of the first login
		after  time.Duration
		change []string
		want   string // acr, "login", or "error <code>"
	}{
		{"a fresh login counts", "portal", "high", time.Minute, nil, eidas + "high"},
		{"and for prompt=none", "portal", "high", time.Minute, []string{"prompt", "none"}, eidas + "high"},
		{"high decays to substantial", "portal", "high", 6 * time.Minute, nil, eidas + "substantial"},
		{"then to low", "portal", "high", 31 * time.Minute, nil, eidas + "low"},
		{"then to nothing", "portal", "high", 8 * time.Hour, nil, "login"},
		{"decayed below what is asked", "portal", "high", 6 * time.Minute, []string{"acr_values", eidas + "high"}, "login"},
		{"decayed and prompt=none", "portal", "high", 6 * time.Minute, []string{"acr_values", eidas + "high", "prompt", "none"}, "error login_required"},
		{"never more than was proven", "portal", "low", time.Minute, []string{"acr_values", eidas + "substantial"}, "login"},
		{"prompt=login", "portal", "high", time.Minute, []string{"prompt", "login"}, "login"},
		{"max_age=0", "portal", "high", 0, []string{"max_age", "0"}, "login"},
		{"older than max_age", "portal", "high", 2 * time.Minute, []string{"max_age", "60"}, "login"},
		{"within max_age", "portal", "high", time.Minute, []string{"max_age", "60"}, eidas + "high"},
		{"a client that did not agree", "other", "high", time.Minute, nil, "login"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{
				clients: []provider.Client{otherClient()},
				client:  func(p *provider.Client) { p.SingleSignOn = true },
				config: func(p *provider.Config) {
					p.Freshness = brokers.Freshness{Low: 8 * time.Hour, Substantial: 30 * time.Minute, High: 5 * time.Minute}
				},
			})
			b := newBrowser(t)
			first := idTokenClaims(t, r, r.login(b, nil, "level", c.level).Get("code"))
			r.clock.Add(c.after)
			to := r.authorize(b, append([]string{"client_id", c.client, "state", "second"}, c.change...)...).location(t)
			got := "login"
			switch {
			case to.Query().Get("error") != "":
				got = "error " + to.Query().Get("error")
			case to.Query().Get("code") != "":
				second := idTokenClaims(t, r, to.Query().Get("code"))
				got = second["acr"].(string)
				if second["sub"] != first["sub"] || second["sid"] != first["sid"] || first["sid"] == nil || second["auth_time"] != first["auth_time"] {
					t.Errorf("first %v, then %v", first, second)
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// O-53, O-57: a login opens a session with a new cookie and ends the earlier
// one; another person in the same browser is never mixed with the first.
func TestLoginReplacesTheSession(t *testing.T) {
	r := newRig(t, options{
		client: func(p *provider.Client) { p.SingleSignOn = true },
		config: func(p *provider.Config) { p.Freshness = brokers.Freshness{Low: time.Hour} },
	})
	b := newBrowser(t)
	u, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	session := func() string {
		for _, c := range b.client.Jar.Cookies(u) {
			if c.Name == "broker_session" {
				return c.Value
			}
		}
		return ""
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "broker_session", Value: "fixed-by-an-attacker"}})
	one := idTokenClaims(t, r, r.login(b, nil, "person", "ee-ik:60001019906").Get("code"))
	first := session()
	if first == "fixed-by-an-attacker" {
		t.Fatal("a planted session was kept")
	}
	two := idTokenClaims(t, r, r.login(b, []string{"prompt", "login"}, "person", "ee-ik:38001085718").Get("code"))
	if session() == first || two["sub"] == one["sub"] || two["sid"] == one["sid"] {
		t.Errorf("first %v, then %v", one, two)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "broker_session", Value: first}})
	if to := r.authorize(b, "prompt", "none").location(t); to.Query().Get("error") != "login_required" {
		t.Errorf("the replaced session still counts: %s", to)
	}
}

func TestFreshnessNeverRaises(t *testing.T) {
	f := brokers.Freshness{Low: 3, Substantial: 2, High: 1}
	for _, l := range levels.Scale() {
		for age := time.Duration(-1); age < 5; age++ {
			e := &brokers.AuthenticationEvent{AuthTime: time.Unix(0, 0), Assessment: levels.Assessment{Level: l}}
			got := f.Usable(e, time.Unix(0, int64(age)))
			if got > l {
				t.Errorf("%s of age %d counts as %s", l, age, got)
			}
			if age >= 3 && got != levels.None {
				t.Errorf("%s of age %d still counts as %s", l, age, got)
			}
		}
	}
	if got := (brokers.Freshness{}).Usable(&brokers.AuthenticationEvent{Assessment: levels.Assessment{Level: levels.High}}, time.Time{}); got != levels.None {
		t.Errorf("without windows a login counts as %s", got)
	}
}
