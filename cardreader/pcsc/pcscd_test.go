//go:build cgo

package pcsc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pcsc"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

// These tests run against a real pcscd with the virtual reader. The client
// library remembers the first socket name it sees, so all stacks of this process
// live in the same directory, one after the other.
func TestMain(m *testing.M) {
	pcscd.Child()
	signingProgram()
	os.Exit(needs.OnePCSCD(m))
}

func insert(t testing.TB, stack *pcscd.Stack, spec cards.Spec) {
	t.Helper()
	if err := stack.Insert(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
}

func exchanges(t testing.TB, stack *pcscd.Stack) []cards.Exchange {
	t.Helper()
	log, err := stack.Exchanges(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func facade() *cardreader.Cards {
	return &cardreader.Cards{Service: pcsc.New(), Drivers: []cardreader.Driver{esteid.Driver{}}}
}

func find(t *testing.T, c *cardreader.Cards) *cardreader.Found {
	t.Helper()
	found, err := c.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// typed is a PINSource with a fixed entry.
type typed string

func (e typed) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) {
	return pin.New([]byte(e))
}

func sign(ctx context.Context, c *cardreader.Cards, found *cardreader.Found, entry string, message string) error {
	sum := sha256.Sum256([]byte(message))
	signature, err := c.Signer(ctx, found, typed(entry)).Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(found.Credential.Certificate.PublicKey.(*ecdsa.PublicKey), sum[:], signature) {
		return errors.New("signature does not verify")
	}
	return nil
}

func TestSignsThroughARealPCSCD(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	list, err := facade().List(t.Context())
	if err != nil || len(list) != pcscd.Slots || list[0].Reader.State != cardreader.ReaderEmpty || list[0].Err != nil {
		t.Fatalf("List without a card = %+v, %v", list, err)
	}
	if _, err := facade().Find(t.Context(), cardreader.Selection{}); !errors.Is(err, cardreader.ErrNoCard) {
		t.Errorf("Find without a card = %v, want ErrNoCard", err)
	}

	spec := holders.Card(t, cards.KindEstEID)
	insert(t, stack, spec)
	list, err = facade().List(t.Context())
	if err != nil || list[0].Err != nil || list[0].Reader.Name != pcscd.Readers()[0] || len(list[0].Credentials) != 2 || len(list[0].PINs) != 3 {
		t.Fatalf("List = %+v, %v", list, err)
	}
	if list[0].Info.DocumentNumber != spec.EstEID.Holder.DocumentNumber || list[0].Info.Family != "EstEID 2018" {
		t.Errorf("Info = %+v", list[0].Info)
	}

	found := find(t, facade())
	if err := sign(t.Context(), facade(), found, "12345", "a document"); err != nil {
		t.Fatal(err)
	}
	log := exchanges(t, stack)
	if verified, signed := cards.Count(log, "20"), cards.Count(log, "2A"); verified != 1 || signed != 1 {
		t.Errorf("C-33: %d VERIFY and %d signatures", verified, signed)
	}
	// Threat C-44: the card forgets the PIN before anybody else can ask.
	last := slices.IndexFunc(log, func(e cards.Exchange) bool { return e.INS() == "2A" })
	if last+1 >= len(log) || !log[last+1].Reset {
		t.Errorf("C-44: no reset after the signature, but %+v", log[last+1:])
	}

	authentication, err := facade().Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageAuthentication})
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(t.Context(), facade(), authentication, "1234", "a challenge"); err != nil {
		t.Errorf("authentication key: %v", err)
	}
}

func TestWrongPINThroughARealPCSCD(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	insert(t, stack, holders.Card(t, cards.KindEstEID))
	found := find(t, facade())
	for left := 2; left >= 0; left-- {
		err := sign(t.Context(), facade(), found, "99999", "a document")
		var refused *cardreader.PINError
		want := map[bool]cardreader.PINReason{true: cardreader.PINWrong, false: cardreader.PINBlocked}[left > 0]
		if !errors.As(err, &refused) || refused.Reason != want || refused.TriesLeft != left || strings.Contains(err.Error(), "99999") {
			t.Errorf("%d tries left: %v", left, err)
		}
	}
	var refused *cardreader.PINError
	if err := sign(t.Context(), facade(), found, "12345", "a document"); !errors.As(err, &refused) || refused.Reason != cardreader.PINBlocked {
		t.Errorf("blocked: %v", err)
	}
	if n := cards.Count(exchanges(t, stack), "20"); n != 3 {
		t.Errorf("C-42: %d VERIFY, want 3", n)
	}
}

// Threat C-16: pulled at commands of every phase. The signing script is counted
// on a whole card first.
func TestRemovalThroughARealPCSCD(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	spec := holders.Card(t, cards.KindEstEID)
	insert(t, stack, spec)
	found := find(t, facade())
	before := len(commands(exchanges(t, stack)))
	if err := sign(t.Context(), facade(), found, "12345", "a document"); err != nil {
		t.Fatal(err)
	}
	script := commands(exchanges(t, stack))[before:]
	for _, point := range []int{1, 4, 8, len(script) - 2, len(script) - 1, len(script)} {
		t.Run(fmt.Sprintf("command %d of %d", point, len(script)), func(t *testing.T) {
			if err := stack.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			faulty := spec
			faulty.Faults.RemoveAt = point
			insert(t, stack, faulty)
			if err := sign(t.Context(), facade(), found, "12345", "a document"); !errors.Is(err, cardreader.ErrCardRemoved) {
				t.Errorf("Sign = %v, want ErrCardRemoved", err)
			}
			if n := cards.Count(exchanges(t, stack), "20"); n > 1 {
				t.Errorf("%d VERIFY", n)
			}
		})
	}
}

// Threat C-16: pulled between listing and signing, at no command of ours, while
// the service still takes the card for present.
func TestCardPulledRightAfterListing(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	spec := holders.Card(t, cards.KindEstEID)
	for round := range 3 {
		insert(t, stack, spec)
		c := facade()
		found := find(t, c)
		pulled := make(chan error, 1)
		go func() { pulled <- stack.Remove(t.Context()) }()
		var err error
		for err == nil {
			err = sign(t.Context(), c, found, "12345", "a document")
		}
		if !errors.Is(err, cardreader.ErrCardRemoved) {
			t.Errorf("round %d: Sign = %v, want ErrCardRemoved", round, err)
		}
		if err := <-pulled; err != nil {
			t.Fatal(err)
		}
	}
}

func commands(log []cards.Exchange) []cards.Exchange {
	return slices.DeleteFunc(slices.Clone(log), func(e cards.Exchange) bool { return e.Reset })
}

// Threat C-17 with real readers: another citizen's card while the PIN is typed.
func TestSwappedCardThroughARealPCSCD(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	insert(t, stack, holders.Card(t, cards.KindEstEID))
	found := find(t, facade())
	if err := stack.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	insert(t, stack, holders.CardOf(t, holders.Country(t), cards.KindEstEID, pki.Persons()[1], cards.Honest))
	if err := sign(t.Context(), facade(), found, "12345", "a document"); !errors.Is(err, cardreader.ErrCardChanged) {
		t.Errorf("Sign = %v, want ErrCardChanged", err)
	}
	if n := cards.Count(exchanges(t, stack), "20"); n != 0 {
		t.Errorf("the other card got %d VERIFY", n)
	}
}

// Threat C-14: no daemon, a daemon that stops, and one that is back.
func TestServiceThatComesAndGoes(t *testing.T) {
	service := pcsc.New()
	if _, err := service.Readers(t.Context()); !errors.Is(err, cardreader.ErrNoService) {
		t.Errorf("Readers without pcscd = %v, want ErrNoService", err)
	}
	if _, err := service.Connect(t.Context(), pcscd.Readers()[0]); !errors.Is(err, cardreader.ErrNoService) {
		t.Errorf("Connect without pcscd = %v, want ErrNoService", err)
	}
	stack := needs.PCSCD(t, pcscd.Options{})
	insert(t, stack, holders.Card(t, cards.KindEstEID))
	conn, err := service.Connect(t.Context(), pcscd.Readers()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Transmit(t.Context(), []byte{0x00, 0xA4, 0x00, 0x0C}); !errors.Is(err, cardreader.ErrNoService) {
		t.Errorf("Transmit after pcscd stopped = %v, want ErrNoService", err)
	}
	_ = conn.Close(true)

	stack = needs.PCSCD(t, pcscd.Options{})
	insert(t, stack, holders.Card(t, cards.KindEstEID))
	again := &cardreader.Cards{Service: service, Drivers: []cardreader.Driver{esteid.Driver{}}}
	if err := sign(t.Context(), again, find(t, again), "12345", "a document"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestServiceWithoutReaders(t *testing.T) {
	needs.PCSCD(t, pcscd.Options{NoReader: true})
	readers, err := pcsc.New().Readers(t.Context())
	if err != nil || len(readers) != 0 {
		t.Errorf("Readers = %v, %v", readers, err)
	}
	if _, err := facade().Find(t.Context(), cardreader.Selection{}); !errors.Is(err, cardreader.ErrNoReader) {
		t.Errorf("Find = %v, want ErrNoReader", err)
	}
	if _, err := pcsc.New().Connect(t.Context(), "Reader 00"); !errors.Is(err, cardreader.ErrReaderGone) {
		t.Errorf("Connect = %v, want ErrReaderGone", err)
	}
}

// Threat C-19: a transaction held by somebody else does not block us for ever.
func TestTransactionOfAnotherProgram(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	insert(t, stack, holders.Card(t, cards.KindEstEID))
	held, err := pcsc.New().Connect(t.Context(), pcscd.Readers()[0])
	if err != nil {
		t.Fatal(err)
	}
	service := pcsc.New()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := service.Connect(ctx, pcscd.Readers()[0]); !errors.Is(err, cardreader.ErrCardBusy) {
		t.Errorf("Connect = %v, want ErrCardBusy", err)
	}
	if err := held.Close(false); err != nil {
		t.Error(err)
	}
	conn, err := service.Connect(t.Context(), pcscd.Readers()[0])
	if err != nil {
		t.Fatalf("after it ended: %v", err)
	}
	_ = conn.Close(false)
}

// Threats C-20, C-22: two programs sign with one card while a third watches and
// lists; commands of different operations never mix.
func TestManyUsersOfOneCard(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	insert(t, stack, holders.Card(t, cards.KindEstEID))
	found := find(t, facade())
	watching, stop := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() { _ = pcsc.New().Watch(watching, func(cardreader.Event) {}) })
	background.Go(func() {
		for watching.Err() == nil {
			if _, err := pcsc.New().Readers(t.Context()); err != nil {
				t.Errorf("Readers = %v", err)
			}
		}
	})
	const each = 10
	var signers sync.WaitGroup
	for n := range 2 {
		signers.Go(func() {
			for i := range each {
				if err := sign(t.Context(), facade(), found, "12345", fmt.Sprint("document ", n, i)); err != nil {
					t.Errorf("signer %d, document %d: %v", n, i, err)
				}
			}
		})
	}
	signers.Wait()
	stop()
	background.Wait()
	if n := cards.Count(exchanges(t, stack), "20"); n != 2*each {
		t.Errorf("%d VERIFY for %d entries", n, 2*each)
	}
}

func TestWatchFollowsARealPCSCD(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan cardreader.Event)
	done := make(chan error, 1)
	go func() {
		done <- pcsc.New().Watch(ctx, func(e cardreader.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		})
	}()
	want := func(kind cardreader.EventKind, reader string, state cardreader.ReaderState) {
		t.Helper()
		if got := <-events; got.Kind != kind || got.Reader.Name != reader || got.Reader.State != state {
			t.Errorf("event %+v, want %s %s %s", got, kind, reader, state)
		}
	}
	names := pcscd.Readers()
	want(cardreader.ReaderAdded, names[0], cardreader.ReaderEmpty)
	want(cardreader.ReaderAdded, names[1], cardreader.ReaderEmpty)
	insert(t, stack, holders.Card(t, cards.KindEstEID))
	want(cardreader.CardInserted, names[0], cardreader.ReaderPresent)
	if err := stack.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(cardreader.CardRemoved, names[0], cardreader.ReaderEmpty)
	if err := stack.Stop(); err != nil {
		t.Fatal(err)
	}
	want(cardreader.ReaderRemoved, names[0], cardreader.ReaderEmpty)
	want(cardreader.ReaderRemoved, names[1], cardreader.ReaderEmpty)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}
