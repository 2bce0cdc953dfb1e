//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

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
	stack := needs.PCSCD(t, pcscd.Options{})
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
	stack := needs.PCSCD(t, pcscd.Options{NoReader: true})
	d := newDesk(t, stack.Env()...)
	d.wants(d.run(exitReader, nil, "cards"), "no smart-card reader is connected", "hint: Plug in")
	d.wants(d.run(exitReader, strings.NewReader(pin2), "sign", "--pin-fd", "0", "contract.pdf"), "no smart-card reader is connected")
}

// refuse runs a command in a terminal and answers its question with Enter alone.
func (d *desk) refuse(c *exec.Cmd) {
	d.t.Helper()
	terminal, err := pty.Start(c)
	if err != nil {
		d.t.Fatal(err)
	}
	defer terminal.Close()
	buffer := make([]byte, 4096)
	for answered := false; ; {
		n, err := terminal.Read(buffer)
		_, _ = d.Write(buffer[:n])
		if !answered && strings.Contains(d.printed.String(), "Enter alone refuses") {
			answered = true
			if _, err := io.WriteString(terminal, "\r"); err != nil {
				d.t.Fatal(err)
			}
		}
		if err != nil {
			break // EIO: the program has closed its end
		}
	}
	_ = c.Wait() // its exit code is in ProcessState
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

// Threat C-38: what the administrator's policy says of a chip is shown with the
// card, and a key that it forbids asks for no PIN.
func TestKeyPolicyWarnsAndForbids(t *testing.T) {
	d := newDesk(t)
	address := emulated(t, nil)
	write := func(forbid string) {
		d.write("policy.json", []byte(`{"rules":[{"id":"CVE-2024-45678","reason":"the chip leaks its key","family":"EstEID 2018"`+forbid+`}]}`))
	}
	write("")
	d.wants(d.run(exitDone, nil, "--vpcd", address, "--key-policy", "policy.json", "cards"), "WARNING", "CVE-2024-45678: the chip leaks its key\n")
	d.run(exitDone, strings.NewReader(pin2), "--vpcd", address, "--key-policy", "policy.json", "sign", "--pin-fd", "0", "--out", "warned.pdf", "contract.pdf")
	write(`,"forbid":true`)
	d.wants(d.run(exitDone, nil, "--vpcd", address, "--key-policy", "policy.json", "cards", "--json"), `"CVE-2024-45678: the chip leaks its key (not used)"`)
	d.wants(d.run(exitRefused, strings.NewReader(pin2), "--vpcd", address, "--key-policy", "policy.json", "sign", "--pin-fd", "0", "--out", "forbidden.pdf", "contract.pdf"),
		"CVE-2024-45678", "nothing was signed", "hint: ")
	d.nothing("forbidden.pdf")
	d.write("policy.json", []byte(`{"rules":[{"id":"X"}]}`))
	d.wants(d.run(exitUsage, nil, "--vpcd", address, "--key-policy", "policy.json", "cards"), "malformed key policy")
}

// Threat C-49: the phrase is in the agent's questions, and nowhere that a page sees.
func TestPhraseIsChosenAndForgotten(t *testing.T) {
	d := newDesk(t)
	d.wants(d.run(exitUsage, strings.NewReader("short\n"), "phrase"), "6 to 28")
	d.wants(d.run(exitUsage, strings.NewReader("with\x1b[2Jcontrol\n"), "phrase"), "printable")
	d.wants(d.run(exitDone, strings.NewReader("blue whale under the stairs\n"), "phrase"), "shows your phrase")
	info, err := os.Stat(filepath.Join(d.dir, "config", "eidbridge", "phrase"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	c := d.command("--vpcd", emulated(t, nil), "sign", "contract.pdf")
	d.refuse(c)
	d.wants(d.printed.String(), "Your phrase: blue whale under the stairs")
	d.run(exitDone, nil, "phrase", "--clear")
	if _, err := os.Stat(filepath.Join(d.dir, "config", "eidbridge", "phrase")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A batch in a terminal: the list with whole digests, one yes, a PIN for each
// signature, and a bar that grows.
func TestBatchOnATerminal(t *testing.T) {
	address := emulated(t, nil)
	d := newDesk(t)
	d.write("second.pdf", pdfs.Form())
	c := d.command("--vpcd", address, "sign", "contract.pdf", "second.pdf")
	terminal, err := pty.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	answers := []struct{ after, keys string }{
		{"Type yes to agree", "yes\r"}, {"Document 1 of 2", pin2 + "\r"}, {"Document 2 of 2", pin2 + "\r"},
	}
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		_, _ = d.Write(buffer[:n])
		printed := d.printed.String()
		if len(answers) > 0 {
			if at := strings.Index(printed, answers[0].after); at >= 0 && (answers[0].keys == "yes\r" || strings.Contains(printed[at:], "Enter alone refuses")) {
				if _, err := io.WriteString(terminal, answers[0].keys); err != nil {
					t.Fatal(err)
				}
				answers = answers[1:]
			}
		}
		if err != nil {
			break // EIO: the program has closed its end
		}
	}
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != exitDone {
		t.Errorf("exit code is %d\n%s", got, d.printed.String())
	}
	sum := sha256.Sum256(pdfs.Form())
	d.wants(d.printed.String(), "sign 2 documents", "1. “contract.pdf”", "2. “second.pdf”", hex.EncodeToString(sum[:]),
		"PIN2 is asked for before each signature", "[############............] 1/2 contract.pdf", "[########################] 2/2 second.pdf",
		"contract-signed.pdf\tB-B", "second-signed.pdf\tB-B", "2 signed")
	d.hides(pin2)
}

// P-49, L-39: a document of a batch that was changed after the list was agreed to is
// not signed; the others are.
func TestBatchSignsWhatWasListed(t *testing.T) {
	address := emulated(t, nil)
	d := newDesk(t)
	second := d.write("second.pdf", pdfs.Form())
	// With --force outputs have a name while they are written.
	c := d.command("--vpcd", address, "sign", "--force", "--pin-fd", "0", "contract.pdf", "second.pdf")
	// The PIN of the first signature comes after the change.
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout, c.Stderr = reader, d, d
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	reader.Close()
	watch(t, filepath.Join(d.dir, "."), ".contract-signed.pdf.") // being written, so the list was agreed to
	if err := os.WriteFile(second, pdfs.Contract(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(writer, pin2+"\n"+pin2+"\n"); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != exitDocument {
		t.Errorf("exit code is %d\n%s", got, d.printed.String())
	}
	d.wants(d.printed.String(), "second.pdf: the file was changed", "1 signed, 0 signed before, 1 failed, 0 left")
	d.nothing("second-signed.pdf")
}

// watch returns when a file whose name begins so is in a folder.
func watch(t *testing.T, dir, prefix string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), prefix) {
				return
			}
		}
		runtime.Gosched()
	}
	t.Fatalf("no %s…", prefix)
}
