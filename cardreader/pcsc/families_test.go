//go:build cgo

package pcsc_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/esteid2025"
	"github.com/eidbridge/eidbridge/cardreader/pcsc"
	"github.com/eidbridge/eidbridge/cardreader/pkcs15"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// family is what a test needs to know of an emulated card.
type family struct {
	kind cards.Kind
	// pins and entries are those of the authentication and the signature key.
	pins, entries [2]string
}

func families() []family {
	return []family{
		{cards.KindEstEID, [2]string{"PIN1", "PIN2"}, [2]string{"1234", "12345"}},
		{cards.KindEstEID2025, [2]string{"PIN1", "PIN2"}, [2]string{"1234", "12345"}},
		{cards.KindPKCS15, [2]string{"PIN", "PIN"}, [2]string{"1234", "1234"}},
	}
}

// everyDriver is the list that a program would have, with the service under
// test.
func everyDriver() *cardreader.Cards {
	return &cardreader.Cards{Service: pcsc.New(), Drivers: []cardreader.Driver{
		esteid.Driver{},
		esteid.Driver{Country: esteid.Latvia},
		esteid2025.Driver{},
		esteid2025.Driver{Model: esteid2025.Finland4},
		esteid2025.Driver{Model: esteid2025.Finland3},
		pkcs15.Driver{AskTries: true},
	}}
}

func signWith(ctx context.Context, c *cardreader.Cards, usage cardreader.Usage, entry string) error {
	return signIn(ctx, c, cardreader.Selection{Usage: usage}, entry)
}

func signIn(ctx context.Context, c *cardreader.Cards, sel cardreader.Selection, entry string) error {
	found, err := c.Find(ctx, sel)
	if err != nil {
		return err
	}
	return signFound(ctx, c, found, cardtest.Typed(entry))
}

func signFound(ctx context.Context, c *cardreader.Cards, found *cardreader.Found, source cardreader.PINSource) error {
	digest := sha256.Sum256([]byte("a document"))
	// The facade verifies the value with the certificate's key.
	_, err := c.Signer(ctx, found, source).Sign(nil, digest[:], crypto.SHA256)
	return err
}

