// Package esteid2025 drives the identity cards of Thales' PKCS #15 application:
// the Estonian ID-card of 2025, and the Finnish cards of generations 3 and 4
// with the same commands.
//
// It follows the "EstEID developer guide" of 2025 as open drivers implement it,
// and was compared with recordings of Finnish test cards; no recording of an
// Estonian one is public. With the Estonian card it reads certificates, document
// number, PIN counters and personal data, signs with both keys, agrees on
// secrets, activates the card, changes PINs and unblocks them; with the Finnish
// cards it reads certificates and counters, and signs. It leaves out contactless
// use.
package esteid2025

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// Model is a card of the family.
type Model string

// The models.
const (
	Estonia  Model = "" // the zero value
	Finland4 Model = "FI-4"
	Finland3 Model = "FI-3"
)

// Driver recognises and opens the cards of one model. The zero value is
// Estonia's and ready.
type Driver struct {
	Model Model
}

// Name is the family as its users call it.
func (d Driver) Name() string {
	switch d.Model {
	case Finland3:
		return "FinEID 3"
	case Finland4:
		return "FinEID 4"
	default:
		return "EstEID 2025"
	}
}

// Matches compares the whole answer to reset. Two bytes of the Finnish one of
// generation 4 are a version.
func (d Driver) Matches(atr []byte) bool {
	if d.Model == Finland4 && len(atr) == len(answerToReset(d.Model)) {
		atr = bytes.Clone(atr)
		atr[12], atr[13] = 0, 0
	}
	return bytes.Equal(atr, answerToReset(d.Model))
}

// Open selects the application. A card without it is not of the family whatever
// its answer to reset says.
func (d Driver) Open(ctx context.Context, t cardreader.Transport) (cardreader.Card, error) {
	c := &card{transport: t, family: d.Name(), keys: keys(d.Model), references: references(d.Model)}
	_, err := c.do(ctx, apdu.Command{INS: iso7816.Select, P1: selectByName, P2: noAnswer, Data: []byte(application)})
	if err != nil {
		var status *apdu.StatusError
		if errors.As(err, &status) {
			return nil, fmt.Errorf("%w: %w", cardreader.ErrCardUnsupported, err)
		}
		return nil, cardreader.Classify(ctx, err)
	}
	if d.Model == Estonia {
		return &estonian{card: c}, nil
	}
	return c, nil
}

// card is one opened card.
type card struct {
	transport  cardreader.Transport
	family     string
	keys       []key
	references []reference
}

// Info names the family; the document number of the Finnish cards is not read.
func (c *card) Info(context.Context) (cardreader.Info, error) {
	return cardreader.Info{Family: c.family}, nil
}

// Credentials reads both certificates. One that cannot be used is told in the
// error and does not hide the other; a card that stopped answering ends it.
func (c *card) Credentials(ctx context.Context) ([]cardreader.Credential, error) {
	return c.CredentialsFor(ctx, "")
}

// CredentialsFor implements cardreader.UsageSelective.
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

// PINs reads all counters.
func (c *card) PINs(ctx context.Context) ([]cardreader.PINStatus, error) {
	var all []cardreader.PINStatus
	for _, r := range c.references {
		status, err := c.pin(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, status)
	}
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

// explain gives an error its sentinel at the package's border.
func explain(ctx context.Context, err error) error {
	if errors.Is(err, iso7816.ErrContent) {
		err = fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
	}
	return cardreader.Classify(ctx, err)
}

// estonian is the card with everything its guide describes.
type estonian struct{ *card }

// Info reads the document number, which is the seventh record of the personal
// data.
func (e *estonian) Info(ctx context.Context) (cardreader.Info, error) {
	number, err := e.documentNumber(ctx)
	if err != nil {
		return cardreader.Info{}, explain(ctx, fmt.Errorf("document number: %w", err))
	}
	return cardreader.Info{Family: e.family, DocumentNumber: number}, nil
}

func (e *estonian) documentNumber(ctx context.Context) (string, error) {
	size, err := e.selectPath(ctx, pathDocumentNumber)
	if err != nil {
		return "", err
	}
	raw, err := reading().ReadFile(ctx, e.transport, size)
	if err != nil {
		return "", err
	}
	return esteid.DocumentNumber(raw)
}
