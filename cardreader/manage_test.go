package cardreader_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// guarded is a card that shows its data after a PIN, and changes one.
type guarded struct {
	*plainCard
	changes, reads int
	refuse         error
}

func (g *guarded) PersonalDataPIN() string { return "PIN" }

func (g *guarded) PersonalDataWithPIN(_ context.Context, p *pin.PIN) (*cardreader.PersonalData, error) {
	g.reads++
	return &cardreader.PersonalData{Surname: "LAB"}, g.refuse
}

func (g *guarded) ChangePIN(context.Context, string, *pin.PIN, *pin.PIN) error {
	g.changes++
	return g.refuse
}

// two enters a checked and a new value; nil entries are a broken source.
type two struct {
	checked, replacement string
	err                  error
	asked                int
}

func (e *two) ChangePIN(context.Context, cardreader.PINChangeRequest) (*pin.PIN, *pin.PIN, error) {
	e.asked++
	if e.err != nil || e.checked == "" {
		return nil, nil, e.err
	}
	a, err := pin.New([]byte(e.checked))
	if err != nil {
		return nil, nil, err
	}
	b, err := pin.New([]byte(e.replacement))
	return a, b, err
}

func TestManagementNeedsOneCard(t *testing.T) {
	first, second := &guarded{plainCard: newPlainCard(t, "1")}, &guarded{plainCard: newPlainCard(t, "2")}
	s := &slots{
		readers: []cardreader.Reader{
			present("A", ";a"), present("B", ";b"), present("Unknown", "x"),
			{Name: "Empty", State: cardreader.ReaderEmpty},
			{Name: "Mute", State: cardreader.ReaderMute},
		},
		cards: map[string]cardreader.Card{";a": first, ";b": second},
	}
	sum := sha256.Sum256(second.credentials[0].Certificate.Raw)
	tests := []struct {
		name string
		sel  cardreader.Selection
		want error
	}{
		{"its reader", cardreader.Selection{Reader: "A"}, nil},
		{"a certificate", cardreader.Selection{CertificateSHA256: hex.EncodeToString(sum[:])}, nil},
		{"an unknown reader", cardreader.Selection{Reader: "C"}, cardreader.ErrReaderGone},
		{"an empty reader", cardreader.Selection{Reader: "Empty"}, cardreader.ErrNoCard},
		{"a mute card", cardreader.Selection{Reader: "Mute"}, cardreader.ErrCardMute},
		{"an unknown card", cardreader.Selection{Reader: "Unknown"}, cardreader.ErrCardUnsupported},
	}
	for _, test := range tests {
		err := s.facade().ChangePIN(t.Context(), test.sel, "PIN", &two{checked: "1234", replacement: "5678"})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if first.changes != 1 || second.changes != 1 {
		t.Errorf("%d and %d changes", first.changes, second.changes)
	}
	var ambiguous *cardreader.AmbiguousReaderError
	if err := s.facade().ChangePIN(t.Context(), cardreader.Selection{}, "PIN", &two{}); !errors.As(err, &ambiguous) || len(ambiguous.Readers) != 2 {
		t.Errorf("C-59 two cards: %v", err)
	}
	s.readers = nil
	if err := s.facade().ChangePIN(t.Context(), cardreader.Selection{}, "PIN", &two{}); !errors.Is(err, cardreader.ErrNoReader) {
		t.Errorf("no reader: %v", err)
	}
}

func TestManagementAsksForNothingACardDoesNotOffer(t *testing.T) {
	s := &slots{readers: []cardreader.Reader{present("A", ";a")}, cards: map[string]cardreader.Card{";a": newPlainCard(t, "1")}}
	asked := &two{checked: "1234", replacement: "5678"}
	for name, err := range map[string]error{
		"change":  s.facade().ChangePIN(t.Context(), cardreader.Selection{}, "PIN", asked),
		"unblock": s.facade().UnblockPIN(t.Context(), cardreader.Selection{}, "PIN", asked),
		"data":    func() error { _, err := s.facade().PersonalData(t.Context(), cardreader.Selection{}, nil); return err }(),
	} {
		if !errors.Is(err, cardreader.ErrNotOffered) {
			t.Errorf("%s: %v, want ErrNotOffered", name, err)
		}
	}
	found, err := s.facade().Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageAuthentication})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.facade().Agree(t.Context(), found, digits("1234"), peer.PublicKey()); !errors.Is(err, cardreader.ErrNotOffered) || asked.asked != 0 {
		t.Errorf("agree: %v, %d questions", err, asked.asked)
	}
}

