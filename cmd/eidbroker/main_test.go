package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// call runs the program and returns what it printed.
func call(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	code = run(ctx, args, streams{&o, &e})
	return code, o.String(), e.String()
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		out  string
		errs string
	}{
		{[]string{"version"}, 0, "eidbroker ", ""},
		{[]string{"config"}, 0, "issuer = ", ""},
		{[]string{"--help"}, 0, "Serve logins", ""},
		{[]string{"serve", "--nonsense"}, 2, "", "--help"},
		{[]string{"dance"}, 2, "", "unexpected"},
		{nil, 2, "", "expected"},
	} {
		code, out, errs := call(t, c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
			t.Errorf("%v: exit %d, out %q, err %q", c.args, code, out, errs)
		}
	}
}

// Every setting is documented, and what the documentation shows as the default
// is the default.
func TestDefaultConfigurationDocumentsEverySetting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	write(t, path, string(defaultConfig))
	plain, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	plain.places = nil
	if got, want := fmt.Sprintf("%+v", plain), fmt.Sprintf("%+v", standard()); got != want {
		t.Errorf("the file written at first start gives\n%s\nwant\n%s", got, want)
	}
	// With the comment signs gone every key must be known; the decoder is strict.
	shown := regexp.MustCompile(`(?m)^#([a-z_\[])`).ReplaceAll(defaultConfig, []byte("$1"))
	write(t, path, string(shown))
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Lifetimes.Login != duration(15*time.Minute) || c.StartsPerMinute != standard().StartsPerMinute || c.Database != standard().Database {
		t.Errorf("shown defaults differ: %+v", c)
	}
	// And every key that is known must be documented; what operators name is not known.
	for i := range c.OIDC {
		c.OIDC[i].Levels, c.OIDC[i].Names = nil, nil
	}
	for i := range c.DigiD4.Services {
		c.DigiD4.Services[i].Name = nil
	}
	text, err := toml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, _, ok := strings.Cut(line, " =")
		if ok && !regexp.MustCompile(`(?m)^#?`+regexp.QuoteMeta(strings.TrimSpace(name))+` = `).Match(defaultConfig) {
			t.Errorf("%s is not documented", name)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// started is a running broker.
type started struct {
	stop func() int
	log  *printed
}

// printed is what a program wrote so far.
type printed struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed at the next line
}

func (p *printed) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.WriteString(line + "\n")
	close(p.more)
	p.more = make(chan struct{})
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// await returns once the program has said something.
func (s started) await(t *testing.T, said string) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		s.log.mu.Lock()
		found, more := strings.Contains(s.log.text.String(), said), s.log.more
		s.log.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("it did not say %q: %s", said, s.log)
		}
	}
}

// start runs serve until the test ends or stop is called.
func start(t *testing.T, args ...string) started {
	t.Helper()
	return startAs(t, func(ctx context.Context, said io.Writer) int {
		return run(ctx, append([]string{"serve"}, args...), streams{io.Discard, said})
	})
}

// startAs is start for a server that is begun otherwise.
func startAs(t *testing.T, begin func(ctx context.Context, said io.Writer) int) started {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- begin(ctx, w)
		_ = w.Close() // a pipe; it cannot fail
	}()
	s := started{log: &printed{more: make(chan struct{})}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.log.add(lines.Text())
		if strings.Contains(lines.Text(), "listening on") {
			break
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
			s.log.add(lines.Text())
		}
	}()
	if !strings.Contains(s.log.String(), "listening on") {
		cancel()
		t.Fatalf("it did not start: %s", s.log)
	}
	ended := false
	s.stop = func() int {
		if ended {
			return 0
		}
		ended = true
		cancel()
		<-drained
		return <-code
	}
	t.Cleanup(func() { s.stop() })
	return s
}

