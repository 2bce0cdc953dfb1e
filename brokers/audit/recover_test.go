package audit_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/audit"
)

// S-23, S-24: a log that could not be written goes on when it can, and says how many
// events were lost; the chain holds over the gap.
func TestLogRecovers(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	if err := l.Record("login.begun", "ok"); err != nil {
		t.Fatal(err)
	}
	audit.Break(l, errors.New("no space left"))
	for range 3 {
		if err := l.Record("login.begun", "untold"); err == nil {
			t.Error("a log that failed took an event")
		}
	}
	if err := l.Recover(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Err(), l.Recover(), l.Record("login.begun", "later"), l.Close()); err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(); err == nil {
		t.Error("a closed log came back")
	}
	text, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"event":"audit.recovered"`)) || !bytes.Contains(text, []byte(`"lost":"4"`)) || bytes.Contains(text, []byte("untold")) {
		t.Errorf("log: %s", text)
	}
	if _, err := audit.Verify(b.public(), b.outside, b.read(t)...); err != nil {
		t.Error(err)
	}
}