// leak waits until no more goroutines run than before.
func leak(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

func TestEveryFamilyThroughARealPCSCD(t *testing.T) {
	country := holders.Country(t)
	stack := needs.PCSCD(t, pcscd.Options{})
	before := runtime.NumGoroutine()
	for _, f := range families() {
		t.Run(string(f.kind), func(t *testing.T) {
			insert(t, stack, holders.CardOf(t, country, f.kind, holders.Citizen(f.kind), cards.Honest))
			defer func() { _ = stack.Remove(t.Context()) }()
			c, ctx := everyDriver(), t.Context()
			slots, err := c.List(ctx)
			if err != nil || slots[0].Err != nil || len(slots[0].Credentials) < 2 || slots[0].Info.DocumentNumber == "" {
				t.Fatalf("List = %+v, %v", slots, err)
			}
			for i, usage := range []cardreader.Usage{cardreader.UsageAuthentication, cardreader.UsageSignature} {
				if err := signWith(ctx, c, usage, f.entries[i]); err != nil {
					t.Errorf("%s: %v", usage, err)
				}
			}
			var refused *cardreader.PINError
			if err := signWith(ctx, c, cardreader.UsageAuthentication, "9999"); !errors.As(err, &refused) || refused.Reason != cardreader.PINWrong || refused.TriesLeft != 2 {
				t.Errorf("wrong PIN: %v", err)
			}
			if err := c.ChangePIN(ctx, cardreader.Selection{}, f.pins[0], cardtest.Change{Checked: f.entries[0], Replacement: "24680"}); err != nil {
				t.Errorf("change: %v", err)
			}
			if err := signWith(ctx, c, cardreader.UsageAuthentication, "24680"); err != nil {
				t.Errorf("with the new PIN: %v", err)
			}
			for left := 2; left >= 0; left-- {
				if err := signWith(ctx, c, cardreader.UsageAuthentication, "9999"); !errors.As(err, &refused) || refused.TriesLeft != left {
					t.Errorf("%d left: %v", left, err)
				}
			}
			if err := c.UnblockPIN(ctx, cardreader.Selection{}, f.pins[0], cardtest.Change{Checked: "12345678", Replacement: "13579"}); err != nil {
				t.Errorf("unblock: %v", err)
			}
			if err := signWith(ctx, c, cardreader.UsageAuthentication, "13579"); err != nil {
				t.Errorf("after unblocking: %v", err)
			}
		})
	}
	leak(t, before)
}

// Each fault ends in its error, with the tries as they should be and nothing left
// behind.
func TestFaultsThroughARealPCSCD(t *testing.T) {
	country := holders.Country(t)
	stack := needs.PCSCD(t, pcscd.Options{})
	before := runtime.NumGoroutine()
	pinReason := func(reason cardreader.PINReason) func(error) bool {
		return func(err error) bool {
			var refused *cardreader.PINError
			return errors.As(err, &refused) && refused.Reason == reason
		}
	}
	is := func(targets ...error) func(error) bool {
		return func(err error) bool {
			for _, target := range targets {
				if errors.Is(err, target) {
					return true
				}
			}
			return false
		}
	}
	works := func(err error) bool { return err == nil }
	// unread is a card that shows nothing of itself.
	const unread = -2
	tests := []struct {
		personality cards.Personality
		want        func(error) bool
		// tries are those of the signature PIN afterwards.
		tries int
	}{
		{cards.Removed, is(cardreader.ErrCardRemoved, cardreader.ErrNoCard), unread},
		{cards.RemovedAtPIN, is(cardreader.ErrCardRemoved), 3},
		{cards.RemovedAtSignature, is(cardreader.ErrCardRemoved), 3},
		{cards.ResetMidway, is(cardreader.ErrCardProtocol, cardreader.ErrCardReset), 3},
		{cards.WrongStatus, is(cardreader.ErrCardProtocol), unread},
		{cards.MalformedTLV, is(cardreader.ErrCardProtocol, cardreader.ErrCardUnsupported), unread},
		{cards.Oversized, is(cardreader.ErrCardProtocol, cardreader.ErrCardUnsupported), unread},
		{cards.LyingCounter, works, 15},
		{cards.Chained, works, 3},
		{cards.ShortOnly, works, 3},
		{cards.Slow, works, 3},
		{cards.Expired, works, 3},
		{cards.Revoked, works, 3},
		{cards.LastTry, works, 3},
		{cards.Blocked, pinReason(cardreader.PINBlocked), 0},
		{cards.TransportPIN, pinReason(cardreader.PINMustChange), 3},
	}
	type row struct {
		family family
		n      int
	}
	rows := make(chan row)
	var slots sync.WaitGroup
	// Most of the time pcscd waits for a card to come or go: one slot for the one,
	// one for the other.
	for slot, reader := range pcscd.Readers() {
		slots.Go(func() {
			for row := range rows {
				test, f := tests[row.n], row.family
				t.Run(fmt.Sprintf("%s/%s", f.kind, test.personality), func(t *testing.T) {
					spec := holders.CardOf(t, country, f.kind, holders.Citizen(f.kind), test.personality)
					if err := stack.InsertSlot(t.Context(), slot, spec); err != nil {
						t.Fatal(err)
					}
					defer func() { _ = stack.RemoveSlot(context.Background(), slot) }()
					err := signIn(t.Context(), everyDriver(), cardreader.Selection{Reader: reader, Usage: cardreader.UsageSignature}, f.entries[1])
					if !test.want(err) {
						t.Errorf("signing: %v", err)
					}
					if err != nil && strings.Contains(err.Error(), f.entries[1]) {
						t.Errorf("C-45: error %q", err)
					}
					log, logErr := stack.Exchanges(t.Context(), slot)
					if logErr != nil {
						t.Fatal(logErr)
					}
					if n := verified(log); n > 1 || test.tries == unread && n != 0 {
						t.Errorf("C-33: %d VERIFY", n)
					}
					if test.tries == unread {
						return
					}
					if errors.Is(err, cardreader.ErrCardRemoved) {
						if err := stack.ReinsertSlot(t.Context(), slot); err != nil {
							t.Fatal(err)
						}
					}
					if got := triesLeft(t, everyDriver(), reader, f.pins[1]); got != test.tries {
						t.Errorf("%d tries left, want %d", got, test.tries)
					}
				})
			}
		})
	}
	for _, f := range families() {
		for n, test := range tests {
			// A slow card is slow whatever it says: one family is enough.
			if test.personality == cards.TransportPIN && f.kind != cards.KindEstEID2025 ||
				test.personality == cards.Slow && f.kind != cards.KindEstEID {
				continue
			}
			rows <- row{f, n}
		}
	}
	close(rows)
	slots.Wait()
	leak(t, before)
}

// verified counts VERIFY with data: 00 20 00 xx Lc …
func verified(log []cards.Exchange) int {
	n := 0
	for _, e := range log {
		if e.INS() == "20" && len(e.Command) > 10 {
			n++
		}
	}
	return n
}
