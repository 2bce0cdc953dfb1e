package admin_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/admin"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	landing = "https://library.example/cb"
	proof   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of PKCE
)

// helpDesk is a broker with its operator's listener: one store, one guard, one board.
type helpDesk struct {
	t        *testing.T
	broker   *httptest.Server
	provider *provider.Provider
	office   *office // asks the listener
	guard    *abuse.Guard
	secret   string // of the client library
}

func newHelpDesk(t *testing.T) *helpDesk {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h := &helpDesk{t: t}
	h.broker = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.provider.ServeHTTP(w, r) }))
	t.Cleanup(h.broker.Close)
	memory, quiet := store.NewMemory(), slog.New(slog.DiscardHandler)
	upstreams := []brokers.Upstream{&brokertest.Upstream{}}
	board, err := outages.New(outages.Settings{}, outages.Options{Store: memory, Audit: quiet, Now: time.Now})
	must(err)
	h.guard, err = abuse.New(abuse.Settings{}, abuse.Options{Strikes: memory, Key: make([]byte, 32), Audit: quiet, Now: time.Now})
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	keys, err := provider.NewKeys(provider.Key{Signer: key})
	must(err)
	none, err := provider.NewStaticClients(levels.Default(), nil)
	must(err)
	h.provider, err = provider.New(provider.Config{
		Issuer: h.broker.URL, Clients: none, Upstreams: upstreams, Store: memory, Keys: keys, PairwiseSecret: bytes.Repeat([]byte{7}, 32), Guard: h.guard, Outages: board.At,
		Freshness: brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}, Log: quiet,
	})
	must(err)
	operator, line := admin.NewToken("alice", admin.Operates)
	tokens, err := admin.ParseTokens([]byte(line + "\n"))
	must(err)
	handler, err := admin.New(admin.Config{
		Outages: board, Upstreams: upstreams, Bans: h.guard, EndPerson: h.provider.EndPerson, Tokens: tokens, Receipt: memory.Receipt, Log: quiet,
		Registry: &admin.Registry{
			Store: memory, Mapping: levels.Default(), PairwiseVersion: 1, Audit: quiet, Now: time.Now,
			Algorithms: func() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.ES256} },
		},
	})
	must(err)
	h.office = &office{t: t, operator: operator, server: httptest.NewServer(handler)}
	t.Cleanup(h.office.server.Close)
	h.secret, _ = h.does(http.StatusCreated, "POST", "/v1/clients", client("substantial"))["client_secret"].(string)
	return h
}

// client is the registration of the library with a minimum level.
func client(least string) string {
	return `{"id":"library","name":"Library","min_level":"` + least + `","redirect_uris":["` + landing + `"],"single_sign_on":true}`
}

// does is what an operator does.
func (h *helpDesk) does(want int, method, path, body string) map[string]any {
	h.t.Helper()
	status, text := h.office.ask(method, path, h.office.operator, body)
	if status != want {
		h.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	var answer map[string]any
	if text != "" {
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			h.t.Fatal(err)
		}
	}
	return answer
}

// citizen is a browser that follows no redirection.
func (h *helpDesk) citizen() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// to sends the browser to an address, and gives where that leads.
func (h *helpDesk) to(c *http.Client, address string) *url.URL {
	h.t.Helper()
	r, err := c.Get(address)
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Body.Close()
	u, err := r.Location()
	if err != nil {
		text, _ := io.ReadAll(r.Body)
		h.t.Fatalf("%s: %d %s", address, r.StatusCode, text)
	}
	return u
}

// asks begins a login that asks for a level; more are further parameters.
func (h *helpDesk) asks(c *http.Client, level levels.Level, more ...string) *url.URL {
	h.t.Helper()
	q := url.Values{
		"client_id": {"library"}, "redirect_uri": {landing}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(proof)}, "code_challenge_method": {"S256"}, "acr_values": {level.URI()},
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return h.to(c, h.broker.URL+"/authorize?"+q.Encode())
}

