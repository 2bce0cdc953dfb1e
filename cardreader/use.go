package cardreader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// use is one use of a private key: status, entry, VERIFY and the key's command.
type use struct {
	operation
	found   *Found
	source  PINSource
	purpose PINPurpose
	// offers tells whether a card can do it; nil is yes.
	offers func(Card) bool
	work   func(context.Context, Card, *pin.PIN) error
	// pad does it with a PIN typed at the reader; nil when that is impossible.
	pad func(context.Context, PadSigner, PINPad) error
}

func (u *use) do(ctx context.Context) error {
	status, atPad, err := u.status(ctx)
	if err != nil {
		return err
	}
	if atPad {
		return u.finish(ctx, status, u.atPad(ctx, status))
	}
	secret, err := enter(ctx, u.request(status), u.source)
	if err != nil {
		return err
	}
	defer secret.Wipe()
	return u.finish(ctx, status, u.act(ctx, u.unchanged(status), func(ctx context.Context, s *session) error {
		return u.work(ctx, s.Card, secret)
	}))
}

func (u *use) request(status PINStatus) PINRequest {
	return PINRequest{
		Card: u.found.Inserted.Info, Reader: u.reader, Purpose: u.purpose,
		Credential: u.found.Credential, Status: status,
	}
}

// status is the PIN's counter before anybody is asked for anything, and whether
// the PIN will be typed at the reader. No connection is open when it returns.
func (u *use) status(ctx context.Context) (status PINStatus, atPad bool, err error) {
	_, mayPad := u.source.(PadPrompter)
	mayPad = mayPad && u.pad != nil
	if status, ok := u.found.remembered(u.cards.Now); ok && u.offers == nil && !mayPad {
		return status, false, usable(status)
	}
	err = u.look(ctx, func(ctx context.Context, s *session) (err error) {
		if u.offers != nil && !u.offers(s.Card) {
			return ErrNotOffered
		}
		if err = sameCredential(ctx, s.Card, u.found); err != nil {
			return err
		}
		if status, err = pinStatus(ctx, s.Card, u.found.Credential.PIN); err != nil {
			return err
		}
		if mayPad {
			atPad, err = s.padUsable(ctx)
		}
		return err
	})
	if err != nil {
		return PINStatus{}, false, err
	}
	return status, atPad, usable(status)
}

// unchanged is what has to hold when the PIN is sent.
func (u *use) unchanged(before PINStatus) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		if err := sameCredential(ctx, s.Card, u.found); err != nil {
			return err
		}
		return unspent(ctx, s.Card, before)
	}
}

func (u *use) atPad(ctx context.Context, status PINStatus) error {
	prompter, ok := u.source.(PadPrompter)
	if !ok {
		return ErrNotOffered
	}
	done, err := prompter.EnterAtReader(ctx, u.request(status))
	if err != nil {
		return fmt.Errorf("entering %s: %w", status.ID, err)
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return err
	}
	return u.act(ctx, u.unchanged(status), func(ctx context.Context, s *session) error {
		card, ok := s.Card.(PadSigner)
		if !ok {
			return ErrNotOffered
		}
		pad, err := s.presentPad(ctx)
		if err != nil {
			return err
		}
		return u.pad(ctx, card, pad)
	})
}

// finish keeps the counter for a use that follows at once, unless the PIN that was
// just taken raised it, and drops a value that comes after the caller gave up.
func (u *use) finish(ctx context.Context, status PINStatus, err error) error {
	u.found.forget()
	switch {
	case err != nil:
		return fmt.Errorf("using the key: %w", err)
	case ctx.Err() != nil:
		return ctx.Err()
	case u.cards.Now != nil && (status.TriesMax == 0 || status.TriesLeft == status.TriesMax):
		u.found.remember(u.cards.Now(), status)
	}
	return nil
}

// enter asks the holder and checks what a card would refuse anyway.
func enter(ctx context.Context, r PINRequest, source PINSource) (*pin.PIN, error) {
	secret, err := source.PIN(ctx, r)
	if err == nil && secret == nil {
		err = pin.ErrWiped
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = formed(secret, r.Status)
	}
	var refused *PINError
	switch {
	case err == nil:
		return secret, nil
	case errors.As(err, &refused):
	default:
		err = fmt.Errorf("entering %s: %w", r.Status.ID, err)
	}
	secret.Wipe()
	return nil, err
}

// formed checks an entry against the rule of its PIN.
func formed(secret *pin.PIN, status PINStatus) error {
	err := status.Rule().Check(secret)
	if errors.Is(err, pin.ErrFormat) {
		return &PINError{Reason: PINFormat, PIN: status.ID, TriesLeft: status.TriesLeft}
	}
	return err
}

// remember keeps what the card told, for a use that follows at once.
func (f *Found) remember(at time.Time, status PINStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.status = at, status
}

func (f *Found) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = time.Time{}
}

func (f *Found) remembered(now func() time.Time) (PINStatus, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now == nil || f.seen.IsZero() {
		return PINStatus{}, false
	}
	age := now().Sub(f.seen)
	return f.status, age >= 0 && age < freshFor
}

func (f *Found) operation(c *Cards) operation {
	return operation{cards: c, reader: f.Inserted.Reader.Name, driver: f.driver}
}
