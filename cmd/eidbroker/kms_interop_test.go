//go:build interop

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
	"github.com/eidbridge/eidbridge/fixtures/moto"
)

// S-04: the whole program with its master key in a key management service: from a
// file to it, to another key of it by the commands of the guide while it serves, and
// without the first key. Without the service nothing starts.
func TestInteropMasterKeyInAKeyService(t *testing.T) {
	service := moto.Start(t)
	first, second := service.Key(t), service.Key(t)
	dir, address := t.TempDir(), freeport.Address(t)
	config, issuer, land := filepath.Join(dir, "c.toml"), "http://"+address, newCountry(t, address)
	settings := func(masters ...string) {
		t.Helper()
		for i, m := range masters {
			masters[i] = fmt.Sprintf("%q", m)
		}
		// signing_keys: a record that is read at every start.
		write(t, config, fmt.Sprintf("issuer = %q\nlisten = %q\nkms_endpoint = %q\nsigning_keys = \"database\"\nmaster_keys = [%s]\n",
			issuer, address, service.Address, strings.Join(masters, ", "))+land.section(t, dir, "ES256"))
	}
	kids := map[string]bool{}
	serves := func(step string, commands ...string) {
		t.Helper()
		b := start(t, "--config", config)
		defer b.stop()
		for _, command := range commands {
			if code, out, errs := call(t, "keys", command, "--config", config); code != 0 {
				t.Errorf("%s, keys %s: %d %s %s", step, command, code, out, errs)
			}
		}
		if _, err := (portal{issuer, "ES256"}).logIn(t); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		kids[published(t, issuer)["ES256"][0]] = true
	}
	settings("master-key")
	serves("by a file")
	settings("kms:"+first, "master-key")
	serves("by the service, and the file", "renew", "rewrap")
	settings("kms:" + first)
	if err := os.Remove(filepath.Join(dir, "master-key")); err != nil {
		t.Fatal(err)
	}
	serves("by the service alone", "renew")
	settings("kms:"+second, "kms:"+first)
	serves("by two keys of it", "rewrap")
	service.Ask(t, "DisableKey", fmt.Sprintf(`{"KeyId":%q}`, first[strings.LastIndex(first, "/")+1:]))
	settings("kms:" + second)
	serves("by the second key alone")
	if len(kids) != 1 {
		t.Errorf("the signing key in the database did not stay: %v", kids)
	}
	settings("kms:" + first)
	if code, _, errs := call(t, "serve", "--config", config); code != 1 || !strings.Contains(errs, "master key") {
		t.Errorf("with a key that is disabled: %d %s", code, errs)
	}
	service.Address = "http://127.0.0.1:1"
	settings("kms:" + second)
	if code, _, errs := call(t, "check-config", "--config", config); code != 0 {
		t.Errorf("check-config asked the service: %s", errs)
	}
	if code, _, errs := call(t, "serve", "--config", config); code != 1 || !strings.Contains(errs, "kms") {
		t.Errorf("without the service: %d %s", code, errs)
	}
}
