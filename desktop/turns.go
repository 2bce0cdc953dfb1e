package desktop

import (
	"context"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// InTurn is p with one question at a time before the person, for programs in which
// others than a Service ask, too. A question that is waiting ends with its ctx.
func InTurn(p Prompter) Prompter {
	t := &turns{prompter: p, turn: make(chan struct{}, 1)}
	if reader, ok := p.(ReaderPrompter); ok {
		return &readerTurns{turns: t, reader: reader}
	}
	return t
}

type turns struct {
	prompter Prompter
	turn     chan struct{}
}

func (t *turns) wait(ctx context.Context) (done func(), err error) {
	select {
	case t.turn <- struct{}{}:
		return func() { <-t.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *turns) secret(ctx context.Context, ask func() (*pin.PIN, error)) (*pin.PIN, error) {
	done, err := t.wait(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return ask()
}

func (t *turns) yes(ctx context.Context, ask func() error) error {
	done, err := t.wait(ctx)
	if err != nil {
		return err
	}
	defer done()
	return ask()
}

func (t *turns) PIN(ctx context.Context, c Consent) (*pin.PIN, error) {
	return t.secret(ctx, func() (*pin.PIN, error) { return t.prompter.PIN(ctx, c) })
}

func (t *turns) Secret(ctx context.Context, q SecretQuestion) (*pin.PIN, error) {
	return t.secret(ctx, func() (*pin.PIN, error) { return t.prompter.Secret(ctx, q) })
}

func (t *turns) LastTry(ctx context.Context, c Consent) error {
	return t.yes(ctx, func() error { return t.prompter.LastTry(ctx, c) })
}

func (t *turns) Pairing(ctx context.Context, q PairingQuestion) error {
	return t.yes(ctx, func() error { return t.prompter.Pairing(ctx, q) })
}

func (t *turns) Approve(ctx context.Context, c Consent) error {
	return t.yes(ctx, func() error { return t.prompter.Approve(ctx, c) })
}

func (t *turns) Confirm(ctx context.Context, q Confirmation) error {
	return t.yes(ctx, func() error { return t.prompter.Confirm(ctx, q) })
}

// readerTurns keeps its turn while a PIN is typed at the reader.
type readerTurns struct {
	*turns
	reader ReaderPrompter
}

func (t *readerTurns) AtReader(ctx context.Context, c Consent) (func(), error) {
	return t.while(ctx, func() (func(), error) { return t.reader.AtReader(ctx, c) })
}

func (t *readerTurns) ChangeAtReader(ctx context.Context, q SecretQuestion) (func(), error) {
	return t.while(ctx, func() (func(), error) { return t.reader.ChangeAtReader(ctx, q) })
}

func (t *readerTurns) while(ctx context.Context, show func() (func(), error)) (func(), error) {
	end, err := t.wait(ctx)
	if err != nil {
		return nil, err
	}
	done, err := show()
	if err != nil {
		end()
		return nil, err
	}
	return func() {
		done()
		end()
	}, nil
}
