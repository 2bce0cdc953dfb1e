package cardreader_test

import (
	"context"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
)

// binding is a driver that has to be bound to a reader first.
type binding struct {
	*slots
	service *counting
	refused error
	bound   []string
	held    int // connections open while a driver was bound
}

// counting knows how many connections are open.
type counting struct {
	*slots
	open int
}

func (c *counting) Connect(ctx context.Context, name string) (cardreader.Connection, error) {
	conn, err := c.slots.Connect(ctx, name)
	if err != nil {
		return nil, err
	}
	c.open++
	return counted{conn, c}, nil
}

type counted struct {
	cardreader.Connection
	service *counting
}

func (c counted) Close(reset bool) error {
	c.service.open--
	return c.Connection.Close(reset)
}

func (b *binding) Bind(_ context.Context, r cardreader.Reader) (cardreader.Driver, error) {
	b.bound = append(b.bound, r.Name)
	b.held += b.service.open
	return b.slots, b.refused
}

func (b *binding) Open(context.Context, cardreader.Transport) (cardreader.Card, error) {
	return nil, errors.New("opened without being bound")
}

func newBinding(t *testing.T) (*cardreader.Cards, *binding) {
	t.Helper()
	s := &slots{
		readers: []cardreader.Reader{{Name: "a reader", State: cardreader.ReaderPresent, ATR: []byte{0x3B, 1}}},
		cards:   map[string]cardreader.Card{"\x3B\x01": newPlainCard(t, "AA1")},
	}
	service := &counting{slots: s}
	driver := &binding{slots: s, service: service}
	return &cardreader.Cards{Service: service, Drivers: []cardreader.Driver{driver}}, driver
}

func TestDriverIsBoundToTheReaderBeforeAnyConnection(t *testing.T) {
	c, driver := newBinding(t)
	found, err := c.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil || found.Inserted.Info.DocumentNumber != "AA1" {
		t.Fatalf("Find = %+v, %v", found, err)
	}
	if _, err := c.PersonalData(t.Context(), cardreader.Selection{}, nil); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("PersonalData = %v, want ErrNotOffered", err)
	}
	if len(driver.bound) != 2 || driver.bound[0] != "a reader" || driver.held != 0 {
		t.Errorf("bound to %q with %d connections open", driver.bound, driver.held)
	}
}

func TestDriverThatCannotBeBoundSaysWhy(t *testing.T) {
	c, driver := newBinding(t)
	driver.refused = errors.New("nobody typed the number")
	slots, err := c.List(t.Context())
	if err != nil || len(slots) != 1 || !errors.Is(slots[0].Err, driver.refused) {
		t.Errorf("List = %+v, %v", slots, err)
	}
	if _, err := c.PersonalData(t.Context(), cardreader.Selection{}, nil); !errors.Is(err, driver.refused) {
		t.Errorf("PersonalData = %v", err)
	}
}

// leaving is a card that has to be left in order.
type leaving struct {
	*plainCard
	left int
}

func (l *leaving) Leave(context.Context) { l.left++ }

func TestReadingPutsTheCardBackInOrder(t *testing.T) {
	card := &leaving{plainCard: newPlainCard(t, "1")}
	s := &slots{readers: []cardreader.Reader{present("a reader", ";a")}, cards: map[string]cardreader.Card{";a": card}}
	if _, err := s.facade().List(t.Context()); err != nil || card.left != 1 {
		t.Errorf("left %d times, %v", card.left, err)
	}
	card.partly = cardreader.ErrCardRemoved
	if _, err := s.facade().List(t.Context()); err != nil || card.left != 1 {
		t.Errorf("left %d times after a removal, %v", card.left, err)
	}
}
