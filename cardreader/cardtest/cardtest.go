// Package cardtest is a reader in the same process, for tests of card families:
// a cardreader.Service around anything that answers like a card. It keeps the
// rules that PC/SC keeps (one transaction at a time, a reset at the end when it
// is asked for) and counts what went over the line.
package cardtest

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Card answers commands. The lab's emulated cards are such.
type Card interface {
	ATR() []byte
	// Transmit returns data and status word; an empty answer is a card that left.
	Transmit(command []byte) []byte
	// Reset clears the volatile state.
	Reset()
}

// Reader is a service with one slot.
type Reader struct {
	name string
	turn chan struct{}

	mu       sync.Mutex
	card     Card
	inserted int // counts insertions
	open     int
	connects int
	resets   int
	sent     [][]byte
	received int
}

// Name is what the only slot of New is called.
const Name = "Reader in the test 00"

// New returns a reader with a card in it; nil is an empty slot.
func New(card Card) *Reader {
	r := &Reader{name: Name, turn: make(chan struct{}, 1), card: card}
	r.turn <- struct{}{}
	return r
}

// Insert puts another card in, nil takes it out.
func (r *Reader) Insert(card Card) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.card = card
	r.inserted++
}

// Readers implements cardreader.Service.
func (r *Reader) Readers(context.Context) ([]cardreader.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.card == nil {
		return []cardreader.Reader{{Name: r.name, State: cardreader.ReaderEmpty}}, nil
	}
	return []cardreader.Reader{{Name: r.name, State: cardreader.ReaderPresent, ATR: r.card.ATR()}}, nil
}

// Connect implements cardreader.Service.
func (r *Reader) Connect(ctx context.Context, reader string) (cardreader.Connection, error) {
	select {
	case <-r.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	switch {
	case reader != r.name:
		err = cardreader.ErrReaderGone
	case r.card == nil:
		err = cardreader.ErrNoCard
	}
	if err != nil {
		r.turn <- struct{}{}
		return nil, err
	}
	r.open++
	r.connects++
	return &connection{reader: r, card: r.card, inserted: r.inserted}, nil
}

// Open is the number of connections that were not closed.
func (r *Reader) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// Resets counts connections closed with a reset.
func (r *Reader) Resets() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resets
}

// Sent returns the commands since the last call, and starts anew.
func (r *Reader) Sent() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent, r.received = nil, 0
	return sent
}

// Commands are those since the last Sent, which go on counting.
func (r *Reader) Commands() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// Received is how many bytes came in answer to them, status words included.
func (r *Reader) Received() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.received
}

// Count is the number of commands with an instruction since the last Sent.
func (r *Reader) Count(ins byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, command := range r.sent {
		if len(command) > 1 && command[1] == ins {
			n++
		}
	}
	return n
}

type connection struct {
	reader   *Reader
	card     Card
	inserted int
	closed   bool
}

func (c *connection) ATR() []byte { return c.card.ATR() }

func (c *connection) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	if c.reader.inserted != c.inserted {
		return nil, cardreader.ErrCardRemoved
	}
	c.reader.sent = append(c.reader.sent, bytes.Clone(command))
	answer := c.card.Transmit(command)
	c.reader.received += len(answer)
	return answer, nil
}

func (c *connection) Close(reset bool) error {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.reader.open--
	if reset {
		c.reader.resets++
		c.card.Reset()
	}
	c.reader.turn <- struct{}{}
	return nil
}

// Typed is a source that enters the same digits every time.
type Typed string

// PIN implements cardreader.PINSource.
func (t Typed) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) {
	return pin.New([]byte(t))
}

// Change is a source that enters a checked and a new value.
type Change struct{ Checked, Replacement string }

// ChangePIN implements cardreader.PINChangeSource.
func (c Change) ChangePIN(context.Context, cardreader.PINChangeRequest) (*pin.PIN, *pin.PIN, error) {
	checked, err := pin.New([]byte(c.Checked))
	if err != nil {
		return nil, nil, err
	}
	replacement, err := pin.New([]byte(c.Replacement))
	return checked, replacement, err
}
