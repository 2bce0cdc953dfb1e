package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
	"github.com/eidbridge/eidbridge/fixtures/needs"
)

const (
	softHSM = "/usr/lib/softhsm/libsofthsm2.so"
	// The PINs are looked for in logs and messages. These are in no time, port, name of a
	// folder, fingerprint or Base64 by chance, as four digits are now and then.
	tokenPIN = "zimt+stern"
	wrongPIN = "zimt+mond"
)

// hardware is a SoftHSM token and the program that speaks to it.
type hardware struct{ dir, program, pin string }

func newHardware(t *testing.T) *hardware {
	t.Helper()
	needs.File(t, softHSM, "softhsm2")
	h := &hardware{dir: t.TempDir()}
	h.program, h.pin = filepath.Join(h.dir, "eidhsm"), filepath.Join(h.dir, "pin")
	conf, tokens := filepath.Join(h.dir, "softhsm2.conf"), filepath.Join(h.dir, "tokens")
	if err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	write(t, h.pin, tokenPIN+"\n")
	t.Setenv("SOFTHSM2_CONF", conf)
	h.run(t, "go", "build", "-o", h.program, "../eidhsm")
	h.run(t, "softhsm2-util", "--init-token", "--free", "--label", "broker", "--so-pin", "12345678", "--pin", tokenPIN)
	return h
}

func (h *hardware) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (h *hardware) makeKey(t *testing.T, kind, label, id string) {
	t.Helper()
	h.run(t, "pkcs11-tool", "--module", softHSM, "--token-label", "broker", "--login", "--pin", tokenPIN, "--keypairgen", "--key-type", kind, "--id", id, "--label", label)
}

// section is a key of the token.
func (h *hardware) section(label, algorithm, more string) string {
	return fmt.Sprintf("\n[[keys]]\nmodule = %q\ntoken = \"broker\"\nlabel = %q\npin_file = %q\nalgorithm = %q\n%s", softHSM, label, h.pin, algorithm, more)
}

// published are the keys of the set, by algorithm.
func published(t *testing.T, issuer string) map[string][]string {
	t.Helper()
	_, body := get(t, issuer+"/jwks")
	var set struct{ Keys []struct{ Kid, Alg string } }
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{}
	for _, k := range set.Keys {
		keys[k.Alg] = append(keys[k.Alg], k.Kid)
	}
	return keys
}

// Keys that never leave a token: logins with each algorithm, a key that is
// published before its time, and readiness that misses the token.
func TestKeysInAToken(t *testing.T) {
	h := newHardware(t)
	for _, k := range [][3]string{
		{"EC:prime256v1", "signing", "01"}, {"EC:prime256v1", "next", "02"}, {"EC:secp384r1", "long", "03"}, {"rsa:2048", "plain", "04"}, {"rsa:2048", "pss", "05"}, {"EC:edwards25519", "edwards", "06"},
	} {
		h.makeKey(t, k[0], k[1], k[2])
	}
	next := h.section("next", "ES256", "use = "+time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339)+"\n")
	all := h.section("signing", "ES256", "") + next + h.section("long", "ES384", "") + h.section("plain", "RS256", "") + h.section("pss", "PS256", "") + h.section("edwards", "EdDSA", "")
	for _, algorithm := range []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			dir, address, monitor := t.TempDir(), freeport.Address(t), freeport.Address(t)
			issuer := "http://" + address
			head := fmt.Sprintf("issuer = %q\nlisten = %q\nmonitor_listen = %q\nsigning_keys = \"listed\"\npkcs11_program = %q\n", issuer, address, monitor, h.program)
			write(t, dir+"/c.toml", head+all+newCountry(t, address).section(t, dir, algorithm))
			b := start(t, "--config", dir+"/c.toml")
			if _, err := (portal{issuer, algorithm}).logIn(t); err != nil {
				t.Error(err)
			}
			keys := published(t, issuer)
			if len(keys["ES256"]) != 2 || len(keys["ES384"]) != 1 || len(keys["RS256"]) != 1 || len(keys["PS256"]) != 1 || len(keys["EdDSA"]) != 1 {
				t.Errorf("published %v", keys)
			}
			if _, err := os.Stat(dir + "/signing-key.pem"); err == nil {
				t.Error("there is a key in a file too")
			}
			if code, body := get(t, "http://"+monitor+"/readyz"); code != http.StatusOK {
				t.Errorf("readiness: %d %s", code, body)
			}
			if algorithm != "ES256" {
				return
			}
			// The token is taken away, and given back.
			tokens, away := filepath.Join(h.dir, "tokens"), filepath.Join(h.dir, "away")
			held := children(t, h.program)
			if len(held) != 1 {
				t.Errorf("%d programs hold the module, want 1: one for all keys of a token", len(held))
			}
			if err := errors.Join(os.Rename(tokens, away), os.Mkdir(tokens, 0o700)); err != nil {
				t.Fatal(err)
			}
			for _, program := range held {
				// It may have ended by itself, if it was asked to sign just now.
				if err := program.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
			}
			b.await(t, "the token of signing keys is gone")
			if code, body := get(t, "http://"+monitor+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(string(body), "token of signing keys") {
				t.Errorf("readiness without it: %d %s", code, body)
			}
			if err := errors.Join(os.Remove(tokens), os.Rename(away, tokens)); err != nil {
				t.Fatal(err)
			}
			b.await(t, "the token of signing keys is back")
			if _, err := (portal{issuer, algorithm}).logIn(t); err != nil {
				t.Errorf("with the token back: %v", err)
			}
			if strings.Contains(b.log.String(), tokenPIN) {
				t.Error("the PIN is in the log")
			}
		})
	}
}

