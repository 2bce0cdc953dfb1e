package dnie_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

// citizenPIN is what the emulated cards take.
const citizenPIN = "CRYPTOKI"

// lab is one country with its citizen's keys for all tests: RSA takes time.
type lab struct {
	country *pki.Country
	spec    map[int]cards.Spec // by generation of the chip
	roots   []*rsa.PublicKey
	sets    []*cwa14890.KeySet
}

func founded() (*lab, error) {
	country, err := pki.New(pki.Options{})
	if err != nil {
		return nil, err
	}
	l := &lab{country: country, spec: map[int]cards.Spec{}}
	for generation, number := range map[int]string{1: "AAA123456", 2: "BMP200002"} {
		person, _ := pki.Citizen("99999999R")
		person.DocumentNumber = number
		keys, err := country.SpanishCitizen(person)
		if err != nil {
			return nil, err
		}
		if l.spec[generation], err = cards.DNIeSpec(keys); err != nil {
			return nil, err
		}
	}
	for generation := 1; generation <= 2; generation++ {
		root, err := country.ComponentRoot(generation)
		if err != nil {
			return nil, err
		}
		l.roots = append(l.roots, root)
	}
	file, err := country.TerminalKeys()
	if err != nil {
		return nil, err
	}
	l.sets, err = cwa14890.ParseKeySets(file)
	return l, err
}

var theLab = sync.OnceValues(founded)

func newLab(t testing.TB) *lab {
	t.Helper()
	l, err := theLab()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// card makes an emulated card of a generation after changes.
func (l *lab) card(t testing.TB, generation int, changes ...func(*cards.Spec)) cards.Card {
	t.Helper()
	spec := l.spec[generation]
	config := *spec.DNIe
	spec.DNIe = &config
	for _, change := range changes {
		change(&spec)
	}
	card, err := spec.New()
	if err != nil {
		t.Fatal(err)
	}
	return card
}

func contactless(s *cards.Spec)     { s.DNIe.Contactless = true }
func secondCard(s *cards.Spec)      { s.DNIe.Version = "2.0" }
func tries(n int) func(*cards.Spec) { return func(s *cards.Spec) { s.DNIe.Tries = &n } }

func misbehaving(m cards.Misbehaviour) func(*cards.Spec) {
	return func(s *cards.Spec) { s.DNIe.Misbehaviour = m }
}

func ruled(rules ...cards.Rule) func(*cards.Spec) {
	return func(s *cards.Spec) { s.Faults.Rules = rules }
}

// slot is a reader in process with a card in it.
type slot struct {
	*cardtest.Reader
	card cards.Card
}

// put changes the card and counts anew.
func (s *slot) put(c cards.Card) {
	s.card = c
	s.Insert(c)
	s.Sent()
}

// presented counts VERIFY commands with a PIN in them.
func (s *slot) presented() int {
	n := 0
	for _, c := range s.Commands() {
		if len(c) > 6 && (c[1] == 0x20 || c[1] == 0x24) && (c[0]&0x0C == 0 || c[5] == 0x87) {
			n++
		}
	}
	return n
}

// typed is a PINSource and an access number with fixed entries.
type typed struct {
	pin, can       string
	err            error
	asked          int
	canAsked       int
	status         cardreader.PINStatus
	held           func() int
	whileConnected bool
	anyReader      bool
}

func (e *typed) PIN(_ context.Context, r cardreader.PINRequest) (*pin.PIN, error) {
	e.asked++
	e.status = r.Status
	e.whileConnected = e.whileConnected || e.held != nil && e.held() > 0
	return pin.New([]byte(e.pin))
}

func (e *typed) CAN(_ context.Context, reader string) (*pin.PIN, error) {
	e.canAsked++
	e.whileConnected = e.whileConnected || e.held != nil && e.held() > 0
	if reader != cardtest.Name && reader != "" && !e.anyReader {
		return nil, errors.New("asked for the number of a card in another reader")
	}
	if e.err != nil {
		return nil, e.err
	}
	return pin.New([]byte(e.can))
}

// desk is a reader, its programs and its person.
type desk struct {
	*slot
	cards  *cardreader.Cards
	driver *dnie.Driver
	entry  *typed
}

func newDesk(t testing.TB, card cards.Card, changes ...func(*dnie.Driver)) *desk {
	t.Helper()
	l := newLab(t)
	d := &desk{slot: &slot{cardtest.New(card), card}, entry: &typed{pin: citizenPIN, can: "123456"}}
	d.entry.held = d.Open
	driver := dnie.Driver{Roots: l.roots, CAN: d.entry}
	for _, change := range changes {
		change(&driver)
	}
	d.driver = &driver
	// The clock stands still: what a search has read stays fresh, however long the
	// machine takes, so that commands can be counted.
	now := time.Unix(1_800_000_000, 0)
	d.cards = &cardreader.Cards{Service: d.slot, Drivers: []cardreader.Driver{driver}, Now: func() time.Time { return now }}
	t.Cleanup(func() {
		if n := d.Open(); n != 0 {
			t.Errorf("%d connections left open", n)
		}
		if d.entry.whileConnected {
			t.Error("somebody was asked while a connection was open")
		}
	})
	return d
}

func (d *desk) find(t testing.TB, u cardreader.Usage) *cardreader.Found {
	t.Helper()
	found, err := d.cards.Find(t.Context(), cardreader.Selection{Usage: u})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sign finds the key of a usage and signs with it.
func (d *desk) sign(t testing.TB, u cardreader.Usage) error {
	t.Helper()
	found, err := d.cards.Find(t.Context(), cardreader.Selection{Usage: u})
	if err != nil {
		return err
	}
	return d.signWith(t, found)
}

func (d *desk) signWith(t testing.TB, found *cardreader.Found) error {
	t.Helper()
	sum := sha256.Sum256([]byte("a document"))
	signature, err := d.cards.Signer(t.Context(), found, d.entry).Sign(rand.Reader, sum[:], crypto.SHA256)
	if err == nil && len(signature) != 256 {
		t.Errorf("signature of %d bytes", len(signature))
	}
	return err
}

func refusal(t testing.TB, err error, reason cardreader.PINReason, left int) {
	t.Helper()
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || refused.Reason != reason || refused.TriesLeft != left || refused.PIN != "PIN" {
		t.Errorf("got %v, want PIN %s with %d left", err, reason, left)
	}
}
