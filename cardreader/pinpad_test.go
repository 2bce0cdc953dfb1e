package cardreader_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/esteid2025"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/pkcs15"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

// hint is a source that can point to the reader, and is asked for values only
// where that is of no use.
type hint struct {
	t            *testing.T
	reader       *cardtest.Reader
	err          error
	asked        int
	hints, ended int
	last         cardreader.PINChangeRequest
}

func (h *hint) ChangePIN(ctx context.Context, r cardreader.PINChangeRequest) (checked, replacement *pin.PIN, err error) {
	h.asked++
	return cardtest.Change{Checked: "1234", Replacement: "24680"}.ChangePIN(ctx, r)
}

func (h *hint) ChangeAtReader(_ context.Context, r cardreader.PINChangeRequest) (func(), error) {
	h.hints++
	h.last = r
	if n := h.reader.Open(); n != 0 {
		h.t.Errorf("%d connections held at the hint", n)
	}
	return func() { h.ended++ }, h.err
}

// keyed is a card of a family in a reader with keys.
type keyed struct {
	reader *cardtest.Reader
	keys   *cardtest.Keypad
	cards  *cardreader.Cards
	hint   *hint
}

func newKeyed(t *testing.T, country *pki.Country, kind cards.Kind, personality cards.Personality) *keyed {
	t.Helper()
	card, err := holders.CardOf(t, country, kind, holders.Citizen(kind), personality).New()
	if err != nil {
		t.Fatal(err)
	}
	k := &keyed{reader: cardtest.New(card), keys: &cardtest.Keypad{}}
	k.hint = &hint{t: t, reader: k.reader}
	k.cards = &cardreader.Cards{
		Service: k.reader.WithKeys(k.keys),
		Drivers: []cardreader.Driver{esteid.Driver{}, esteid2025.Driver{}, pkcs15.Driver{AskTries: true}},
	}
	return k
}

// tries are those left of a PIN.
func (k *keyed) tries(t *testing.T, id string) int {
	t.Helper()
	slots, err := k.cards.List(t.Context())
	if err != nil || slots[0].Err != nil {
		t.Fatal(slots, err)
	}
	for _, status := range slots[0].PINs {
		if status.ID == id {
			return status.TriesLeft
		}
	}
	t.Fatalf("no %s", id)
	return 0
}

func TestPINGetsItsNewValueAtAReaderWithKeys(t *testing.T) {
	home := holders.Country(t)
	filled := func(header, pad string, blocks int) string {
		return header + strings.Repeat(pad, 12*blocks)
	}
	tests := []struct {
		name        string
		kind        cards.Kind
		personality cards.Personality
		id          string
		unblock     bool
		typed       [][]string
		sw          uint16
		// want is nil or the reason; tries are those of checked afterwards.
		want    cardreader.PINReason
		checked string
		tries   int
		// entries are the templates that the reader got, as command and rule.
		entries []string
		min     int
	}{
		{
			name: "change", kind: cards.KindEstEID, id: "PIN1", typed: [][]string{{"1234", "24680"}},
			checked: "PIN1", tries: 3, entries: []string{filled("0024000118", "FF", 2)}, min: 4,
		},
		{
			name: "change of PIN2", kind: cards.KindEstEID, id: "PIN2", typed: [][]string{{"12345", "24680"}},
			checked: "PIN2", tries: 3, entries: []string{filled("0024008518", "FF", 2)}, min: 5,
		},
		{
			name: "wrong present value", kind: cards.KindEstEID, id: "PIN1", typed: [][]string{{"9999", "24680"}},
			want: cardreader.PINWrong, checked: "PIN1", tries: 2, entries: []string{filled("0024000118", "FF", 2)}, min: 4,
		},
		{
			name: "cancelled", kind: cards.KindEstEID, id: "PIN1", sw: 0x6401,
			want: cardreader.PINCancelled, checked: "PIN1", tries: 3, entries: []string{filled("0024000118", "FF", 2)}, min: 4,
		},
		{
			name: "nobody types", kind: cards.KindEstEID, id: "PIN1", sw: 0x6400,
			want: cardreader.PINTimeout, checked: "PIN1", tries: 3, entries: []string{filled("0024000118", "FF", 2)}, min: 4,
		},
		{
			name: "two different new values", kind: cards.KindEstEID, id: "PIN1", sw: 0x6402,
			want: cardreader.PINDiffers, checked: "PIN1", tries: 3, entries: []string{filled("0024000118", "FF", 2)}, min: 4,
		},
		{
			name: "too short", kind: cards.KindEstEID, id: "PIN1", sw: 0x6403,
			want: cardreader.PINFormat, checked: "PIN1", tries: 3, entries: []string{filled("0024000118", "FF", 2)}, min: 4,
		},
		{
			name: "unblock", kind: cards.KindEstEID, personality: cards.Blocked, id: "PIN1", unblock: true,
			typed: [][]string{{"12345678"}, {"24680"}}, checked: "PIN1", tries: 3,
			entries: []string{filled("002000020C", "FF", 1), filled("002C02010C", "FF", 1)}, min: 8,
		},
		{
			name: "wrong PUK", kind: cards.KindEstEID, personality: cards.Blocked, id: "PIN2", unblock: true,
			typed: [][]string{{"99999999"}}, want: cardreader.PINWrong, checked: "PUK", tries: 2,
			entries: []string{filled("002000020C", "FF", 1)}, min: 8,
		},
		{
			name: "change on the card of 2025", kind: cards.KindEstEID2025, id: "PIN1", typed: [][]string{{"1234", "24680"}},
			checked: "PIN1", tries: 3, entries: []string{filled("0024008118", "00", 2)}, min: 4,
		},
		{
			name: "activation", kind: cards.KindEstEID2025, personality: cards.TransportPIN, id: "PIN2", typed: [][]string{{"12345", "24680"}},
			checked: "PIN2", tries: 3, entries: []string{filled("0024008218", "00", 2)}, min: 5,
		},
		{
			name: "unblock on the card of 2025", kind: cards.KindEstEID2025, personality: cards.Blocked, id: "PIN1", unblock: true,
			typed: [][]string{{"12345678", "24680"}}, checked: "PIN1", tries: 3, entries: []string{filled("002C008118", "00", 2)}, min: 4,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := newKeyed(t, home, test.kind, test.personality)
			k.keys.Typed, k.keys.SW = test.typed, test.sw
			change := k.cards.ChangePIN
			if test.unblock {
				change = k.cards.UnblockPIN
			}
			err := change(t.Context(), cardreader.Selection{}, test.id, k.hint)
			var refused *cardreader.PINError
			if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &refused) || refused.Reason != test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if k.hint.asked != 0 || k.hint.hints != 1 || k.hint.ended != 1 || k.hint.last.Target.ID != test.id {
				t.Errorf("asked for values %d times, hint shown %d times and taken away %d times", k.hint.asked, k.hint.hints, k.hint.ended)
			}
			if k.reader.Open() != 0 || k.reader.Resets() != 1 {
				t.Errorf("%d connections open, %d resets", k.reader.Open(), k.reader.Resets())
			}
			if left := k.tries(t, test.checked); left != test.tries {
				t.Errorf("%s has %d tries left, want %d", test.checked, left, test.tries)
			}
			if len(k.keys.Entries) != len(test.entries) {
				t.Fatalf("entries %+v", k.keys.Entries)
			}
			for i, e := range k.keys.Entries {
				if got := strings.ToUpper(hex.EncodeToString(e.Command)); got != test.entries[i] {
					t.Errorf("template %s, want %s", got, test.entries[i])
				}
			}
			if e := k.keys.Entries[0]; e.Min != test.min || e.Max != 12 {
				t.Errorf("bounds %d to %d", e.Min, e.Max)
			}
			if test.want != "" {
				return
			}
			// The new value is the one that was typed.
			usage := cardreader.UsageAuthentication
			if test.id == "PIN2" {
				usage = cardreader.UsageSignature
			}
			if err := signs(t, k.cards, usage, "24680"); err != nil {
				t.Errorf("with the new value: %v", err)
			}
		})
	}
}

