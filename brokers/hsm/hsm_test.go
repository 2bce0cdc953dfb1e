package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/hsm/host"
	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
	"github.com/eidbridge/eidbridge/fixtures/needs"
)

// hostMarker makes the test binary the program that holds a module.
const hostMarker = "EIDBRIDGE_TEST_HSM_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(hostMarker) != "" {
		if err := host.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	softHSM = "/usr/lib/softhsm/libsofthsm2.so"
	testPIN = "abc-12/3"
)

// lab is a SoftHSM token with a key of each kind.
type lab struct {
	dir, program string
	settings     Settings
}

// tool runs a program of SoftHSM or OpenSC with the lab's configuration.
func (l *lab) tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func newLab(t *testing.T, kinds ...string) *lab {
	t.Helper()
	needs.File(t, softHSM, "softhsm2")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{dir: t.TempDir(), program: self}
	tokens, conf, pin := filepath.Join(l.dir, "tokens"), filepath.Join(l.dir, "softhsm2.conf"), filepath.Join(l.dir, "pin")
	if err := errors.Join(
		os.Mkdir(tokens, 0o700), os.WriteFile(pin, []byte(testPIN+"\n"), 0o600),
		os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nlog.level = ERROR\n", tokens), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	l.tool(t, "softhsm2-util", "--init-token", "--free", "--label", "lab", "--so-pin", "12345678", "--pin", testPIN)
	t.Setenv(hostMarker, "1")
	l.settings = Settings{Module: softHSM, Token: "lab", PINFile: pin}
	for i, kind := range kinds {
		id := fmt.Sprintf("%02x", i+1)
		l.tool(t, "pkcs11-tool", "--module", softHSM, "--token-label", "lab", "--login", "--pin", testPIN, "--keypairgen", "--key-type", kind, "--id", id, "--label", "key "+id)
		l.settings.Keys = append(l.settings.Keys, KeyName{Label: "key " + id, ID: []byte{byte(i + 1)}})
	}
	return l
}

func (l *lab) open(t *testing.T) *Token {
	t.Helper()
	token, err := Open(t.Context(), l.program, l.settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(token.Close)
	return token
}

func signerOf(t *testing.T, token *Token, i int) crypto.Signer {
	t.Helper()
	s, err := token.Signer(i)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Keys of every kind sign, as Go's own verification says.
func TestSignatures(t *testing.T) {
	l := newLab(t, "EC:prime256v1", "EC:secp384r1", "rsa:2048", "EC:edwards25519")
	token := l.open(t)
	message := []byte("header.payload")
	d256, d384 := sha256.Sum256(message), sha512.Sum384(message)
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}
	for _, c := range []struct {
		name  string
		key   int
		input []byte
		opts  crypto.SignerOpts
		valid func(public crypto.PublicKey, value []byte) bool
	}{
		{"ES256", 0, d256[:], crypto.SHA256, func(k crypto.PublicKey, v []byte) bool { return ecdsa.VerifyASN1(k.(*ecdsa.PublicKey), d256[:], v) }},
		{"ES384", 1, d384[:], crypto.SHA384, func(k crypto.PublicKey, v []byte) bool { return ecdsa.VerifyASN1(k.(*ecdsa.PublicKey), d384[:], v) }},
		{"RS256", 2, d256[:], crypto.SHA256, func(k crypto.PublicKey, v []byte) bool {
			return rsa.VerifyPKCS1v15(k.(*rsa.PublicKey), crypto.SHA256, d256[:], v) == nil
		}},
		{"PS256", 2, d256[:], pss, func(k crypto.PublicKey, v []byte) bool {
			return rsa.VerifyPSS(k.(*rsa.PublicKey), crypto.SHA256, d256[:], v, &rsa.PSSOptions{SaltLength: 32}) == nil
		}},
		{"EdDSA", 3, message, crypto.Hash(0), func(k crypto.PublicKey, v []byte) bool { return ed25519.Verify(k.(ed25519.PublicKey), message, v) }},
	} {
		s := signerOf(t, token, c.key)
		value, err := s.Sign(nil, c.input, c.opts)
		if err != nil || !c.valid(s.Public(), value) {
			t.Errorf("%s: %v, %d bytes", c.name, err, len(value))
		}
	}
	// What a key does not do is said at once, and the token stays open.
	for name, call := range map[string]func() ([]byte, error){
		"another hash":   func() ([]byte, error) { return signerOf(t, token, 2).Sign(nil, d384[:], crypto.SHA384) },
		"a short digest": func() ([]byte, error) { return signerOf(t, token, 0).Sign(nil, d256[:8], crypto.SHA256) },
		"a long salt": func() ([]byte, error) {
			return signerOf(t, token, 2).Sign(nil, d256[:], &rsa.PSSOptions{SaltLength: 100, Hash: crypto.SHA256})
		},
		"a hashed message": func() ([]byte, error) { return signerOf(t, token, 3).Sign(nil, d256[:], crypto.SHA256) },
	} {
		if _, err := call(); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := token.Err(); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// A key may be named by its label or its ID alone.
func TestKeyNames(t *testing.T) {
	l := newLab(t, "EC:prime256v1", "EC:prime256v1")
	both := l.open(t)
	l.settings.Keys = []KeyName{{Label: "key 02"}, {ID: []byte{1}}}
	token := l.open(t)
	for i, other := range []int{1, 0} {
		if !signerOf(t, token, i).Public().(*ecdsa.PublicKey).Equal(signerOf(t, both, other).Public()) {
			t.Errorf("key %d is another one", i)
		}
	}
}

// Many signatures at once, in fewer sessions.
func TestConcurrentSignatures(t *testing.T) {
	l := newLab(t, "EC:prime256v1")
	l.settings.Sessions = 3
	s := signerOf(t, l.open(t), 0)
	var wait sync.WaitGroup
	for i := range 12 {
		wait.Go(func() {
			for n := range 25 {
				digest := sha256.Sum256(fmt.Append(nil, i, n))
				value, err := s.Sign(nil, digest[:], crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(s.Public().(*ecdsa.PublicKey), digest[:], value) {
					t.Errorf("%d, %d: %v", i, n, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// What is wrong has a name, and a wrong PIN is tried once however often it is
// tried to open the token.
func TestOpeningFails(t *testing.T) {
	l := newLab(t, "EC:prime256v1")
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(l.dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	loose := filepath.Join(l.dir, "loose")
	if err := errors.Join(os.Mkdir(loose, 0o777), os.Chmod(loose, 0o777), os.WriteFile(filepath.Join(loose, "m.so"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(s *Settings)
		want   error
	}{
		{"no module", func(s *Settings) { s.Module = "/usr/lib/nothing.so" }, ErrModule},
		{"module by a relative path", func(s *Settings) { s.Module = "libsofthsm2.so" }, ErrModule},
		{"not a module", func(s *Settings) { s.Module = file("text.so", "text", 0o600) }, ErrModule},
		{"a library that is no module", func(s *Settings) { s.Module = "/usr/lib/x86_64-linux-gnu/libz.so.1" }, ErrModule},
		{"module in a place of everybody", func(s *Settings) { s.Module = filepath.Join(loose, "m.so") }, ErrModule},
		{"no token of the label", func(s *Settings) { s.Token = "other" }, ErrToken},
		{"no token of the serial number", func(s *Settings) { s.Serial = "0000" }, ErrToken},
		{"no PIN file", func(s *Settings) { s.PINFile = "/nowhere/pin" }, ErrPINFile},
		{"PIN of everybody", func(s *Settings) { s.PINFile = file("open", testPIN, 0o640) }, ErrPINFile},
		{"empty PIN", func(s *Settings) { s.PINFile = file("empty", "\n", 0o600) }, ErrPINFile},
		{"long PIN", func(s *Settings) { s.PINFile = file("long", strings.Repeat("1", 300), 0o600) }, ErrPINFile},
		{"no such key", func(s *Settings) { s.Keys = []KeyName{{Label: "other"}} }, ErrKey},
		{"no such ID", func(s *Settings) { s.Keys = []KeyName{{Label: "key 01", ID: []byte{9}}} }, ErrKey},
		{"wrong PIN", func(s *Settings) { s.PINFile = file("wrong", "0000", 0o600) }, ErrPIN},
		{"wrong PIN again", func(s *Settings) { s.PINFile = file("wrong", "0000", 0o600) }, ErrPINSpent},
		{"right PIN after a wrong one", func(*Settings) {}, ErrPINSpent},
	} {
		s := l.settings
		c.change(&s)
		_, err := Open(t.Context(), l.program, s, slog.New(slog.DiscardHandler))
		if !errors.Is(err, c.want) || strings.Contains(fmt.Sprint(err), testPIN) || strings.Contains(fmt.Sprint(err), "0000") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// As the message says, the right PIN by another hand ends that.
	l.tool(t, "pkcs11-tool", "--module", softHSM, "--token-label", "lab", "--login", "--pin", testPIN, "--list-objects")
	l.open(t)
	if _, err := Open(t.Context(), filepath.Join(l.dir, "none"), l.settings, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrProgram) {
		t.Errorf("no program: %v", err)
	}
}

// A module that dies is loaded anew, and who signs meanwhile only waits.
func TestModuleDies(t *testing.T) {
	l := newLab(t, "EC:prime256v1")
	token := l.open(t)
	s := signerOf(t, token, 0)
	digest := sha256.Sum256([]byte("x"))
	for range 3 {
		token.mu.Lock()
		first := token.current
		token.mu.Unlock()
		if err := first.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Fatalf("after its death: %v", err)
		}
	}
}

// lose ends the process that signs. The token looks every ten seconds whether it still
// does, and may have been faster: then there is none. What is returned is closed by the
// next change.
func lose(token *Token) (changed <-chan struct{}) {
	token.mu.Lock()
	defer token.mu.Unlock()
	if token.current != nil {
		token.current.stop(ErrGone)
	}
	return token.changed
}

// A token that is taken away is missed, and used again once it is back; another in
// its place is not.
func TestTokenIsTakenAway(t *testing.T) {
	l := newLab(t, "EC:prime256v1")
	token := l.open(t)
	s := signerOf(t, token, 0)
	tokens, away := filepath.Join(l.dir, "tokens"), filepath.Join(l.dir, "away")
	digest := sha256.Sum256([]byte("x"))
	if err := errors.Join(os.Rename(tokens, away), os.Mkdir(tokens, 0o700)); err != nil {
		t.Fatal(err)
	}
	<-lose(token) // SoftHSM goes on with what it has read
	if token.Err() == nil {
		t.Error("it is not missed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits for ever
	if _, err := token.sign(ctx, (&signer{token: token, public: s.Public()}).trial()); !errors.Is(err, ErrGone) {
		t.Errorf("without a token: %v", err)
	}
	if err := errors.Join(os.Remove(tokens), os.Rename(away, tokens)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil || token.Err() != nil {
		t.Errorf("with the token back: %v, %v", err, token.Err())
	}
	// Another key of the same names.
	l.tool(t, "pkcs11-tool", "--module", softHSM, "--token-label", "lab", "--login", "--pin", testPIN, "--delete-object", "--type", "privkey", "--id", "01")
	l.tool(t, "pkcs11-tool", "--module", softHSM, "--token-label", "lab", "--login", "--pin", testPIN, "--delete-object", "--type", "pubkey", "--id", "01")
	l.tool(t, "pkcs11-tool", "--module", softHSM, "--token-label", "lab", "--login", "--pin", testPIN, "--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "key 01")
	changed := lose(token)
	for err := token.Err(); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "in its place"); err = token.Err() {
		<-changed
		token.mu.Lock()
		changed = token.changed
		token.mu.Unlock()
	}
}

// The PIN is changed behind our back: the old one is tried once, and not again.
func TestPINIsRefusedOnce(t *testing.T) {
	l := newLab(t, "EC:prime256v1")
	token := l.open(t)
	l.tool(t, "pkcs11-tool", "--module", softHSM, "--token-label", "lab", "--login", "--pin", testPIN, "--change-pin", "--new-pin", "another-1")
	changed := lose(token)
	for !errors.Is(token.Err(), ErrPIN) {
		<-changed
		token.mu.Lock()
		changed = token.changed
		token.mu.Unlock()
	}
	digest := sha256.Sum256([]byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits for ever, and here it would be in vain
	if _, err := token.sign(ctx, wire.Request{Mechanism: wire.ECDSA, Input: digest[:]}); !errors.Is(err, ErrPIN) {
		t.Errorf("%v", err)
	}
}

// A program that says nonsense, nothing, or far too much is ended.
func TestProgramsThatAreNoHost(t *testing.T) {
	settings := Settings{Module: softHSM, Token: "lab", PINFile: "/pin", Keys: []KeyName{{Label: "a"}}}
	for name, script := range map[string]string{
		"ends":         "exit 0",
		"nonsense":     "echo hello >&4; sleep 60",
		"half a line":  "printf '{' >&4",
		"too much":     "head -c 400000 /dev/zero >&4; sleep 60",
		"no keys":      `echo '{"id":1}' >&4; sleep 60`,
		"nonsense key": `echo '{"id":1,"public":["AAAA"]}' >&4; sleep 60`,
	} {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path, settings, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A module need not see what is the broker's alone.
func TestEnvironmentOfTheProgram(t *testing.T) {
	got := environment([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "PGPASSWORD=x", "SOFTHSM2_CONF=y", "NOTIFY_SOCKET=z"})
	if strings.Join(got, " ") != "PATH=/bin SOFTHSM2_CONF=y" {
		t.Errorf("%v", got)
	}
}

// FuzzAnswer: no answer of the program makes the reader fail otherwise than by an
// error.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"id":1,"error":{"kind":"pin","function":"C_Login","code":160,"key":-1}}` + "\n"))
	f.Add([]byte(`{"id":1,"public":["MFkw"],"signature":"AA=="}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := wire.Reader(bytes.NewReader(data))
		s := Settings{Keys: []KeyName{{Label: "a"}}}
		for {
			var a wire.Answer
			if err := wire.Read(lines, &a); err != nil {
				return
			}
			if a.Error != nil && s.meaning(a.Error) == nil {
				t.Error("a failure without an error")
			}
			_ = (&process{}).keys(a.Public, 1)
			if _, err := (&signer{public: ed25519.PublicKey(make([]byte, 32))}).verified(wire.Request{}, []byte("x"), a.Signature); err == nil {
				t.Error("a signature by nobody")
			}
		}
	})
}
