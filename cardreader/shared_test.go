package cardreader_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/esteid2025"
	"github.com/eidbridge/eidbridge/cardreader/pkcs15"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
)

// Threat C-22: many requests at one card at the same time. Commands of different
// operations never mix, and each caller gets the value over its own digest, which
// the facade proves with the certificate's key.
func TestParallelRequestsNeverMixTheirCommands(t *testing.T) {
	k := newKeyed(t, holders.Country(t), cards.KindEstEID, cards.Honest)
	k.cards.Service = k.reader
	k.cards.WithoutPads = true
	before := runtime.NumGoroutine()
	found, err := k.cards.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	k.reader.Sent()
	const requests = 100
	values := make([][]byte, requests)
	var all sync.WaitGroup
	for n := range requests {
		all.Go(func() {
			digest := sha256.Sum256([]byte(fmt.Sprint("document ", n)))
			value, err := k.cards.Signer(t.Context(), found, cardtest.Typed("12345")).Sign(nil, digest[:], crypto.SHA256)
			if err != nil {
				t.Errorf("request %d: %v", n, err)
			}
			values[n] = value
		})
	}
	all.Wait()
	// VERIFY and the signature of one operation are neighbours, over its own digest.
	var signed [][]byte
	presented := false
	for _, command := range k.reader.Sent() {
		switch command[1] {
		case 0x20:
			if presented {
				t.Fatal("two VERIFY in a row")
			}
			presented = true
		case 0x2A:
			if !presented {
				t.Fatal("a signature without its own VERIFY")
			}
			presented = false
			signed = append(signed, command[5:5+48])
		default:
			if presented {
				t.Fatalf("command %X between VERIFY and signature", command[:2])
			}
		}
	}
	if len(signed) != requests || k.reader.Open() != 0 {
		t.Errorf("%d signatures, %d connections open", len(signed), k.reader.Open())
	}
	for n := range requests {
		digest := sha256.Sum256([]byte(fmt.Sprint("document ", n)))
		if !containsSuffix(signed, digest[:]) {
			t.Errorf("the digest of request %d was never signed", n)
		}
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

func containsSuffix(list [][]byte, suffix []byte) bool {
	for _, value := range list {
		if bytes.HasSuffix(value, suffix) {
			return true
		}
	}
	return false
}

// cut is a card one of whose answers ends early, without a status word of its own.
type cut struct {
	cards.Card
	answer, length int
	seen           int
}

func (c *cut) Transmit(command []byte) []byte {
	answer := c.Card.Transmit(command)
	c.seen++
	if c.seen == c.answer && c.length+2 < len(answer) {
		return append(bytes.Clone(answer[:c.length]), answer[len(answer)-2:]...)
	}
	return answer
}

// Threat C-32: the data of each answer of each family is cut at many lengths. The
// signature is right all the same, or the error is one that programs know; nothing
// is read that is not there, and no second PIN is sent.
func TestAnswersCutShortAreRefusedOrHarmless(t *testing.T) {
	home := holders.Country(t)
	keys, err := home.TerminalKeys()
	if err != nil {
		t.Fatal(err)
	}
	sets, err := cwa14890.ParseKeySets(keys)
	if err != nil {
		t.Fatal(err)
	}
	spanish := dnie.Driver{KeySets: sets}
	for _, set := range sets {
		spanish.Roots = append(spanish.Roots, set.Root())
	}
	for _, family := range []struct {
		kind   cards.Kind
		driver cardreader.Driver
		entry  string
	}{
		{cards.KindEstEID, esteid.Driver{}, "12345"},
		{cards.KindEstEID2025, esteid2025.Driver{}, "12345"},
		{cards.KindPKCS15, pkcs15.Driver{AskTries: true}, "1234"},
		{cards.KindDNIe, spanish, "CRYPTOKI"},
	} {
		t.Run(string(family.kind), func(t *testing.T) {
			t.Parallel()
			spec := holders.CardOf(t, home, family.kind, holders.Citizen(family.kind), cards.Honest)
			sign := func(answer, length int) (commands int, err error) {
				card, err := spec.New()
				if err != nil {
					t.Fatal(err)
				}
				spoiled := &cut{Card: card, answer: answer, length: length}
				reader := cardtest.New(spoiled)
				c := &cardreader.Cards{Service: reader, Drivers: []cardreader.Driver{family.driver}}
				err = signs(t, c, cardreader.UsageSignature, family.entry)
				if n := reader.Open(); n != 0 {
					t.Errorf("answer %d, %d bytes: %d connections open", answer, length, n)
				}
				return spoiled.seen, err
			}
			steps, err := sign(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			for answer := 1; answer <= steps; answer++ {
				lengths := []int{0, 1, 2, 3, 5, 8, 13, 21, 47, 95, 127, 200}
				if family.kind == cards.KindDNIe {
					lengths = []int{0, 3, 47} // its handshakes take their time
				}
				for _, length := range lengths {
					_, err := sign(answer, length)
					if err != nil && !knownToPrograms(err) {
						t.Errorf("answer %d of %d cut to %d bytes: %v", answer, steps, length, err)
					}
				}
			}
		})
	}
}

func knownToPrograms(err error) bool {
	if _, ok := errors.AsType[*cardreader.PINError](err); ok {
		return true
	}
	for _, want := range []error{
		cardreader.ErrCardProtocol, cardreader.ErrCardUnsupported, cardreader.ErrCardUntrusted, cardreader.ErrCardChanged,
		cardreader.ErrNoCredential, cardreader.ErrCardBusy,
	} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// broken is a reader that lists its features wrongly.
type broken struct{ cardreader.Service }

func (b broken) Connect(ctx context.Context, reader string) (cardreader.Connection, error) {
	c, err := b.Service.Connect(ctx, reader)
	if err != nil {
		return nil, err
	}
	return brokenConnection{c}, nil
}

type brokenConnection struct{ cardreader.Connection }

func (brokenConnection) PINPad(context.Context) (cardreader.PINPad, error) {
	return nil, fmt.Errorf("%w: reader's feature list", cardreader.ErrCardProtocol)
}

// Threat C-48: a malformed list of features is an error, and the PIN is taken by the
// program only where that is the program's policy.
func TestMalformedFeatureListFallsBackByPolicyOnly(t *testing.T) {
	home := holders.Country(t)
	for name, allowed := range map[string]bool{"refused": false, "allowed": true} {
		t.Run(name, func(t *testing.T) {
			k := newKeyed(t, home, cards.KindEstEID, cards.Honest)
			k.cards.Service, k.cards.WithoutPads = broken{k.reader}, allowed
			err := k.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN1", k.hint)
			if allowed && (err != nil || k.hint.asked != 1) || !allowed && (!errors.Is(err, cardreader.ErrCardProtocol) || k.hint.asked != 0) {
				t.Errorf("%v, asked %d times", err, k.hint.asked)
			}
			if k.hint.hints != 0 || strings.Contains(fmt.Sprint(err), "1234") {
				t.Errorf("%d hints, %v", k.hint.hints, err)
			}
		})
	}
}