// logsIn asks for a level, has the scheme prove another, and gives the level of the
// token, or the error.
func (h *helpDesk) logsIn(c *http.Client, asked, proven levels.Level) string {
	h.t.Helper()
	away := h.asks(c, asked, "prompt", "login")
	answer := url.Values{"relay": {away.Query().Get("relay")}, "level": {proven.String()}}
	at := h.to(c, h.broker.URL+"/upstream/fake/callback?"+answer.Encode())
	for strings.HasPrefix(at.String(), h.broker.URL+"/resume/") {
		at = h.to(c, at.String())
	}
	if strings.HasPrefix(at.String(), h.broker.URL+"/login/") {
		return "choose another way"
	}
	if e := at.Query().Get("error"); e != "" {
		return e
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {landing}, "code_verifier": {proof}}
	r, err := http.NewRequest(http.MethodPost, h.broker.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("library", h.secret)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	var token struct {
		ID string `json:"id_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&token); err != nil || token.ID == "" {
		h.t.Fatalf("token: %v, %s", err, response.Status)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token.ID, ".")[1])
	if err != nil {
		h.t.Fatal(err)
	}
	var claims struct{ ACR string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		h.t.Fatal(err)
	}
	return claims.ACR
}

// TestHelpDeskNeverRaisesALevel (W-15): whatever an operator does for somebody, the next
// login has the level that it proves itself, and none from before.
func TestHelpDeskNeverRaisesALevel(t *testing.T) {
	substantial, high := levels.Substantial, levels.High
	for name, act := range map[string]func(h *helpDesk){
		"nothing": func(*helpDesk) {},
		"sessions ended": func(h *helpDesk) {
			if ended := h.does(http.StatusOK, "POST", "/v1/persons/end", `{"person":"ee-ik:60001019906"}`); ended["sessions"] != 1.0 {
				h.t.Errorf("ended %v", ended)
			}
		},
		"secret replaced": func(h *helpDesk) {
			h.secret, _ = h.does(http.StatusOK, "POST", "/v1/clients/library/secret", "")["client_secret"].(string)
		},
		"client switched off and on": func(h *helpDesk) {
			h.does(http.StatusNoContent, "POST", "/v1/clients/library/disable", "")
			h.does(http.StatusNoContent, "POST", "/v1/clients/library/enable", "")
		},
		"minimum lowered": func(h *helpDesk) { h.does(http.StatusNoContent, "PUT", "/v1/clients/library", client("low")) },
		"outage lifted": func(h *helpDesk) {
			outage := h.does(http.StatusCreated, "POST", "/v1/outages", `{"upstream":"fake"}`)
			h.does(http.StatusNoContent, "DELETE", "/v1/outages/"+outage["id"].(string), "")
		},
		"ban lifted": func(h *helpDesk) {
			for range 1000 {
				h.guard.Failed(h.t.Context(), abuse.Secret, "127.0.0.1", "another")
			}
			bans, _ := h.does(http.StatusOK, "GET", "/v1/bans", "")["bans"].([]any)
			if len(bans) == 0 {
				h.t.Fatal("nobody is banned")
			}
			for _, b := range bans {
				h.does(http.StatusNoContent, "DELETE", "/v1/bans/"+b.(map[string]any)["id"].(string), "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHelpDesk(t)
			before := h.citizen()
			if got := h.logsIn(before, high, high); got != high.URI() {
				t.Fatalf("at first: %s", got)
			}
			act(h)
			silent := h.asks(before, high, "prompt", "none").Query()
			if gone := silent.Get("code") == ""; gone != (name == "sessions ended") {
				t.Errorf("the session of before: %v", silent)
			}
			for who, c := range map[string]*http.Client{"the same browser": before, "another browser": h.citizen()} {
				if got := h.logsIn(c, substantial, substantial); got != substantial.URI() {
					t.Errorf("%s proves substantial: %s", who, got)
				}
				if got := h.logsIn(c, high, substantial); got != "choose another way" {
					t.Errorf("%s proves substantial where high is asked for: %s", who, got)
				}
				// The login at high is over where the operator ended it, and was never
				// another browser's.
				if q := h.asks(c, high, "prompt", "none").Query(); q.Get("code") != "" && (c != before || name == "sessions ended") {
					t.Errorf("%s has a session at high", who)
				}
			}
		})
	}
}

// TestOperatorCannotSetALevel (W-15): no request has a member for one, and a client's
// minimum asks for a level but gives none.
func TestOperatorCannotSetALevel(t *testing.T) {
	h := newHelpDesk(t)
	c := h.citizen()
	if got := h.logsIn(c, levels.Substantial, levels.Substantial); got != levels.Substantial.URI() {
		t.Fatalf("at first: %s", got)
	}
	for _, member := range []string{"level", "acr", "assurance", "acr_values", "loa"} {
		more := `,"` + member + `":"high"}`
		for route, body := range map[string]string{
			"POST /v1/persons/end":    `{"person":"ee-ik:60001019906"`,
			"POST /v1/outages":        `{"upstream":"fake"`,
			"PUT /v1/clients/library": strings.TrimSuffix(client("substantial"), "}"),
			"POST /v1/clients":        `{"id":"other","name":"Other","min_level":"low","redirect_uris":["` + landing + `"]`,
		} {
			method, path, _ := strings.Cut(route, " ")
			if status, text := h.office.ask(method, path, h.office.operator, body+more); status != http.StatusBadRequest {
				t.Errorf("%s with %s: %d %s", route, member, status, text)
			}
		}
	}
	h.does(http.StatusNoContent, "PUT", "/v1/clients/library", client("high"))
	if q := h.asks(c, levels.High, "prompt", "none").Query(); q.Get("code") != "" {
		t.Error("a session at substantial became one at high with the client's minimum")
	}
	if got := h.logsIn(c, levels.High, levels.Substantial); got != "choose another way" {
		t.Errorf("substantial where the client's minimum is high: %s", got)
	}
}
