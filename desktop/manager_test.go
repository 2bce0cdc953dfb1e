package desktop_test

import (
	"context"
	"crypto"
	"errors"
	"io"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
)

func changeRequest() cardreader.PINChangeRequest {
	status := cardreader.PINStatus{ID: "PIN1", TriesLeft: 3, TriesMax: 3, MinLength: 4, MaxLength: 12, Class: pin.Digits}
	return cardreader.PINChangeRequest{Operation: cardreader.PINChange, Reader: "Fake", Checked: status, Target: status}
}

// C-33, C-41, C-43: what a card would refuse is refused before it, in the order in
// which a person can mend it, and a last try needs a yes.
func TestChangingAPINAsksForThreeEntries(t *testing.T) {
	format := func(err error) bool {
		refused, ok := errors.AsType[*cardreader.PINError](err)
		return ok && refused.Reason == cardreader.PINFormat
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for _, row := range []struct {
		name    string
		entries []string
		tries   int
		asked   int
		want    func(error) bool
	}{
		{"good", []string{"1234", "4321", "4321"}, 3, 3, is(nil)},
		{"old one too short", []string{"123"}, 3, 1, format},
		{"old one with letters", []string{"12a4"}, 3, 1, format},
		{"new one too long", []string{"1234", "1234567890123"}, 3, 2, format},
		{"new one with digits of another script", []string{"1234", "١٢٣٤"}, 3, 2, format},
		{"entries differ", []string{"1234", "4321", "4312"}, 3, 3, is(desktop.ErrMismatch)},
		{"last try", []string{"1234", "4321", "4321"}, 1, 3, is(nil)},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := &fakePrompter{entries: row.entries}
			r := changeRequest()
			r.Checked.TriesLeft = row.tries
			checked, replacement, err := desktop.Manager{Prompter: p, Locale: "nl"}.ChangePIN(t.Context(), r)
			if !row.want(err) {
				t.Error(err)
			}
			if (err == nil) != (checked != nil && replacement != nil) {
				t.Errorf("%v, %v beside %v", checked, replacement, err)
			}
			checked.Wipe()
			replacement.Wipe()
			if len(p.secrets) != row.asked {
				t.Errorf("%d questions, want %d", len(p.secrets), row.asked)
			}
			if wanted := row.tries == 1; wanted != (len(p.confirmed) == 1) {
				t.Errorf("confirmed %+v", p.confirmed)
			}
			if p.secrets[0].Locale != "nl" || p.secrets[0].Name != "Fake" {
				t.Errorf("question %+v", p.secrets[0])
			}
		})
	}
}

func TestARefusedLastTryAsksForNothing(t *testing.T) {
	p := &fakePrompter{err: desktop.ErrDeclined}
	r := changeRequest()
	r.Checked.TriesLeft = 1
	if _, _, err := (desktop.Manager{Prompter: p}).ChangePIN(t.Context(), r); !errors.Is(err, desktop.ErrDeclined) {
		t.Error(err)
	}
	if len(p.secrets) != 0 {
		t.Error("a PIN was asked for")
	}
}

// A signature needs a consent, which a Manager does not ask for.
func TestManagerReleasesNoSignature(t *testing.T) {
	p := &fakePrompter{}
	m := desktop.Manager{Prompter: p}
	_, err := m.PIN(t.Context(), cardreader.PINRequest{Purpose: cardreader.PurposeSign})
	if !errors.Is(err, desktop.ErrNoPrompt) || len(p.secrets) != 0 {
		t.Error(err)
	}
	status := changeRequest().Checked
	status.TriesLeft = 1
	secret, err := m.PIN(t.Context(), cardreader.PINRequest{Purpose: cardreader.PurposePersonalData, Status: status})
	if err != nil || len(p.confirmed) != 1 {
		t.Errorf("%v, %+v", err, p.confirmed)
	}
	secret.Wipe()
	p.entries = []string{"12345", "123456"}
	if _, err := m.CAN(t.Context(), "Fake"); err == nil {
		t.Error("an access number of five digits passed")
	}
	number, err := m.CAN(t.Context(), "Fake")
	if err != nil {
		t.Error(err)
	}
	number.Wipe()
}

// yesCards is a card whose key takes no PIN, or one typed at the reader.
type yesCards struct {
	*fakeCards
	atReader bool
}

func (c *yesCards) Signer(ctx context.Context, f *cardreader.Found, source cardreader.PINSource) crypto.Signer {
	return &yesSigner{ctx, c, f, source}
}

