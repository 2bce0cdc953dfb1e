package esteid2025_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/esteid2025"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
)

// bench is an emulated card in a reader of the same process.
type bench struct {
	config cards.EstEID2025Config
	reader *cardtest.Reader
	cards  *cardreader.Cards
}

func newBench(t testing.TB, change func(*cards.EstEID2025Config)) *bench {
	t.Helper()
	b := &bench{config: *holders.Card(t, cards.KindEstEID2025).EstEID2025}
	if change != nil {
		change(&b.config)
	}
	card, err := cards.NewEstEID2025(b.config)
	if err != nil {
		t.Fatal(err)
	}
	b.reader = cardtest.New(card)
	b.cards = &cardreader.Cards{Service: b.reader, Drivers: []cardreader.Driver{esteid2025.Driver{}}}
	t.Cleanup(func() {
		if n := b.reader.Open(); n != 0 {
			t.Errorf("%d connections left open", n)
		}
	})
	return b
}

func (b *bench) find(t testing.TB, u cardreader.Usage) *cardreader.Found {
	t.Helper()
	found, err := b.cards.Find(context.Background(), cardreader.Selection{Usage: u})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestCardOf2025TellsAllItShowsWithoutAPIN(t *testing.T) {
	b := newBench(t, nil)
	slots, err := b.cards.List(t.Context())
	if err != nil || len(slots) != 1 || slots[0].Err != nil {
		t.Fatalf("List = %+v, %v", slots, err)
	}
	slot := slots[0]
	if slot.Info != (cardreader.Info{Family: "EstEID 2025", DocumentNumber: b.config.Holder.DocumentNumber}) {
		t.Errorf("Info = %+v", slot.Info)
	}
	if len(slot.Credentials) != 2 || !bytes.Equal(slot.Credentials[0].Certificate.Raw, b.config.Authentication.Certificate) ||
		!bytes.Equal(slot.Credentials[1].Certificate.Raw, b.config.Signature.Certificate) || slot.Credentials[1].PIN != "PIN2" {
		t.Errorf("%d credentials", len(slot.Credentials))
	}
	want := []cardreader.PINStatus{
		{ID: "PIN1", TriesLeft: 3, TriesMax: 3, MinLength: 4, MaxLength: 12, Class: pin.Digits},
		{ID: "PIN2", TriesLeft: 3, TriesMax: 3, MinLength: 5, MaxLength: 12, Class: pin.Digits},
		{ID: "PUK", TriesLeft: 3, TriesMax: 3, MinLength: 8, MaxLength: 12, Class: pin.Digits},
	}
	for i := range want {
		if len(slot.PINs) != 3 || slot.PINs[i] != want[i] {
			t.Errorf("PINs = %+v", slot.PINs)
			break
		}
	}
	if b.reader.Count(0x20) != 0 {
		t.Error("C-40: reading the counters sent VERIFY")
	}
	data, err := b.cards.PersonalData(t.Context(), cardreader.Selection{}, nil)
	if err != nil || data.DocumentNumber != b.config.Holder.DocumentNumber || data.Surname == "" || data.PersonalCode == "" || data.Expiry == "" {
		t.Errorf("PersonalData = %+v, %v", data, err)
	}
}

func TestCardOf2025SignsEveryHashWithBothKeys(t *testing.T) {
	b := newBench(t, nil)
	sum256, sum384, sum512 := sha256.Sum256([]byte("x")), sha512.Sum384([]byte("x")), sha512.Sum512([]byte("x"))
	for usage, entry := range map[cardreader.Usage]cardtest.Typed{cardreader.UsageAuthentication: "1234", cardreader.UsageSignature: "12345"} {
		found := b.find(t, usage)
		for hash, digest := range map[crypto.Hash][]byte{crypto.SHA256: sum256[:], crypto.SHA384: sum384[:], crypto.SHA512: sum512[:]} {
			signature, err := b.cards.Signer(t.Context(), found, entry).Sign(nil, digest, hash)
			if err != nil || !ecdsa.VerifyASN1(found.Credential.Certificate.PublicKey.(*ecdsa.PublicKey), digest, signature) {
				t.Errorf("%s with %v: %v", usage, hash, err)
			}
		}
	}
	if b.reader.Resets() != 6 {
		t.Errorf("C-44: %d resets after 6 signatures", b.reader.Resets())
	}
}

func TestCardOf2025SendsNoCommandMoreThanNeeded(t *testing.T) {
	b := newBench(t, nil)
	now := time.Unix(1_800_000_000, 0)
	b.cards.Now = func() time.Time { return now }
	found := b.find(t, cardreader.UsageSignature)
	if n := len(b.reader.Sent()); n > 12 {
		t.Errorf("find sends %d commands", n)
	}
	digest := sha256.Sum256(nil)
	for name, want := range map[string]int{"at once": 8, "again": 8} {
		if _, err := b.cards.Signer(t.Context(), found, cardtest.Typed("12345")).Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
		// SELECT application, SELECT and READ certificate, TRIES, VERIFY, MSE, HASH, SIGN.
		if n := len(b.reader.Sent()); n != want {
			t.Errorf("%s: signing sends %d commands, want %d", name, n, want)
		}
	}
}

func TestTransportPINIsActivatedBeforeItSigns(t *testing.T) {
	b := newBench(t, func(c *cards.EstEID2025Config) { c.TransportPIN2 = true })
	found := b.find(t, cardreader.UsageSignature)
	digest := sha256.Sum256(nil)
	b.reader.Sent()
	var refused *cardreader.PINError
	asked := &counting{Typed: "12345"}
	_, err := b.cards.Signer(t.Context(), found, asked).Sign(nil, digest[:], crypto.SHA256)
	if !errors.As(err, &refused) || refused.Reason != cardreader.PINMustChange || refused.PIN != "PIN2" || asked.n != 0 || b.reader.Count(0x20) != 0 {
		t.Fatalf("Sign = %v after %d questions", err, asked.n)
	}
	var kind cardreader.PINOperation
	activate := changing(func(r cardreader.PINChangeRequest) (string, string) {
		kind = r.Operation
		return "12345", "54321"
	})
	if err := b.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN2", activate); err != nil || kind != cardreader.PINActivate {
		t.Fatalf("activation: %v as %q", err, kind)
	}
	if _, err := b.cards.Signer(t.Context(), found, cardtest.Typed("54321")).Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Errorf("after activation: %v", err)
	}
	if _, err := b.cards.Signer(t.Context(), b.find(t, cardreader.UsageAuthentication), cardtest.Typed("1234")).Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Errorf("PIN1 was active: %v", err)
	}
}

