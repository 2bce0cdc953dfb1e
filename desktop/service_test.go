package desktop_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing"
)

func TestDoSignsAfterConsentAndLeavesOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s, err := b.Do(t.Context(), request("contract.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		if s.State != desktop.StateDone || len(s.Signed) != 1 || s.Signed[0].N != 1 || s.Certificate != b.cards.key.certificate {
			t.Errorf("snapshot is %+v", s)
		}
		shown := b.prompter.consents[0]
		if shown.Document.Name != "contract.pdf" || shown.Holder.Name != "JAAK-KRISTJAN JÕEORG" ||
			shown.Holder.Number != "PNOEE-••••••••718" || shown.TriesLeft != 3 || shown.PIN != "PIN2" || shown.Timeout != 2*time.Minute {
			t.Errorf("consent is %+v", shown)
		}
		e := b.journal.only(t)
		if e.Outcome != desktop.StateDone || e.Code != "" || e.Documents[0].Name != "contract.pdf" ||
			e.Door != desktop.DoorCommandLine || e.Credential[:11] != "J. J., EE, " {
			t.Errorf("entry is %+v", e)
		}
	})
}

func TestStatesComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cards.findErr = cardreader.ErrNoCard
		r := request("a.pdf")
		r.CardWait = time.Minute
		s, err := b.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var states []desktop.State
		go func() {
			time.Sleep(10 * time.Second) // of the bubble's clock
			b.cards.set(func() { b.cards.findErr = nil })
		}()
		for {
			states = append(states, s.State)
			if s.State.Final() {
				break
			}
			if s, err = b.Wait(t.Context(), s.ID, s.Seq); err != nil {
				t.Fatal(err)
			}
		}
		// A reader of states may miss some that were short, never see a wrong order.
		at := -1
		for _, s := range states {
			next := indexOf(desktop.States(), s)
			if next < at {
				t.Errorf("states are %v", states)
			}
			at = next
		}
		// The wait for the card outlasts everything before it, so it is seen.
		if states[len(states)-1] != desktop.StateDone || indexOf(states, desktop.StateWaitingCard) < 0 {
			t.Errorf("states are %v", states)
		}
	})
}

func indexOf(states []desktop.State, s desktop.State) int {
	for i, x := range states {
		if x == s {
			return i
		}
	}
	return -1
}

func TestMayBecomeIsTheDrawing(t *testing.T) {
	order := []desktop.State{
		desktop.StateCreated, desktop.StateWaitingDocuments, desktop.StateWaitingCard, desktop.StateWaitingConsent,
		desktop.StateWaitingPIN, desktop.StateSigning, desktop.StateDone,
	}
	for _, from := range desktop.States() {
		for _, to := range desktop.States() {
			i, j := indexOf(order, from), indexOf(order, to)
			want := !from.Final() && (j < 0 || j == i+1 || i == 0 && j == 2 || from == desktop.StateSigning && to == desktop.StateWaitingPIN)
			if got := from.MayBecome(to); got != want {
				t.Errorf("%s may become %s: %v, want %v", from, to, got, want)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, row := range []struct {
		name    string
		arrange func(*testing.T, *bench, *desktop.Request)
		state   desktop.State
		code    desktop.Code
	}{
		{"no service", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrNoService }, desktop.StateFailed, desktop.CodeNoReader},
		{"no reader", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrNoReader }, desktop.StateFailed, desktop.CodeNoReader},
		{"no card", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrNoCard }, desktop.StateFailed, desktop.CodeNoCard},
		{"no card after waiting", func(_ *testing.T, b *bench, r *desktop.Request) {
			b.cards.findErr, r.CardWait = cardreader.ErrNoCard, time.Minute
		}, desktop.StateFailed, desktop.CodeNoCard},
		{"unknown card", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrCardUnsupported }, desktop.StateFailed, desktop.CodeCardUnsupported},
		{"several cards (C-59)", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = &cardreader.AmbiguousError{} }, desktop.StateFailed, desktop.CodeNoCertificate},
		{"declined", func(_ *testing.T, b *bench, _ *desktop.Request) { b.prompter.err = desktop.ErrDeclined }, desktop.StateDeclined, desktop.CodeUserDeclined},
		{"prompt timed out", func(_ *testing.T, b *bench, _ *desktop.Request) { b.prompter.err = desktop.ErrTimeout }, desktop.StateExpired, desktop.CodeUserTimeout},
		{"request timed out", func(_ *testing.T, b *bench, r *desktop.Request) { b.prompter.hold, r.ExpiresIn = true, time.Minute }, desktop.StateExpired, desktop.CodeUserTimeout},
		{"no prompt", func(_ *testing.T, b *bench, _ *desktop.Request) { b.prompter.err = desktop.ErrNoPrompt }, desktop.StateFailed, desktop.CodeInternal},
		{"wrong PIN", func(_ *testing.T, b *bench, _ *desktop.Request) {
			b.cards.signErr = &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN2", TriesLeft: 2}
		}, desktop.StateFailed, desktop.CodePINWrong},
		{"blocked PIN (C-42)", func(_ *testing.T, b *bench, _ *desktop.Request) {
			b.cards.signErr = &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: "PIN2"}
		}, desktop.StateFailed, desktop.CodePINBlocked},
		{"card removed", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.signErr = cardreader.ErrCardRemoved }, desktop.StateFailed, desktop.CodeCardRemoved},
		{"expired certificate (P-55)", func(t *testing.T, b *bench, _ *desktop.Request) {
			b.cards.key = newKey(t, time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))
		}, desktop.StateFailed, desktop.CodeCertificateExpired},
		{"unreadable document", func(_ *testing.T, _ *bench, r *desktop.Request) {
			r.Documents = []desktop.Document{fakeDocument{describeErr: errors.New("disk")}}
		}, desktop.StateFailed, desktop.CodeInternal},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				r := request("a.pdf")
				row.arrange(t, b, &r)
				s, err := b.Do(t.Context(), r)
				if err == nil || s.State != row.state || s.Code != row.code || s.Signed != nil {
					t.Errorf("state %s, code %s, error %v", s.State, s.Code, err)
				}
				if e := b.journal.only(t); e.Outcome != row.state || e.Code != row.code {
					t.Errorf("entry is %+v", e)
				}
				// C-33: never more entries than were made by hand.
				if b.cards.asked > 1 || len(b.cards.verified) > 1 {
					t.Errorf("asked %d times, verified %d times", b.cards.asked, len(b.cards.verified))
				}
			})
		})
	}
}

