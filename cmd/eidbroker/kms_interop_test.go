//go:build interop

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// keyService is moto, the protocol of AWS KMS as others wrote it (PyPI moto).
type keyService struct{ address string }

func newKeyService(t *testing.T) *keyService {
	t.Helper()
	program := filepath.Join("..", "..", ".cache", "moto", "bin", "moto_server")
	if _, err := os.Stat(program); err != nil {
		t.Fatal("moto is needed: make setup-interop")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); found != "" {
			go func() {
				for lines.Scan() { // so that it never waits for us
				}
			}()
			return &keyService{found}
		}
	}
	t.Fatal("moto did not start")
	return nil
}

// ask has the service do something and gives what it answers.
func (k *keyService) ask(t *testing.T, verb, body string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, k.address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService."+verb)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261128/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", verb, resp.StatusCode, text, err)
	}
	return string(text)
}

// key has the service make a key and gives its ARN.
func (k *keyService) key(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`arn:aws:kms:[^"]+`).FindString(k.ask(t, "CreateKey", "{}"))
}

// S-04: the whole program with its master key in a key management service: from a
// file to it, to another key of it by the commands of the guide while it serves, and
// without the first key. Without the service nothing starts.
func TestInteropMasterKeyInAKeyService(t *testing.T) {
	service := newKeyService(t)
	first, second := service.key(t), service.key(t)
	dir, address := t.TempDir(), freeAddress(t)
	config, issuer, land := filepath.Join(dir, "c.toml"), "http://"+address, newCountry(t, address)
	settings := func(masters ...string) {
		t.Helper()
		for i, m := range masters {
			masters[i] = fmt.Sprintf("%q", m)
		}
		// signing_keys: a record that is read at every start.
		write(t, config, fmt.Sprintf("issuer = %q\nlisten = %q\nkms_endpoint = %q\nsigning_keys = \"database\"\nmaster_keys = [%s]\n",
			issuer, address, service.address, strings.Join(masters, ", "))+land.section(t, dir, "ES256"))
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
	service.ask(t, "DisableKey", fmt.Sprintf(`{"KeyId":%q}`, first[strings.LastIndex(first, "/")+1:]))
	settings("kms:" + second)
	serves("by the second key alone")
	if len(kids) != 1 {
		t.Errorf("the signing key in the database did not stay: %v", kids)
	}
	settings("kms:" + first)
	if code, _, errs := call(t, "serve", "--config", config); code != 1 || !strings.Contains(errs, "master key") {
		t.Errorf("with a key that is disabled: %d %s", code, errs)
	}
	service.address = "http://127.0.0.1:1"
	settings("kms:" + second)
	if code, _, errs := call(t, "check-config", "--config", config); code != 0 {
		t.Errorf("check-config asked the service: %s", errs)
	}
	if code, _, errs := call(t, "serve", "--config", config); code != 1 || !strings.Contains(errs, "kms") {
		t.Errorf("without the service: %d %s", code, errs)
	}
}