// A reader, family, source or program for which the keys are of no use leaves the
// entry to the program.
func TestPINIsTypedAtTheProgramWhereKeysDoNotServe(t *testing.T) {
	home := holders.Country(t)
	tests := []struct {
		name string
		kind cards.Kind
		make func(*keyed)
		id   string
	}{
		{"reader that only verifies", cards.KindEstEID, func(k *keyed) { k.keys.OnlyVerify = true }, "PIN1"},
		{"program without pads", cards.KindEstEID, func(k *keyed) { k.cards.WithoutPads = true }, "PIN1"},
		{"family that does not offer it", cards.KindPKCS15, func(*keyed) {}, "PIN"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := newKeyed(t, home, test.kind, cards.Honest)
			test.make(k)
			if err := k.cards.ChangePIN(t.Context(), cardreader.Selection{}, test.id, k.hint); err != nil {
				t.Error(err)
			}
			if k.hint.asked != 1 || k.hint.hints != 0 || len(k.keys.Entries) != 0 {
				t.Errorf("asked %d times, %d hints, %d entries", k.hint.asked, k.hint.hints, len(k.keys.Entries))
			}
		})
	}
	t.Run("source that cannot point to the reader", func(t *testing.T) {
		k := newKeyed(t, home, cards.KindEstEID, cards.Honest)
		err := k.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN1", cardtest.Change{Checked: "1234", Replacement: "24680"})
		if err != nil || len(k.keys.Entries) != 0 {
			t.Errorf("%v, %d entries", err, len(k.keys.Entries))
		}
	})
	t.Run("hint refused", func(t *testing.T) {
		k := newKeyed(t, home, cards.KindEstEID, cards.Honest)
		k.hint.err = errors.New("holder said no")
		err := k.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN1", k.hint)
		if !errors.Is(err, k.hint.err) || len(k.keys.Entries) != 0 || k.reader.Resets() != 0 {
			t.Errorf("%v, %d entries, %d resets", err, len(k.keys.Entries), k.reader.Resets())
		}
	})
	t.Run("blocked PIN has no hint", func(t *testing.T) {
		k := newKeyed(t, home, cards.KindEstEID, cards.Blocked)
		var refused *cardreader.PINError
		err := k.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN1", k.hint)
		if !errors.As(err, &refused) || refused.Reason != cardreader.PINBlocked || k.hint.hints != 0 {
			t.Errorf("C-42: %v, %d hints", err, k.hint.hints)
		}
	})
}

func signs(t *testing.T, c *cardreader.Cards, usage cardreader.Usage, entry string) error {
	t.Helper()
	found, err := c.Find(t.Context(), cardreader.Selection{Usage: usage})
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("a document"))
	_, err = c.Signer(t.Context(), found, cardtest.Typed(entry)).Sign(nil, digest[:], crypto.SHA256)
	return err
}