// C-41: the last try needs its own yes, which no door can skip.
func TestLastTryIsAskedForFirst(t *testing.T) {
	b := newBench(t)
	b.cards.tries = 1
	if _, err := b.Do(t.Context(), request("a.pdf")); err != nil {
		t.Fatal(err)
	}
	if b.prompter.lastTry != 1 {
		t.Errorf("last try asked %d times", b.prompter.lastTry)
	}
	b.prompter.err = desktop.ErrDeclined
	if s, err := b.Do(t.Context(), request("b.pdf")); !errors.Is(err, desktop.ErrDeclined) || s.State != desktop.StateDeclined {
		t.Errorf("got %v, %v", s.State, err)
	}
	if len(b.prompter.consents) != 1 {
		t.Error("PIN was asked for after a no")
	}
}

// C-60: a cancelled request ends at once, and what the card still makes is thrown
// away.
func TestCancelTakesTheQuestionAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.prompter.hold = true
		s, err := b.Submit(t.Context(), request("a.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now, _ := b.Snapshot(s.ID); now.State != desktop.StateWaitingPIN || *now.Detail.TriesLeft != 3 {
			t.Errorf("state is %+v", now)
		}
		if err := b.Cancel(s.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		now, err := b.Snapshot(s.ID)
		if err != nil || now.State != desktop.StateCancelled || now.Code != "" {
			t.Errorf("snapshot is %+v, %v", now, err)
		}
		if b.prompter.open != 0 {
			t.Error("the question is still there")
		}
		if e := b.journal.only(t); e.Outcome != desktop.StateCancelled {
			t.Errorf("entry is %+v", e)
		}
		if err := b.Cancel(s.ID); err != nil {
			t.Errorf("second cancel: %v", err)
		}
	})
}

