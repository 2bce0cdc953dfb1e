//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// desk is a folder to work in, with an environment, and everything that programs
// printed in it.
type desk struct {
	t   *testing.T
	dir string
	env []string

	mu      sync.Mutex
	printed bytes.Buffer
}

func newDesk(t *testing.T, env ...string) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	d.env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(d.dir, "data"), "LANG=en_GB.UTF-8", "DISPLAY=", "WAYLAND_DISPLAY=")
	d.env = append(d.env, env...)
	d.write("contract.pdf", pdfs.Classic())
	return d
}

func (d *desk) write(name string, data []byte) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// Write keeps what programs print.
func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.printed.Write(p)
}

// command prepares a run of the program.
func (d *desk) command(args ...string) *exec.Cmd {
	c := exec.Command("eidagent", args...)
	c.Dir, c.Env = d.dir, d.env
	return c
}

// run runs the program and wants an exit code; it returns what was printed.
func (d *desk) run(code int, stdin io.Reader, args ...string) string {
	d.t.Helper()
	c := d.command(args...)
	c.Stdin = stdin
	out, err := c.CombinedOutput()
	_, _ = d.Write(out)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		d.t.Fatal(err)
	}
	if got != code {
		d.t.Errorf("eidagent %v: exit code %d, want %d\n%s", args, got, code, out)
	}
	return string(out)
}

func (d *desk) wants(out string, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			d.t.Errorf("output lacks %q:\n%s", text, out)
		}
	}
}