func get(t *testing.T, address string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func TestServeStartsFromAnEmptyDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "place")
	config, address := filepath.Join(dir, "eidbroker.toml"), freeport.Address(t)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("localhost:8181", address, "127.0.0.1:8181", address).Replace(string(defaultConfig))
	write(t, config, text)
	first := start(t, "--config", config)
	for path, want := range map[string]string{"/healthz": "ok\n", "/.well-known/openid-configuration": "http://" + address} {
		if code, body := get(t, "http://"+address+path); code != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	// Discovery 3: RS256 has to be among them.
	if _, body := get(t, "http://"+address+"/.well-known/openid-configuration"); !strings.Contains(string(body), `"id_token_signing_alg_values_supported":["ES256","RS256"]`) {
		t.Errorf("algorithms: %s", body)
	}
	_, keys := get(t, "http://"+address+"/jwks")
	if code := first.stop(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	for _, name := range []string{"broker.db", "signing-key.pem", "rsa-signing-key.pem", "pairwise-secret", "master-key", "audit.jsonl", "audit-key.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	second := start(t, "--config", config)
	if _, again := get(t, "http://"+address+"/jwks"); !bytes.Equal(keys, again) {
		t.Error("after a restart the keys are others")
	}
	second.stop()
	leftovers, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil || len(leftovers) > 0 {
		t.Errorf("left behind: %v %v", leftovers, err)
	}
}

func TestServeWritesTheDefaultConfiguration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "eidbroker.toml")
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it is about the file; the port may be taken
	var errs bytes.Buffer
	run(ctx, []string{"serve", "--config", path}, streams{io.Discard, &errs})
	written, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(written, defaultConfig) {
		t.Errorf("%v, %s", err, errs.String())
	}
}

// S-06: with data, a missing or careless secret stops the start.
func TestServeRefusesLostOrCarelessSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string) error
		want  string
	}{
		"signing key lost":      {func(_ *testing.T, d string) error { return os.Remove(d + "/signing-key.pem") }, "restore it"},
		"pairwise secret lost":  {func(_ *testing.T, d string) error { return os.Remove(d + "/pairwise-secret") }, "restore it"},
		"key readable by all":   {func(_ *testing.T, d string) error { return os.Chmod(d+"/signing-key.pem", 0o644) }, "chmod 600"},
		"secret readable":       {func(_ *testing.T, d string) error { return os.Chmod(d+"/pairwise-secret", 0o640) }, "chmod 600"},
		"master key lost":       {func(_ *testing.T, d string) error { return os.Remove(d + "/master-key") }, "restore it"},
		"another master key":    {func(_ *testing.T, d string) error { return newMaster(d + "/master-key") }, "restore that master key"},
		"master key readable":   {func(_ *testing.T, d string) error { return os.Chmod(d+"/master-key", 0o604) }, "chmod 600"},
		"half a master key":     {func(_ *testing.T, d string) error { return os.Truncate(d+"/master-key", 20) }, "32 bytes"},
		"half a key":            {func(_ *testing.T, d string) error { return os.Truncate(d+"/signing-key.pem", 40) }, "PEM"},
		"half a secret":         {func(_ *testing.T, d string) error { return os.Truncate(d+"/pairwise-secret", 20) }, "32 bytes"},
		"a key that is a link":  {func(t *testing.T, d string) error { return relink(d, "signing-key.pem") }, "regular file"},
		"a key of another kind": {func(t *testing.T, d string) error { return p384(d + "/signing-key.pem") }, "P-256"},
		"a key that is huge":    {func(_ *testing.T, d string) error { return os.Truncate(d+"/signing-key.pem", 1<<20) }, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, address := t.TempDir(), freeport.Address(t)
			config := filepath.Join(dir, "c.toml")
			write(t, config, fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address))
			start(t, "--config", config).stop()
			if err := c.spoil(t, dir); err != nil {
				t.Fatal(err)
			}
			code, _, errs := call(t, "serve", "--config", config)
			if code != 1 || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, %q, want %q", code, errs, c.want)
			}
		})
	}
}

func relink(dir, name string) error {
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "elsewhere")); err != nil {
		return err
	}
	return os.Symlink("elsewhere", filepath.Join(dir, name))
}