// children are the programs that hold a module.
func children(t *testing.T, program string) []*os.Process {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var found []*os.Process
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != program {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(link, "/proc/%d/exe", &pid); err != nil {
			t.Fatal(err)
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, process)
	}
	return found
}

// What is wrong with a key of a token is told with its line, and a wrong PIN costs
// one try however often it is looked at.
func TestTokenSettingsAreChecked(t *testing.T) {
	h := newHardware(t)
	h.makeKey(t, "EC:prime256v1", "signing", "01")
	wrong := filepath.Join(h.dir, "wrong")
	write(t, wrong, wrongPIN)
	open := filepath.Join(h.dir, "open")
	write(t, open, tokenPIN)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	good := "issuer = \"http://localhost:8181\"\npkcs11_program = \"" + h.program + "\"\n" + h.section("signing", "ES256", "")
	in := func(old, fresh string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(good, old, fresh, 1)
	}
	file := filepath.Join(t.TempDir(), "c.toml")
	for _, c := range []struct{ name, text, want string }{
		{"fine", good, ""},
		{"no program", in(h.program, "/nowhere/eidhsm"), "c.toml:2: hsm: the program for PKCS #11 modules cannot be run"},
		{"no module", in(softHSM, "/nowhere.so"), "c.toml:4: hsm: the PKCS #11 module cannot be loaded"},
		{"no token", in(`"broker"`, `"other"`), "c.toml:4: hsm: the token is not there"},
		{"neither label nor serial number", in(`token = "broker"`, ""), "c.toml:4: hsm: a token is named by"},
		{"no key", in(`"signing"`, `"other"`), `c.toml:4: hsm: the key is not there: "other"`},
		{"no name of the key", in(`label = "signing"`, ""), "c.toml:4: hsm: a key is named by"},
		{"an ID that is none", in(`label = "signing"`, `id = "xyz"`), "c.toml:4: id is not hexadecimal"},
		{"no PIN", in(h.pin, ""), "c.toml:4: pin_file"},
		{"no PIN file", in(h.pin, "/nowhere"), "c.toml:4: hsm: the PIN cannot be read"},
		{"a PIN for everybody", in(h.pin, open), "can be read by others"},
		{"a credential that is not handed over", in(h.pin, "credential:pin"), "systemd hands over no credential"},
		{"a file too", in("label", "file = \"x.pem\"\nlabel"), "not in both"},
		{"another algorithm", in("ES256", "RS256"), "does not sign by RS256"},
		{"too many sessions", good + "sessions = 1000\n", "1 to 64 sessions"},
		{"the second key is missing", good + h.section("other", "ES256", ""), `c.toml:11: hsm: the key is not there: "other"`},
		{"wrong PIN", in(h.pin, wrong), "c.toml:4: hsm: the token refused the PIN"},
		{"wrong PIN again", in(h.pin, wrong), "so it was not tried"},
		{"right PIN after a wrong one", good, "so it was not tried"},
	} {
		write(t, file, c.text)
		code, _, errs := call(t, "check-config", "--config", file)
		if (code == 0) != (c.want == "") || !strings.Contains(errs, c.want) || strings.Contains(errs, tokenPIN) || strings.Contains(errs, wrongPIN) {
			t.Errorf("%s: %d %s, want %q", c.name, code, errs, c.want)
		}
	}
	h.run(t, "pkcs11-tool", "--module", softHSM, "--token-label", "broker", "--login", "--pin", tokenPIN, "--list-objects")
	t.Setenv("CREDENTIALS_DIRECTORY", h.dir)
	if err := os.Chmod(h.pin, 0o440); err != nil { // as an access list shows itself
		t.Fatal(err)
	}
	write(t, file, in(h.pin, "credential:pin"))
	if code, _, errs := call(t, "check-config", "--config", file); code != 0 {
		t.Errorf("a credential: %d %s", code, errs)
	}
}
