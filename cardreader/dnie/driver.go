package dnie

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Family is the name of the card family.
const Family = "DNIe"

// Driver recognises and opens the cards. Only Roots has to be set, and CAN for
// contactless readers:
//
//	roots, err := dnie.PublishedRoots()
//	dnie.Driver{Roots: roots, CAN: source}
type Driver struct {
	// Roots are the component authorities that a chip's certificates may lead
	// to: PublishedRoots for real cards, a laboratory's for emulated ones. With
	// none the card is ErrNoRoot.
	Roots []*rsa.PublicKey
	// KeySets are the terminal's keys; nil is cwa14890.PublishedKeySets. Those
	// below the root that proved the chip are tried first, then those of the
	// generation that the card's number tells.
	KeySets []*cwa14890.KeySet
	// CAN asks for the number printed on a card in a contactless reader.
	CAN cardreader.AccessNumberSource
	// AcceptLastAccessNumber sends a number although the card says that a wrong
	// one suspends it (pace.ErrLastTry otherwise). Set it only after an explicit
	// yes.
	AcceptLastAccessNumber bool
	// Now tells the time for the validity of the chip's certificates; nil is
	// time.Now.
	Now func() time.Time
	// Rand is where the channel's secrets come from; nil is crypto/rand. Whoever
	// can predict it can read the PIN.
	Rand io.Reader
}

// PublishedRoots are the component authorities of the real cards, both
// generations.
func PublishedRoots() ([]*rsa.PublicKey, error) {
	sets, err := cwa14890.PublishedKeySets()
	if err != nil {
		return nil, err
	}
	roots := make([]*rsa.PublicKey, 0, len(sets))
	for _, set := range sets {
		roots = append(roots, set.Root())
	}
	return roots, nil
}

// Name is Family.
func (Driver) Name() string { return Family }

// Matches compares the answer to reset with the masks of the family, contact and
// contactless, damaged cards included.
func (Driver) Matches(atr []byte) bool {
	_, ok := parseATR(atr)
	return ok
}

// Bind returns the driver of one card, which remembers the chip that was proved.
// For a contactless card it asks for the access number. Errors: ErrDamaged,
// ErrNoAccessNumber, those of CAN.
func (d Driver) Bind(ctx context.Context, r cardreader.Reader) (cardreader.Driver, error) {
	return d.bind(ctx, r.Name, r.ATR)
}

func (d Driver) bind(ctx context.Context, reader string, atr []byte) (*bound, error) {
	m, ok := parseATR(atr)
	switch {
	case !ok:
		return nil, cardreader.ErrCardUnsupported
	case m.damaged:
		return nil, ErrDamaged
	}
	b := &bound{Driver: d, atr: bytes.Clone(atr), model: m}
	if !m.contactless {
		return b, nil
	}
	if d.CAN == nil {
		return nil, ErrNoAccessNumber
	}
	can, err := d.CAN.CAN(ctx, reader)
	if err == nil && can == nil {
		err = pin.ErrWiped
	}
	if err != nil {
		return nil, fmt.Errorf("access number: %w", err)
	}
	b.can = can
	return b, nil
}

// Open serves a transport that tells its card's answer to reset, as a
// cardreader.Connection does; others are cardreader.ErrCardUnsupported. Programs
// use Bind.
func (d Driver) Open(ctx context.Context, t cardreader.Transport) (cardreader.Card, error) {
	told, ok := t.(interface{ ATR() []byte })
	if !ok {
		return nil, fmt.Errorf("%w: answer to reset is not known", cardreader.ErrCardUnsupported)
	}
	b, err := d.bind(ctx, "", told.ATR())
	if err != nil {
		return nil, err
	}
	return b.Open(ctx, t)
}

// bound is the driver of one card. Its methods may be called from several
// goroutines, each with a connection of its own.
type bound struct {
	Driver
	atr   []byte
	model model

	mu sync.Mutex
	// can is the access number of a contactless card, until the card refuses it.
	can     *pin.PIN
	refused error
	sets    []*cwa14890.KeySet
	known   identity
}

// identity is a chip that proved itself, with what was read from its card on the
// same connection.
type identity struct {
	proof proof // without a chip before the first proof
	// set is the one whose terminals the chip knows.
	set         *cwa14890.KeySet
	idesp       string
	credentials map[string]credential
}

// Matches is for the same kind of card only.
func (b *bound) Matches(atr []byte) bool { return bytes.Equal(atr, b.atr) }

// Bind returns b itself: it knows its card.
func (b *bound) Bind(context.Context, cardreader.Reader) (cardreader.Driver, error) { return b, nil }

// Open runs PACE where the card is contactless and selects the Master File. A
// card without it is not of the family.
func (b *bound) Open(ctx context.Context, t cardreader.Transport) (cardreader.Card, error) {
	c := &card{bound: b, raw: t}
	if err := c.start(ctx); err != nil {
		return nil, cardreader.Classify(ctx, err)
	}
	return c, nil
}

// memory is what was learnt of the card so far.
func (b *bound) memory() identity {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.known
	known.credentials = maps.Clone(known.credentials)
	return known
}

// accessNumber is what PACE runs with; after a refusal it is that error.
func (b *bound) accessNumber() (*pin.PIN, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.can, b.refused
}

// spend forgets a number that the card refused: it is never sent again.
func (b *bound) spend(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var refused *cardreader.PINError
	if errors.As(err, &refused) {
		b.refused = err
		b.can.Wipe()
	}
}

// keySets are the terminal's keys in the order of trying.
func (b *bound) keySets(root *rsa.PublicKey, idesp string) ([]*cwa14890.KeySet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sets == nil {
		b.sets = b.KeySets
	}
	if b.sets == nil {
		published, err := cwa14890.PublishedKeySets()
		if err != nil {
			return nil, err
		}
		b.sets = published
	}
	rank := func(set *cwa14890.KeySet) int {
		switch {
		case set.Root().Equal(root):
			return 0
		case set.Generation == cwa14890.GenerationFor(idesp):
			return 1
		default:
			return 2
		}
	}
	ordered := slices.Clone(b.sets)
	slices.SortStableFunc(ordered, func(a, b *cwa14890.KeySet) int { return rank(a) - rank(b) })
	return ordered, nil
}
