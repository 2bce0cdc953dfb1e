// Package esteid drives the identity cards of IDEMIA's 2018 application: the
// Estonian ID-card, residence permit, digi-ID and e-resident's card alike, and
// the Latvian card of the same maker.
//
// It follows "ID1 Chip/App 2018 technical description" (TD-ID1-Chip-App) and
// was compared with recordings of real test cards; what the description leaves
// open is taken from open drivers in the field and says so. It reads the two
// certificates, the document number, the PIN counters and the personal data,
// signs with both keys, agrees on secrets with the authentication key, changes
// PINs and unblocks them. It leaves out contactless use (PACE) and the card of
// 2025 (Thales), whose command set is another one.
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

// Family is the name of the Estonian card's family.
const Family = "EstEID 2018"

// FamilyLatvia is the name of the Latvian card's family.
const FamilyLatvia = "Latvian eID"

// Country is who issued the card.
type Country string

// The countries.
const (
	Estonia Country = "" // the zero value
	Latvia  Country = "LV"
)

// Driver recognises and opens the cards of one country. The zero value is
// Estonia's and ready.
type Driver struct {
	Country Country
}

// Name is the family.
func (d Driver) Name() string {
	if d.Country == Latvia {
		return FamilyLatvia
	}
	return Family
}

// Matches compares the whole answer to reset: the historical bytes alone are
// shared with cards of other issuers.
func (d Driver) Matches(atr []byte) bool {
	for _, known := range answersToReset(d.Country) {
		if bytes.Equal(atr, known) {
			return true
		}
	}
	return false
}

// Open selects the main application. A card without it is not of the family
// whatever its answer to reset says.
func (d Driver) Open(ctx context.Context, t cardreader.Transport) (cardreader.Card, error) {
	c := &card{transport: t, family: d.Name(), keys: keys(), references: references()}
	if err := c.enter(ctx, mainApplication); err != nil {
		var status *apdu.StatusError
		if errors.As(err, &status) {
			return nil, fmt.Errorf("%w: %w", cardreader.ErrCardUnsupported, err)
		}
		return nil, cardreader.Classify(ctx, err)
	}
	if d.Country == Latvia {
		return newLatvian(c), nil
	}
	return c, nil
}

// card is one opened card. The transaction that it is used under keeps what is
// selected; before it everything was someone else's.
type card struct {
	transport  cardreader.Transport
	family     string
	keys       []key
	references []reference
	// at is the selected application, elsewhere when that is not known.
	at application
}

// Info reads the document number, EF D003 of the main application.
func (c *card) Info(ctx context.Context) (cardreader.Info, error) {
	number, err := c.documentNumber(ctx)
	if err != nil {
		return cardreader.Info{}, c.explain(ctx, fmt.Errorf("document number: %w", err))
	}
	return cardreader.Info{Family: c.family, DocumentNumber: number}, nil
}

// Credentials reads both certificates. One that cannot be used is told in the
// error and does not hide the other; a card that stopped answering ends it.
func (c *card) Credentials(ctx context.Context) ([]cardreader.Credential, error) {
	return c.CredentialsFor(ctx, "")
}

// CredentialsFor reads the certificate of one usage.
func (c *card) CredentialsFor(ctx context.Context, u cardreader.Usage) ([]cardreader.Credential, error) {
	return cardreader.ReadCredentials(c.keys, func(k key) ([]cardreader.Credential, error) {
		if u != "" && u != k.usage {
			return nil, nil
		}
		credential, err := c.credential(ctx, k)
		return []cardreader.Credential{credential}, err
	})
}

// Credential reads one certificate.
func (c *card) Credential(ctx context.Context, id string) (cardreader.Credential, error) {
	k, err := c.keyByID(id)
	if err != nil {
		return cardreader.Credential{}, err
	}
	return c.credential(ctx, k)
}

// PINs reads all counters: PIN1, PIN2, PUK.
func (c *card) PINs(ctx context.Context) ([]cardreader.PINStatus, error) {
	var all []cardreader.PINStatus
	for _, r := range c.references {
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
	r, err := c.referenceByID(id)
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

// enter selects an application unless it is selected.
func (c *card) enter(ctx context.Context, a application) error {
	if c.at == a {
		return nil
	}
	c.at = elsewhere
	_, err := c.do(ctx, apdu.Command{INS: insSelect, P1: selectByName, P2: noAnswer, Data: a.identifier()})
	if err != nil {
		return fmt.Errorf("selecting the %v: %w", a, err)
	}
	c.at = a
	return nil
}
