package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

func monitored(t *testing.T, more string) (b started, config, address, monitor string, settings string) {
	t.Helper()
	dir := t.TempDir()
	config, address, monitor = filepath.Join(dir, "c.toml"), freeport.Address(t), freeport.Address(t)
	settings = fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\nmonitor_listen = %q\n", address, address, monitor)
	write(t, config, settings+more)
	return start(t, "--config", config), config, address, monitor, settings
}

func TestMonitorTellsFiguresAndReadiness(t *testing.T) {
	b, _, address, monitor, _ := monitored(t, "")
	if code, _ := get(t, "http://"+address+"/authorize?client_id=stranger"); code != http.StatusBadRequest {
		t.Errorf("a stranger got %d", code)
	}
	if code, body := get(t, "http://"+monitor+"/readyz"); code != http.StatusOK || string(body) != "ready\n" {
		t.Errorf("%d %s", code, body)
	}
	_, figures := get(t, "http://"+monitor+"/metrics")
	for _, line := range []string{
		`eidbroker_events_total{event="authorization.refused"`, `eidbroker_request_seconds_count{method="GET",route="/authorize",status="4xx"} 1`, "process_resident_memory_bytes",
	} {
		if !strings.Contains(string(figures), line) {
			t.Errorf("no %s in\n%s", line, figures)
		}
	}
	if code, _ := get(t, "http://"+address+"/metrics"); code != http.StatusNotFound {
		t.Errorf("visitors get %d for the figures", code)
	}
	b.stop()
}

// S-36: a configuration that is wrong is told of and changes nothing; a right one
// is taken up without a pause.
func TestHangupReloads(t *testing.T) {
	b, config, address, _, settings := monitored(t, "")
	client := `[[clients]]
id = "portal"
name = "Portal"
min_level = "low"
secret_sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
redirect_uris = ["https://portal.example/callback"]
`
	// A client that is known is told of what is wrong; a stranger gets a page.
	ask := func(want int) {
		t.Helper()
		stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := stay.Get("http://" + address + "/authorize?client_id=portal&redirect_uri=https%3A%2F%2Fportal.example%2Fcallback")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("status %d, want %d", resp.StatusCode, want)
		}
	}
	reload := func(text, said string) {
		t.Helper()
		write(t, config, text)
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		b.await(t, said)
	}
	ask(http.StatusBadRequest)
	reload(settings+"nonsense = 1\n", "c.toml:4: unknown setting nonsense")
	ask(http.StatusBadRequest)
	reload(strings.Replace(settings, "listen =", "drain = \"1s\"\ndatabase = \"other.db\"\nlisten =", 1), "database can only change with a restart")
	reload(settings+client, "configuration reloaded")
	ask(http.StatusSeeOther)
	b.stop()
	log, err := os.ReadFile(filepath.Join(filepath.Dir(config), "audit.jsonl"))
	if err != nil || !strings.Contains(string(log), `"audit.checkpoint"`) {
		t.Errorf("%v %s", err, log)
	}
}

// S-36: whoever is told that the broker serves may have it reload at once. The signal
// ends a program that does not listen for it yet.
func TestHangupIsHeardFromTheBeginning(t *testing.T) {
	b, _, _, _, _ := monitored(t, "")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b.await(t, "configuration reloaded")
	b.stop()
}

// A site is served beside the provider, with a client of its own; the same request
// to the broker's own host is the provider's.
func TestSitesAreServed(t *testing.T) {
	b, _, address, _, _ := monitored(t, "[[sites]]\norigin = \"https://archive.example\"\nname = \"Archive\"\nmin_level = \"low\"\n")
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(host, path string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := stay.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Location")
	}
	if code, _ := ask("archive.example", "/_eidbridge/auth"); code != http.StatusUnauthorized {
		t.Errorf("a stranger: %d", code)
	}
	code, to := ask("archive.example", "/_eidbridge/start?to=/x")
	if code != http.StatusSeeOther || !strings.HasPrefix(to, "http://"+address+"/authorize?client_id=site-archive.example&") {
		t.Fatalf("%d %s", code, to)
	}
	// The provider knows the client: nobody can log in yet, of which the client is told.
	if code, to = ask(address, strings.TrimPrefix(to, "http://"+address)); code != http.StatusSeeOther || !strings.HasPrefix(to, "https://archive.example/_eidbridge/callback?") {
		t.Errorf("%d %s", code, to)
	}
	if code, _ := ask("archive.example", "/authorize"); code != http.StatusMisdirectedRequest {
		t.Errorf("the provider under the site's name: %d", code)
	}
	if code, _ := ask(address, "/_eidbridge/auth"); code != http.StatusNotFound {
		t.Errorf("the question at the broker's own host: %d", code)
	}
	b.stop()
}
