//go:build interop

package kms_test

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/envelope/kms"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// moto is the service as others wrote it (PyPI moto).
func moto(t *testing.T) string {
	t.Helper()
	program := filepath.Join("..", "..", "..", ".cache", "moto", "bin", "moto_server")
	if _, err := os.Stat(program); err != nil {
		t.Fatal("moto is needed: make setup-interop")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); found != "" {
			go func() {
				for lines.Scan() { // so that it never waits for us
				}
			}()
			return found
		}
	}
	t.Fatal("moto did not start")
	return ""
}

// key has the service make a key and says its ARN.
func key(t *testing.T, endpoint string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261128/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := bufio.NewReader(resp.Body).ReadString('}')
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`arn:aws:kms:[^"]+`).FindString(body)
}

// A master key in moto wraps, and a database moves from a local master key to it and
// back without a record being touched (S-04).
func TestInteropMoto(t *testing.T) {
	credentials(t)
	endpoint := moto(t)
	ctx := context.Background()
	m, err := kms.New(ctx, key(t, endpoint), kms.Options{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	proveMaster(t, m)
	text, err := envelope.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	local, err := envelope.ParseLocal(text)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "broker.db")
	now := time.Now()
	for i, masters := range [][]envelope.Master{{local, m}, {m, local}, {m}, {m, local}, {local, m}, {local}} {
		s, err := store.OpenSQLite(ctx, path, store.WithMasters(time.Now, masters...))
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if i == 0 {
			err = s.SaveReceipt(ctx, "receipt", []byte("what was signed"), now.Add(time.Hour))
		}
		if err == nil {
			_, err = s.Keyring().Rewrap(ctx)
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got, err := s.Receipt(ctx, "receipt", now); err != nil || string(got) != "what was signed" {
			t.Errorf("step %d: %q %v", i, got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