type counting struct {
	cardtest.Typed
	n int
}

func (c *counting) PIN(ctx context.Context, r cardreader.PINRequest) (*pin.PIN, error) {
	c.n++
	return c.Typed.PIN(ctx, r)
}

type changing func(cardreader.PINChangeRequest) (string, string)

func (f changing) ChangePIN(ctx context.Context, r cardreader.PINChangeRequest) (*pin.PIN, *pin.PIN, error) {
	checked, replacement := f(r)
	return cardtest.Change{Checked: checked, Replacement: replacement}.ChangePIN(ctx, r)
}

// Threats C-33, C-41, C-42 over a card's whole life: wrong, blocked, unblocked.
func TestWrongPINsBlockAndThePUKUnblocks(t *testing.T) {
	b := newBench(t, nil)
	found := b.find(t, cardreader.UsageAuthentication)
	digest := sha256.Sum256(nil)
	for left := 2; left >= 0; left-- {
		b.reader.Sent()
		_, err := b.cards.Signer(t.Context(), found, cardtest.Typed("9999")).Sign(nil, digest[:], crypto.SHA256)
		var refused *cardreader.PINError
		want := map[bool]cardreader.PINReason{true: cardreader.PINBlocked, false: cardreader.PINWrong}[left == 0]
		if !errors.As(err, &refused) || refused.Reason != want || refused.TriesLeft != left || b.reader.Count(0x20) != 1 || strings.Contains(err.Error(), "9999") {
			t.Fatalf("%d left: %v", left, err)
		}
	}
	b.reader.Sent()
	asked := &counting{Typed: "1234"}
	if _, err := b.cards.Signer(t.Context(), found, asked).Sign(nil, digest[:], crypto.SHA256); err == nil || asked.n != 0 || b.reader.Count(0x20) != 0 {
		t.Errorf("blocked: %v after %d questions", err, asked.n)
	}
	var refused *cardreader.PINError
	err := b.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PIN1", cardtest.Change{Checked: "00000000", Replacement: "4321"})
	if !errors.As(err, &refused) || refused.PIN != "PUK" || refused.TriesLeft != 2 {
		t.Errorf("wrong PUK: %v", err)
	}
	b.reader.Sent()
	if err := b.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PIN1", cardtest.Change{Checked: "12345678", Replacement: "4321"}); err != nil || b.reader.Count(0x2C) != 1 || b.reader.Count(0x20) != 0 {
		t.Errorf("UnblockPIN = %v", err)
	}
	if _, err := b.cards.Signer(t.Context(), found, cardtest.Typed("4321")).Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Errorf("after unblocking: %v", err)
	}
	if err := b.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN2", cardtest.Change{Checked: "12345", Replacement: "67890"}); err != nil {
		t.Errorf("ChangePIN = %v", err)
	}
	never := changing(func(cardreader.PINChangeRequest) (string, string) {
		t.Error("the holder was asked for something that cannot be")
		return "12345678", "87654321"
	})
	if err := b.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PUK", never); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("changing the PUK: %v", err)
	}
	if err := b.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PUK", never); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("unblocking the PUK: %v", err)
	}
}

