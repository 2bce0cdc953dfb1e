package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// S-21: what was used once, given or taken back has to outlast a power cut; a login under
// way, up to its code, has not, and is not waited for.
func TestWhatHasToLast(t *testing.T) {
	list := lasting()
	for name, want := range map[string]bool{
		"redeem": true, "redeem in term": true, "revoke": true, "revoke replayed": true, "revoke of session": true,
		"rotate": true, "use assertion": true, "use pushed": true, "end session": true, "insert access token": true, "strike": true,
		"take device": true, "begin epoch": true, "add signing key": true, "destroy data keys": true, "save client": true,
		"insert grant": false, "advance": false, "save session": false, "take part": false,
		"save transaction": false, "advance lazily": false, "take up read": false, "purge transactions": false,
	} {
		if got, known := list[name]; !known || got != want {
			t.Errorf("%s lasts: %v, known: %v", name, got, known)
		}
	}
}

// S-24: nobody is told of a commit whose log could not be synced; what need not last is
// told at once, and so is what failed.
func TestCommitThatCannotBeSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := startDurable(path)
	if err != nil {
		t.Fatal(err)
	}
	told := func(durable bool, err error) error {
		w := &batched{durable: durable, done: make(chan error, 1)}
		d.tell(w, err)
		return <-w.done
	}
	if err := told(true, nil); err != nil {
		t.Errorf("a log that can be synced: %v", err)
	}
	if err := d.log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := told(true, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a log that cannot be synced: %v", err)
	}
	if err := told(false, nil); err != nil {
		t.Errorf("what need not last: %v", err)
	}
	if err := told(true, os.ErrInvalid); !errors.Is(err, os.ErrInvalid) || errors.Is(err, os.ErrClosed) {
		t.Errorf("what failed before: %v", err)
	}
	if err := d.close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}
