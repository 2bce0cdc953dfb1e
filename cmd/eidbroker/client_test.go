package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

const newClient = `id = "library"
name = "Library"
min_level = "substantial"
redirect_uris = ["https://library.example/cb"]
scopes = ["name"]
`

// An operator adds, shows, changes, disables and removes a client; the secret is
// told once, and each change is in an audit log that verifies.
func TestClientVerbs(t *testing.T) {
	dir := t.TempDir()
	config, file := filepath.Join(dir, "c.toml"), filepath.Join(dir, "library.toml")
	address := freeport.Address(t)
	write(t, config, "issuer = \"http://"+address+"\"\nlisten = \""+address+"\"\n\n"+brokenClient)
	serving := start(t, "--config", config)
	defer serving.stop()
	must := func(args ...string) string {
		t.Helper()
		code, out, errs := call(t, append(append([]string{"client"}, args...), "--config", config)...)
		if code != 0 {
			t.Fatalf("%v: exit %d, %s", args, code, errs)
		}
		return out
	}
	refused := func(want string, args ...string) {
		t.Helper()
		code, out, errs := call(t, append(append([]string{"client"}, args...), "--config", config)...)
		if code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d, %s %s, want %q", args, code, out, errs, want)
		}
	}
	write(t, file, newClient)
	var made, rotated struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(must("add", file)), &made); err != nil || made.ID != "library" || len(made.Secret) != 43 {
		t.Fatalf("%v %+v", err, made)
	}
	refused("already", "add", file)
	shown := must("show", "library")
	if strings.Contains(shown, made.Secret) || strings.Contains(shown, "sha256") || !strings.Contains(shown, `"origin": "operator"`) || !strings.Contains(shown, `"has_secret": true`) {
		t.Errorf("shown %s", shown)
	}
	if list := must("list"); !strings.Contains(list, "library") || !strings.Contains(list, "configuration") {
		t.Errorf("list %s", list)
	}
	write(t, file, strings.Replace(newClient, "substantial", "high", 1))
	must("change", file)
	if shown = must("show", "library"); !strings.Contains(shown, `"min_level": "high"`) || !strings.Contains(shown, `"has_secret": true`) {
		t.Errorf("changed %s", shown)
	}
	write(t, file, strings.ReplaceAll(newClient, "library.example", "elsewhere.example"))
	refused("stranger", "change", file)
	for name, text := range map[string]string{
		"unknown setting": newClient + "secret = \"x\"\n",
		"wildcard":        strings.Replace(newClient, "library.ex", "*.ex", 1),
		"least level":     strings.Replace(newClient, "min_level", "#", 1),
	} {
		write(t, file, strings.Replace(text, `"library"`, `"other"`, 1))
		refused(name, "add", file)
	}
	write(t, file, strings.Replace(newClient, `"library"`, `"a"`, 1))
	refused("twice", "add", file)
	if err := json.Unmarshal([]byte(must("rotate-secret", "library")), &rotated); err != nil || rotated.Secret == made.Secret || len(rotated.Secret) != 43 {
		t.Errorf("%v %+v", err, rotated)
	}
	must("disable", "library")
	if list := must("list"); !strings.Contains(list, "disabled") {
		t.Errorf("list %s", list)
	}
	must("enable", "library")
	must("remove", "library")
	refused("no such client", "show", "library")
	refused("no such client", "remove", "library")
	refused("configuration file", "remove", "a")
	refused("configuration file", "disable", "a")

	log := filepath.Join(dir, "audit-admin.jsonl")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"added", "changed", "secret_rotated", "disabled", "enabled", "removed"} {
		if !strings.Contains(string(text), `"client.`+event+`"`) {
			t.Errorf("no client.%s in the log", event)
		}
	}
	if !strings.Contains(string(text), `"command:`) || strings.Contains(string(text), made.Secret) {
		t.Errorf("log %s", text)
	}
	if code, _, errs := call(t, "audit", "verify", log, "--config", config); code != 0 {
		t.Errorf("the log does not verify: %s", errs)
	}
	database, err := os.ReadFile(filepath.Join(dir, "broker.db"))
	if err != nil || strings.Contains(string(database), "library.example") {
		t.Errorf("the client lies in clear in the database: %v", err)
	}
}
