package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/admin"
	auditlog "github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// office is an operator's listener with two tokens.
type office struct {
	t                *testing.T
	server           *httptest.Server
	log              *bytes.Buffer
	operator, viewer string
	now              time.Time
	upstream         *brokertest.Upstream
	guard            *abuse.Guard
	// ended are the persons whose sessions were ended, with by whom.
	ended []string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, log: &bytes.Buffer{}, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	var lines [2]string
	o.operator, lines[0] = admin.NewToken("alice", admin.Operates)
	o.viewer, lines[1] = admin.NewToken("bob", admin.Viewer)
	tokens, err := admin.ParseTokens([]byte("# staff\n\n" + lines[0] + "\n" + lines[1] + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	memory := store.NewMemory()
	if err := memory.SaveReceipt(t.Context(), "event", []byte("a.b.c"), o.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := memory.SaveReceipt(t.Context(), "flight/ABCDE-FGHIJ", []byte(`{"reference":"ABCDE-FGHIJ","steps":[{"event":"login.begun"}]}`), o.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	fixed := provider.Client{ID: "fixed", Name: "Fixed", MinLevel: levels.Low, SecretHash: [32]byte{1}, RedirectURIs: []string{"https://fixed.example/cb"}}
	audit := slog.New(slog.NewJSONHandler(o.log, nil))
	now := func() time.Time { return o.now }
	o.upstream = &brokertest.Upstream{Now: now, Offered: []brokers.Method{
		{ID: "fake-card", Level: levels.High, Name: map[string]string{"en": "Card", "es": "Tarjeta"}},
		{ID: "fake-pin", Level: levels.Low, Name: map[string]string{"en": "PIN"}},
	}}
	board, err := outages.New(outages.Settings{}, outages.Options{Store: memory, Audit: audit, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if o.guard, err = abuse.New(abuse.Settings{}, abuse.Options{Strikes: memory, Key: make([]byte, 32), Audit: audit, Now: now}); err != nil {
		t.Fatal(err)
	}
	handler, err := admin.New(admin.Config{
		Outages: board, Upstreams: []brokers.Upstream{o.upstream}, Bans: o.guard,
		EndPerson: func(_ context.Context, actor string, p provider.Person) (provider.Ended, error) {
			if p.Key == "" && (p.Client == "" || p.Subject == "") {
				return provider.Ended{}, provider.ErrPerson
			}
			if p.Client == "nobody" {
				return provider.Ended{}, brokers.ErrNotFound
			}
			o.ended = append(o.ended, actor+" "+p.Key+p.Client+p.Subject)
			return provider.Ended{Sessions: 2, Grants: 3}, nil
		},
		Changes: func(most int) ([]auditlog.Line, error) {
			list := []auditlog.Line{{Number: 7, Time: o.now, Event: "client.added", Attributes: map[string]string{"actor": "console:alice", "client": "library"}}}
			return list[:min(most, 1)], nil
		},
		Flight: func(ctx context.Context, ref string, now time.Time) (*brokers.Flight, error) {
			return provider.LoadFlight(ctx, memory, ref, now)
		},
		Tokens: tokens, Receipt: memory.Receipt, Log: slog.New(slog.DiscardHandler),
		Registry: &admin.Registry{
			Store: memory, Static: []provider.Client{fixed}, Mapping: levels.Default(), PairwiseVersion: 1,
			Audit: audit, Now: now,
			Algorithms: func() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.ES256} },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.server = httptest.NewServer(handler)
	t.Cleanup(o.server.Close)
	return o
}

// ask sends a request; headers come in pairs.
func (o *office) ask(method, path, token, body string, headers ...string) (int, string) {
	o.t.Helper()
	req, err := http.NewRequest(method, o.server.URL+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		o.t.Errorf("%s %s may be kept", method, path)
	}
	return resp.StatusCode, string(text)
}

const library = `{"id":"library","name":"Library","min_level":"substantial","redirect_uris":["https://library.example/cb"]}`

func TestClientsByAPI(t *testing.T) {
	o := newOffice(t)
	status, body := o.ask("POST", "/v1/clients", o.operator, library)
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != http.StatusCreated || len(made.Secret) != 43 {
		t.Fatalf("%d %s", status, body)
	}
	for _, step := range []struct {
		method, path, token, body string
		status                    int
		want                      string
	}{
		{"POST", "/v1/clients", o.operator, library, 400, "already"},
		{"GET", "/v1/clients/library", o.viewer, "", 200, `"origin":"operator"`},
		{"GET", "/v1/clients", o.viewer, "", 200, `"origin":"configuration"`},
		{"PUT", "/v1/clients/library", o.operator, strings.Replace(library, "substantial", "high", 1), 204, ""},
		{"GET", "/v1/clients/library", o.viewer, "", 200, `"min_level":"high"`},
		{"PUT", "/v1/clients/other", o.operator, library, 400, "address"},
		{"PUT", "/v1/clients/library", o.operator, strings.Replace(library, "library.ex", "else.ex", 1), 400, "stranger"},
		{"POST", "/v1/clients/library/secret", o.operator, "", 200, "client_secret"},
		{"POST", "/v1/clients/library/disable", o.operator, "", 204, ""},
		{"GET", "/v1/clients/library", o.viewer, "", 200, `"disabled":true`},
		{"POST", "/v1/clients/library/enable", o.operator, "", 204, ""},
		{"DELETE", "/v1/clients/fixed", o.operator, "", 409, "configuration file"},
		{"DELETE", "/v1/clients/library", o.operator, "", 204, ""},
		{"GET", "/v1/clients/library", o.viewer, "", 404, "not_found"},
		{"DELETE", "/v1/clients/library", o.operator, "", 404, "not_found"},
		{"POST", "/v1/clients/nobody/disable", o.operator, "", 404, "not_found"},
		{"GET", "/v1/receipts/event", o.viewer, "", 200, `"a.b.c"`},
		{"GET", "/v1/receipts/other", o.viewer, "", 404, ""},
		{"GET", "/v1/references/abcde-fghij", o.viewer, "", 200, `"login.begun"`},
		{"GET", "/v1/references/abcde", o.viewer, "", 404, ""},
		{"GET", "/v1/receipts/flight%2FABCDE-FGHIJ", o.viewer, "", 404, ""},
		{"GET", "/v1/whoami", o.viewer, "", 200, "admin:bob"},
	} {
		if status, body := o.ask(step.method, step.path, step.token, step.body); status != step.status || !strings.Contains(body, step.want) || strings.Contains(body, "sha256") {
			t.Errorf("%s %s: %d %s, want %d %s", step.method, step.path, status, body, step.status, step.want)
		}
	}
	for _, event := range []string{"added", "changed", "secret_rotated", "disabled", "enabled", "removed"} {
		if !strings.Contains(o.log.String(), `"event":"client.`+event+`","reason":"ok","client":"library","actor":"admin:alice"`) {
			t.Errorf("no client.%s by alice in %s", event, o.log)
		}
	}
	if strings.Contains(o.log.String(), made.Secret) {
		t.Error("the log has the secret")
	}
}

// Nobody gets in without a token, by a page, or under another name; a viewer
// changes nothing; wrong bodies change nothing.
func TestAPIRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		token              func(*office) string
		headers            []string
		status             int
	}{
		"no token":             {"GET", "/v1/clients", "", func(*office) string { return "" }, nil, 401},
		"wrong token":          {"GET", "/v1/clients", "", func(o *office) string { return o.operator + "x" }, nil, 401},
		"token of another way": {"GET", "/v1/clients", "", func(*office) string { return "" }, []string{"Authorization", "Basic x"}, 401},
		"viewer adds":          {"POST", "/v1/clients", library, func(o *office) string { return o.viewer }, nil, 403},
		"viewer removes":       {"DELETE", "/v1/clients/fixed", "", func(o *office) string { return o.viewer }, nil, 403},
		"viewer rotates":       {"POST", "/v1/clients/fixed/secret", "", func(o *office) string { return o.viewer }, nil, 403},
		"from a page":          {"POST", "/v1/clients", library, func(o *office) string { return o.operator }, []string{"Origin", "https://evil.example"}, 403},
		"from a page (fetch)":  {"GET", "/v1/clients", "", func(o *office) string { return o.operator }, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"name that rebinds":    {"GET", "/v1/clients", "", func(o *office) string { return o.operator }, []string{"Host", "evil.example"}, 421},
		"form":                 {"POST", "/v1/clients", "id=x", func(o *office) string { return o.operator }, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"not JSON":             {"POST", "/v1/clients", "{", func(o *office) string { return o.operator }, nil, 400},
		"unknown member":       {"POST", "/v1/clients", `{"id":"x","admin":true}`, func(o *office) string { return o.operator }, nil, 400},
		"two values":           {"POST", "/v1/clients", library + library, func(o *office) string { return o.operator }, nil, 400},
		"wildcard":             {"POST", "/v1/clients", strings.Replace(library, "library.ex", "*.ex", 1), func(o *office) string { return o.operator }, nil, 400},
		"too large":            {"POST", "/v1/clients", `{"name":"` + strings.Repeat("x", 40000) + `"}`, func(o *office) string { return o.operator }, nil, 413},
		"of configuration":     {"POST", "/v1/clients", strings.Replace(library, `"library"`, `"fixed"`, 1), func(o *office) string { return o.operator }, nil, 400},
		"no key for it":        {"POST", "/v1/clients", strings.Replace(library, `{`, `{"signing_algorithm":"PS256",`, 1), func(o *office) string { return o.operator }, nil, 400},
	} {
		o := newOffice(t)
		if status, body := o.ask(c.method, c.path, c.token(o), c.body, c.headers...); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
		if _, body := o.ask("GET", "/v1/clients", o.viewer, ""); strings.Count(body, `"id":`) != 1 || strings.Contains(o.log.String(), `"client.`) {
			t.Errorf("%s changed something: %s", name, body)
		}
	}
}

// Guessing is slow, and one token does not take all.
func TestAPIIsRateLimited(t *testing.T) {
	o := newOffice(t)
	last := 0
	for range 21 {
		last, _ = o.ask("GET", "/v1/clients", "guess", "")
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the 21st guess got %d", last)
	}
	if status, _ := o.ask("GET", "/v1/clients", o.viewer, ""); status != http.StatusOK {
		t.Errorf("a token was locked out: %d", status)
	}
	for range 600 {
		last, _ = o.ask("GET", "/v1/whoami", o.viewer, "")
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("request 601 of a token got %d", last)
	}
	o.now = o.now.Add(time.Minute)
	if status, _ := o.ask("GET", "/v1/whoami", o.viewer, ""); status != http.StatusOK {
		t.Errorf("after a minute: %d", status)
	}
}

func TestTokensAreReadStrictly(t *testing.T) {
	_, line := admin.NewToken("alice", admin.Viewer)
	for name, text := range map[string]string{
		"empty": "# nobody\n", "two of a name": line + "\n" + line, "unknown role": strings.Replace(line, "viewer", "root", 1),
		"no hash": "alice viewer", "short hash": "alice viewer abcd", "wrong name": "Alice/1 viewer " + strings.Repeat("00", 32),
	} {
		if _, err := admin.ParseTokens([]byte(text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParseTokens(f *testing.F) {
	f.Add([]byte("alice viewer " + strings.Repeat("ab", 32)))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := admin.ParseTokens(text)
		if err != nil {
			return
		}
		for _, token := range list {
			if !admin.IsName(token.Name) || token.Role != admin.Viewer && token.Role != admin.Operates {
				t.Errorf("%+v", token)
			}
		}
	})
}
