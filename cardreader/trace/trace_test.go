package trace_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/esteid2025"
	"github.com/eidbridge/eidbridge/cardreader/trace"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
)

func clock() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC) }

// forms are the ways in which a secret may come out.
func forms(secret []byte) map[string]string {
	nibbles := hex.EncodeToString(secret)
	return map[string]string{
		"plain": string(secret), "hex": nibbles, "HEX": strings.ToUpper(nibbles),
		"base64": base64.RawStdEncoding.EncodeToString(secret), "URL": url.QueryEscape(string(secret)),
	}
}

// Threat C-45: everything a card can do, once right and once wrong, and nothing
// of PINs, persons, certificates and signatures in the trace.
func TestTraceHoldsNoSecret(t *testing.T) {
	person := holders.Citizen(cards.KindEstEID)
	keys, err := holders.Country(t).EstonianCitizen(person)
	if err != nil {
		t.Fatal(err)
	}
	old, err := cards.EstEIDSpec(keys)
	if err != nil {
		t.Fatal(err)
	}
	old.EstEID.PIN1, old.EstEID.PIN2, old.EstEID.PUK = "90817263", "80716253", "70615243"
	recent, err := cards.EstEID2025Spec(keys)
	if err != nil {
		t.Fatal(err)
	}
	recent.EstEID2025.PIN1, recent.EstEID2025.PIN2, recent.EstEID2025.PUK = "90817263", "80716253", "70615243"
	for name, spec := range map[string]cards.Spec{"2018": old, "2025": recent} {
		t.Run(name, func(t *testing.T) {
			card, err := spec.New()
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			c := &cardreader.Cards{
				Service: trace.New(&log, clock).Service(cardtest.New(card)),
				Drivers: []cardreader.Driver{esteid.Driver{}, esteid2025.Driver{}},
			}
			signature, shared := everything(t, c)
			secrets := map[string][]byte{
				"PIN1": []byte("90817263"), "PIN2": []byte("80716253"), "PUK": []byte("70615243"), "new PIN": []byte("60514233"),
				"wrong PIN": []byte("50413223"), "signature": signature, "shared secret": shared,
				"personal code": []byte(person.PersonalCode), "surname": []byte(person.Surname),
				"document number": []byte(old.EstEID.Holder.DocumentNumber),
				"public key":      keys.Signature.Certificate.RawSubjectPublicKeyInfo[30:60],
			}
			for what, secret := range secrets {
				for form, text := range forms(secret) {
					if strings.Contains(log.String(), text) {
						t.Errorf("%s in the trace, %s", what, form)
					}
				}
			}
			for _, want := range []string{"> 002000", "[12 bytes]", "connect ATR 3B", "close with reset", "9000 success", "> 00A4040C A0000000"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("no %q in the trace", want)
				}
			}
		})
	}
}