func newMaster(path string) error {
	text, err := envelope.NewLocal()
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func p384(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func TestPublishedKeysAreInTheSet(t *testing.T) {
	dir, address := t.TempDir(), freeport.Address(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/old.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	write(t, dir+"/c.toml", fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\npublished_keys = [\"old.pem\"]\n", address, address))
	start(t, "--config", dir+"/c.toml")
	_, body := get(t, "http://"+address+"/jwks")
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) != 3 || set.Keys[0]["kid"] == set.Keys[2]["kid"] {
		t.Errorf("%v %s", err, body)
	}
}

// The broker links without cgo, so that it runs anywhere.
func TestLinksWithoutCgo(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "eidbroker")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(binary, "version").Output(); err != nil || !strings.HasPrefix(string(out), "eidbroker ") {
		t.Errorf("%s %v", out, err)
	}
}

// S-06: with a remote database no secret is made by itself, and keys init makes
// them once.
func TestKeysOfSeveralReplicas(t *testing.T) {
	d := t.TempDir()
	file := filepath.Join(d, "c.toml")
	if err := os.WriteFile(file, []byte("issuer = \"http://localhost:8181\"\ndatabase = \"postgres://broker@db.example/broker\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, problems bytes.Buffer
	if code := run(context.Background(), []string{"serve", "--config", file}, streams{&out, &problems}); code != 1 || !strings.Contains(problems.String(), "keys init") {
		t.Errorf("without keys: %d %s", code, &problems)
	}
	for range 2 {
		if code := run(context.Background(), []string{"keys", "init", "--config", file}, streams{&out, &problems}); code != 0 {
			t.Fatalf("keys init: %s", &problems)
		}
	}
	key, err := os.ReadFile(filepath.Join(d, "signing-key.pem"))
	if err != nil || len(key) == 0 {
		t.Errorf("%d bytes, %v", len(key), err)
	}
}

// S-04 in part: the steps by which the guide replaces a master key, while the
// broker serves.
func TestMasterKeyIsReplaced(t *testing.T) {
	dir, address := t.TempDir(), freeport.Address(t)
	config := filepath.Join(dir, "c.toml")
	settings := func(masters string) string {
		return fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\nmaster_keys = [%s]\n", address, address, masters)
	}
	write(t, config, settings(`"old"`))
	start(t, "--config", config).stop()
	if err := newMaster(filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	write(t, config, settings(`"new", "old"`))
	serving := start(t, "--config", config)
	for _, verb := range []string{"renew", "rewrap"} {
		if code, out, errs := call(t, "keys", verb, "--config", config); code != 0 {
			t.Errorf("keys %s: %d %s %s", verb, code, out, errs)
		}
	}
	if code, body := get(t, "http://"+address+"/healthz"); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	serving.stop()
	write(t, config, settings(`"new"`))
	start(t, "--config", config).stop()
	write(t, config, settings(`"old"`))
	if code, _, errs := call(t, "serve", "--config", config); code != 1 || !strings.Contains(errs, "restore that master key") {
		t.Errorf("with the old key alone: %d %s", code, errs)
	}
}

// S-13: what the broker did is in the log, which verifies with what standard error
// kept, and no longer once it was edited.
func TestAuditLogIsVerified(t *testing.T) {
	dir, address := t.TempDir(), freeport.Address(t)
	config, log := filepath.Join(dir, "c.toml"), filepath.Join(dir, "audit.jsonl")
	write(t, config, fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address))
	b := start(t, "--config", config)
	if code, _ := get(t, "http://"+address+"/authorize?client_id=stranger"); code != http.StatusBadRequest {
		t.Errorf("a stranger got %d", code)
	}
	b.stop()
	kept, public := filepath.Join(dir, "kept"), filepath.Join(dir, "audit.pem")
	write(t, kept, b.log.String())
	code, pem, errs := call(t, "audit", "key", "--config", config)
	if code != 0 {
		t.Fatal(errs)
	}
	write(t, public, pem)
	for _, args := range [][]string{
		{"--config", config}, {"--config", config, "--kept", kept, "--max-age", "1h"}, {"--key", public, "--config", config, "--json"},
	} {
		if code, out, errs := call(t, append([]string{"audit", "verify", log}, args...)...); code != 0 || !strings.Contains(out, "entries") {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil || !bytes.Contains(text, []byte(`"event":"authorization.refused"`)) {
		t.Fatalf("%v, %s", err, text)
	}
	write(t, log, strings.Replace(string(text), "authorization.refused", "authorization.granted", 1))
	if code, _, errs := call(t, "audit", "verify", log, "--config", config); code != 1 || !strings.Contains(errs, "was changed") {
		t.Errorf("edited: %d %s", code, errs)
	}
	if code, _, errs := call(t, "serve", "--config", config); code != 1 || !strings.Contains(errs, "move it away") {
		t.Errorf("served on top of an edited log: %d %s", code, errs)
	}
}

func TestCardsForget(t *testing.T) {
	dir, address := t.TempDir(), freeport.Address(t)
	config := filepath.Join(dir, "c.toml")
	write(t, config, fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address))
	key := strings.Repeat("ab", 32)
	if code, _, errs := call(t, "cards", "forget", key, "--config", config); code != 1 || !strings.Contains(errs, "master-key") {
		t.Errorf("before the first start: %d %s", code, errs)
	}
	start(t, "--config", config).stop()
	if code, out, errs := call(t, "cards", "forget", key, "--config", config); code != 0 || !strings.Contains(out, "forgotten") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, _, errs := call(t, "cards", "forget", "ab", "--config", config); code != 1 || !strings.Contains(errs, "64 hexadecimal digits") {
		t.Errorf("half a fingerprint: %d %s", code, errs)
	}
}