// hides searches everything printed and every file for a secret (I-5). Files of
// the given extensions may hold it: a signed PDF holds the certificate and with it
// the personal number.
func (d *desk) hides(secret string, except ...string) {
	d.t.Helper()
	d.mu.Lock()
	found := map[string][]byte{"output": bytes.Clone(d.printed.Bytes())}
	d.mu.Unlock()
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || slices.Contains(except, filepath.Ext(path)) {
			return err
		}
		found[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	packed := secret
	if len(packed)%2 == 1 {
		packed += "f"
	}
	bcd, err := hex.DecodeString(packed)
	if err != nil {
		d.t.Fatal(err)
	}
	var escaped strings.Builder
	for _, b := range []byte(secret) {
		escaped.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	for form, needle := range map[string][]byte{
		"plain": []byte(secret), "hexadecimal": []byte(hex.EncodeToString([]byte(secret))),
		"base64": []byte(base64.RawStdEncoding.EncodeToString([]byte(secret))[:len(secret)]),
		"URL":    []byte(escaped.String()), "BCD": bcd[:len(secret)/2], "BCD in hexadecimal": []byte(hex.EncodeToString(bcd)),
	} {
		for where, text := range found {
			if bytes.Contains(text, needle) {
				d.t.Errorf("%s holds %s (%s)", where, secret, form)
			}
		}
	}
}

// emulated puts a card behind an address without pcscd.
func emulated(t *testing.T, tries *cards.Tries) string {
	t.Helper()
	spec, err := cardSpec(0, tries)
	if err != nil {
		t.Fatal(err)
	}
	card, err := spec.New()
	if err != nil {
		t.Fatal(err)
	}
	return listen(t.Cleanup, t.Fatalf, card)
}

// A person types the PIN on a real pseudo-terminal; nothing of it is echoed.
func TestPINTypedOnATerminal(t *testing.T) {
	address := emulated(t, nil)
	for _, row := range []struct {
		name, keys string
		code       int
		says       string
	}{
		{"wrong PIN", "55555\r", exitPINWrong, "PIN2 is wrong"},
		{"Enter alone", "\r", exitRefused, "refused: nothing was signed"},
		{"Ctrl-C", "860\x03", exitRefused, "refused: nothing was signed"},
		{"corrected PIN", "8604\x15" + pin2 + "99\x7f\x7f\r", exitDone, "contract-signed.pdf"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDesk(t)
			c := d.command("--vpcd", address, "sign", "contract.pdf")
			terminal, err := pty.Start(c)
			if err != nil {
				t.Fatal(err)
			}
			defer terminal.Close()
			typed := false
			buffer := make([]byte, 4096)
			for {
				n, err := terminal.Read(buffer)
				_, _ = d.Write(buffer[:n])
				if !typed && strings.Contains(d.printed.String(), "Enter alone refuses") {
					typed = true
					if _, err := io.WriteString(terminal, row.keys); err != nil {
						t.Fatal(err)
					}
				}
				if err != nil {
					break // EIO: the program has closed its end
				}
			}
			_ = c.Wait()
			if got := c.ProcessState.ExitCode(); got != row.code {
				t.Errorf("exit code is %d, want %d\n%s", got, row.code, d.printed.String())
			}
			d.wants(d.printed.String(), "contract.pdf", "MARI-LIIS", "PNOEE-••••••••906", "PIN2: ", row.says)
			d.hides(pin2)
			d.hides("60001019906", ".pdf")
			if _, err := os.Stat(filepath.Join(d.dir, "contract-signed.pdf")); (err == nil) != (row.code == exitDone) {
				t.Errorf("signed file: %v", err)
			}
		})
	}
}

// pinentryEnv lets the test binary be the pinentry.
func pinentryEnv(d *desk, pin, answer string) {
	d.env = append(d.env, "TESTPIN="+pin, "TESTANSWER="+answer, "TESTLOG="+filepath.Join(d.dir, "said"))
}

// I-5, C-45: no way of entering the PIN leaves it anywhere.
func TestPINIsFoundNowhere(t *testing.T) {
	d := newDesk(t)
	address := emulated(t, nil)
	d.run(exitDone, strings.NewReader(pin2+"\n"), "--vpcd", address, "sign", "--pin-fd", "0", "contract.pdf")
	d.run(exitPINWrong, strings.NewReader("7"+pin2+"\n"), "--vpcd", address, "sign", "--pin-fd", "0", "--out", "x.pdf", "contract.pdf")
	d.run(exitPINWrong, strings.NewReader(pin2+pin2+"\n"), "--vpcd", address, "sign", "--pin-fd", "0", "--out", "x.pdf", "contract.pdf")
	pinentryEnv(d, pin2, "ok")
	d.run(exitDone, nil, "--vpcd", address, "sign", "--pinentry", "testpinentry", "--json", "--out", "y.pdf", "contract.pdf")
	d.hides(pin2)
}

// The whole way over a real pcscd with the emulated card in its virtual reader.
func TestJourneyOverPCSCD(t *testing.T) {
	stack, err := pcscd.Start(t.Context(), pcscd.Options{})
	if errors.Is(err, pcscd.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stack.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}()
	d := newDesk(t, stack.Env()...)
	d.wants(d.run(exitCard, nil, "cards"), "no card is in the reader", "hint: ")
	d.wants(d.run(exitCard, strings.NewReader(pin2), "sign", "--pin-fd", "0", "contract.pdf"), "no card is in the reader")

	spec, err := cardSpec(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Insert(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	d.wants(d.run(exitDone, strings.NewReader(pin2), "sign", "--pin-fd", "0", "--reader", "virtual pcd 00 00", "contract.pdf"), "contract-signed.pdf")
	exchanges, err := stack.Exchanges(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	atVerify := commandWithPIN(exchanges)
	d.wants(d.run(exitIndeterminate, nil, "verify", "contract-signed.pdf"), "INDETERMINATE")
	d.wants(d.run(exitPINWrong, strings.NewReader("55555"), "sign", "--pin-fd", "0", "--out", "wrong.pdf", "contract.pdf"), "PIN2 is wrong", "2 tries are left")
	d.nothing("wrong.pdf")
	d.wants(d.run(exitDone, nil, "cards"), "Virtual PCD 00 00", "EstEID 2018", "PIN2         2 of 3 tries left")

	// One VERIFY for each entry, and one signature (C-33).
	if exchanges, err = stack.Exchanges(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if v, p := withPIN(exchanges), cards.Count(exchanges, "2A"); v != 2 || p != 1 {
		t.Errorf("%d VERIFY with data and %d signatures, want 2 and 1", v, p)
	}

	// Pulled out while the PIN is verified.
	if err := stack.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec.Faults.RemoveAt = atVerify
	if err := stack.Insert(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	d.wants(d.run(exitCard, strings.NewReader(pin2), "sign", "--pin-fd", "0", "--out", "pulled.pdf", "contract.pdf"), "removed half-way", "hint: ")
	d.nothing("pulled.pdf")

	// Blocked.
	if err := stack.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec, err = cardSpec(0, &cards.Tries{PIN1: 3, PUK: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Insert(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	d.wants(d.run(exitPINBlocked, strings.NewReader(pin2), "sign", "--pin-fd", "0", "--out", "blocked.pdf", "contract.pdf"), "PIN2 is blocked", "PUK")
	d.nothing("blocked.pdf")
	d.hides(pin2)

	if err := stack.Stop(); err != nil {
		t.Fatal(err)
	}
	d.wants(d.run(exitReader, nil, "cards"), "pcscd) is not running", "hint: ")
}

func TestNoReaderOverPCSCD(t *testing.T) {
	stack, err := pcscd.Start(t.Context(), pcscd.Options{NoReader: true})
	if errors.Is(err, pcscd.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stack.Stop() }()
	d := newDesk(t, stack.Env()...)
	d.wants(d.run(exitReader, nil, "cards"), "no smart-card reader is connected", "hint: Plug in")
	d.wants(d.run(exitReader, strings.NewReader(pin2), "sign", "--pin-fd", "0", "contract.pdf"), "no smart-card reader is connected")
}

// withPIN counts the VERIFY commands that carry data; the empty ones ask for the
// state.
func withPIN(exchanges []cards.Exchange) int {
	n := 0
	for _, e := range exchanges {
		if e.INS() == "20" && len(e.Command) > 2*5 {
			n++
		}
	}
	return n
}

// commandWithPIN is the number of the first of these, counting commands from 1.
func commandWithPIN(exchanges []cards.Exchange) int {
	n := 0
	for _, e := range exchanges {
		if e.Reset {
			continue
		}
		n++
		if e.INS() == "20" && len(e.Command) > 2*5 {
			return n
		}
	}
	return 0
}

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
	_, body = p.call("GET", "/v1/pairings/"+pairing.ID+"?wait=20", "")
	p.into(body, &pairing)
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

func (d *desk) nothing(names ...string) {
	d.t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(d.dir, name)); err == nil {
			d.t.Errorf("%s was left behind", name)
		}
	}
	left, _ := filepath.Glob(filepath.Join(d.dir, ".*.part"))
	if len(left) > 0 {
		d.t.Errorf("temporary files are left: %v", left)
	}
}
