package vpcd_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"net"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/vpcd"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
)

// emulated is an Estonian card that listens, with what happens to it recorded.
func emulated(t *testing.T, config cards.EstEIDConfig, faults cards.Faults) (*cardreader.Cards, *cards.Recorder) {
	t.Helper()
	card, err := cards.NewEstEID(config)
	if err != nil {
		t.Fatal(err)
	}
	recorder := cards.Record(cards.WithFaults(card, faults), nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cards.Listen(ctx, listener, recorder)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return &cardreader.Cards{
		Service: vpcd.New(listener.Addr().String()),
		Drivers: []cardreader.Driver{esteid.Driver{}},
	}, recorder
}

type typed string

func (e typed) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) {
	return pin.New([]byte(e))
}

func TestSignsWithAnEmulatedCardWithoutPCSCD(t *testing.T) {
	for usage, entry := range map[cardreader.Usage]typed{cardreader.UsageAuthentication: "1234", cardreader.UsageSignature: "12345"} {
		c, recorder := emulated(t, *holders.Card(t, cards.KindEstEID).EstEID, cards.Faults{})
		found, err := c.Find(t.Context(), cardreader.Selection{Usage: usage})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha512.Sum384([]byte("a document"))
		signature, err := c.Signer(t.Context(), found, entry).Sign(rand.Reader, sum[:], crypto.SHA384)
		if err != nil || !ecdsa.VerifyASN1(found.Credential.Certificate.PublicKey.(*ecdsa.PublicKey), sum[:], signature) {
			t.Errorf("%s: %v", usage, err)
		}
		if n := cards.Count(recorder.Exchanges(), "20"); n != 1 {
			t.Errorf("%s: %d VERIFY", usage, n)
		}
	}
}

func TestWrongPINOnAnEmulatedCard(t *testing.T) {
	c, recorder := emulated(t, *holders.Card(t, cards.KindEstEID).EstEID, cards.Faults{})
	found, err := c.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum384([]byte("a document"))
	_, err = c.Signer(t.Context(), found, typed("54321")).Sign(rand.Reader, sum[:], crypto.SHA384)
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || refused.Reason != cardreader.PINWrong || refused.TriesLeft != 2 {
		t.Errorf("Sign = %v", err)
	}
	if n := cards.Count(recorder.Exchanges(), "20"); n != 1 {
		t.Errorf("%d VERIFY", n)
	}
}

// Threat C-16 on every command of reading and signing: the emulated card leaves
// by itself.
func TestEmulatedCardLeavesAtEveryCommand(t *testing.T) {
	config := *holders.Card(t, cards.KindEstEID).EstEID
	c, recorder := emulated(t, config, cards.Faults{})
	whole := func(c *cardreader.Cards) error {
		found, err := c.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
		if err != nil {
			return err
		}
		sum := sha512.Sum384([]byte("a document"))
		_, err = c.Signer(t.Context(), found, typed("12345")).Sign(rand.Reader, sum[:], crypto.SHA384)
		return err
	}
	if err := whole(c); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, e := range recorder.Exchanges() {
		if !e.Reset {
			steps++
		}
	}
	for point := 1; point <= steps; point++ {
		faulty, recorder := emulated(t, config, cards.Faults{RemoveAt: point})
		if err := whole(faulty); !errors.Is(err, cardreader.ErrCardRemoved) {
			t.Errorf("command %d of %d: %v, want ErrCardRemoved", point, steps, err)
		}
		if n := cards.Count(recorder.Exchanges(), "20"); n > 1 {
			t.Errorf("command %d of %d: %d VERIFY", point, steps, n)
		}
	}
}