type yesSigner struct {
	ctx    context.Context
	cards  *yesCards
	found  *cardreader.Found
	source cardreader.PINSource
}

func (s *yesSigner) Public() crypto.PublicKey { return s.cards.key.private.Public() }

func (s *yesSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	r := cardreader.PINRequest{Card: s.found.Inserted.Info, Credential: s.found.Credential}
	if s.cards.atReader {
		r.Status = cardreader.PINStatus{ID: "PIN2", TriesLeft: 3}
		prompter, ok := s.source.(cardreader.PadPrompter)
		if !ok {
			return nil, cardreader.ErrNotOffered
		}
		done, err := prompter.EnterAtReader(s.ctx, r)
		if err != nil {
			return nil, err
		}
		defer done()
	} else if err := s.source.(cardreader.Approver).Approve(s.ctx, r); err != nil {
		return nil, err
	}
	return s.cards.key.private.Sign(random, digest, opts)
}

func TestKeyWithoutAPINNeedsAYes(t *testing.T) {
	for name, want := range map[string]error{"yes": nil, "no": desktop.ErrDeclined} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.prompter.err = want
			b.Cards = &yesCards{fakeCards: b.cards}
			snapshot, err := b.Do(t.Context(), request("a.pdf"))
			if !errors.Is(err, want) || (err == nil) != (snapshot.State == desktop.StateDone) {
				t.Errorf("%s, %v", snapshot.State, err)
			}
			if len(b.prompter.consents) != 1 || b.prompter.consents[0].TriesLeft != -1 {
				t.Errorf("consents %+v", b.prompter.consents)
			}
		})
	}
}

func TestPINAtTheReaderIsShownUntilDone(t *testing.T) {
	b := newBench(t)
	b.Cards = &yesCards{fakeCards: b.cards, atReader: true}
	if _, err := b.Do(t.Context(), request("a.pdf")); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("a prompter that cannot point to the reader: %v", err)
	}
	p := &padPrompter{fakePrompter: b.prompter}
	b.Prompter = p
	if _, err := b.Do(t.Context(), request("a.pdf")); err != nil || p.shown != 1 || p.done != 1 {
		t.Errorf("%v, shown %d, taken away %d", err, p.shown, p.done)
	}
}

// padPrompter can point to a reader's keys.
type padPrompter struct {
	*fakePrompter
	shown, done int
}

func (p *padPrompter) AtReader(ctx context.Context, c desktop.Consent) (func(), error) {
	p.shown++
	p.consents = append(p.consents, c)
	if err := p.question(ctx); err != nil {
		return nil, err
	}
	return func() { p.done++ }, nil
}

func (p *padPrompter) ChangeAtReader(ctx context.Context, q desktop.SecretQuestion) (func(), error) {
	p.shown++
	p.secrets = append(p.secrets, q)
	if err := p.question(ctx); err != nil {
		return nil, err
	}
	return func() { p.done++ }, nil
}

// C-41: at the reader, too, the last try needs its own yes, and no value is asked
// for on the screen.
func TestNewValueAtTheReaderIsShownUntilDone(t *testing.T) {
	plain := desktop.Manager{Prompter: &fakePrompter{}}
	if _, ok := plain.Changes().(cardreader.PadChangePrompter); ok {
		t.Error("a prompter that cannot point to a reader became one that can")
	}
	p := &padPrompter{fakePrompter: &fakePrompter{}}
	source, ok := desktop.Manager{Prompter: p, Locale: "es"}.Changes().(cardreader.PadChangePrompter)
	if !ok {
		t.Fatal("a prompter that can point to a reader became one that cannot")
	}
	r := changeRequest()
	r.Operation, r.Checked.ID, r.Checked.TriesLeft = cardreader.PINUnblock, "PUK", 1
	done, err := source.ChangeAtReader(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	done()
	if p.shown != 1 || p.done != 1 || len(p.confirmed) != 1 || !p.confirmed[0].Final || len(p.secrets) != 1 {
		t.Errorf("shown %d, taken away %d, confirmed %+v, asked %+v", p.shown, p.done, p.confirmed, p.secrets)
	}
	if q := p.secrets[0]; q.Operation != cardreader.PINUnblock || q.Status.ID != "PUK" || q.Target != "PIN1" || q.Name != "Fake" || q.Locale != "es" {
		t.Errorf("%+v", q)
	}
	p.err = desktop.ErrDeclined
	if _, err := source.ChangeAtReader(t.Context(), r); !errors.Is(err, desktop.ErrDeclined) || p.shown != 1 {
		t.Errorf("last try refused: %v, shown %d", err, p.shown)
	}
}
