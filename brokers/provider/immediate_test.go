package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// immediateRig is a broker whose only upstream may know at once who asks.
func immediateRig(t *testing.T, o options) (*rig, *brokertest.Immediate) {
	t.Helper()
	u := &brokertest.Immediate{Upstream: o.upstream}
	if u.Upstream == nil {
		u.Upstream = &brokertest.Upstream{}
	}
	o.upstream = u.Upstream
	config := o.config
	o.config = func(c *provider.Config) {
		c.Upstreams = []brokers.Upstream{u}
		if config != nil {
			config(c)
		}
	}
	return newRig(t, o), u
}

// recognized asks for authorization with a proof in the request.
func (r *rig) recognized(b *browser, proof string, change ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.server.URL+"/authorize?"+with(r.request(), change...).Encode(), http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	if proof != "" {
		req.Header.Set(brokertest.ProofHeader, proof)
	}
	return b.do(req)
}

// Who is recognized gets the code by the first answer, with everything that a login
// leaves but the row and the cookie of one under way.
func TestImmediateLogin(t *testing.T) {
	r, _ := immediateRig(t, options{
		client: func(c *provider.Client) { c.SingleSignOn = true },
		config: func(c *provider.Config) {
			c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
		},
	})
	b := newBrowser(t)
	a := r.recognized(b, "level=high")
	to := a.location(t)
	if !strings.HasPrefix(to.String(), redirectURI) || to.Query().Get("code") == "" || to.Query().Get("state") != "the state" {
		t.Fatalf("led to %s", to)
	}
	var set []string
	for _, c := range a.Cookies() {
		set = append(set, c.Name)
	}
	if !slices.Equal(set, []string{"broker_session"}) {
		t.Errorf("cookies %q", set)
	}
	claims := idTokenClaims(t, r, to.Query().Get("code"))
	if claims["acr"] != "http://eidas.europa.eu/LoA/high" || claims["nonce"] != "the nonce" || claims["sid"] == nil {
		t.Errorf("claims %v", claims)
	}
	if again := r.redeem(to.Query().Get("code")); again.StatusCode != http.StatusBadRequest {
		t.Errorf("the code worked twice: %d", again.StatusCode)
	}
	for _, want := range []string{"login.begun/ok", "login.authenticated/ok", "code.issued/ok", "token.issued/ok"} {
		r.wantAudit(t, want)
	}
	// The session counts for the next login, which is nobody's to prove anew.
	next := r.recognized(b, "", "prompt", "none").location(t)
	if second := idTokenClaims(t, r, next.Query().Get("code")); second["sub"] != claims["sub"] || second["sid"] != claims["sid"] {
		t.Errorf("first %v, then %v", claims, second)
	}
}

// What was recognized is judged like any answer, and where it is not enough the
// citizen is where another answer would have led, in the same browser.
func TestImmediateLoginIsJudged(t *testing.T) {
	const eidas = "http://eidas.europa.eu/LoA/"
	for _, c := range []struct {
		name, proof string
		change      []string
		upstream    *brokertest.Upstream
		// audit is the reason, page what the browser sees in the end: a status, or an
		// error that the client is told.
		audit, page string
	}{
		{name: "too low", proof: "level=low", change: []string{"acr_values", eidas + "high"}, audit: "login.refused/loa.too_low", page: "200"},
		{
			name: "above what the method can reach", proof: "level=high", change: []string{"acr_values", eidas + "substantial"},
			upstream: &brokertest.Upstream{Offered: []brokers.Method{{ID: "m", Level: levels.Substantial, Name: map[string]string{"en": "M"}}}},
			audit:    "code.issued/ok", page: "code",
		},
		{
			name: "too old", proof: "level=high", change: []string{"prompt", "login"},
			upstream: &brokertest.Upstream{Change: func(e *brokers.AuthenticationEvent) { e.AuthTime = e.AuthTime.Add(-time.Hour) }},
			audit:    "login.refused/stale", page: "200",
		},
		{
			name: "of another upstream", proof: "level=high",
			upstream: &brokertest.Upstream{Change: func(e *brokers.AuthenticationEvent) { e.Upstream = "another" }},
			audit:    "upstream.rejected/event_upstream", page: "400",
		},
		{name: "refused", proof: "result=reject", audit: "upstream.rejected/signature_invalid", page: "400"},
		{name: "cancelled", proof: "result=cancel", audit: "login.cancelled/cancelled", page: "access_denied"},
		{name: "out of order", proof: "result=down", audit: "upstream.failed/unavailable", page: "502"},
		{
			name: "another person than the hint's", proof: "level=high", change: []string{"claims", `{"id_token":{"sub":{"value":"somebody else"}}}`},
			audit: "authorization.denied/subject", page: "access_denied",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := immediateRig(t, options{upstream: c.upstream})
			b := newBrowser(t)
			a := r.recognized(b, c.proof, c.change...)
			for a.StatusCode == http.StatusSeeOther && strings.HasPrefix(a.Header.Get("Location"), r.server.URL) {
				a = b.get(a.Header.Get("Location"))
			}
			got := a.Status[:3]
			if a.StatusCode == http.StatusSeeOther {
				if got = a.location(t).Query().Get("error"); a.location(t).Query().Has("code") {
					got = "code"
				}
			}
			if got != c.page {
				t.Errorf("the browser sees %s, want %s", got, c.page)
			}
			r.wantAudit(t, c.audit)
			if issued := slices.Contains(r.reasons(), "code.issued/ok"); issued != (c.page == "code") {
				t.Errorf("a code was issued: %t", issued)
			}
			if c.page != "200" {
				return
			}
			// On the page, the same method by redirection.
			action := strings.TrimSuffix(a.Request.URL.String(), "/")
			departure := b.post(action, map[string][]string{"token": {a.formToken(t)}, "method": {"fake/fake-card"}, "onward": {"https://idp.example"}})
			if to := departure.location(t); to.Host != "idp.example" {
				t.Errorf("the method leads to %s", to)
			}
			if a := newBrowser(t).get(action); a.StatusCode != http.StatusBadRequest {
				t.Errorf("another browser sees the login: %d", a.StatusCode)
			}
		})
	}
}

