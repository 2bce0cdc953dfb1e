package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/audit"
)

func TestTailFindsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Options{Path: path, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := l.Record("login.begun", "ok"); err != nil {
			t.Fatal(err)
		}
		if err := l.Record("client.added", "ok", slog.String("actor", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	acted := func(l *audit.Line) bool { return l.Attributes["actor"] != "" }
	list, err := audit.Tail(path, 3, acted)
	if err != nil || len(list) != 3 || list[0].Attributes["actor"] != "49" || list[2].Attributes["actor"] != "47" {
		t.Fatalf("%+v %v", list, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// More than is looked at, cut at any place.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := audit.Tail(filepath.Join(t.TempDir(), "none"), 3, acted); err != nil || len(list) != 0 {
		t.Errorf("no file: %v %v", list, err)
	}
	for name, edit := range map[string]func([]byte) []byte{
		"an edited line": func(b []byte) []byte { return bytes.Replace(b, []byte(`"actor":"48"`), []byte(`"actor":"84"`), 1) },
		"a missing line": func(b []byte) []byte {
			at := bytes.Index(b, []byte(`"actor":"48"`))
			return append(b[:bytes.LastIndexByte(b[:at], '\n')+1:bytes.LastIndexByte(b[:at], '\n')+1], b[at+bytes.IndexByte(b[at:], '\n')+1:]...)
		},
		"something else": func(b []byte) []byte { return append(b, "hello\n"...) },
	} {
		other := filepath.Join(t.TempDir(), "edited")
		if err := os.WriteFile(other, edit(bytes.Clone(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Tail(other, 3, acted); err == nil {
			t.Errorf("%s was not noticed", name)
		}
	}
}
