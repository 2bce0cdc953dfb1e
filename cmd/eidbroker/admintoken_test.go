package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// An operator makes a token, and with it a client that the broker serves at once;
// the audit log of the broker names the operator.
func TestOperatorsListener(t *testing.T) {
	dir := t.TempDir()
	config, address, office := filepath.Join(dir, "c.toml"), freeport.Address(t), freeport.Address(t)
	code, out, errs := call(t, "admin-token", "alice", "--role", "operator")
	if code != 0 {
		t.Fatal(errs)
	}
	token, line, _ := strings.Cut(strings.TrimPrefix(out, "token: "), "\n")
	_, line, _ = strings.Cut(line, ": ")
	write(t, filepath.Join(dir, "admin-tokens"), line)
	write(t, config, fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\nadmin_listen = %q\n", address, address, office))
	b := start(t, "--config", config)
	request, err := http.NewRequest(http.MethodPost, "http://"+office+"/v1/clients",
		strings.NewReader(`{"id":"library","min_level":"low","redirect_uris":["https://library.example/cb"]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s %v", resp.StatusCode, body, err)
	}
	// A client that is known is told of what is wrong; a stranger gets a page.
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	asked, err := stay.Get("http://" + address + "/authorize?client_id=library&redirect_uri=https%3A%2F%2Flibrary.example%2Fcb")
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Body.Close()
	if asked.StatusCode != http.StatusSeeOther {
		t.Errorf("the new client got %d", asked.StatusCode)
	}
	// The reference on an error page finds what happened.
	_, page := get(t, "http://"+address+"/authorize?client_id=stranger")
	ref := regexp.MustCompile(`<code>([A-Z2-7-]{11})</code>`).FindStringSubmatch(string(page))
	if ref == nil {
		t.Fatalf("no reference on %s", page)
	}
	if code, out, errs := call(t, "explain", "--ref", ref[1], "--config", config); code != 0 || !strings.Contains(out, "authorization.refused  client_unknown") {
		t.Errorf("explain: %d %s %s", code, out, errs)
	}
	if code, _, errs := call(t, "explain", "--ref", "AAAAA-AAAAA", "--config", config); code != 1 || !strings.Contains(errs, "nothing is kept") {
		t.Errorf("explain: %d %s", code, errs)
	}
	if code, _, errs := call(t, "explain", "--config", config); code != 1 || !strings.Contains(errs, "--client") {
		t.Errorf("explain: %d %s", code, errs)
	}
	if code, _ := get(t, "http://"+address+"/v1/clients"); code != http.StatusNotFound {
		t.Errorf("visitors get %d for the clients", code)
	}
	b.stop()
	log, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil || !strings.Contains(string(log), `"client.added"`) || !strings.Contains(string(log), "admin:alice") || strings.Contains(string(log), token) {
		t.Errorf("%v %s", err, log)
	}
	if code, _, errs := call(t, "admin-token", "Alice!"); code != 1 || !strings.Contains(errs, "no name") {
		t.Errorf("%d %s", code, errs)
	}
}
