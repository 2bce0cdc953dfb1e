package desktop

import (
	"context"
	"errors"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// asker is the way from the card's signer to the person. It asks once.
type asker struct {
	service *Service
	request *request
	item    *item
	at, of  int // document of a batch, from 1
	// agreed: the list that the document is on was agreed to. A PIN is asked for
	// still; a key without one needs no further yes.
	agreed bool
	asked  bool
}

func (a *asker) detail(triesLeft *int) Detail {
	return Detail{Card: CardPresent, TriesLeft: triesLeft, Document: max(1, a.at), Of: a.of}
}

// PIN implements cardreader.PINSource.
func (a *asker) PIN(ctx context.Context, r cardreader.PINRequest) (*pin.PIN, error) {
	var secret *pin.PIN
	err := a.once(ctx, r, func(c Consent) (err error) {
		secret, err = a.service.Prompter.PIN(ctx, c)
		return err
	})
	if err != nil {
		secret.Wipe()
		return nil, err
	}
	return secret, nil
}

// Approve implements cardreader.Approver.
func (a *asker) Approve(ctx context.Context, r cardreader.PINRequest) error {
	r.Status.TriesLeft = -1
	return a.once(ctx, r, func(c Consent) error {
		if a.agreed {
			return nil
		}
		return a.service.Prompter.Approve(ctx, c)
	})
}

// once puts the request before the person, with an explicit yes before a last
// try, and never a second time.
func (a *asker) once(ctx context.Context, r cardreader.PINRequest, question func(Consent) error) error {
	if a.asked {
		return errors.New("consent was used already")
	}
	a.asked = true
	var triesLeft *int
	if r.Status.TriesLeft >= 0 {
		triesLeft = &r.Status.TriesLeft
	}
	err := a.service.ask(ctx, func() error {
		consent := a.consent(r)
		if r.Status.TriesLeft == 1 {
			if err := a.service.Prompter.LastTry(ctx, consent); err != nil {
				return err
			}
		}
		if err := a.request.become(StateWaitingPIN, a.detail(triesLeft)); err != nil {
			return err
		}
		return question(consent)
	})
	if err != nil {
		return err
	}
	return a.request.become(StateSigning, a.detail(triesLeft))
}

// padAsker is an asker whose Prompter can point to a reader's keys.
type padAsker struct{ *asker }

// EnterAtReader implements cardreader.PadPrompter. The question stays until the
// reader is done, but another request's may be asked beside it: this one takes
// no entry.
func (a *padAsker) EnterAtReader(ctx context.Context, r cardreader.PINRequest) (done func(), err error) {
	err = a.once(ctx, r, func(c Consent) (err error) {
		prompter, ok := a.service.Prompter.(ReaderPrompter)
		if !ok {
			return ErrNoPrompt
		}
		done, err = prompter.AtReader(ctx, c)
		return err
	})
	if err != nil {
		if done != nil {
			done()
		}
		return nil, err
	}
	return done, nil
}

func (a *asker) consent(r cardreader.PINRequest) Consent {
	q := a.request
	timeout := ConsentTime
	if deadline, ok := q.ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	mark := ""
	if q.Output.Visible != nil {
		mark = q.Output.Visible.Mark.Text
	}
	return Consent{
		Kind: q.Kind, Mark: mark, Door: q.Door, Origin: q.Origin, Document: a.item.shown, At: a.at, Of: a.of, Purpose: q.Purpose, Reference: q.Reference,
		Holder: HolderOf(r.Credential.Certificate), Card: r.Card.Family, Reader: r.Reader,
		PIN: r.Status.ID, TriesLeft: r.Status.TriesLeft,
		MinLength: r.Status.MinLength, MaxLength: r.Status.MaxLength,
		Locale: q.Locale, Timeout: timeout,
	}
}
