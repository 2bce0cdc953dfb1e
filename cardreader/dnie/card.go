package dnie

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// card is one opened card on one connection.
type card struct {
	bound *bound
	// raw reaches the card itself; transport is raw or the channel over it.
	raw, transport cardreader.Transport
	channel        channel
	// at is the selected DF below the MF; nil when it is not known.
	at path

	// What was read on this connection.
	idesp       *string
	entries     []entry
	credentials map[string]credential
}

var (
	_ cardreader.Binder             = Driver{}
	_ cardreader.Selective          = (*card)(nil)
	_ cardreader.UsageSelective     = (*card)(nil)
	_ cardreader.Recognizer         = (*card)(nil)
	_ cardreader.Leaver             = (*card)(nil)
	_ cardreader.PINChanger         = (*card)(nil)
	_ cardreader.PersonalDataReader = (*card)(nil)
)

// Info reads IDESP, file 0006: the support number printed on the card. It is
// empty on a card that does not show it.
func (c *card) Info(ctx context.Context) (cardreader.Info, error) {
	number, err := c.readIDESP(ctx)
	if err != nil {
		return cardreader.Info{}, explain(ctx, fmt.Errorf("document number: %w", err))
	}
	return cardreader.Info{Family: Family, DocumentNumber: number}, nil
}

// Credentials reads the certificates that have a key on the card. One that cannot
// be used is told in the error and does not hide the other.
func (c *card) Credentials(ctx context.Context) ([]cardreader.Credential, error) {
	entries, err := c.listed(ctx)
	if err != nil {
		return nil, explain(ctx, err)
	}
	var credentials []cardreader.Credential
	var failures []error
	for _, e := range entries {
		found, err := c.credentialOf(ctx, e)
		if err != nil && !errors.Is(err, iso7816.ErrContent) && !absent(err) {
			return nil, explain(ctx, err)
		}
		if err != nil {
			failures = append(failures, explain(ctx, err))
			continue
		}
		credentials = append(credentials, found.Credential)
	}
	return credentials, errors.Join(failures...)
}

// Credential reads one certificate.
func (c *card) Credential(ctx context.Context, id string) (cardreader.Credential, error) {
	found, err := c.credential(ctx, id)
	if err != nil {
		return cardreader.Credential{}, explain(ctx, err)
	}
	return found.Credential, nil
}

// CredentialsFor reads the certificate of one usage, where the card has one.
func (c *card) CredentialsFor(ctx context.Context, u cardreader.Usage) ([]cardreader.Credential, error) {
	found, err := c.credential(ctx, string(u))
	switch {
	case errors.Is(err, cardreader.ErrNoCredential):
		return nil, nil
	case err != nil:
		return nil, explain(ctx, err)
	default:
		return []cardreader.Credential{found.Credential}, nil
	}
}

// PINs tells the state of the one PIN. That proves the chip: the counter is
// visible inside the PIN channel only.
func (c *card) PINs(ctx context.Context) ([]cardreader.PINStatus, error) {
	if !c.channel.open() {
		// The certificates are asked for next; inside the channel they would
		// take twice the commands. What is wrong with one is told then.
		if _, err := c.Credentials(ctx); err != nil && !errors.Is(err, cardreader.ErrCardProtocol) {
			return nil, err
		}
	}
	status, err := c.PIN(ctx, pinID)
	if err != nil {
		return nil, err
	}
	return []cardreader.PINStatus{status}, nil
}

// Recognize compares the chip with the one that the credential was read from, by
// letting it prove itself in the channel that the PIN will need anyway. Without a
// proof to compare with, it reads and compares number and certificate.
func (c *card) Recognize(ctx context.Context, info cardreader.Info, found cardreader.Credential) error {
	known := c.bound.memory()
	if known.proof.chip == nil || known.idesp != info.DocumentNumber || !known.holds(found) {
		return c.compare(ctx, info, found)
	}
	if err := c.secure(ctx); err != nil {
		return explain(ctx, err)
	}
	if c.channel.proof.chip != known.proof.chip {
		return cardreader.ErrCardChanged
	}
	return nil
}

// holds tells whether a credential is one of the remembered card's.
func (i identity) holds(found cardreader.Credential) bool {
	kept, ok := i.credentials[found.ID]
	return ok && kept.Certificate.Equal(found.Certificate)
}

func (c *card) compare(ctx context.Context, info cardreader.Info, found cardreader.Credential) error {
	now, err := c.Info(ctx)
	if err != nil {
		return err
	}
	if now != info {
		return cardreader.ErrCardChanged
	}
	again, err := c.Credential(ctx, found.ID)
	if err != nil {
		return fmt.Errorf("reading the certificate again: %w", err)
	}
	if !again.Certificate.Equal(found.Certificate) {
		return cardreader.ErrCardChanged
	}
	return nil
}

// explain classifies an error at the border of the package.
func explain(ctx context.Context, err error) error {
	if errors.Is(err, iso7816.ErrContent) && !errors.Is(err, cardreader.ErrCardProtocol) {
		err = fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
	}
	return cardreader.Classify(ctx, err)
}