func everything(t *testing.T, c *cardreader.Cards) (signature, shared []byte) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.List(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PersonalData(ctx, cardreader.Selection{}, nil); err != nil {
		t.Fatal(err)
	}
	found, err := c.Find(ctx, cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	if signature, err = c.Signer(ctx, found, cardtest.Typed("80716253")).Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Signer(ctx, found, cardtest.Typed("50413223")).Sign(nil, digest[:], crypto.SHA256); err == nil {
		t.Fatal("wrong PIN was taken")
	}
	authentication, err := c.Find(ctx, cardreader.Selection{Usage: cardreader.UsageAuthentication})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if shared, err = c.Agree(ctx, authentication, cardtest.Typed("90817263"), peer.PublicKey()); err != nil {
		t.Fatal(err)
	}
	if err := c.ChangePIN(ctx, cardreader.Selection{}, "PIN1", cardtest.Change{Checked: "90817263", Replacement: "60514233"}); err != nil {
		t.Fatal(err)
	}
	if err := c.UnblockPIN(ctx, cardreader.Selection{}, "PIN2", cardtest.Change{Checked: "70615243", Replacement: "60514233"}); err != nil {
		t.Fatal(err)
	}
	// What is compared with the trace is what the card sent: r and s.
	public := found.Credential.Certificate.PublicKey.(*ecdsa.PublicKey)
	if !ecdsa.VerifyASN1(public, digest[:], signature) {
		t.Fatal("signature does not verify")
	}
	return signature[10:40], shared
}

// plain answers with whatever it is given; it is not a card.
type plain struct{ answer []byte }

func (p plain) ATR() []byte            { return []byte{0x3B, 0} }
func (p plain) Transmit([]byte) []byte { return p.answer }
func (p plain) Reset()                 {}

func TestTraceShowsDataOfPublicCommandsAlone(t *testing.T) {
	tests := []struct {
		name    string
		command apdu.Command
		answer  string
		want    []string
	}{
		{"public", apdu.Command{INS: 0xA4, Data: []byte{0xAA, 0xBB}, Public: true, Ne: 256}, "CCDD9000", []string{"> 00A40000 AABB Le 256", "< CCDD 9000 success"}},
		{"not declared", apdu.Command{INS: 0xA4, Data: []byte{0xAA, 0xBB}, Ne: 256}, "CCDD9000", []string{"> 00A40000 [2 bytes] Le 256", "< [2 bytes] 9000 success"}},
		{"status alone", apdu.Command{INS: 0x20, Data: []byte{0xAA}}, "63C1", []string{"> 00200000 [1 bytes]", "< 63C1 verification failed, 1 tries left"}},
		{"answer of one byte", apdu.Command{INS: 0x20, Data: []byte{0xAA}, Public: true}, "63", []string{"< [1 bytes]"}},
	}
	for _, test := range tests {
		var log bytes.Buffer
		answer, err := hex.DecodeString(test.answer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := trace.New(&log, clock).Service(cardtest.New(plain{answer})).Connect(t.Context(), cardtest.Name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = apdu.Exchange(t.Context(), c, test.command)
		_, _ = c.Transmit(t.Context(), []byte{0xAA}) // no command at all
		_ = c.Close(false)
		for _, want := range append(test.want, "> [1 bytes]", `03:04:05.006 "Reader in the test 00" close`) {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, log.String())
			}
		}
	}
}

// broken is a service whose reader has a hostile name and no card.
type broken struct{}

func (broken) Readers(context.Context) ([]cardreader.Reader, error) {
	return []cardreader.Reader{{Name: "\x1b[2J\u202e" + strings.Repeat("x", 4096), State: cardreader.ReaderMute}}, nil
}

func (broken) Connect(context.Context, string) (cardreader.Connection, error) {
	return nil, cardreader.ErrNoCard
}

func (broken) Watch(context.Context, func(cardreader.Event)) error { return cardreader.ErrNoService }

// Threat C-12.
func TestTraceWritesReaderNamesHarmlessly(t *testing.T) {
	var log bytes.Buffer
	s := trace.New(&log, clock).Service(broken{})
	readers, err := s.Readers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Connect(t.Context(), readers[0].Name); !errors.Is(err, cardreader.ErrNoCard) {
		t.Errorf("Connect = %v", err)
	}
	for _, b := range log.Bytes() {
		if b != '\n' && (b < ' ' || b > '~') {
			t.Fatalf("byte %02X in the trace", b)
		}
	}
	if log.Len() > 400 {
		t.Errorf("%d bytes in the trace", log.Len())
	}
	if w, ok := s.(cardreader.Watcher); !ok || !errors.Is(w.Watch(t.Context(), nil), cardreader.ErrNoService) {
		t.Error("the traced service does not watch")
	}
	if _, ok := trace.New(&log, clock).Service(cardtest.New(nil)).(cardreader.Watcher); ok {
		t.Error("a service that does not watch pretends to")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk is full") }

func TestTraceThatCannotBeWrittenHoldsNothingUp(t *testing.T) {
	c, err := trace.New(full{}, clock).Service(cardtest.New(plain{[]byte{0x90, 0}})).Connect(t.Context(), cardtest.Name)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.Transmit(t.Context(), []byte{0, 0xA4, 0, 0}); err != nil || len(answer) != 2 || c.Close(true) != nil {
		t.Errorf("Transmit = %X, %v", answer, err)
	}
	if pad, err := c.(cardreader.PINPadProvider).PINPad(t.Context()); pad != nil || err != nil {
		t.Errorf("PINPad = %v, %v", pad, err)
	}
}
