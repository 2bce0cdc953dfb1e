//go:build linux && cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/sha512"
	"errors"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// OpenSC over a real pcscd with the emulated Estonian card: the fallback for
// cards without a driver.
func TestOpenSCSignsWithTheEmulatedEstEID(t *testing.T) {
	path := needs.File(t, "/usr/lib/*/opensc-pkcs11.so", "opensc-pkcs11")
	stack := needs.PCSCD(t, pcscd.Options{})
	m := &Module{Path: path, Host: host(stack.Env()...)}
	if _, err := m.Find(t.Context(), cardreader.Selection{}); !errors.Is(err, cardreader.ErrNoCard) {
		t.Errorf("empty reader: %v", err)
	}
	spec := holders.Card(t, cards.KindEstEID)
	if err := stack.Insert(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	slots, err := m.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slots {
		t.Logf("%+v", s)
	}
	digest := sha512.Sum384([]byte("document"))
	for _, row := range []struct {
		usage    cardreader.Usage
		pin, ask string
	}{
		{cardreader.UsageAuthentication, "1234", "PIN1"},
		{cardreader.UsageSignature, "12345", "PIN2"},
	} {
		found, err := m.Find(t.Context(), cardreader.Selection{Usage: row.usage})
		if err != nil {
			t.Fatal(err)
		}
		holder := &typist{pin: row.pin}
		// The value is checked with the certificate before it is returned.
		if _, err := m.Signer(t.Context(), found, holder).Sign(nil, digest[:], crypto.SHA384); err != nil {
			t.Errorf("%s: %v", row.usage, err)
		}
		if len(holder.asked) != 1 || holder.asked[0].Status.ID != row.ask {
			t.Errorf("%s: asked %+v", row.usage, holder.asked)
		}
	}
	wrongPINThroughOpenSC(t, m, stack, digest[:])
}

// C-33, C-41, C-42 through the module: one wrong entry is one VERIFY; the last
// try is announced; a blocked PIN is not asked for.
func wrongPINThroughOpenSC(t *testing.T, m *Module, stack *pcscd.Stack, digest []byte) {
	t.Helper()
	found, err := m.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		reason cardreader.PINReason
		before int
	}{{cardreader.PINWrong, -1}, {cardreader.PINWrong, -1}, {cardreader.PINBlocked, 1}} {
		before := verifies(t, stack)
		holder := &typist{pin: "54321"}
		_, err := m.Signer(t.Context(), found, holder).Sign(nil, digest, crypto.SHA384)
		var refused *cardreader.PINError
		if !errors.As(err, &refused) || refused.Reason != want.reason {
			t.Errorf("wrong PIN: %v, want %s", err, want.reason)
		}
		if n := verifies(t, stack) - before; n != 1 {
			t.Errorf("%d VERIFY commands with data for one entry", n)
		}
		if len(holder.asked) != 1 || holder.asked[0].Status.TriesLeft != want.before {
			t.Errorf("asked %+v, want %d tries left", holder.asked, want.before)
		}
	}
	holder := &typist{pin: "12345"}
	_, err = m.Signer(t.Context(), found, holder).Sign(nil, digest, crypto.SHA384)
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || refused.Reason != cardreader.PINBlocked || len(holder.asked) != 0 {
		t.Errorf("blocked PIN: %v, asked %d times", err, len(holder.asked))
	}
}

// verifies counts the VERIFY commands with data that the card saw.
func verifies(t *testing.T, stack *pcscd.Stack) int {
	t.Helper()
	exchanges, err := stack.Exchanges(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range exchanges {
		if e.INS() == "20" && len(e.Command) > 2*5 {
			n++
		}
	}
	return n
}

func TestModuleWithoutPCSCDHasNoTokens(t *testing.T) {
	path := needs.File(t, "/usr/lib/*/opensc-pkcs11.so", "opensc-pkcs11")
	m := &Module{Path: path, Host: host("PCSCLITE_CSOCK_NAME=" + filepath.Join(t.TempDir(), "none"))}
	if _, err := m.Find(t.Context(), cardreader.Selection{}); !errors.Is(err, cardreader.ErrNoCard) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.List(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
