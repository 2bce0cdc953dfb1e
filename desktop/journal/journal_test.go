package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/journal"
)

func entry(name string) desktop.Entry {
	return desktop.Entry{
		Time: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), ID: "r1", Door: desktop.DoorLocalAPI, Origin: "https://bank.es",
		Kind: desktop.KindSign, Documents: []desktop.EntryDocument{{Name: name, SHA256: "00ff"}},
		Credential: "J. J., EE, 001122334455", Outcome: desktop.StateFailed, Code: desktop.CodePINWrong,
	}
}

func TestAppendWritesOneLineForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	// A file that others could read is closed to them.
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also over a restart
		j, err := journal.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Append(entry("a\nb\u2028.pdf")); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"time":"2026-11-01T12:00:00Z","id":"r1","door":"local-api","origin":"https://bank.es","kind":"sign",` +
		`"documents":[{"name":"a\nb` + "\u2028" + `.pdf","sha256":"00ff"}],"credential":"J. J., EE, 001122334455",` +
		`"outcome":"failed","code":"pin_wrong"}` + "\n"
	if got := string(data); got != line+line {
		t.Errorf("journal is\n%s\nwant\n%s", got, line+line)
	}
	if strings.Count(string(data), "\n") != 2 {
		t.Error("a line end is inside an entry")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
}

func TestOpenFailsWhereNothingCanBeWritten(t *testing.T) {
	if _, err := journal.Open(filepath.Join(t.TempDir(), "missing", "journal.jsonl")); err == nil {
		t.Error("opened")
	}
}

// S-21: a line that the power cut off does not spoil the next one.
func TestOpenEndsALineThatWasCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(path, []byte(`{"time":"2026-`), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append(entry("a.pdf")); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if lines := strings.Split(string(data), "\n"); err != nil || len(lines) != 3 || !strings.HasPrefix(lines[1], `{"time":"2026-11-01T12:00:00Z"`) {
		t.Errorf("%v: %s", err, data)
	}
}
