// Package esteid drives the Estonian ID-card of 2018 (IDEMIA): ID-card,
// residence permit, digi-ID and e-resident's card alike.
//
// It follows "ID1 Chip/App 2018 technical description" (TD-ID1-Chip-App) and
// was compared with recordings of a real test card; what the description leaves
// open is taken from open drivers in the field and says so. It reads the two
// certificates, the document number and the PIN counters, and signs with both
// keys. It leaves out personal data, PIN change and unblocking, decryption, and
// the card of 2025 (Thales), whose command set is another one.
package esteid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// Family is the name of the card family.
const Family = "EstEID 2018"

// Driver recognises and opens the cards. The zero value is ready.
type Driver struct{}

// Name is Family.
func (Driver) Name() string { return Family }

// Matches compares the whole answer to reset: the historical bytes alone are
// shared with cards of other issuers.
func (Driver) Matches(atr []byte) bool {
	for _, known := range answersToReset() {
		if bytes.Equal(atr, known) {
			return true
		}
	}
	return false
}

// Open selects the main application. A card without it is not of the family
// whatever its answer to reset says.
func (Driver) Open(ctx context.Context, t cardreader.Transport) (cardreader.Card, error) {
	c := &card{transport: t}
	if err := c.selectApplication(ctx, mainApplication()); err != nil {
		var status *apdu.StatusError
		if errors.As(err, &status) {
			return nil, fmt.Errorf("%w: %w", cardreader.ErrCardUnsupported, err)
		}
		return nil, cardreader.Classify(ctx, err)
	}
	c.atMain = true
	return c, nil
}

// card is one opened card. What is selected on it belongs to the card, not to
// us, so every operation begins with a SELECT of its own application.
type card struct {
	transport cardreader.Transport
	// atMain: nothing was selected since the main application, which saves
	// selecting it again.
	atMain bool
}

// Info reads the document number, EF D003 of the main application.
func (c *card) Info(ctx context.Context) (cardreader.Info, error) {
	number, err := c.documentNumber(ctx)
	if err != nil {
		return cardreader.Info{}, cardreader.Classify(ctx, fmt.Errorf("document number: %w", err))
	}
	return cardreader.Info{Family: Family, DocumentNumber: number}, nil
}

// Credentials reads both certificates. One that cannot be used is told in the
// error and does not hide the other; a card that stopped answering ends it.
func (c *card) Credentials(ctx context.Context) ([]cardreader.Credential, error) {
	var credentials []cardreader.Credential
	var failures []error
	for _, k := range keys() {
		credential, err := c.credential(ctx, k)
		if err != nil && !errors.Is(err, cardreader.ErrCardProtocol) {
			return nil, err
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		credentials = append(credentials, credential)
	}
	return credentials, errors.Join(failures...)
}

// Credential reads one certificate.
func (c *card) Credential(ctx context.Context, id string) (cardreader.Credential, error) {
	k, err := keyByID(id)
	if err != nil {
		return cardreader.Credential{}, err
	}
	return c.credential(ctx, k)
}

// PINs reads all counters: PIN1, PIN2, PUK.
func (c *card) PINs(ctx context.Context) ([]cardreader.PINStatus, error) {
	var all []cardreader.PINStatus
	for _, r := range references() {
		status, err := c.pin(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, status)
	}
	slices.SortFunc(all, func(a, b cardreader.PINStatus) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// PIN reads one counter.
func (c *card) PIN(ctx context.Context, id string) (cardreader.PINStatus, error) {
	r, err := referenceByID(id)
	if err != nil {
		return cardreader.PINStatus{}, err
	}
	return c.pin(ctx, r)
}

// do sends a command whose data may be shown in a trace.
func (c *card) do(ctx context.Context, command apdu.Command) ([]byte, error) {
	command.Public = true
	return apdu.Do(ctx, c.transport, command)
}

func (c *card) selectApplication(ctx context.Context, aid []byte) error {
	c.atMain = false
	_, err := c.do(ctx, apdu.Command{INS: insSelect, P1: selectByName, P2: noAnswer, Data: aid})
	return err
}

func (c *card) selectMain(ctx context.Context) error {
	if c.atMain {
		return nil
	}
	if err := c.selectApplication(ctx, mainApplication()); err != nil {
		return err
	}
	c.atMain = true
	return nil
}
