package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/vpcd"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// serving is an eidlab card serve in this process.
type serving struct {
	t       *testing.T
	dir     string
	control string
	stop    func() (code int, printed string)
}

func serveCards(t *testing.T, args ...string) *serving {
	t.Helper()
	dir := t.TempDir()
	// A socket's path is short.
	short, err := os.MkdirTemp("", "eidlab-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	s := &serving{t: t, dir: dir, control: filepath.Join(short, "c")}
	ctx, cancel := context.WithCancel(t.Context())
	var out, failed bytes.Buffer
	code := make(chan int, 1)
	ready := filepath.Join(dir, "env")
	args = append([]string{"card", "serve", "--control", s.control, "--env", ready, "--pki", filepath.Join(dir, "pki")}, args...)
	go func() { code <- run(ctx, args, streams{strings.NewReader(""), &out, &failed}) }()
	s.stop = func() (int, string) {
		cancel()
		n := <-code
		code <- n
		return n, out.String() + failed.String()
	}
	t.Cleanup(func() { s.stop() })
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := os.Stat(ready); err == nil {
			return s
		}
		select {
		case n := <-code:
			code <- n
			if strings.Contains(failed.String(), pcscd.ErrUnavailable.Error()) {
				t.Skip(failed.String())
			}
			t.Fatalf("ended with %d: %s", n, failed.String())
		case <-ticker.C:
		}
	}
}

// tell runs insert or remove and wants an exit code and words.
func (s *serving) tell(code int, says string, args ...string) {
	s.t.Helper()
	var out, failed bytes.Buffer
	args = append(append([]string{"card"}, args...), "--control", s.control)
	got := run(s.t.Context(), args, streams{strings.NewReader(""), &out, &failed})
	if got != code || !strings.Contains(out.String()+failed.String(), says) {
		s.t.Errorf("%v: exit code %d, %q; want %d and %q", args, got, out.String()+failed.String(), code, says)
	}
}

func TestCardsComeAndGoByCommand(t *testing.T) {
	s := serveCards(t, "--own-pcscd", "--empty", "--seed", "test")
	s.tell(0, "Inserted: esteid of Mari-Liis Männik in reader 0.", "insert")
	s.tell(1, "there is a card", "insert", "--kind", "esteid2025")
	s.tell(0, "Inserted: dnie of Carmen Prueba Ficticia in reader 1.", "insert", "--kind", "dnie", "--person", "99999018D", "--slot", "1")
	s.tell(0, "Reader 0 is empty.", "remove")
	s.tell(0, "Reader 0 is empty.", "remove")
	s.tell(0, "Inserted: esteid2025", "insert", "--kind", "esteid2025", "--personality", "expired")
	s.tell(0, "Reader 1 is empty.", "remove", "--slot", "1")
	s.tell(0, "Inserted: pkcs15", "insert", "--kind", "pkcs15", "--slot", "1", "--personality", "last-try")
	s.tell(1, "there is no slot 2", "insert", "--slot", "2")
	s.tell(1, "99999018D", "insert", "--kind", "dnie", "--person", "60001019906", "--slot", "1")
	s.tell(1, "no card is \"nervous\"", "insert", "--personality", "nervous")
	environment, err := os.ReadFile(filepath.Join(s.dir, "env"))
	if err != nil || !strings.Contains(string(environment), "export PCSCLITE_CSOCK_NAME='") || !strings.Contains(string(environment), "export EIDLAB_CARD='") {
		t.Errorf("%s, %v", environment, err)
	}
	for _, name := range []string{"roots.pem", "issuers.pem", "dnie-keys.json"} {
		if _, err := os.Stat(filepath.Join(s.dir, "pki", name)); err != nil {
			t.Error(err)
		}
	}
	// A second program does not take the socket of the first.
	var failed bytes.Buffer
	code := run(t.Context(), []string{"card", "serve", "--listen", "127.0.0.1:0", "--control", s.control}, streams{strings.NewReader(""), &bytes.Buffer{}, &failed})
	if code != 1 || !strings.Contains(failed.String(), "another eidlab card serve") {
		t.Errorf("%d, %s", code, failed.String())
	}
	if code, printed := s.stop(); code != 0 {
		t.Errorf("%d: %s", code, printed)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "env")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("environment of a program that is gone: %v", err)
	}
	s.tell(1, "no eidlab card serve answers", "remove")
}

func TestCardWithoutPCSCDIsRemovedAndHasFaults(t *testing.T) {
	address := freeport.Address(t)
	s := serveCards(t, "--listen", address)
	slot := func() cardreader.Inserted {
		t.Helper()
		c := &cardreader.Cards{Service: vpcd.New(address), Drivers: []cardreader.Driver{esteid.Driver{}}}
		slots, err := c.List(t.Context())
		if err != nil || len(slots) != 1 {
			t.Fatal(slots, err)
		}
		return slots[0]
	}
	if now := slot(); len(now.Credentials) != 2 || now.Err != nil {
		t.Errorf("%+v", now)
	}
	s.tell(0, "empty", "remove")
	if now := slot(); now.Reader.State != cardreader.ReaderEmpty {
		t.Errorf("%+v", now)
	}
	faults := filepath.Join(s.dir, "faults.json")
	if err := os.WriteFile(faults, []byte(`{"rules": [{"command": "00 B0", "act": "refuse", "answer": "6F00"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tell(0, "Inserted", "insert", "--faults", faults)
	if now := slot(); !errors.Is(now.Err, cardreader.ErrCardProtocol) {
		t.Errorf("%+v", now)
	}
	if err := os.WriteFile(faults, []byte(`{"rulez": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tell(1, "rulez", "insert", "--faults", faults)
	s.tell(1, "reader 0 alone", "insert", "--slot", "1")
	s.tell(1, "no other program can share", "insert", "--personality", "shared")
}

func TestPersonsAreListedWithTheirCards(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"card", "persons"}, streams{strings.NewReader(""), &out, &out}); code != 0 {
		t.Fatal(code)
	}
	for _, text := range []string{"60001019906  Mari-Liis Männik", "99999999R", "dnie, pkcs15"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q lacks %q", out.String(), text)
		}
	}
}
