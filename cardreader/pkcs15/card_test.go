package pkcs15_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/pkcs15"
	"github.com/eidbridge/eidbridge/fixtures/cards"
)

func identity(t testing.TB, key crypto.Signer, usage x509.KeyUsage) cards.Identity {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "LAB PERSON"}, KeyUsage: usage,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return cards.Identity{Certificate: der, Key: key}
}

func configuration(t testing.TB) cards.PKCS15Config {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	config := cards.PKCS15Config{
		Label: "Lab card", Serial: "LAB0001",
		Keys: []cards.PKCS15Key{
			{Label: "Log in", Identity: identity(t, rsaKey, x509.KeyUsageDigitalSignature)},
			{Label: "Sign", Identity: identity(t, rsaKey, x509.KeyUsageContentCommitment), Signs: true},
		},
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		config.Keys = append(config.Keys, cards.PKCS15Key{Label: curve.Params().Name, Identity: identity(t, key, x509.KeyUsageContentCommitment), Signs: true})
	}
	authority := identity(t, rsaKey, x509.KeyUsageCertSign)
	config.Issuers = [][]byte{authority.Certificate}
	return config
}

type bench struct {
	config cards.PKCS15Config
	card   *cards.PKCS15
	reader *cardtest.Reader
	cards  *cardreader.Cards
}

func newBench(t testing.TB, d pkcs15.Driver) *bench {
	t.Helper()
	b := &bench{config: configuration(t)}
	card, err := cards.NewPKCS15(b.config)
	if err != nil {
		t.Fatal(err)
	}
	b.card, b.reader = card, cardtest.New(card)
	b.cards = &cardreader.Cards{Service: b.reader, Drivers: []cardreader.Driver{d}}
	t.Cleanup(func() {
		if n := b.reader.Open(); n != 0 {
			t.Errorf("%d connections left open", n)
		}
	})
	return b
}

func (b *bench) all(t testing.TB) []*cardreader.Found {
	t.Helper()
	var ambiguous *cardreader.AmbiguousError
	if _, err := b.cards.Find(context.Background(), cardreader.Selection{}); !errors.As(err, &ambiguous) {
		t.Fatal(err)
	}
	return ambiguous.Candidates
}

func TestCardTellsWhatItHolds(t *testing.T) {
	b := newBench(t, pkcs15.Driver{AskTries: true})
	slots, err := b.cards.List(t.Context())
	if err != nil || len(slots) != 1 || slots[0].Err != nil {
		t.Fatalf("List = %+v, %v", slots, err)
	}
	slot := slots[0]
	if slot.Info != (cardreader.Info{Family: "PKCS#15", DocumentNumber: "LAB0001"}) {
		t.Errorf("Info = %+v", slot.Info)
	}
	if len(slot.Credentials) != len(b.config.Keys) {
		t.Fatalf("%d credentials", len(slot.Credentials))
	}
	for i, c := range slot.Credentials {
		want := map[bool]cardreader.Usage{true: cardreader.UsageSignature, false: cardreader.UsageAuthentication}[b.config.Keys[i].Signs]
		if !bytes.Equal(c.Certificate.Raw, b.config.Keys[i].Identity.Certificate) || c.Usage != want || c.PIN != "PIN" {
			t.Errorf("credential %d is %s for %s behind %s", i, c.ID, c.Usage, c.PIN)
		}
	}
	want := []cardreader.PINStatus{
		{ID: "PIN", TriesLeft: 3, MinLength: 4, MaxLength: 8, Class: pin.Digits},
		{ID: "PUK", TriesLeft: 3, MinLength: 8, MaxLength: 8, Class: pin.Digits},
	}
	if !slices.Equal(slot.PINs, want) {
		t.Errorf("PINs = %+v", slot.PINs)
	}
}

// Threat C-40: without being told so the driver never asks with VERIFY.
func TestCounterIsNotAskedForByItself(t *testing.T) {
	b := newBench(t, pkcs15.Driver{})
	slots, err := b.cards.List(t.Context())
	if err != nil || len(slots[0].PINs) != 2 || slots[0].PINs[0].TriesLeft != -1 || b.reader.Count(0x20) != 0 {
		t.Errorf("PINs = %+v with %d VERIFY, %v", slots[0].PINs, b.reader.Count(0x20), err)
	}
}

func TestEveryKeySignsEveryHash(t *testing.T) {
	b := newBench(t, pkcs15.Driver{AskTries: true})
	sum256, sum384, sum512 := sha256.Sum256([]byte("x")), sha512.Sum384([]byte("x")), sha512.Sum512([]byte("x"))
	for _, found := range b.all(t) {
		for hash, digest := range map[crypto.Hash][]byte{crypto.SHA256: sum256[:], crypto.SHA384: sum384[:], crypto.SHA512: sum512[:]} {
			// The facade verifies the value with the certificate's key.
			if _, err := b.cards.Signer(t.Context(), found, cardtest.Typed("1234")).Sign(nil, digest, hash); err != nil {
				t.Errorf("%s with %v: %v", found.Credential.ID, hash, err)
			}
		}
	}
}

