package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/trustservices"
)

// TestCountryServesUntilInterrupted starts the services alone, as a validator's
// test does, and reads what it prints.
func TestCountryServesUntilInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	var problems bytes.Buffer
	code := make(chan int, 1)
	args := []string{"country", "--listen", "127.0.0.1:0", "--pki", filepath.Join(dir, "pki"), "--key", filepath.Join(dir, "citizen.pem"), "--person", "99999999R"}
	go func() {
		code <- run(ctx, args, streams{strings.NewReader(""), out, &problems})
		_ = out.Close()
	}()
	var d trustservices.Description
	if err := json.NewDecoder(in).Decode(&d); err != nil {
		t.Fatalf("%v; %s", err, problems.String())
	}
	// The rest is the end of the line.
	go func() { _, _ = io.Copy(io.Discard, in) }()
	answer, err := http.Get(d.LOTL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if list, err := io.ReadAll(answer.Body); err != nil || !bytes.Contains(list, []byte("EUlistofthelists")) {
		t.Errorf("list of the lists: %v, %d bytes", err, len(list))
	}
	if signer, err := os.ReadFile(filepath.Join(dir, "pki", "lotl-signer.pem")); err != nil || string(signer) != d.LOTLSigner {
		t.Errorf("signer of the list: %v", err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "citizen.pem"), filepath.Join(dir, "citizen.pem")); err != nil {
		t.Errorf("key of the citizen: %v", err)
	}
	stop()
	if c := <-code; c != 0 || problems.Len() > 0 {
		t.Errorf("exit code %d: %s", c, problems.String())
	}
}
