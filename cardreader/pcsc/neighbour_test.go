//go:build cgo

package pcsc_test

import (
	"context"
	"encoding/hex"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// while is a source during whose question something happens.
type while struct {
	entry string
	act   func()
}

func (w while) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) {
	w.act()
	return pin.New([]byte(w.entry))
}

// neighbourhood is a card with another program at it.
type neighbourhood struct {
	*testing.T
	*pcscd.Neighbour
	cards *cardreader.Cards
	found *cardreader.Found
}

func (n *neighbourhood) must(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

// send sends a command and wants a status word.
func (n *neighbourhood) send(command, status string) {
	n.Helper()
	raw, err := hex.DecodeString(command)
	n.must(err)
	answer, err := n.Transmit(raw)
	n.must(err)
	if got := hex.EncodeToString(answer); len(got) < 4 || got[len(got)-4:] != status {
		n.Errorf("the other program's %.8s… was answered %s, want %s", command, got, status)
	}
}

// visit is a whole transaction of the other program.
func (n *neighbourhood) visit(work func(), reset bool) {
	n.Helper()
	n.must(n.Connect(false))
	n.must(n.Begin())
	work()
	n.must(n.End(reset))
	n.must(n.Disconnect(false))
}

const (
	selectMF = "00A4000C00"
	// selectQSCD is the signature application of the Estonian card of 2018.
	selectQSCD = "00A4040C10" + "51534344204170706C69636174696F6E"
	wrongPIN2  = "002000850C" + "3939393939FFFFFFFFFFFFFF"
)

// Threats C-18, C-19, C-44: what another program does to the card ends in the right
// error or in none, with the tries that are due.
func TestCardSharedWithAnotherProgram(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	spec := holders.Card(t, cards.KindEstEID)
	// spend uses up a try of PIN2.
	spend := func(n *neighbourhood) {
		n.send(selectQSCD, "9000")
		n.send(wrongPIN2, "63c2")
	}
	tests := []struct {
		name string
		// before happens before signing, during while the PIN is asked for, after
		// when the signature is there.
		before, during, after func(n *neighbourhood)
		limit                 time.Duration
		want                  error
		tries, verified       int
	}{
		{
			name:   "keeps the card for itself",
			before: func(n *neighbourhood) { n.must(n.Connect(true)) },
			want:   cardreader.ErrCardBusy, tries: 3,
		},
		{
			name:   "keeps a transaction",
			before: func(n *neighbourhood) { n.must(n.Connect(false)); n.must(n.Begin()) },
			limit:  300 * time.Millisecond,
			want:   cardreader.ErrCardBusy, tries: 3,
		},
		{
			name:   "takes the card for itself while the PIN is asked for",
			during: func(n *neighbourhood) { n.must(n.Connect(true)) },
			want:   cardreader.ErrCardBusy, tries: 3,
		},
		{
			name:   "selects elsewhere in between",
			during: func(n *neighbourhood) { n.visit(func() { n.send(selectMF, "9000") }, false) },
			tries:  3, verified: 1,
		},
		{
			name:   "resets in between",
			during: func(n *neighbourhood) { n.visit(func() { n.send(selectMF, "9000") }, true) },
			tries:  3, verified: 1,
		},
		{
			name:   "ends in the middle of its transaction",
			during: func(n *neighbourhood) { n.must(n.Connect(false)); n.must(n.Begin()); n.Leave() },
			tries:  3, verified: 1,
		},
		{
			// The holder was told of three tries, so this is not the moment for one.
			name:   "spends a try in between",
			during: func(n *neighbourhood) { n.visit(func() { spend(n) }, true) },
			want:   cardreader.ErrCardBusy, tries: 2, verified: 1,
		},
		{
			name: "inherits no PIN (C-44)",
			after: func(n *neighbourhood) {
				n.visit(func() {
					n.send(selectQSCD, "9000")
					n.send("002241B60680015484019F", "9000")
					n.send("002A9E9A30"+hex.EncodeToString(make([]byte, 48))+"00", "6982")
				}, false)
			},
			tries: 3, verified: 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			insert(t, stack, spec)
			defer func() { _ = stack.Remove(context.Background()) }()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			other, err := stack.Neighbour(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			n := &neighbourhood{T: t, Neighbour: other, cards: everyDriver()}
			n.found = find(t, n.cards)
			act := func(f func(*neighbourhood)) {
				if f != nil {
					f(n)
				}
			}
			act(test.before)
			signing := t.Context()
			if test.limit != 0 {
				var cancel context.CancelFunc
				signing, cancel = context.WithTimeout(signing, test.limit)
				defer cancel()
			}
			err = signFound(signing, n.cards, n.found, while{"12345", func() { act(test.during) }})
			if !errors.Is(err, test.want) {
				t.Errorf("Sign = %v, want %v", err, test.want)
			}
			act(test.after)
			other.Leave()
			if n := verified(exchanges(t, stack)); n != test.verified {
				t.Errorf("%d VERIFY, want %d", n, test.verified)
			}
			if got := triesLeft(t, n.cards, pcscd.Readers()[0], "PIN2"); got != test.tries {
				t.Errorf("%d tries left, want %d", got, test.tries)
			}
			leak(t, before)
		})
	}
}

// The personality of the lab: whatever comes in between, each signature is right or
// refused as busy, and no try is lost.
func TestRestlessNeighbourOfEveryFamily(t *testing.T) {
	country := holders.Country(t)
	stack := needs.PCSCD(t, pcscd.Options{})
	before := runtime.NumGoroutine()
	for _, f := range families() {
		t.Run(string(f.kind), func(t *testing.T) {
			insert(t, stack, holders.CardOf(t, country, f.kind, holders.Citizen(f.kind), cards.Shared))
			defer func() { _ = stack.Remove(context.Background()) }()
			signed, busy := 0, 0
			for signed < 5 || busy == 0 {
				err := signWith(t.Context(), everyDriver(), cardreader.UsageSignature, f.entries[1])
				switch {
				case err == nil:
					signed++
				case errors.Is(err, cardreader.ErrCardBusy), errors.Is(err, cardreader.ErrCardReset):
					busy++
				default:
					t.Fatalf("after %d signatures: %v", signed, err)
				}
			}
			t.Logf("%d signatures, %d times busy", signed, busy)
			for {
				slots, err := everyDriver().List(t.Context())
				if err == nil && errors.Is(slots[0].Err, cardreader.ErrCardBusy) {
					continue
				}
				if err != nil || slots[0].Err != nil {
					t.Fatalf("List = %+v, %v", slots, err)
				}
				for _, status := range slots[0].PINs {
					if status.TriesLeft != 3 {
						t.Errorf("%s has %d tries left", status.ID, status.TriesLeft)
					}
				}
				break
			}
		})
	}
	leak(t, before)
}

func triesLeft(t *testing.T, c *cardreader.Cards, reader, id string) int {
	t.Helper()
	slot := slotOf(t, c, reader)
	// That a program is gone dawns on pcscd only after a while.
	for deadline := time.Now().Add(time.Minute); errors.Is(slot.Err, cardreader.ErrCardBusy) && time.Now().Before(deadline); {
		slot = slotOf(t, c, reader)
	}
	for _, status := range slot.PINs {
		if status.ID == id {
			return status.TriesLeft
		}
	}
	t.Fatalf("no %s: %v", id, slot.Err)
	return 0
}

func slotOf(t *testing.T, c *cardreader.Cards, reader string) *cardreader.Inserted {
	t.Helper()
	slots, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range slots {
		if slots[i].Reader.Name == reader {
			return &slots[i]
		}
	}
	t.Fatalf("no reader %s", reader)
	return nil
}
