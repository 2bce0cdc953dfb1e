package desktop

import (
	"bytes"
	"context"
	"errors"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// ErrMismatch is a new PIN whose two entries differ. The card was not asked.
var ErrMismatch = errors.New("two entries of the new PIN differ")

// Manager asks the holder for what card management needs: it implements
// cardreader.PINChangeSource, cardreader.PINSource for personal data, and
// cardreader.AccessNumberSource.
type Manager struct {
	Prompter Prompter
	// Locale is a BCP 47 tag, empty for the desktop's language.
	Locale string
}

func (m Manager) question(kind Secret, name string, status cardreader.PINStatus) SecretQuestion {
	return SecretQuestion{Kind: kind, Name: name, Status: status, Target: status.ID, Locale: m.Locale, Timeout: ConsentTime}
}

// Changes is m as a cardreader.PINChangeSource that lets both values be typed at
// a reader with keys, where the Prompter can point to it.
func (m Manager) Changes() cardreader.PINChangeSource {
	if _, ok := m.Prompter.(ReaderPrompter); ok {
		return padManager{m}
	}
	return m
}

// padManager is a Manager whose Prompter can point to a reader's keys.
type padManager struct{ Manager }

// ChangeAtReader implements cardreader.PadChangePrompter.
func (m padManager) ChangeAtReader(ctx context.Context, r cardreader.PINChangeRequest) (done func(), err error) {
	prompter, ok := m.Prompter.(ReaderPrompter)
	if !ok {
		return nil, ErrNoPrompt
	}
	if err := m.lastTry(ctx, r.Reader, r.Checked, r.Operation == cardreader.PINUnblock); err != nil {
		return nil, err
	}
	q := m.question(SecretChecked, r.Reader, r.Checked)
	q.Operation, q.Target = r.Operation, r.Target.ID
	return prompter.ChangeAtReader(ctx, q)
}

// ChangePIN implements cardreader.PINChangeSource. Each entry is checked against
// its rule before the next is asked for.
func (m Manager) ChangePIN(ctx context.Context, r cardreader.PINChangeRequest) (checked, replacement *pin.PIN, err error) {
	defer func() {
		if err != nil {
			checked.Wipe()
			replacement.Wipe()
			checked, replacement = nil, nil
		}
	}()
	if err := m.lastTry(ctx, r.Reader, r.Checked, r.Operation == cardreader.PINUnblock); err != nil {
		return nil, nil, err
	}
	q := m.question(SecretChecked, r.Reader, r.Checked)
	q.Operation, q.Target = r.Operation, r.Target.ID
	if checked, err = m.enter(ctx, q); err != nil {
		return checked, nil, err
	}
	q.Kind, q.Status = SecretNew, r.Target
	if replacement, err = m.enter(ctx, q); err != nil {
		return checked, replacement, err
	}
	q.Kind = SecretRepeated
	repeated, err := m.Prompter.Secret(ctx, q)
	if err != nil {
		return checked, replacement, err
	}
	defer repeated.Wipe()
	same := false
	err = replacement.Use(func(a []byte) error {
		return repeated.Use(func(b []byte) error {
			same = bytes.Equal(a, b)
			return nil
		})
	})
	if err == nil && !same {
		err = ErrMismatch
	}
	return checked, replacement, err
}

// enter takes one entry that fits its rule.
func (m Manager) enter(ctx context.Context, q SecretQuestion) (*pin.PIN, error) {
	secret, err := m.Prompter.Secret(ctx, q)
	if err != nil {
		return secret, err
	}
	err = q.Status.Rule().Check(secret)
	if errors.Is(err, pin.ErrFormat) {
		err = &cardreader.PINError{Reason: cardreader.PINFormat, PIN: q.Status.ID, TriesLeft: q.Status.TriesLeft}
	}
	return secret, err
}

func (m Manager) lastTry(ctx context.Context, reader string, s cardreader.PINStatus, final bool) error {
	if s.TriesLeft != 1 {
		return nil
	}
	return m.Prompter.Confirm(ctx, Confirmation{
		Kind: ConfirmLastTry, Name: reader, PIN: s.ID, Final: final, Locale: m.Locale, Timeout: ConsentTime,
	})
}

// PIN implements cardreader.PINSource for personal data that a PIN protects, and
// for nothing else: a signature needs a consent.
func (m Manager) PIN(ctx context.Context, r cardreader.PINRequest) (*pin.PIN, error) {
	if r.Purpose != cardreader.PurposePersonalData {
		return nil, ErrNoPrompt
	}
	if err := m.lastTry(ctx, r.Reader, r.Status, false); err != nil {
		return nil, err
	}
	return m.enter(ctx, m.question(SecretPersonalData, r.Reader, r.Status))
}

// CAN implements cardreader.AccessNumberSource.
func (m Manager) CAN(ctx context.Context, reader string) (*pin.PIN, error) {
	q := m.question(SecretAccessNumber, reader, cardreader.PINStatus{
		ID: "CAN", TriesLeft: -1, TriesMax: -1, MinLength: 6, MaxLength: 6, Class: pin.Digits,
	})
	return m.enter(ctx, q)
}

// Password asks for the password of a key file.
func (m Manager) Password(ctx context.Context, name string, s cardreader.PINStatus) (*pin.PIN, error) {
	return m.enter(ctx, m.question(SecretPassword, name, s))
}

// DocumentPassword asks for the password of an encrypted document.
func (m Manager) DocumentPassword(ctx context.Context, name string) (*pin.PIN, error) {
	return m.Prompter.Secret(ctx, m.question(SecretDocument, name, cardreader.PINStatus{TriesLeft: -1}))
}

// ReadPersonalData asks for a yes before anything personal is read.
func (m Manager) ReadPersonalData(ctx context.Context, reader string) error {
	return m.Prompter.Confirm(ctx, Confirmation{Kind: ConfirmPersonalData, Name: reader, Locale: m.Locale, Timeout: ConsentTime})
}

// Save asks for a yes before a report is written.
func (m Manager) Save(ctx context.Context, name string) error {
	return m.Prompter.Confirm(ctx, Confirmation{Kind: ConfirmSave, Name: name, Locale: m.Locale, Timeout: ConsentTime})
}
