package cardreader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// session is an opened card with its connection.
type session struct {
	Card
	connection Connection
	// withoutPad: the program does not want the reader's keys.
	withoutPad bool
}

// operation is one thing that a holder does with one card, in three parts: look
// at the card without a PIN, ask the holder with no connection held, act once.
type operation struct {
	cards  *Cards
	reader string
	driver Driver
}

// look does read-only work on a connection of its own.
func (o *operation) look(ctx context.Context, work func(context.Context, *session) error) error {
	return gone(o.cards.withCard(ctx, o.reader, o.driver, work))
}

// act connects anew, checks with same that everything is as the holder saw it,
// and does work, which may use up a try. Only the check is repeated after
// another program's reset. The card is reset at the end, so that whoever comes
// next inherits no verified PIN.
func (o *operation) act(ctx context.Context, same, work func(context.Context, *session) error) error {
	opened, err := o.reopen(ctx, same)
	if errors.Is(err, ErrCardReset) {
		opened, err = o.reopen(ctx, same)
	}
	if err != nil {
		return gone(err)
	}
	defer func() { _ = opened.connection.Close(true) }()
	bounded, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	return gone(outcome(ctx, bounded, work(bounded, opened)))
}

// reopen returns an open connection only when err is nil.
func (o *operation) reopen(ctx context.Context, same func(context.Context, *session) error) (_ *session, err error) {
	conn, err := o.cards.connect(ctx, o.reader)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close(false)
		}
	}()
	bounded, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	opened, err := o.cards.open(bounded, conn, o.driver)
	if err == nil {
		err = same(bounded, opened)
	}
	if err != nil {
		return nil, outcome(ctx, bounded, err)
	}
	return opened, nil
}

// sameDocument compares what a card says of itself.
func sameDocument(ctx context.Context, card Card, before Info) error {
	info, err := card.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading the document number: %w", err)
	}
	if info != before {
		return ErrCardChanged
	}
	return nil
}

// sameCredential makes sure that the key which is about to be used is the one
// that the holder chose.
func sameCredential(ctx context.Context, card Card, found *Found) error {
	if recognizer, ok := card.(Recognizer); ok {
		return recognizer.Recognize(ctx, found.Inserted.Info, found.Credential)
	}
	if err := sameDocument(ctx, card, found.Inserted.Info); err != nil {
		return err
	}
	again, err := credential(ctx, card, found.Credential.ID)
	if err != nil {
		return fmt.Errorf("reading the certificate again: %w", err)
	}
	if !bytes.Equal(again.Certificate.Raw, found.Credential.Certificate.Raw) {
		return ErrCardChanged
	}
	return nil
}

// unspent checks that a PIN may still be sent. A counter below the one that the
// holder was shown would make a try the last one without his knowing it.
func unspent(ctx context.Context, card Card, before PINStatus) error {
	status, err := pinStatus(ctx, card, before.ID)
	if err != nil {
		return err
	}
	if err := usable(status); err != nil {
		return err
	}
	return notFewer(status, before)
}

func notFewer(status, before PINStatus) error {
	if status.TriesLeft < before.TriesLeft {
		return fmt.Errorf("%w: it used up a try of %s meanwhile", ErrCardBusy, before.ID)
	}
	return nil
}

func usable(status PINStatus) error {
	if err := unblocked(status); err != nil {
		return err
	}
	if status.MustChange {
		return &PINError{Reason: PINMustChange, PIN: status.ID, TriesLeft: status.TriesLeft}
	}
	return nil
}

func unblocked(status PINStatus) error {
	if status.TriesLeft == 0 {
		return &PINError{Reason: PINBlocked, PIN: status.ID}
	}
	return nil
}

func pinStatus(ctx context.Context, card Card, id string) (PINStatus, error) {
	if selective, ok := card.(Selective); ok {
		status, err := selective.PIN(ctx, id)
		if err != nil {
			return PINStatus{}, fmt.Errorf("reading the counter of %s: %w", id, err)
		}
		return status, nil
	}
	all, err := card.PINs(ctx)
	if err != nil {
		return PINStatus{}, fmt.Errorf("reading the PIN counters: %w", err)
	}
	for _, status := range all {
		if status.ID == id {
			return status, nil
		}
	}
	return PINStatus{}, fmt.Errorf("%w: card does not know %s", ErrCardProtocol, id)
}

func credential(ctx context.Context, card Card, id string) (Credential, error) {
	if selective, ok := card.(Selective); ok {
		return selective.Credential(ctx, id)
	}
	all, err := card.Credentials(ctx)
	for _, c := range all {
		if c.ID == id {
			return c, nil
		}
	}
	if err == nil {
		err = ErrCardChanged
	}
	return Credential{}, err
}

// gone makes an empty slot a removed card: the card was there when the holder
// chose it.
func gone(err error) error {
	if errors.Is(err, ErrNoCard) {
		return ErrCardRemoved
	}
	return err
}