// L-35: one request an origin, three in all, one question at a time.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.prompter.hold = true
		submit := func(o string) error { _, err := b.Submit(t.Context(), from(t, o)); return err }
		busy := func(err error) bool { _, ok := errors.AsType[*desktop.BusyError](err); return ok }
		if err := submit("https://a.es"); err != nil {
			t.Fatal(err)
		}
		if err := submit("https://a.es"); !busy(err) {
			t.Errorf("second of the same origin: %v", err)
		}
		for _, o := range []string{"https://b.es", "https://c.es"} {
			if err := submit(o); err != nil {
				t.Fatal(err)
			}
		}
		if err := submit("https://d.es"); !busy(err) {
			t.Errorf("fourth: %v", err)
		}
		synctest.Wait()
		if b.prompter.most != 1 {
			t.Errorf("%d questions at once", b.prompter.most)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(b.journal.entries) != 3 {
			t.Errorf("%d entries", len(b.journal.entries))
		}
		if err := submit("https://e.es"); !busy(err) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// L-35: after three refusals an origin is not heard for ten minutes.
func TestRefusedOriginIsKeptQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.prompter.err = desktop.ErrDeclined
		for range 3 {
			if _, err := b.Do(t.Context(), from(t, "https://pushy.es")); !errors.Is(err, desktop.ErrDeclined) {
				t.Fatal(err)
			}
		}
		_, err := b.Do(t.Context(), from(t, "https://pushy.es"))
		if busy, ok := errors.AsType[*desktop.BusyError](err); !ok || busy.RetryAfter < 9*time.Minute {
			t.Errorf("got %v", err)
		}
		pairing := desktop.PairingQuestion{Origin: from(t, "https://pushy.es").Origin}
		if err := b.AskPairing(t.Context(), pairing); err == nil || errors.Is(err, desktop.ErrDeclined) {
			t.Errorf("pairing: %v", err)
		}
		if _, err := b.Do(t.Context(), from(t, "https://polite.es")); !errors.Is(err, desktop.ErrDeclined) {
			t.Errorf("another origin: %v", err)
		}
		b.prompter.err = nil
		time.Sleep(11 * time.Minute)
		if _, err := b.Do(t.Context(), from(t, "https://pushy.es")); err != nil {
			t.Errorf("after ten minutes: %v", err)
		}
	})
}

// L-35: a page that asks again as soon as it hears of a no is not heard either. It is
// tried often, for it was faster than the count once in 150 times.
func TestRefusalCountsBeforeThePageHearsOfIt(t *testing.T) {
	for range 1000 {
		b := newBench(t)
		b.prompter.err = desktop.ErrDeclined
		for range 3 {
			s, err := b.Submit(t.Context(), from(t, "https://pushy.es"))
			for err == nil && !s.State.Final() {
				s, err = b.Wait(t.Context(), s.ID, s.Seq)
			}
			if err != nil || s.State != desktop.StateDeclined {
				t.Fatalf("%s, %v", s.State, err)
			}
		}
		_, err := b.Submit(t.Context(), from(t, "https://pushy.es"))
		if _, ok := errors.AsType[*desktop.BusyError](err); !ok {
			t.Fatalf("the fourth question: %v", err)
		}
	}
}

func TestFinishedRequestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		first, err := b.Do(t.Context(), request("a.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		for range 16 {
			if _, err := b.Do(t.Context(), request("b.pdf")); err != nil {
				t.Fatal(err)
			}
		}
		last, err := b.Do(t.Context(), request("c.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Snapshot(first.ID); !errors.Is(err, desktop.ErrUnknownRequest) {
			t.Errorf("first: %v", err)
		}
		time.Sleep(11 * time.Minute)
		if _, err := b.Do(t.Context(), request("d.pdf")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Snapshot(last.ID); !errors.Is(err, desktop.ErrUnknownRequest) {
			t.Errorf("last: %v", err)
		}
	})
}

func TestSubmitRefusesWhatMakesNoSense(t *testing.T) {
	b := newBench(t)
	for name, spoil := range map[string]func(*desktop.Request){
		"kind":        func(r *desktop.Request) { r.Kind = "authenticate" },
		"no document": func(r *desktop.Request) { r.Documents = nil },
		"two documents of a page": func(r *desktop.Request) {
			*r = from(t, "https://portal.example")
			r.Documents = append(r.Documents, r.Documents[0])
		},
		"too many documents": func(r *desktop.Request) { r.Documents = make([]desktop.Document, desktop.MaxDocuments+1) },
		"format":             func(r *desktop.Request) { r.Output.Format = "ddoc" },
		"format of a page": func(r *desktop.Request) {
			*r = from(t, "https://portal.example")
			r.Output.Format = signing.XAdES
		},
		"baseline": func(r *desktop.Request) { r.Output.Baseline = signing.BaselineT },
	} {
		r := request("a.pdf")
		spoil(&r)
		if _, err := b.Submit(t.Context(), r); !errors.Is(err, desktop.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(b.journal.entries) != 0 {
		t.Error("refused requests are in the journal")
	}
}
