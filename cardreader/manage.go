package cardreader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// AmbiguousReaderError is a selection that fits several cards where one is
// managed.
type AmbiguousReaderError struct {
	Readers []Reader
}

func (e *AmbiguousReaderError) Error() string {
	return fmt.Sprintf("%d cards are inserted: name a reader", len(e.Readers))
}

// ChangePIN lets the holder replace a PIN, or activate a card by replacing its
// transport PIN. Selection names the card: Reader alone, or with a certificate
// on it. The order is that of a signature, with one CHANGE REFERENCE DATA:
//
//	connect, tries left?                 PINBlocked
//	disconnect, ask for both values      the source's error
//	check lengths, characters, equality  PINFormat, PINUnchanged
//	connect, same card? tries unchanged? ErrCardChanged, ErrCardBusy
//	change                               PINWrong, PINBlocked, PINUnchanged
//	disconnect with reset, wipe both
//
// ErrNotOffered is a card or a PIN that cannot be changed by software.
//
// Both values are typed at the reader where it has keys for that, the family
// allows it, and the source is a PadChangePrompter; then the reader checks lengths
// and that the new value is entered twice.
func (c *Cards) ChangePIN(ctx context.Context, sel Selection, id string, src PINChangeSource) error {
	m := management{
		operation: operation{cards: c}, target: id, source: src, kind: PINChange,
		checked: func(card Card) (string, error) {
			if _, ok := card.(PINChanger); !ok {
				return "", ErrNotOffered
			}
			if limiter, ok := card.(PINChangeLimiter); ok {
				return id, limiter.CanChangePIN(id)
			}
			return id, nil
		},
		work: func(ctx context.Context, card Card, old, replacement *pin.PIN) error {
			changer, ok := card.(PINChanger)
			if !ok {
				return ErrNotOffered
			}
			return changer.ChangePIN(ctx, id, old, replacement)
		},
		pad: func(ctx context.Context, card PadChanger, pad PINPad) error { return card.ChangePINAtPad(ctx, id, pad) },
	}
	return m.do(ctx, sel)
}

// UnblockPIN lets the holder give a PIN a new value with the PUK. The order is
// that of ChangePIN; the tries that count are the PUK's.
func (c *Cards) UnblockPIN(ctx context.Context, sel Selection, id string, src PINChangeSource) error {
	m := management{
		operation: operation{cards: c}, target: id, source: src, kind: PINUnblock,
		checked: func(card Card) (string, error) {
			unblocker, ok := card.(PINUnblocker)
			if !ok {
				return "", ErrNotOffered
			}
			return unblocker.PUK(id)
		},
		work: func(ctx context.Context, card Card, puk, replacement *pin.PIN) error {
			unblocker, ok := card.(PINUnblocker)
			if !ok {
				return ErrNotOffered
			}
			return unblocker.UnblockPIN(ctx, id, puk, replacement)
		},
		pad: func(ctx context.Context, card PadChanger, pad PINPad) error {
			return card.UnblockPINAtPad(ctx, id, pad)
		},
	}
	return m.do(ctx, sel)
}

