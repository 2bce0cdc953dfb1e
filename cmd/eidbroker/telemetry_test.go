package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// I-5 for traces: a login through the whole program tells the collector its steps
// and nothing of who it was; upstreams are not told of the trace.
func TestTracesOfALogin(t *testing.T) {
	var mu sync.Mutex
	var told bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("X-Tenant") != "broker" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = io.Copy(&told, r.Body)
	}))
	t.Cleanup(collector.Close)
	dir, address := t.TempDir(), freeport.Address(t)
	issuer, land := "http://"+address, newCountry(t, address)
	write(t, filepath.Join(dir, "headers"), "X-Tenant: broker\n")
	write(t, filepath.Join(dir, "c.toml"), fmt.Sprintf("issuer = %q\nlisten = %q\n[telemetry]\nendpoint = %q\nheaders_file = \"headers\"\n", issuer, address, collector.URL)+land.section(t, dir, "ES256"))
	b := start(t, "--config", filepath.Join(dir, "c.toml"))
	var canaries []string
	id, err := (portal{issuer, "ES256"}).logInAnd(t, func(secret string) { canaries = append(canaries, secret) })
	if err != nil {
		t.Fatal(err)
	}
	b.stop() // which sends what waits
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{`"GET /authorize"`, `"POST /token"`, `"store RedeemCode"`, `"store IssueCode"`, `"upstream start"`, `"upstream finish"`, `"GET /upstream/{upstream}/callback"`, `"stringValue":"land"`} {
		if !strings.Contains(told.String(), name) {
			t.Errorf("no %s in %s", name, told.String())
		}
	}
	for _, canary := range append(canaries, id.Subject, portalSecret, land.secret, "lab:1", "127.0.0.1", "Go-http-client") {
		if canary == "" || strings.Contains(told.String(), canary) {
			t.Errorf("the collector was told %q", canary)
		}
	}
	for len(land.seen) > 0 {
		if header := <-land.seen; header.Get("Traceparent") != "" {
			t.Errorf("the upstream was told %v", header)
		}
	}
}

func TestTelemetryIsChecked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.toml")
	write(t, filepath.Join(dir, "odd"), "no header\n")
	write(t, filepath.Join(dir, "good"), "Authorization: Bearer secret-of-the-collector\n")
	for name, c := range map[string]struct{ section, want string }{
		"no address":         {"endpoint = \"collector\"\n", "is no http address"},
		"a wrong share":      {"endpoint = \"https://c.example\"\nsample = 2.0\n", "between 0 and 1"},
		"no headers file":    {"endpoint = \"https://c.example\"\nheaders_file = \"none\"\n", "headers_file"},
		"an odd header":      {"endpoint = \"https://c.example\"\nheaders_file = \"odd\"\n", "has a line that is no header"},
		"headers over http":  {"endpoint = \"http://c.example\"\nheaders_file = \"good\"\n", "https endpoint only"},
		"headers over https": {"endpoint = \"https://c.example\"\nheaders_file = \"good\"\n", ""},
	} {
		write(t, file, "issuer = \"http://localhost:8181\"\n[telemetry]\n"+c.section)
		code, _, errs := call(t, "check-config", "--config", file)
		if (code == 0) != (c.want == "") || !strings.Contains(errs, c.want) || c.want != "" && !strings.Contains(errs, "c.toml:2: ") || strings.Contains(errs, "secret-of") {
			t.Errorf("%s: %d %s", name, code, errs)
		}
	}
}
