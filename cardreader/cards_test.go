package cardreader_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// plainCard is a card without the Selective interface, as a driver might give
// one.
type plainCard struct {
	number      string
	credentials []cardreader.Credential
	partly      error
	key         *ecdsa.PrivateKey
	mustChange  bool
	block       bool
}

func (c *plainCard) Info(ctx context.Context) (cardreader.Info, error) {
	if c.block {
		<-ctx.Done()
		return cardreader.Info{}, ctx.Err()
	}
	return cardreader.Info{Family: "Plain", DocumentNumber: c.number}, nil
}

func (c *plainCard) Credentials(context.Context) ([]cardreader.Credential, error) {
	return c.credentials, c.partly
}

func (c *plainCard) PINs(context.Context) ([]cardreader.PINStatus, error) {
	return []cardreader.PINStatus{{
		ID: "PIN", TriesLeft: -1, MinLength: 4, MaxLength: 8, Class: pin.Digits, MustChange: c.mustChange,
	}}, nil
}

func (c *plainCard) Sign(_ context.Context, _ cardreader.Credential, _ *pin.PIN, _ crypto.Hash, digest []byte) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, c.key, digest)
}

func newPlainCard(t testing.TB, number string) *plainCard {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &plainCard{number: number, key: key}
	for i, usage := range []cardreader.Usage{cardreader.UsageAuthentication, cardreader.UsageSignature} {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1))}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		c.credentials = append(c.credentials, cardreader.Credential{ID: string(usage), Usage: usage, PIN: "PIN", Certificate: certificate})
	}
	return c
}

// slots is a service whose cards are found by their answer to reset.
type slots struct {
	readers []cardreader.Reader
	err     error
	connect error
	cards   map[string]cardreader.Card
}

func (s *slots) Readers(context.Context) ([]cardreader.Reader, error) { return s.readers, s.err }

func (s *slots) Connect(_ context.Context, name string) (cardreader.Connection, error) {
	if s.connect != nil {
		return nil, s.connect
	}
	for _, reader := range s.readers {
		if reader.Name == name {
			return nowhere{atr: reader.ATR}, nil
		}
	}
	return nil, cardreader.ErrReaderGone
}

func (s *slots) Name() string            { return "Plain" }
func (s *slots) Matches(atr []byte) bool { return len(atr) > 0 && atr[0] == 0x3B }

func (s *slots) Open(_ context.Context, t cardreader.Transport) (cardreader.Card, error) {
	// The driver's own transport tells which slot it was opened for.
	atr, err := t.Transmit(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	card, ok := s.cards[string(atr)]
	if !ok {
		return nil, cardreader.ErrCardUnsupported
	}
	return card, nil
}

// nowhere is a connection that answers with its answer to reset.
type nowhere struct{ atr []byte }

func (n nowhere) Transmit(context.Context, []byte) ([]byte, error) { return n.atr, nil }
func (n nowhere) ATR() []byte                                      { return n.atr }
func (n nowhere) Close(bool) error                                 { return nil }

func present(name, atr string) cardreader.Reader {
	return cardreader.Reader{Name: name, State: cardreader.ReaderPresent, ATR: []byte(atr)}
}

func (s *slots) facade() *cardreader.Cards {
	return &cardreader.Cards{Service: s, Drivers: []cardreader.Driver{s}}
}

func TestListShowsEverySlotWithItsReason(t *testing.T) {
	partly := newPlainCard(t, "2")
	partly.partly = fmt.Errorf("reading: %w", cardreader.ErrCardProtocol)
	s := &slots{
		readers: []cardreader.Reader{
			{Name: "empty", State: cardreader.ReaderEmpty},
			{Name: "mute", State: cardreader.ReaderMute},
			{Name: "held", State: cardreader.ReaderExclusive, ATR: []byte(";x")},
			present("foreign", "?a"),
			present("good", ";a"),
			present("half", ";b"),
			present("liar", ";c"),
		},
		cards: map[string]cardreader.Card{";a": newPlainCard(t, "1"), ";b": partly},
	}
	list, err := s.facade().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		credentials int
		err         error
	}{
		{0, nil},
		{0, cardreader.ErrCardMute},
		{0, cardreader.ErrCardBusy},
		{0, cardreader.ErrCardUnsupported},
		{2, nil},
		{2, cardreader.ErrCardProtocol},
		{0, cardreader.ErrCardUnsupported},
	}
	if len(list) != len(want) {
		t.Fatalf("%d slots, want %d", len(list), len(want))
	}
	for i, slot := range list {
		if len(slot.Credentials) != want[i].credentials || !errors.Is(slot.Err, want[i].err) {
			t.Errorf("%s: %d credentials, %v; want %d, %v", slot.Reader.Name, len(slot.Credentials), slot.Err, want[i].credentials, want[i].err)
		}
	}
}

