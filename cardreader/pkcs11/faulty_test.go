//go:build linux && cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
)

// faulty compiles the misbehaving module.
func faulty(t *testing.T) (path string, env []string, logins func() string) {
	t.Helper()
	dir := t.TempDir()
	headers, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "faulty.so")
	out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-I", strings.TrimSpace(string(headers)),
		"-o", path, "testdata/faulty.c").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), KeyUsage: x509.KeyUsageContentCommitment,
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, log := filepath.Join(dir, "certificate"), filepath.Join(dir, "logins")
	if err := os.WriteFile(certificate, der, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, []string{"CERTIFICATE=" + certificate, "LOGINS=" + log}, func() string {
		content, _ := os.ReadFile(log)
		_ = os.Remove(log)
		return strings.ReplaceAll(string(content), "\n", " ")
	}
}

// C-57: whatever a module does, the caller gets an error in time and goes on.
func TestListingSurvivesFaultyModules(t *testing.T) {
	path, env, _ := faulty(t)
	for _, row := range []struct {
		fault string
		want  error // nil: it lists
	}{
		{"", nil},
		{"odd-text", nil},
		{"crash", cardreader.ErrCardProtocol},
		{"exit", cardreader.ErrCardProtocol},
		{"small-buffer", cardreader.ErrCardProtocol},
		{"many-slots", cardreader.ErrCardProtocol},
		{"no-functions", cardreader.ErrCardProtocol},
		{"hang", context.DeadlineExceeded},
	} {
		t.Run(row.fault, func(t *testing.T) {
			m := &Module{Path: path, Host: host(append(env, "FAULT="+row.fault)...)}
			limit := time.Minute
			if errors.Is(row.want, context.DeadlineExceeded) {
				limit = 3 * time.Second // waited for
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			slots, err := m.List(ctx)
			if !errors.Is(err, row.want) || row.want == nil && (err != nil || len(slots) != 1 || len(slots[0].Credentials) != 1) {
				t.Errorf("%v, %v", slots, err)
			}
		})
	}
}

// C-57, C-39: nothing that a module returns for a signature is believed, and the
// PIN is presented no more often than the key needs.
func TestSigningSurvivesFaultyModules(t *testing.T) {
	path, env, logins := faulty(t)
	digest := sha512.Sum384(nil)
	refused := func(r cardreader.PINReason) func(error) bool {
		return func(err error) bool {
			var e *cardreader.PINError
			return errors.As(err, &e) && e.Reason == r && e.TriesLeft == -1
		}
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for _, row := range []struct {
		fault  string
		want   func(error) bool
		logins string
	}{
		{"", is(cardreader.ErrCardProtocol), "1 2 "}, // 96 bytes that are no signature
		{"second-login", refused(cardreader.PINWrong), "1 2 "},
		{"unknown-code", is(cardreader.ErrCardProtocol), "1 "},
		{"mechanism", is(cardreader.ErrNotOffered), "1 "},
		{"sign-crash", is(cardreader.ErrCardProtocol), "1 2 "},
		{"sign-removed", is(cardreader.ErrCardRemoved), "1 2 "},
		{"sign-small-buffer", is(cardreader.ErrCardProtocol), "1 2 "},
		{"sign-long", is(cardreader.ErrCardProtocol), "1 2 "},
		{"sign-odd", is(cardreader.ErrCardProtocol), "1 2 "},
		{"sign-empty", is(cardreader.ErrCardProtocol), "1 2 "},
	} {
		t.Run(row.fault, func(t *testing.T) {
			m := &Module{Path: path, Host: host(append(env, "FAULT="+row.fault)...)}
			found, err := m.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
			if err != nil {
				t.Fatal(err)
			}
			value, err := m.Signer(t.Context(), found, &typist{pin: "123456"}).Sign(nil, digest[:], crypto.SHA384)
			if value != nil || !row.want(err) {
				t.Errorf("%x, %v", value, err)
			}
			if got := logins(); got != row.logins {
				t.Errorf("logins %q, want %q", got, row.logins)
			}
			if err != nil && strings.Contains(err.Error(), "123456") {
				t.Error("PIN in the error")
			}
		})
	}
}

// C-43: an entry that the token would refuse is not sent to it.
func TestEntryOfAWrongLengthIsNotSent(t *testing.T) {
	path, env, logins := faulty(t)
	m := &Module{Path: path, Host: host(env...)}
	found, err := m.Find(t.Context(), cardreader.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum384(nil)
	for _, entry := range []string{"123", "123456789", "12 45", "12\x0045"} {
		_, err := m.Signer(t.Context(), found, &typist{pin: entry}).Sign(nil, digest[:], crypto.SHA384)
		var refused *cardreader.PINError
		if !errors.As(err, &refused) || refused.Reason != cardreader.PINFormat {
			t.Errorf("%q: %v", entry, err)
		}
	}
	if got := logins(); got != "" {
		t.Errorf("logins %q", got)
	}
}

// C-56.
func TestModuleInAnUnsafePlaceIsNotLoaded(t *testing.T) {
	path, env, _ := faulty(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, writable := put("good.so", 0o755), put("writable.so", 0o777)
	for _, row := range []struct {
		name, path string
		mode       os.FileMode
		want       error
	}{
		{"own folder", good, 0o755, nil},
		{"file that others write", writable, 0o755, ErrPath},
		{"folder that others write", good, 0o777, ErrPath},
		{"sticky folder that others write", good, 0o777 | os.ModeSticky, ErrPath},
		{"folder of a group", good, 0o775, ErrPath},
		{"relative path", "faulty.so", 0o755, ErrPath},
		{"no file", filepath.Join(dir, "none.so"), 0o755, ErrModule},
		{"folder in place of a file", dir, 0o755, ErrModule},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := os.Chmod(dir, row.mode); err != nil {
				t.Fatal(err)
			}
			m := &Module{Path: row.path, Host: host(env...)}
			if _, err := m.List(t.Context()); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
		})
	}
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Module{Path: text, Host: host(env...)}).List(t.Context()); !errors.Is(err, ErrModule) {
		t.Errorf("a text file: %v", err)
	}
}
