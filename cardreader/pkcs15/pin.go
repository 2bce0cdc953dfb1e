package pkcs15

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// pinName is the ID of the PIN with an identifier: its label where that tells it
// from the others. Empty for an unknown one.
func (d *directory) pinName(auth string) string {
	for i := range d.pins {
		if d.pins[i].auth == auth {
			return d.nameOf(i)
		}
	}
	return ""
}

func (d *directory) nameOf(n int) string {
	label := d.pins[n].label
	for i := range d.pins {
		if label == "" || i != n && d.pins[i].label == label {
			return "PIN-" + hex.EncodeToString([]byte(d.pins[n].auth))
		}
	}
	return label
}

func (d *directory) pin(id string) (*pinObject, error) {
	for i := range d.pins {
		if d.nameOf(i) == id {
			return &d.pins[i], nil
		}
	}
	return nil, fmt.Errorf("%w: no %q", cardreader.ErrNoCredential, id)
}

// PINs tells of every PIN and PUK but those of security officers.
func (c *card) PINs(ctx context.Context) ([]cardreader.PINStatus, error) {
	d, err := c.directory(ctx)
	if err != nil {
		return nil, err
	}
	var all []cardreader.PINStatus
	for i := range d.pins {
		if d.pins[i].flags.has(flagSecurityOfficer) {
			continue
		}
		status, err := c.status(ctx, d.nameOf(i), &d.pins[i])
		if err != nil {
			return nil, err
		}
		all = append(all, status)
	}
	return all, nil
}

// PIN tells of one.
func (c *card) PIN(ctx context.Context, id string) (cardreader.PINStatus, error) {
	d, err := c.directory(ctx)
	if err != nil {
		return cardreader.PINStatus{}, err
	}
	p, err := d.pin(id)
	if err != nil {
		return cardreader.PINStatus{}, err
	}
	return c.status(ctx, id, p)
}

func (c *card) status(ctx context.Context, id string, p *pinObject) (cardreader.PINStatus, error) {
	status := cardreader.PINStatus{ID: id, TriesLeft: -1, MinLength: p.min, MaxLength: p.max, Class: p.rule().Class}
	if !c.askTries {
		return status, nil
	}
	if err := c.enterPIN(ctx, p); err != nil {
		return cardreader.PINStatus{}, explain(ctx, err)
	}
	answer, err := apdu.Exchange(ctx, c.files.transport, apdu.Command{INS: iso7816.Verify, P2: p.reference, Public: true})
	if err != nil {
		return cardreader.PINStatus{}, explain(ctx, fmt.Errorf("counter of %s: %w", id, err))
	}
	if tries, ok := answer.SW.Tries(); ok {
		status.TriesLeft = tries
	} else if answer.SW == apdu.SWBlocked || answer.SW == apdu.SWReferenceDataUnusable {
		status.TriesLeft = 0
	}
	return status, nil
}

// enterPIN selects the directory of a local PIN; a global one is known
// everywhere.
func (c *card) enterPIN(ctx context.Context, p *pinObject) error {
	if !p.flags.has(flagLocal) {
		return nil
	}
	return c.files.enterDirectory(ctx, p.path.file)
}

// present sends a command with PINs as its data, one after the other, and wipes
// what it made.
func (c *card) present(ctx context.Context, command apdu.Command, forms []*pinObject, pins []*pin.PIN) (apdu.StatusWord, error) {
	var memory [2 * iso7816.MaxBlock]byte
	defer clear(memory[:])
	data := memory[:0]
	for i, p := range pins {
		err := p.Use(func(secret []byte) error {
			data = forms[i].append(data, secret)
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	command.Data = data
	answer, err := apdu.Exchange(ctx, c.files.transport, command)
	return answer.SW, err
}

// check refuses what the card would, before it is asked.
func check(id string, form *pinObject, p *pin.PIN) error {
	if err := form.usable(); err != nil {
		return err
	}
	return iso7816.CheckPIN(id, form.rule(), p)
}

func (c *card) verify(ctx context.Context, id string, form *pinObject, p *pin.PIN) error {
	if err := c.enterPIN(ctx, form); err != nil {
		return err
	}
	command := apdu.Command{INS: iso7816.Verify, P2: form.reference}
	sw, err := c.present(ctx, command, []*pinObject{form}, []*pin.PIN{p})
	if err != nil {
		return fmt.Errorf("verifying %s: %w", id, err)
	}
	return iso7816.Verified(id, command, sw)
}

// CanChangePIN implements cardreader.PINChangeLimiter.
func (c *card) CanChangePIN(id string) error {
	if c.known == nil {
		return nil // asked before anything was read; ChangePIN will tell
	}
	p, err := c.known.pin(id)
	if err == nil && p.flags.has(flagChangeDisabled) {
		err = fmt.Errorf("changing %s: %w", id, cardreader.ErrNotOffered)
	}
	return err
}

// ChangePIN implements cardreader.PINChanger.
func (c *card) ChangePIN(ctx context.Context, id string, old, replacement *pin.PIN) error {
	d, err := c.directory(ctx)
	if err != nil {
		return err
	}
	p, err := d.pin(id)
	if err == nil {
		err = c.CanChangePIN(id)
	}
	if err != nil {
		return err
	}
	for _, entry := range []*pin.PIN{old, replacement} {
		if err := check(id, p, entry); err != nil {
			return err
		}
	}
	if err := c.enterPIN(ctx, p); err != nil {
		return explain(ctx, err)
	}
	command := apdu.Command{INS: iso7816.ChangeReferenceData, P2: p.reference}
	sw, err := c.present(ctx, command, []*pinObject{p, p}, []*pin.PIN{old, replacement})
	if err != nil {
		return explain(ctx, fmt.Errorf("changing %s: %w", id, err))
	}
	return explain(ctx, iso7816.Changed(id, command, sw))
}

// PUK implements cardreader.PINUnblocker: the object that the PIN names.
func (c *card) PUK(id string) (string, error) {
	if c.known == nil {
		return "", fmt.Errorf("unblocking %s: %w", id, cardreader.ErrNotOffered)
	}
	p, err := c.known.pin(id)
	if err != nil {
		return "", err
	}
	puk := c.known.pinName(p.unblockBy)
	if p.unblockBy == "" || puk == "" || puk == id || p.flags.has(flagUnblockDisabled) {
		return "", fmt.Errorf("unblocking %s: %w", id, cardreader.ErrNotOffered)
	}
	return puk, nil
}

// UnblockPIN implements cardreader.PINUnblocker: one RESET RETRY COUNTER with PUK
// and new value.
func (c *card) UnblockPIN(ctx context.Context, id string, puk, replacement *pin.PIN) error {
	d, err := c.directory(ctx)
	if err != nil {
		return err
	}
	name, err := c.PUK(id)
	if err != nil {
		return err
	}
	target, err := d.pin(id)
	if err != nil {
		return err
	}
	unblocking, err := d.pin(name)
	if err != nil {
		return err
	}
	if err := check(name, unblocking, puk); err != nil {
		return err
	}
	if err := check(id, target, replacement); err != nil {
		return err
	}
	if err := c.enterPIN(ctx, target); err != nil {
		return explain(ctx, err)
	}
	command := apdu.Command{INS: iso7816.ResetRetryCounter, P2: target.reference}
	sw, err := c.present(ctx, command, []*pinObject{unblocking, target}, []*pin.PIN{puk, replacement})
	if err != nil {
		return explain(ctx, fmt.Errorf("unblocking %s: %w", id, err))
	}
	return explain(ctx, iso7816.Verified(name, command, sw))
}
