package forwardauth_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/forwardauth"
	"github.com/eidbridge/eidbridge/brokers/loadtarget"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
	"github.com/eidbridge/eidbridge/fixtures/needs"
)

// rig is a broker that serves one site, and a clock that both go by.
type rig struct {
	issuer, site string
	handler      *forwardauth.Handler
	now          time.Time
}

func newRig(t *testing.T, site string) *rig {
	t.Helper()
	r := &rig{site: site, now: time.Now()}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.issuer = "http://" + listener.Addr().String()
	secrets, err := loadtarget.NewSecrets()
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return r.now }
	target, err := loadtarget.New(loadtarget.Options{
		Issuer: r.issuer, Store: store.NewMemory(), Secrets: secrets, RedirectURIs: []string{site + "/_eidbridge/callback"}, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := target.Describe()
	r.handler, err = forwardauth.New(forwardauth.Config{
		Issuer: r.issuer, Provider: target, Secret: []byte(strings.Repeat("k", 32)), Now: clock, Log: slog.New(slog.DiscardHandler),
		Sites: []forwardauth.Site{{Origin: site, ClientID: d.ID, ClientSecret: d.Secret, Scopes: []string{"profile"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if r.handler.Serves(q) {
			r.handler.ServeHTTP(w, q)
			return
		}
		target.ServeHTTP(w, q)
	}))
	_ = server.Listener.Close() // replaced by the one whose address the issuer has
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return r
}

func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: time.Minute}
}

func body(t *testing.T, r *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// nginx serves a static site behind the broker, as the guide of eidbroker says.
func nginx(t *testing.T, address, broker string) {
	t.Helper()
	program := needs.Program(t, "nginx", "nginx-light")
	dir := t.TempDir()
	configuration := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen %[2]s;
    location /_eidbridge/ {
      proxy_pass http://%[3]s;
      proxy_set_header Host $http_host;
      proxy_redirect off; # or nginx takes the way to the provider for one to itself
    }
    location = /_eidbridge/auth { internal; proxy_pass http://%[3]s; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header Host $http_host; }
    location / {
      auth_request /_eidbridge/auth;
      auth_request_set $user $upstream_http_remote_user;
      auth_request_set $level $upstream_http_remote_level;
      error_page 401 = @login;
      add_header Seen-User $user always;
      add_header Seen-Level $level always;
      root %[1]s/site;
    }
    location @login { return 302 /_eidbridge/start?to=$request_uri; }
  }
}
`, dir, address, broker)
	for path, text := range map[string]string{"nginx.conf": configuration, "site/index.html": "the archive", "site/deep/page.html": "a deep page"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	command.Stderr = &out
	if err := command.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // it was killed
	})
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close() // it was to see whether somebody listens
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not listen: %s", &out)
		}
	}
}

// A static site behind a real nginx: a stranger is sent to log in and comes back to
// the page they wanted; what they claim to be in headers counts for nothing.
func TestNginxAsksWhoVisits(t *testing.T) {
	address := freeport.Address(t)
	site := "http://" + address
	r := newRig(t, site)
	nginx(t, address, strings.TrimPrefix(r.issuer, "http://"))
	citizen := browser(t)
	response, err := citizen.Get(site + "/deep/page.html?x=1")
	code, text := body(t, response, err)
	if code != http.StatusOK || text != "a deep page" || response.Request.URL.String() != site+"/deep/page.html?x=1" {
		t.Fatalf("%d %q at %s", code, text, response.Request.URL)
	}
	user := response.Header.Get("Seen-User")
	if user == "" || response.Header.Get("Seen-Level") != "substantial" && response.Header.Get("Seen-Level") != "high" && response.Header.Get("Seen-Level") != "low" {
		t.Errorf("user %q, level %q", user, response.Header.Get("Seen-Level"))
	}
	forged, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	forged.Header.Set("Remote-User", "somebody else")
	forged.Header.Set("Remote-Level", "high")
	stranger := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err = stranger.Do(forged)
	if code, _ := body(t, response, err); code != http.StatusFound || response.Header.Get("Seen-User") != "" {
		t.Errorf("a stranger with headers: %d, %q", code, response.Header.Get("Seen-User"))
	}
	response, err = citizen.Get(site + "/_eidbridge/auth")
	if code, _ := body(t, response, err); code != http.StatusNotFound {
		t.Errorf("visitors reach the question of the proxy: %d", code)
	}
	// The cookie ages; the provider's session answers without asking.
	r.now = r.now.Add(11 * time.Minute)
	response, err = citizen.Get(site + "/")
	if code, text := body(t, response, err); code != http.StatusOK || text != "the archive" || response.Header.Get("Seen-User") != user {
		t.Errorf("after the cookie: %d %q", code, text)
	}
}

// Proxies that pass on what is not 200, as Caddy and Traefik do.
func TestVerifySendsWhoMayLogIn(t *testing.T) {
	r := newRig(t, "http://localhost:9")
	for _, row := range []struct {
		method, uri, to string
		status          int
	}{
		{"GET", "/a/b?c=d", "/a/b?c=d", http.StatusFound},
		{"", "", "/", http.StatusFound},
		{"HEAD", "/x", "/x", http.StatusFound},
		{"POST", "/form", "", http.StatusUnauthorized},
		{"GET", "//evil.example/", "/", http.StatusFound},
		{"GET", `/\evil.example/`, "/", http.StatusFound},
		{"GET", "https://evil.example/", "/", http.StatusFound},
		{"GET", "/_eidbridge/start", "/", http.StatusFound},
		{"GET", "/" + strings.Repeat("x", 2000), "/", http.StatusFound},
	} {
		q := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:9/_eidbridge/verify", nil)
		q.Header.Set("X-Forwarded-Method", row.method)
		q.Header.Set("X-Forwarded-Uri", row.uri)
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, q)
		want := ""
		if row.to != "" {
			want = r.site + "/_eidbridge/start?to=" + url.QueryEscape(row.to)
		}
		if w.Code != row.status || w.Header().Get("Location") != want {
			t.Errorf("%s %s: %d %s", row.method, row.uri, w.Code, w.Header().Get("Location"))
		}
	}
}

// The answer of the provider counts only in the browser that began, once, with its
// own state and issuer; a cookie that was changed or made elsewhere is none.
func TestCallbackTakesNothingElse(t *testing.T) {
	r := newRig(t, "http://localhost:9")
	serve := func(method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
		q := httptest.NewRequestWithContext(t.Context(), method, "http://localhost:9"+path, nil)
		if change != nil {
			change(q)
		}
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, q)
		return w
	}
	begun := serve(http.MethodGet, "/_eidbridge/start?to=/x", nil)
	at, err := url.Parse(begun.Header().Get("Location"))
	if err != nil || begun.Code != http.StatusSeeOther {
		t.Fatalf("%d %v", begun.Code, err)
	}
	state := at.Query().Get("state")
	cookie := begun.Result().Cookies()[0] //nolint:bodyclose // there is none
	with := func(c *http.Cookie) func(*http.Request) { return func(q *http.Request) { q.AddCookie(c) } }
	good := "/_eidbridge/callback?code=x&state=" + state + "&iss=" + url.QueryEscape(r.issuer)
	bad := *cookie
	bad.Value = bad.Value[:20] + "A" + bad.Value[21:]
	if bad.Value == cookie.Value {
		bad.Value = bad.Value[:20] + "B" + bad.Value[21:]
	}
	for name, row := range map[string]struct {
		path   string
		change func(*http.Request)
		status int
	}{
		"no cookie":      {good, nil, http.StatusBadRequest},
		"changed cookie": {good, with(&bad), http.StatusBadRequest},
		"two cookies":    {good, func(q *http.Request) { q.AddCookie(cookie); q.AddCookie(cookie) }, http.StatusBadRequest},
		"other state":    {strings.Replace(good, state, "other", 1), with(cookie), http.StatusBadRequest},
		"other issuer":   {strings.Replace(good, url.QueryEscape(r.issuer), "https%3A%2F%2Fevil.example", 1), with(cookie), http.StatusBadRequest},
		"no issuer":      {"/_eidbridge/callback?code=x&state=" + state, with(cookie), http.StatusBadRequest},
		"an error":       {strings.Replace(good, "code=x", "error=access_denied", 1), with(cookie), http.StatusForbidden},
		"a wrong code":   {good, with(cookie), http.StatusBadGateway},
		"as a session":   {"/_eidbridge/auth", with(&http.Cookie{Name: "eidbridge_visitor", Value: cookie.Value}), http.StatusUnauthorized},
	} {
		if w := serve(http.MethodGet, row.path, row.change); w.Code != row.status {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, row.status, w.Body)
		}
	}
	r.now = r.now.Add(16 * time.Minute)
	if w := serve(http.MethodGet, good, with(cookie)); w.Code != http.StatusBadRequest {
		t.Errorf("too late: %d", w.Code)
	}
	for origin, want := range map[string]int{"": http.StatusForbidden, "https://evil.example": http.StatusForbidden, r.site: http.StatusSeeOther} {
		if w := serve(http.MethodPost, "/_eidbridge/logout", func(q *http.Request) { q.Header.Set("Origin", origin) }); w.Code != want {
			t.Errorf("logout from %q: %d", origin, w.Code)
		}
	}
}

func TestNewRefusesSites(t *testing.T) {
	for name, s := range map[string]forwardauth.Site{
		"plain http":  {Origin: "http://archive.example", ClientID: "a", ClientSecret: "b"},
		"a path":      {Origin: "https://archive.example/", ClientID: "a", ClientSecret: "b"},
		"capitals":    {Origin: "https://Archive.example", ClientID: "a", ClientSecret: "b"},
		"no secret":   {Origin: "https://archive.example", ClientID: "a"},
		"no protocol": {Origin: "archive.example", ClientID: "a", ClientSecret: "b"},
	} {
		if _, err := forwardauth.New(forwardauth.Config{Issuer: "https://broker.example", Secret: make([]byte, 32), Sites: []forwardauth.Site{s}}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := forwardauth.New(forwardauth.Config{Issuer: "https://broker.example", Secret: make([]byte, 31)}); err == nil {
		t.Error("a short secret was taken")
	}
}