func TestSourcesThatGiveNothingEndAChange(t *testing.T) {
	card := &guarded{plainCard: newPlainCard(t, "1")}
	s := &slots{readers: []cardreader.Reader{present("A", ";a")}, cards: map[string]cardreader.Card{";a": card}}
	refusal := errors.New("holder pressed cancel")
	for _, test := range []struct {
		source *two
		want   error
	}{{&two{err: refusal}, refusal}, {&two{}, pin.ErrWiped}} {
		if err := s.facade().ChangePIN(t.Context(), cardreader.Selection{}, "PIN", test.source); !errors.Is(err, test.want) || card.changes != 0 {
			t.Errorf("%v, want %v; %d changes", err, test.want, card.changes)
		}
	}
	card.refuse = &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN", TriesLeft: 2}
	var refused *cardreader.PINError
	if err := s.facade().ChangePIN(t.Context(), cardreader.Selection{}, "PIN", &two{checked: "1234", replacement: "5678"}); !errors.As(err, &refused) || card.changes != 1 {
		t.Errorf("wrong: %v after %d changes", err, card.changes)
	}
}

func TestProtectedDataNeedsTheHolder(t *testing.T) {
	card := &guarded{plainCard: newPlainCard(t, "1")}
	s := &slots{readers: []cardreader.Reader{present("A", ";a")}, cards: map[string]cardreader.Card{";a": card}}
	if _, err := s.facade().PersonalData(t.Context(), cardreader.Selection{}, nil); !errors.Is(err, cardreader.ErrNotOffered) || card.reads != 0 {
		t.Errorf("nobody to ask: %v", err)
	}
	data, err := s.facade().PersonalData(t.Context(), cardreader.Selection{}, digits("1234"))
	if err != nil || data.Surname != "LAB" {
		t.Errorf("PersonalData = %+v, %v", data, err)
	}
	var refused *cardreader.PINError
	if _, err := s.facade().PersonalData(t.Context(), cardreader.Selection{}, digits("12")); !errors.As(err, &refused) || refused.Reason != cardreader.PINFormat || card.reads != 1 {
		t.Errorf("C-43: %v", err)
	}
	card.mustChange = true
	if _, err := s.facade().PersonalData(t.Context(), cardreader.Selection{}, digits("1234")); !errors.As(err, &refused) || refused.Reason != cardreader.PINMustChange || card.reads != 1 {
		t.Errorf("transport PIN: %v", err)
	}
}

// stranger takes every card and knows none.
type stranger struct{ opened int }

func (s *stranger) Name() string        { return "Stranger" }
func (s *stranger) Matches([]byte) bool { return true }

func (s *stranger) Open(context.Context, cardreader.Transport) (cardreader.Card, error) {
	s.opened++
	return nil, cardreader.ErrCardUnsupported
}

// Families share answers to reset: the one that does not know the card leaves it
// to the next.
func TestCardGoesToTheFirstDriverThatKnowsIt(t *testing.T) {
	card := &guarded{plainCard: newPlainCard(t, "1")}
	s := &slots{readers: []cardreader.Reader{present("A", ";a")}, cards: map[string]cardreader.Card{";a": card}}
	first := &stranger{}
	c := &cardreader.Cards{Service: s, Drivers: []cardreader.Driver{first, s}}
	if _, err := c.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature}); err != nil || first.opened != 1 {
		t.Errorf("Find = %v, %d tries", err, first.opened)
	}
	if err := c.ChangePIN(t.Context(), cardreader.Selection{}, "PIN", &two{checked: "1234", replacement: "5678"}); err != nil || card.changes != 1 {
		t.Errorf("ChangePIN = %v", err)
	}
	alone := &cardreader.Cards{Service: s, Drivers: []cardreader.Driver{first}}
	if _, err := alone.Find(t.Context(), cardreader.Selection{}); !errors.Is(err, cardreader.ErrCardUnsupported) {
		t.Errorf("nobody knows it: %v", err)
	}
}