func TestCardOf2025AgreesOnSecrets(t *testing.T) {
	b := newBench(t, nil)
	found := b.find(t, cardreader.UsageAuthentication)
	peer, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := b.cards.Agree(t.Context(), found, cardtest.Typed("1234"), peer.PublicKey())
	public, _ := found.Credential.Certificate.PublicKey.(*ecdsa.PublicKey).ECDH()
	want, _ := peer.ECDH(public)
	if err != nil || !bytes.Equal(shared, want) {
		t.Errorf("Agree = %d bytes, %v", len(shared), err)
	}
}

// answers is a card as a function.
type answers func(command []byte) []byte

func (f answers) Transmit(_ context.Context, command []byte) ([]byte, error) { return f(command), nil }

// Threats C-07, C-39: what every status word means to each command.
func TestEveryStatusWordHasOneMeaning(t *testing.T) {
	p, other := secret(t, "12345678"), secret(t, "87654321")
	digest := make([]byte, 32)
	for sw := range 1 << 16 {
		for _, ins := range []byte{0x20, 0x22, 0x24, 0x2A, 0x2C} {
			after, hit := 0, false
			card, err := esteid2025.Driver{}.Open(t.Context(), answers(func(command []byte) []byte {
				switch {
				case command[1] == 0xC0:
					return unhex("6F00")
				case hit:
					after++
				case command[1] == ins:
					hit = true
					return []byte{byte(sw >> 8), byte(sw)}
				}
				return unhex("9000")
			}))
			if err != nil {
				t.Fatal(err)
			}
			switch ins {
			case 0x24:
				err = card.(cardreader.PINChanger).ChangePIN(t.Context(), "PIN1", p, other)
			case 0x2C:
				err = card.(cardreader.PINUnblocker).UnblockPIN(t.Context(), "PIN1", p, other)
			default:
				_, err = card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, p, crypto.SHA256, digest)
			}
			var refused *cardreader.PINError
			errors.As(err, &refused)
			signs := ins == 0x20 || ins == 0x22 || ins == 0x2A
			switch {
			case sw == 0x9000 && !signs && err == nil:
			case sw == 0x9000 && signs && errors.Is(err, cardreader.ErrCardProtocol): // an empty signature
			case sw != 0x9000 && after == 0 && (refused != nil || errors.Is(err, cardreader.ErrCardProtocol)):
			default:
				t.Fatalf("INS %02X answered %04X: %v and %d more commands", ins, sw, err, after)
			}
			if refused != nil && (ins == 0x22 || ins == 0x2A) {
				t.Fatalf("INS %02X answered %04X: %v", ins, sw, err)
			}
		}
	}
}

// Property: whatever a card answers, errors have a meaning.
func FuzzAnswers(f *testing.F) {
	f.Add(unhex("620481020009 9000"), []byte("NS0010001\x90\x00"))
	f.Add(unhex("A0238301118C04F00000009C04F0000000DF210405FFA503DF2702FFFFDF28010CDF2F01019000"), unhex("63C2"))
	p, err := pin.New([]byte("12345"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		n := 0
		card, err := esteid2025.Driver{}.Open(t.Context(), answers(func([]byte) []byte {
			n++
			switch {
			case n == 1:
				return []byte{0x90, 0}
			case n%2 == 0:
				return a
			default:
				return b
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		_, info := card.Info(t.Context())
		_, pins := card.PINs(t.Context())
		_, credentials := card.Credentials(t.Context())
		_, data := card.(cardreader.PersonalDataReader).PersonalData(t.Context())
		_, signed := card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, p, crypto.SHA256, make([]byte, 32))
		for _, err := range []error{info, pins, credentials, data, signed} {
			var refused *cardreader.PINError
			if err != nil && !errors.Is(err, cardreader.ErrCardProtocol) && !errors.As(err, &refused) {
				t.Fatalf("error without a meaning: %v", err)
			}
		}
	})
}
