//go:build linux

package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// portal is a page's side of the loopback API in the running program.
type portal struct {
	t            *testing.T
	base, origin string
	token        string
}

func (p *portal) call(method, path, body string, header ...string) (int, []byte) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Origin", p.origin)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, data
}

func (p *portal) into(data []byte, v any) {
	p.t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		p.t.Fatalf("%v: %s", err, data)
	}
}

// The running agent: a portal pairs and has a document signed; the person is a
// scripted pinentry.
func TestRunServesAPortal(t *testing.T) {
	d := newDesk(t)
	address := emulated(t, nil)
	pinentryEnv(d, pin2, "ok")
	c := d.command("--vpcd", address, "run", "--port", "0", "--allow-origin", "http://localhost:8180", "--pinentry", "testpinentry")
	c.Stderr = d
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	p := &portal{t: t, base: strings.TrimSpace(line), origin: "http://localhost:8180"}

	// Another agent does not get the port (L-09).
	taken, err := url.Parse(p.base)
	if err != nil {
		t.Fatal(err)
	}
	d.wants(d.run(exitOther, nil, "run", "--port", taken.Port(), "--pinentry", "testpinentry"), "no port", "hint: Another eidagent")

	_, body := p.call("POST", "/v1/pairings", `{"origin_name":"Lab portal","scopes":["sign"]}`)
	var pairing struct{ ID, State, Token, Compare_code string }
	p.into(body, &pairing)
	code := pairing.Compare_code
	for pairing.State == "pending" {
		_, body = p.call("GET", "/v1/pairings/"+pairing.ID+"?wait=20", "")
		p.into(body, &pairing)
	}
	if pairing.State != "approved" || pairing.Token == "" {
		t.Fatalf("%s", body)
	}
	p.token = pairing.Token

	document := pdfs.FormCompressed()
	sum := sha256.Sum256(document)
	wish, err := json.Marshal(map[string]any{
		"kind": "sign", "locale": "nl", "sign": map[string]any{
			"documents": []any{map[string]any{
				"n": 1, "name": "huur\u202Efdp.pdf", "media_type": "application/pdf", "content": "inline",
				"data": base64.URLEncoding.EncodeToString(document),
			}},
			"output": map[string]any{"format": "pades", "level": "B-B"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, body = p.call("POST", "/v1/requests", string(wish), "Idempotency-Key", "k1")
	var request struct {
		ID, State string
		Seq       int
		Sign      []struct{ Signed string }
	}
	p.into(body, &request)
	for request.State != "done" && request.State != "failed" {
		_, body = p.call("GET", "/v1/requests/"+request.ID+"?wait=10", "")
		p.into(body, &request)
	}
	if request.State != "done" {
		t.Fatalf("%s", body)
	}
	_, signed := p.call("GET", request.Sign[0].Signed, "")
	d.write("signed.pdf", signed)
	d.wants(d.run(exitIndeterminate, nil, "verify", "--json", "signed.pdf"), `"integrity": "INTACT"`, `"coverage": "WHOLE_FILE"`)

	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("end: %v", err)
	}
	said, err := os.ReadFile(filepath.Join(d.dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	d.wants(string(said), code, "http://localhost:8180", `huur\\u{202e}fdp.pdf`, "handgeschreven handtekening", hex.EncodeToString(sum[:2]))
	for _, name := range []string{"journal.jsonl", "pairings.json"} {
		info, err := os.Stat(filepath.Join(d.dir, "data", "eidbridge", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	d.hides(pin2)
	d.hides("60001019906", ".pdf")
}
