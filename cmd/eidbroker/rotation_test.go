package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// Keys in the database need no file, stay over a restart, are published before
// they sign, and are gone when they are feared known (S-05).
func TestSigningKeysOfTheDatabase(t *testing.T) {
	dir := t.TempDir()
	config, address := filepath.Join(dir, "c.toml"), freeport.Address(t)
	settings := fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address)
	write(t, config, settings+"signing_keys = \"database\"\n")
	published := func() (kids []string) {
		t.Helper()
		b := start(t, "--config", config)
		code, body := get(t, "http://"+address+"/jwks")
		var set struct{ Keys []struct{ Kid, Alg string } }
		if err := json.Unmarshal(body, &set); err != nil || code != http.StatusOK {
			t.Fatalf("%d %v", code, err)
		}
		rsa := 0
		for _, k := range set.Keys {
			switch k.Alg {
			case "ES256":
				kids = append(kids, k.Kid)
			case "RS256":
				rsa++
			default:
				t.Errorf("a key for %s", k.Alg)
			}
		}
		if rsa != len(kids) {
			t.Errorf("%d keys for ES256, %d for RS256", len(kids), rsa)
		}
		b.stop()
		return kids
	}
	rotate := func(more ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(context.Background(), append([]string{"keys", "rotate", "--config", config}, more...), streams{&out, &errs}); code != 0 {
			return errs.String()
		}
		return out.String()
	}
	first := published()
	if len(first) != 1 {
		t.Fatalf("published %v", first)
	}
	if _, err := os.Stat(filepath.Join(dir, "signing-key.pem")); err == nil {
		t.Error("there is a signing key in a file too")
	}
	if again := published(); len(again) != 1 || again[0] != first[0] {
		t.Errorf("after a restart %v, before %v", again, first)
	}
	if said := rotate(); !strings.Contains(said, "signs from") {
		t.Errorf("said %s", said)
	}
	if both := published(); len(both) != 2 {
		t.Errorf("published %v", both)
	}
	if said := rotate("--feared"); !strings.Contains(said, "signs from") {
		t.Errorf("said %s", said)
	}
	if only := published(); len(only) != 1 || only[0] == first[0] {
		t.Errorf("published %v", only)
	}
	write(t, config, settings)
	if said := rotate(); !strings.Contains(said, "[[keys]]") {
		t.Errorf("keys in files: %s", said)
	}
}