func TestFindTellsWhatIsMissing(t *testing.T) {
	card := newPlainCard(t, "1")
	lonely := newPlainCard(t, "1")
	lonely.credentials = lonely.credentials[:1]
	signature := cardreader.Selection{Usage: cardreader.UsageSignature}
	empty := cardreader.Reader{Name: "empty", State: cardreader.ReaderEmpty}
	tests := []struct {
		name    string
		service slots
		sel     cardreader.Selection
		want    error
	}{
		{"no service", slots{err: cardreader.ErrNoService}, signature, cardreader.ErrNoService},
		{"no reader", slots{}, signature, cardreader.ErrNoReader},
		{"only empty slots", slots{readers: []cardreader.Reader{empty}}, signature, cardreader.ErrNoCard},
		{"a reader that is not there", slots{readers: []cardreader.Reader{empty}}, cardreader.Selection{Reader: "other"}, cardreader.ErrReaderGone},
		{"a mute card", slots{readers: []cardreader.Reader{empty, {Name: "mute", State: cardreader.ReaderMute}}}, signature, cardreader.ErrCardMute},
		{"a foreign card", slots{readers: []cardreader.Reader{present("a", "?")}}, signature, cardreader.ErrCardUnsupported},
		{"a card that left", slots{readers: []cardreader.Reader{present("a", ";a")}, connect: cardreader.ErrNoCard}, signature, cardreader.ErrNoCard},
		{"a card without such a key", slots{readers: []cardreader.Reader{present("a", ";a")}, cards: map[string]cardreader.Card{";a": lonely}}, signature, cardreader.ErrNoCredential},
		{"another certificate", slots{readers: []cardreader.Reader{present("a", ";a")}, cards: map[string]cardreader.Card{";a": card}}, cardreader.Selection{CertificateSHA256: strings.Repeat("0", 64)}, cardreader.ErrNoCredential},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, err := test.service.facade().Find(t.Context(), test.sel)
			if found != nil || !errors.Is(err, test.want) {
				t.Errorf("Find = %v, %v; want %v", found, err, test.want)
			}
		})
	}
}

// Threat C-59: no default pick among several.
func TestFindLeavesTheChoiceToTheHolder(t *testing.T) {
	a, b := newPlainCard(t, "1"), newPlainCard(t, "2")
	s := &slots{
		readers: []cardreader.Reader{present("first", ";a"), present("second", ";b"), present("key token", "?")},
		cards:   map[string]cardreader.Card{";a": a, ";b": b},
	}
	_, err := s.facade().Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	var ambiguous *cardreader.AmbiguousError
	if !errors.As(err, &ambiguous) || len(ambiguous.Candidates) != 2 {
		t.Fatalf("Find = %v, want two candidates", err)
	}
	found, err := s.facade().Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature, Reader: "second"})
	if err != nil || found.Inserted.Info.DocumentNumber != "2" {
		t.Errorf("by reader: %v", err)
	}
	sum := sha256.Sum256(a.credentials[1].Certificate.Raw)
	colons := strings.ToUpper(hex.EncodeToString(sum[:1]) + ":" + hex.EncodeToString(sum[1:]))
	found, err = s.facade().Find(t.Context(), cardreader.Selection{CertificateSHA256: colons})
	if err != nil || found.Inserted.Info.DocumentNumber != "1" || found.Credential.Usage != cardreader.UsageSignature {
		t.Errorf("by certificate: %v", err)
	}
}

// digits is a PINSource with a fixed entry.
type digits string

func (d digits) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) {
	return pin.New([]byte(d))
}

func TestSignerWorksWithAPlainCard(t *testing.T) {
	card := newPlainCard(t, "1")
	s := &slots{readers: []cardreader.Reader{present("first", ";a")}, cards: map[string]cardreader.Card{";a": card}}
	found, err := s.facade().Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("a document"))
	signature, err := s.facade().Signer(t.Context(), found, digits("1234")).Sign(nil, sum[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(&card.key.PublicKey, sum[:], signature) {
		t.Errorf("Sign = %v", err)
	}

	card.mustChange = true
	_, err = s.facade().Signer(t.Context(), found, digits("1234")).Sign(nil, sum[:], crypto.SHA256)
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || refused.Reason != cardreader.PINMustChange || refused.TriesLeft != -1 {
		t.Errorf("transport PIN: %v", err)
	}
}

// Threat C-19: another program holds the card for longer than we wait.
func TestWaitingForAnotherProgramEnds(t *testing.T) {
	s := &slots{readers: []cardreader.Reader{present("first", ";a")}, connect: context.DeadlineExceeded}
	list, err := s.facade().List(t.Context())
	if err != nil || !errors.Is(list[0].Err, cardreader.ErrCardBusy) {
		t.Errorf("List = %+v, %v", list, err)
	}
}

func TestCancelledListEndsWithTheCallersError(t *testing.T) {
	card := newPlainCard(t, "1")
	card.block = true
	s := &slots{readers: []cardreader.Reader{present("first", ";a")}, cards: map[string]cardreader.Card{";a": card}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.facade().List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("List = %v", err)
	}
	if _, err := s.facade().Find(ctx, cardreader.Selection{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Find = %v", err)
	}
}

func TestClassifyKeepsWhatIsBelow(t *testing.T) {
	status := &apdu.StatusError{INS: 0x2A, SW: 0x6985}
	refused := &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN2", TriesLeft: 1}
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"a status word", status, cardreader.ErrCardProtocol},
		{"a malformed answer", fmt.Errorf("x: %w", apdu.ErrProtocol), cardreader.ErrCardProtocol},
		{"malformed data", tlv.ErrMalformed, cardreader.ErrCardProtocol},
		{"missing data", tlv.ErrNotFound, cardreader.ErrCardProtocol},
		{"silence", context.DeadlineExceeded, cardreader.ErrCardMute},
		{"a removed card", cardreader.ErrCardRemoved, cardreader.ErrCardRemoved},
		{"a refused PIN", refused, refused},
	}
	for _, test := range tests {
		got := cardreader.Classify(t.Context(), test.err)
		if !errors.Is(got, test.want) || !errors.Is(got, test.err) {
			t.Errorf("%s: %v", test.name, got)
		}
		if again := cardreader.Classify(t.Context(), got); again.Error() != got.Error() {
			t.Errorf("%s: second time gives %v", test.name, again)
		}
	}
	var below *apdu.StatusError
	if !errors.As(cardreader.Classify(t.Context(), status), &below) || below.SW != 0x6985 {
		t.Error("the status word is lost")
	}
	if cardreader.Classify(t.Context(), nil) != nil {
		t.Error("nil became an error")
	}
}
