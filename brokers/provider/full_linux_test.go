package provider_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// roomVariable tells the test binary that it runs in a namespace of its own, where
// it may mount a disk; see TestDiskFull.
const roomVariable = "EIDBRIDGE_FULL_DISK"

// S-23: the disk of database and audit log is full after so many further pages, for
// each number of pages. Nothing breaks, whoever asks is told to come again, and when
// there is room again all goes on without a restart.
//
// The disk is a real one, in a mount namespace: this test runs itself there.
func TestDiskFull(t *testing.T) {
	if os.Getenv(roomVariable) != "" {
		fullDisk(t)
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside := exec.CommandContext(t.Context(), program, "-test.run", "^TestDiskFull$", "-test.v")
	inside.Env = append(os.Environ(), roomVariable+"="+t.TempDir())
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if out, err := inside.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	} else if !bytes.Contains(out, []byte("--- PASS: TestDiskFull")) {
		t.Fatalf("nothing was tried: %s", out)
	}
}

// disk is a small one that can be filled.
type disk struct {
	t    *testing.T
	path string
}

func (d *disk) leave(pages int) {
	d.t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(d.path, &stat); err != nil {
		d.t.Fatal(err)
	}
	size := (int64(stat.Bavail) - int64(pages)) * stat.Bsize
	if err := os.WriteFile(filepath.Join(d.path, "filler"), make([]byte, max(0, size)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) empty() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "filler")); err != nil {
		d.t.Fatal(err)
	}
}

func fullDisk(t *testing.T) {
	d := &disk{t, os.Getenv(roomVariable)}
	if err := syscall.Mount("tmpfs", d.path, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(d.path, "broker.db")
	kept, err := store.OpenSQLite(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	record, err := audit.Open(audit.Options{Path: filepath.Join(d.path, "audit.jsonl"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, options{store: kept, config: func(c *provider.Config) { c.Audit, c.Halted = slog.New(record.Handler()), record.Err }})
	acknowledged := []any{}
	refused := 0
	for pages := range 48 {
		d.leave(pages)
		// The first to notice may be a page of this login, or none if there is room.
		token, status := r.tryLogin(t)
		switch {
		case token != nil:
			acknowledged = append(acknowledged, token)
		case status == http.StatusServiceUnavailable:
			refused++
		default:
			t.Errorf("with %d pages left: %d", pages, status)
		}
		d.empty()
		if err := record.Recover(); err != nil {
			t.Fatalf("after %d pages the audit log does not go on: %v", pages, err)
		}
		if token, status := r.tryLogin(t); token == nil {
			t.Fatalf("after %d pages, with room again: %d", pages, status)
		} else {
			acknowledged = append(acknowledged, token)
		}
	}
	if refused < 3 {
		t.Errorf("only %d logins met a full disk", refused)
	}
	for i, token := range acknowledged {
		if !r.active(token) {
			t.Errorf("token %d of %d is lost", i, len(acknowledged))
		}
	}
	if err := record.Close(); err != nil {
		t.Error(err)
	}
	if err := kept.Close(); err != nil {
		t.Error(err)
	}
	integer(t, database)
	file, err := os.Open(filepath.Join(d.path, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := audit.Verify(key.Public().(ed25519.PublicKey), nil, file); err != nil {
		t.Errorf("audit log: %v", err)
	}
}

// integer has SQLite look at the whole file.
func integer(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the test is over
	var verdict string
	if err := db.QueryRowContext(context.Background(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity: %s %v", verdict, err)
	}
}