func TestSignatureSendsNoCommandMoreThanNeeded(t *testing.T) {
	b := newBench(t, pkcs15.Driver{AskTries: true})
	now := time.Unix(1_800_000_000, 0)
	b.cards.Now = func() time.Time { return now }
	b.reader.Sent()
	found, err := b.cards.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageAuthentication})
	if err != nil {
		t.Fatal(err)
	}
	// SELECT application, five directory files in two each, the certificate in six, TRIES.
	if sent := b.reader.Sent(); len(sent) > 18 {
		t.Errorf("find sends %d commands: %X", len(sent), sent)
	}
	digest := sha256.Sum256(nil)
	for range 2 {
		if _, err := b.cards.Signer(t.Context(), found, cardtest.Typed("1234")).Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
		// SELECT application, SELECT certificate, READ key, TRIES, VERIFY, MSE, SIGN.
		if sent := b.reader.Sent(); len(sent) != 7 {
			t.Errorf("signing sends %X", sent)
		}
	}
}

func TestWrongPINBlocksAndThePUKUnblocks(t *testing.T) {
	b := newBench(t, pkcs15.Driver{AskTries: true})
	found := b.all(t)[0]
	digest := sha256.Sum256(nil)
	var refused *cardreader.PINError
	for left := 2; left >= 0; left-- {
		_, err := b.cards.Signer(t.Context(), found, cardtest.Typed("9999")).Sign(nil, digest[:], crypto.SHA256)
		if !errors.As(err, &refused) || refused.TriesLeft != left || b.card.Tries().PIN1 != left {
			t.Fatalf("%d left: %v", left, err)
		}
	}
	if _, err := b.cards.Signer(t.Context(), found, never{t}).Sign(nil, digest[:], crypto.SHA256); !errors.As(err, &refused) || refused.Reason != cardreader.PINBlocked {
		t.Errorf("blocked: %v", err)
	}
	if err := b.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PIN", cardtest.Change{Checked: "00000000", Replacement: "4321"}); !errors.As(err, &refused) || refused.PIN != "PUK" {
		t.Errorf("wrong PUK: %v", err)
	}
	if err := b.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PIN", cardtest.Change{Checked: "12345678", Replacement: "4321"}); err != nil {
		t.Fatalf("UnblockPIN = %v", err)
	}
	if err := b.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN", cardtest.Change{Checked: "4321", Replacement: "567890"}); err != nil {
		t.Fatalf("ChangePIN = %v", err)
	}
	if _, err := b.cards.Signer(t.Context(), found, cardtest.Typed("567890")).Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Errorf("with the new PIN: %v", err)
	}
	if err := b.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PUK", cardtest.Change{Checked: "12345678", Replacement: "87654321"}); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("unblocking the PUK: %v", err)
	}
	if err := b.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN", cardtest.Change{Checked: "567890", Replacement: "123456789"}); !errors.As(err, &refused) || refused.Reason != cardreader.PINFormat {
		t.Errorf("C-43 too long: %v", err)
	}
}

type never struct{ t testing.TB }

func (n never) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) {
	n.t.Error("the holder was asked")
	return nil, errors.New("never")
}

// Threat C-17: another card with the same labels and references.
func TestAnotherCardSeesNoPIN(t *testing.T) {
	b := newBench(t, pkcs15.Driver{})
	found := b.all(t)[0]
	other, err := cards.NewPKCS15(configuration(t))
	if err != nil {
		t.Fatal(err)
	}
	b.reader.Insert(other)
	digest := sha256.Sum256(nil)
	if _, err := b.cards.Signer(t.Context(), found, never{t}).Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, cardreader.ErrCardChanged) {
		t.Errorf("Sign = %v, want ErrCardChanged", err)
	}
}

// personal is an emulated card of another family: not this driver's.
func TestCardsWithoutTheApplicationAreUnsupported(t *testing.T) {
	for _, sw := range []string{"\x6A\x82", "\x6D\x00", "\x6A\x86", "\x69\x82", "\x67\x00"} {
		sent := 0
		_, err := pkcs15.Driver{}.Open(t.Context(), answers(func([]byte) []byte { sent++; return []byte(sw) }))
		if !errors.Is(err, cardreader.ErrCardUnsupported) || sent > 30 {
			t.Errorf("%X: %v after %d commands", sw, err, sent)
		}
	}
	if (pkcs15.Driver{}).Matches(nil) || !(pkcs15.Driver{}).Matches([]byte{0x3B}) {
		t.Error("C-10: answer to reset")
	}
}

type answers func(command []byte) []byte

func (f answers) Transmit(_ context.Context, command []byte) ([]byte, error) { return f(command), nil }
