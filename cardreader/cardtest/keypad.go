package cardtest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
)

// Keypad is the keys of a reader: it types into a command as firmware does. Its
// fields may be changed between operations.
type Keypad struct {
	// Typed is what the holder types, one list a command, in the order in which
	// the values are in it.
	Typed [][]string
	// SW is the reader's own answer in place of an entry; 0 for none.
	SW uint16
	// OnlyVerify is a reader that cannot change PINs.
	OnlyVerify bool
	// Entries is what was asked for.
	Entries []cardreader.PadEntry
}

// WithKeys is r as a reader with keys.
func (r *Reader) WithKeys(k *Keypad) cardreader.Service { return &keyed{r, k} }

type keyed struct {
	*Reader
	keys *Keypad
}

func (k *keyed) Connect(ctx context.Context, reader string) (cardreader.Connection, error) {
	c, err := k.Reader.Connect(ctx, reader)
	if err != nil {
		return nil, err
	}
	return &keyedConnection{c, k.keys}, nil
}

type keyedConnection struct {
	cardreader.Connection
	keys *Keypad
}

// PINPad implements cardreader.PINPadProvider.
func (c *keyedConnection) PINPad(context.Context) (cardreader.PINPad, error) { return c, nil }

// CanChange implements cardreader.PINPad.
func (c *keyedConnection) CanChange() bool { return !c.keys.OnlyVerify }

// Verify implements cardreader.PINPad.
func (c *keyedConnection) Verify(ctx context.Context, e cardreader.PadEntry) (uint16, error) {
	return c.enter(ctx, e, 0)
}

// Change implements cardreader.PINPad.
func (c *keyedConnection) Change(ctx context.Context, e cardreader.PadEntry) (uint16, error) {
	if c.keys.OnlyVerify {
		return 0, cardreader.ErrNotOffered
	}
	if e.Unblock {
		return c.enter(ctx, e, 0)
	}
	return c.enter(ctx, e, 0, e.NewOffset)
}

// enter puts the values at their places behind the five bytes of the header.
func (c *keyedConnection) enter(ctx context.Context, e cardreader.PadEntry, offsets ...int) (uint16, error) {
	k := c.keys
	k.Entries = append(k.Entries, e)
	if k.SW != 0 {
		return k.SW, nil
	}
	if len(k.Typed) == 0 || len(k.Typed[0]) != len(offsets) {
		return 0, fmt.Errorf("nobody types %d values", len(offsets))
	}
	command := bytes.Clone(e.Command)
	for i, offset := range offsets {
		copy(command[5+offset:], k.Typed[0][i])
	}
	k.Typed = k.Typed[1:]
	answer, err := c.Transmit(ctx, command)
	if err != nil {
		return 0, err
	}
	if len(answer) != 2 {
		return 0, cardreader.ErrCardProtocol
	}
	return uint16(answer[0])<<8 | uint16(answer[1]), nil
}
