package origins_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/desktop/origins"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func open(t *testing.T) (*origins.Store, string, *clock) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pairings.json")
	c := &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	s, err := origins.Open(path, c.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s, path, c
}

func approve(t *testing.T, s *origins.Store, id, origin string, scopes ...origins.Scope) string {
	t.Helper()
	_, token, err := s.Approve(id, mustParse(t, origin), "Lab", scopes)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// L-12: 256 bit, bound to the origin, kept as a hash, in a file of its owner.
func TestTokenIsKeptOnlyAsAHash(t *testing.T) {
	s, path, _ := open(t)
	token := approve(t, s, "p1", "https://bank.es", origins.ScopeSign)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 32 {
		t.Errorf("token is %d bytes, %v", len(raw), err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), token) {
		t.Error("the file holds the token")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestCheckWantsTokenOriginAndScope(t *testing.T) {
	s, _, _ := open(t)
	bank := approve(t, s, "p1", "https://bank.es", origins.ScopeSign)
	other := approve(t, s, "p2", "https://other.es", origins.ScopeStatus)
	for _, row := range []struct {
		name, token, origin string
		scope               origins.Scope
		want                error
	}{
		{"right", bank, "https://bank.es", origins.ScopeSign, nil},
		{"no scope needed", other, "https://other.es", "", nil},
		{"token of another origin", bank, "https://other.es", origins.ScopeSign, origins.ErrToken},
		{"other port", bank, "https://bank.es:444", origins.ScopeSign, origins.ErrToken},
		{"scope missing", other, "https://other.es", origins.ScopeSign, origins.ErrScope},
		{"no token", "", "https://bank.es", origins.ScopeSign, origins.ErrToken},
		{"cut token", bank[:42], "https://bank.es", origins.ScopeSign, origins.ErrToken},
	} {
		if _, err := s.Check(row.token, mustParse(t, row.origin), row.scope); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

func TestPairingsSlideExpireAndSurviveARestart(t *testing.T) {
	s, path, c := open(t)
	bank := mustParse(t, "https://bank.es")
	token := approve(t, s, "p1", "https://bank.es", origins.ScopeSign)
	c.now = c.now.Add(29 * 24 * time.Hour)
	if _, err := s.Check(token, bank, origins.ScopeSign); err != nil {
		t.Fatal(err)
	}
	s, err := origins.Open(path, c.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(29 * 24 * time.Hour)
	if !s.Approved(bank) || len(s.List()) != 1 {
		t.Error("pairing did not slide")
	}
	c.now = c.now.Add(2 * 24 * time.Hour)
	if _, err := s.Check(token, bank, origins.ScopeSign); !errors.Is(err, origins.ErrToken) {
		t.Errorf("expired token: %v", err)
	}
	if s.Approved(bank) || len(s.List()) != 0 {
		t.Error("expired pairing is listed")
	}
}

func TestForgetVoidsTheToken(t *testing.T) {
	s, _, _ := open(t)
	token := approve(t, s, "p1", "https://bank.es", origins.ScopeSign)
	if err := s.Forget("p1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(token, mustParse(t, "https://bank.es"), ""); !errors.Is(err, origins.ErrToken) {
		t.Errorf("got %v", err)
	}
	if err := s.Forget("p1"); !errors.Is(err, origins.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestOldestPairingGivesWay(t *testing.T) {
	s, _, c := open(t)
	first := approve(t, s, "first", "https://bank.es", origins.ScopeSign)
	for i := range 500 {
		c.now = c.now.Add(time.Second)
		approve(t, s, strings.Repeat("x", i+1), "https://other.es", origins.ScopeSign)
	}
	if n := len(s.List()); n != 500 {
		t.Errorf("%d pairings", n)
	}
	if _, err := s.Check(first, mustParse(t, "https://bank.es"), ""); !errors.Is(err, origins.ErrToken) {
		t.Errorf("oldest is still there: %v", err)
	}
}

func TestStoreThatCannotBeWrittenApprovesNothing(t *testing.T) {
	c := &clock{now: time.Now()}
	s, err := origins.Open(filepath.Join(t.TempDir(), "missing", "pairings.json"), c.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bank := mustParse(t, "https://bank.es")
	if _, _, err := s.Approve("p1", bank, "Lab", []origins.Scope{origins.ScopeSign}); err == nil {
		t.Fatal("approved")
	}
	if s.Approved(bank) {
		t.Error("approved in memory")
	}
}

func TestOpenRefusesWhatItDidNotWrite(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON":        "hello",
		"unknown version": `{"version":2,"pairings":[]}`,
		"unknown member":  `{"version":1,"pairings":[],"trust":"all"}`,
		"bad origin":      `{"version":1,"pairings":[{"id":"a","origin":"http://BANK.es"}]}`,
		"too large":       `{"version":1,"pairings":[]}` + strings.Repeat(" ", 1<<20),
	} {
		path := filepath.Join(t.TempDir(), "pairings.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := origins.Open(path, time.Now, rand.Reader); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
