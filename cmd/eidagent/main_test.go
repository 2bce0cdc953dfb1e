package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/xmls"
)

// pin2 is the signature PIN of the cards in these tests: a canary that nothing
// else contains (threats I-5).
const pin2 = "860402197"

func TestMain(m *testing.M) {
	pcscd.Child()
	testscript.Main(m, map[string]func(){
		"eidagent":     main,
		"testpinentry": func() { servePinentry(os.Stdin, os.Stdout) },
	})
}

// country is one PKI for all tests: making its keys takes a moment.
var country = sync.OnceValues(func() (*pki.Country, error) { return pki.New(pki.Options{}) })

// cardSpec is the card of a lab citizen with the canary as PIN2.
func cardSpec(person int, tries *cards.Tries) (cards.Spec, error) {
	c, err := country()
	if err != nil {
		return cards.Spec{}, err
	}
	keys, err := c.EstonianCitizen(pki.Persons()[person])
	if err != nil {
		return cards.Spec{}, err
	}
	spec, err := cards.EstEIDSpec(keys)
	if err != nil {
		return cards.Spec{}, err
	}
	spec.EstEID.PIN2, spec.EstEID.Tries = pin2, tries
	return spec, nil
}

// pulled is a card that is pulled out by the first command of one instruction.
type pulled struct {
	cards.Card
	ins  byte
	gone bool
}

func (p *pulled) Transmit(command []byte) []byte {
	p.gone = p.gone || len(command) > 1 && command[1] == p.ins
	if p.gone {
		return nil
	}
	return p.Card.Transmit(command)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"card":       cmdCard,
			"configured": cmdConfigured,
			"country":    cmdCountry,
			"members":    cmdMembers,
			"exits":      cmdExits,
			"fault":      cmdFault,
		},
	})
}

// setUp gives a script documents, anchors, a data folder and no desktop.
func setUp(env *testscript.Env) error {
	c, err := country()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"contract.pdf": pdfs.Classic(), "form.pdf": pdfs.FormCompressed(), "not.pdf": []byte("hello, not a PDF"), "empty.pdf": nil,
		"cut.pdf": pdfs.Classic()[:400],
		"deep.pdf": []byte("%PDF-1.7\n1 0 obj\n" + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) +
			"\nendobj\ntrailer << /Root 1 0 R >>\nstartxref\n9\n%%EOF\n"),
		"pin": []byte(pin2 + "\n"), "wrongpin": []byte("55555\n"), "shortpin": []byte("123\n"), "lettersPIN": []byte("abcdef\n"),
		"longpin": []byte(strings.Repeat("1", 80) + "\n"), "empty-field.pdf": pdfs.EmptyVisibleField(),
		"active.pdf": pdfs.Active()[0].Data, "plainform.pdf": pdfs.Form(),
		"threepins": []byte(strings.Repeat(pin2+"\n", 3)), "threewrongpins": []byte(strings.Repeat("55555\n", 3)),
		"passwordpin": []byte("secreto\n" + pin2 + "\n"), "password": []byte("secreto\n"),
		"invoice.xml": xmls.Invoice("3.2.2", 2),
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
			return err
		}
	}
	anchors := filepath.Join(env.WorkDir, "anchors")
	if err := os.MkdirAll(anchors, 0o700); err != nil {
		return err
	}
	if err := c.WritePEM(anchors); err != nil {
		return err
	}
	keys, err := c.TerminalKeys()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "dnie-keys.json"), keys, 0o600); err != nil {
		return err
	}
	env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
	env.Setenv("PCSCLITE_CSOCK_NAME", filepath.Join(env.WorkDir, "no-pcscd"))
	env.Setenv("PIN2", pin2)
	env.Setenv("LANG", "en_GB.UTF-8")
	return nil
}

// cmdCard puts an emulated card behind an address, which it leaves in $CARD:
//
//	card [kind=KIND] [as=PERSONALITY] [tries=N] [puk=N] [pulled=INS] [person=N]
//
// Tries and the canary as PIN2 are those of kind esteid.
func cmdCard(ts *testscript.TestScript, neg bool, args []string) {
	person, ins := 0, 0
	kind, personality := cards.KindEstEID, cards.Honest
	tries := &cards.Tries{PIN1: 3, PIN2: 3, PUK: 3}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "kind":
			kind = cards.Kind(value)
			continue
		case "as":
			personality = cards.Personality(value)
			continue
		}
		n, err := strconv.ParseUint(value, 0, 8)
		ts.Check(err)
		switch name {
		case "tries":
			tries.PIN2 = int(n)
		case "puk":
			tries.PUK = int(n)
		case "pulled":
			ins = int(n)
		case "person":
			person = int(n)
		default:
			ts.Fatalf("card does not know %s", name)
		}
	}
	spec, err := cardSpec(person, tries)
	if kind != cards.KindEstEID || personality != cards.Honest {
		spec, err = described(kind, personality)
	}
	ts.Check(err)
	card, err := spec.New()
	ts.Check(err)
	if ins != 0 {
		card = &pulled{Card: card, ins: byte(ins)}
	}
	ts.Setenv("CARD", listen(ts.Defer, ts.Fatalf, card))
}

// described is a card of any kind with the PINs that the lab gives it.
func described(kind cards.Kind, personality cards.Personality) (cards.Spec, error) {
	c, err := country()
	if err != nil {
		return cards.Spec{}, err
	}
	for _, p := range pki.Persons() {
		if (kind == cards.KindDNIe) == (p.NIF != "") {
			return cards.Describe(c, kind, p, personality)
		}
	}
	return cards.Spec{}, errors.New("nobody holds such a card")
}

// listen serves a card on loopback until the test ends.
func listen(deferred func(func()), fatalf func(string, ...any), card cards.Card) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fatalf("listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cards.Listen(ctx, l, card) }()
	deferred(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, cards.ErrRemoved) {
			fatalf("card: %v", err)
		}
	})
	return l.Addr().String()
}

// cmdExits runs a program and wants an exit code: exits 5 eidagent sign …
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code is %d, want %d", code, want)
	}
}

// nextEntry is the word of TESTPIN that follows those typed before, or the last.
func nextEntry() string {
	words := strings.Split(os.Getenv("TESTPIN"), " ")
	said, _ := os.ReadFile(os.Getenv("TESTLOG"))
	typed := strings.Count(string(said), `"GETPIN `) - 1
	return words[max(0, min(typed, len(words)-1))]
}

// servePinentry is a scripted pinentry. TESTPIN is typed, TESTANSWER ("ok",
// "cancel", "hang") answers, TESTLOG receives what was said, one JSON string a
// line.
func servePinentry(in io.Reader, out io.Writer) {
	answer := os.Getenv("TESTANSWER")
	say := func(s string) { fmt.Fprintln(out, s) }
	say("OK ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		if path := os.Getenv("TESTLOG"); path != "" {
			said, _ := url.PathUnescape(argument)
			line, _ := json.Marshal(command + " " + said)
			if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
				_, _ = f.Write(append(line, '\n'))
				f.Close()
			}
		}
		asked := command == "GETPIN" || command == "CONFIRM"
		switch {
		case asked && answer == "cancel":
			say("ERR 83886179 Operation cancelled <test>")
			continue
		case asked && answer == "hang":
			select {}
		case command == "GETPIN":
			say("D " + nextEntry())
		}
		say("OK")
		if command == "BYE" {
			return
		}
	}
}