// When an upstream is not asked who is there, or does not know.
func TestImmediateLoginIsNotTried(t *testing.T) {
	two := &brokertest.Upstream{Offered: []brokers.Method{
		{ID: "one", Level: levels.High, Name: map[string]string{"en": "One"}}, {ID: "two", Level: levels.High, Name: map[string]string{"en": "Two"}},
	}}
	for _, c := range []struct {
		name     string
		upstream *brokertest.Upstream
		proof    string
		change   []string
		client   func(*provider.Client)
		asked    int
		want     string // where the browser is sent, or a status
	}{
		{name: "without a proof", asked: 1, want: "https://idp.example/"},
		{name: "where there is a choice", upstream: two, proof: "level=high", want: "/login/"},
		{name: "for prompt=none", proof: "level=high", change: []string{"prompt", "none"}, want: "error=login_required"},
		{name: "for an unknown client", proof: "level=high", change: []string{"client_id", "nobody"}, want: "400"},
		{name: "for a foreign redirect URI", proof: "level=high", change: []string{"redirect_uri", "https://evil.example/"}, want: "400"},
		{name: "without PKCE", proof: "level=high", change: []string{"code_challenge", "-"}, want: "error=invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, u := immediateRig(t, options{upstream: c.upstream, client: c.client})
			a := r.recognized(newBrowser(t), c.proof, c.change...)
			if got := a.Header.Get("Location"); !strings.Contains(got, c.want) && a.Status[:3] != c.want {
				t.Errorf("%s, location %q, want %s", a.Status, got, c.want)
			}
			if u.Asked() != c.asked {
				t.Errorf("asked %d times, want %d", u.Asked(), c.asked)
			}
			if slices.Contains(r.reasons(), "code.issued/ok") {
				t.Error("a code was issued")
			}
		})
	}
}

// W-53: who is recognized is counted like everybody else.
func TestImmediateLoginsAreLimited(t *testing.T) {
	r, u := immediateRig(t, options{config: guarded(t, abuse.Settings{StartsPerMinute: 3})})
	statuses := map[int]int{}
	for range 5 {
		statuses[r.recognized(newBrowser(t), "level=high").StatusCode]++
	}
	if statuses[http.StatusSeeOther] != 3 || statuses[http.StatusTooManyRequests] != 2 || u.Asked() != 3 {
		t.Errorf("got %v, asked %d times", statuses, u.Asked())
	}
}

// RFC 8628: whoever types a device's code is not whom the request of the device
// proves.
func TestImmediateLoginIsNotForDevices(t *testing.T) {
	r, u := immediateRig(t, options{client: func(c *provider.Client) { c.DeviceFlow = true }})
	d, b := r.beginDevice(), newBrowser(t)
	page := b.get(d.Complete)
	form := map[string][]string{"token": {page.formToken(t)}, "user_code": {d.UserCode}, "answer": {"yes"}}
	if a := b.post(r.server.URL+"/device/confirm", form); a.StatusCode >= http.StatusBadRequest || u.Asked() != 0 {
		t.Errorf("%s, asked %d times", a.Status, u.Asked())
	}
	r.wantPoll(d.Code, "authorization_pending")
}
