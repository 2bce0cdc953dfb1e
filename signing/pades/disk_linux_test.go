package pades_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// TestSignFileWithoutRoom signs in a child process that may write only so many bytes
// to a file: a typed error, the original and an earlier output as they were, and
// nothing left behind (P-48, I-4).
func TestSignFileWithoutRoom(t *testing.T) {
	if room := os.Getenv("EIDBRIDGE_TEST_ROOM"); room != "" {
		signWithRoom(t, room)
		return
	}
	source := pdfs.Noise(200_000)
	for _, room := range []int{0, 4096, 100_000, len(source), len(source) + 1000} {
		t.Run(strconv.Itoa(room), func(t *testing.T) {
			d := newDesk(t, source)
			earlier := []byte("an earlier output")
			if err := os.WriteFile(d.out, earlier, 0o600); err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSignFileWithoutRoom$", "-test.count=1")
			child.Env = append(os.Environ(), "EIDBRIDGE_TEST_ROOM="+strconv.Itoa(room), "EIDBRIDGE_TEST_FOLDER="+d.folder)
			if out, err := child.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for name, want := range map[string][]byte{d.in: source, d.out: earlier} {
				if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s changed (%v)", filepath.Base(name), err)
				}
			}
			entries, err := os.ReadDir(d.folder)
			if err != nil || len(entries) != 2 {
				t.Errorf("left behind: %v (%v)", entries, err)
			}
		})
	}
}

func signWithRoom(t *testing.T, room string) {
	n, err := strconv.ParseUint(room, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	cred := citizen(t)
	signal.Ignore(syscall.SIGXFSZ) // then the write itself fails
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		t.Fatal(err)
	}
	folder := os.Getenv("EIDBRIDGE_TEST_FOLDER")
	_, err = pades.SignFile(t.Context(), filepath.Join(folder, "in.pdf"), filepath.Join(folder, "out.pdf"), cred, pades.Options{SigningTime: signedAt, Overwrite: true})
	if !errors.Is(err, pades.ErrOutput) || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("got %v", err)
	}
}