// PersonalData reads what is printed on a card. src is asked only for a family
// that protects it with a PIN, and may be nil for the others: then such a card
// is ErrNotOffered.
func (c *Cards) PersonalData(ctx context.Context, sel Selection, src PINSource) (*PersonalData, error) {
	reader, driver, err := c.single(ctx, sel)
	if err != nil {
		return nil, err
	}
	o := operation{cards: c, reader: reader, driver: driver}
	var (
		data      *PersonalData
		info      Info
		protected bool
		status    PINStatus
	)
	err = o.look(ctx, func(ctx context.Context, s *session) (err error) {
		switch card := s.Card.(type) {
		case PersonalDataReader:
			data, err = card.PersonalData(ctx)
		case ProtectedPersonalDataReader:
			protected = true
			if info, err = s.Info(ctx); err == nil {
				status, err = pinStatus(ctx, s.Card, card.PersonalDataPIN())
			}
		default:
			err = ErrNotOffered
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading personal data: %w", err)
	case !protected:
		return data, nil
	case src == nil:
		return nil, ErrNotOffered
	}
	return o.protectedData(ctx, info, status, src)
}

func (o *operation) protectedData(ctx context.Context, info Info, status PINStatus, src PINSource) (data *PersonalData, err error) {
	if err := usable(status); err != nil {
		return nil, err
	}
	secret, err := enter(ctx, PINRequest{Card: info, Reader: o.reader, Purpose: PurposePersonalData, Status: status}, src)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	err = o.act(ctx, func(ctx context.Context, s *session) error {
		if err := sameDocument(ctx, s.Card, info); err != nil {
			return err
		}
		return unspent(ctx, s.Card, status)
	}, func(ctx context.Context, s *session) (err error) {
		card, ok := s.Card.(ProtectedPersonalDataReader)
		if !ok {
			return ErrNotOffered
		}
		data, err = card.PersonalDataWithPIN(ctx, secret)
		return err
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("reading personal data: %w", err)
	}
	return data, nil
}

// management is a change of a PIN's value.
type management struct {
	operation
	target string
	source PINChangeSource
	kind   PINOperation
	// checked names the PIN or PUK that the card will verify.
	checked func(Card) (string, error)
	work    func(ctx context.Context, card Card, checked, replacement *pin.PIN) error
	// pad does it with both values typed at the reader.
	pad func(context.Context, PadChanger, PINPad) error
}

func (m *management) do(ctx context.Context, sel Selection) (err error) {
	if m.reader, m.driver, err = m.cards.single(ctx, sel); err != nil {
		return err
	}
	request := PINChangeRequest{Operation: m.kind, Reader: m.reader}
	prompter, mayPad := m.source.(PadChangePrompter)
	atPad := false
	err = m.look(ctx, func(ctx context.Context, s *session) error {
		err := m.describe(ctx, s.Card, &request)
		if err == nil && mayPad {
			atPad, err = s.padChangeable(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := unblocked(request.Checked); err != nil {
		return err
	}
	work := m.atPad
	if atPad {
		done, err := prompter.ChangeAtReader(ctx, request)
		if err != nil {
			return fmt.Errorf("entering %s: %w", m.target, err)
		}
		defer done()
		if err := ctx.Err(); err != nil {
			return err
		}
	} else {
		checked, replacement, err := m.enter(ctx, request)
		if err != nil {
			return err
		}
		defer checked.Wipe()
		defer replacement.Wipe()
		work = func(ctx context.Context, s *session) error { return m.work(ctx, s.Card, checked, replacement) }
	}
	if err := m.act(ctx, m.unchanged(request), work); err != nil {
		return fmt.Errorf("giving %s a new value: %w", m.target, err)
	}
	return nil
}

// unchanged is what has to hold when the values are sent.
func (m *management) unchanged(r PINChangeRequest) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		if err := sameDocument(ctx, s.Card, r.Card); err != nil {
			return err
		}
		status, err := pinStatus(ctx, s.Card, r.Checked.ID)
		if err == nil {
			err = unblocked(status)
		}
		if err != nil {
			return err
		}
		return notFewer(status, r.Checked)
	}
}

// atPad lets the reader ask, once.
func (m *management) atPad(ctx context.Context, s *session) error {
	card, ok := s.Card.(PadChanger)
	if !ok {
		return ErrNotOffered
	}
	pad, err := s.presentPad(ctx)
	if err != nil {
		return err
	}
	return m.pad(ctx, card, pad)
}

// describe fills in what the holder is asked with.
func (m *management) describe(ctx context.Context, card Card, r *PINChangeRequest) error {
	var err error
	if r.Card, err = card.Info(ctx); err != nil {
		return fmt.Errorf("reading the document number: %w", err)
	}
	if r.Target, err = pinStatus(ctx, card, m.target); err != nil {
		return err
	}
	id, err := m.checked(card)
	if err != nil {
		return err
	}
	r.Operation, r.Checked = m.kind, r.Target
	if id != m.target {
		r.Checked, err = pinStatus(ctx, card, id)
	} else if r.Target.MustChange {
		r.Operation = PINActivate
	}
	return err
}

// enter asks for both values and checks what a card would refuse anyway.
func (m *management) enter(ctx context.Context, r PINChangeRequest) (checked, replacement *pin.PIN, err error) {
	checked, replacement, err = m.source.ChangePIN(ctx, r)
	switch {
	case err != nil:
		err = fmt.Errorf("entering %s: %w", m.target, err)
	case checked == nil || replacement == nil:
		err = fmt.Errorf("entering %s: %w", m.target, pin.ErrWiped)
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		err = wellChosen(r, checked, replacement)
	}
	if err != nil {
		checked.Wipe()
		replacement.Wipe()
		return nil, nil, err
	}
	return checked, replacement, nil
}

func wellChosen(r PINChangeRequest, checked, replacement *pin.PIN) error {
	if err := formed(checked, r.Checked); err != nil {
		return err
	}
	if err := formed(replacement, r.Target); err != nil {
		return err
	}
	if r.Checked.ID != r.Target.ID {
		return nil
	}
	same := false
	err := checked.Use(func(a []byte) error {
		if checked == replacement {
			same = true
			return nil
		}
		return replacement.Use(func(b []byte) error {
			same = bytes.Equal(a, b)
			return nil
		})
	})
	if err == nil && same {
		err = &PINError{Reason: PINUnchanged, PIN: r.Target.ID, TriesLeft: r.Target.TriesLeft}
	}
	return err
}

// single is the one card that a selection names. A card is opened only to look
// for the certificate that the selection names, or when families share its
// answer to reset.
func (c *Cards) single(ctx context.Context, sel Selection) (string, Driver, error) {
	if strings.TrimSpace(sel.CertificateSHA256) != "" {
		found, err := c.Find(ctx, sel)
		if err != nil {
			return "", nil, err
		}
		return found.Inserted.Reader.Name, found.driver, nil
	}
	readers, err := c.Service.Readers(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("listing readers: %w", err)
	}
	var cards []Reader
	var unread error
	seen := 0
	for _, reader := range readers {
		if sel.Reader != "" && reader.Name != sel.Reader {
			continue
		}
		seen++
		if reader.State == ReaderEmpty {
			continue
		}
		err := present(reader)
		if err == nil && len(c.matching(reader.ATR)) == 0 {
			err = ErrCardUnsupported
		}
		if err == nil {
			cards = append(cards, reader)
		} else if unread == nil {
			unread = err
		}
	}
	switch {
	case len(cards) == 1:
		driver, err := c.opener(ctx, cards[0])
		return cards[0].Name, driver, err
	case len(cards) > 1:
		return "", nil, &AmbiguousReaderError{Readers: cards}
	case len(readers) == 0:
		return "", nil, ErrNoReader
	case seen == 0:
		return "", nil, ErrReaderGone
	case unread != nil:
		return "", nil, unread
	default:
		return "", nil, ErrNoCard
	}
}

func (c *Cards) matching(atr []byte) []Driver {
	var drivers []Driver
	for _, d := range c.Drivers {
		if d.Matches(atr) {
			drivers = append(drivers, d)
		}
	}
	return drivers
}

// opener is the first driver that opens the card.
func (c *Cards) opener(ctx context.Context, reader Reader) (Driver, error) {
	drivers := c.matching(reader.ATR)
	if len(drivers) == 1 {
		return bind(ctx, drivers[0], reader)
	}
	err := ErrCardUnsupported
	for _, d := range drivers {
		if d, err = bind(ctx, d, reader); err != nil {
			return nil, err
		}
		err = c.withCard(ctx, reader.Name, d, func(context.Context, *session) error { return nil })
		if !errors.Is(err, ErrCardUnsupported) {
			return d, err
		}
	}
	return nil, err
}

// bind gives a driver what it needs to know of the card in a reader.
func bind(ctx context.Context, d Driver, r Reader) (Driver, error) {
	binder, ok := d.(Binder)
	if !ok {
		return d, nil
	}
	bound, err := binder.Bind(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("preparing for the card: %w", err)
	}
	return bound, nil
}
