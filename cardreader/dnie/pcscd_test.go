//go:build cgo

package dnie_test

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/cardreader/pcsc"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// The tests of this file run against a real pcscd with T=0. The client library
// remembers the first socket name that it sees.
func TestMain(m *testing.M) {
	pcscd.Child()
	os.Exit(needs.OnePCSCD(m))
}

// remote is a desk at a real reader.
type remote struct {
	*desk
	stack *pcscd.Stack
}

func (r *remote) insert(t *testing.T, generation int, changes ...func(*cards.Spec)) {
	t.Helper()
	spec := newLab(t).spec[generation]
	config := *spec.DNIe
	spec.DNIe = &config
	for _, change := range changes {
		change(&spec)
	}
	if err := r.stack.Insert(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	r.wait(t, cardreader.ReaderPresent)
}

func (r *remote) remove(t *testing.T) {
	t.Helper()
	if err := r.stack.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wait(t, cardreader.ReaderEmpty)
}

// wait follows the reader until it is in a state.
func (r *remote) wait(t *testing.T, want cardreader.ReaderState) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		readers, err := r.cards.Service.Readers(t.Context())
		if err == nil && len(readers) > 0 && readers[0].State == want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("reader is not %s: %+v, %v", want, readers, err)
		case <-tick.C:
		}
	}
}

// secrets counts the commands that carried a PIN: protected VERIFY with more than
// a question in it.
func (r *remote) secrets(t *testing.T) (verified, signed int) {
	t.Helper()
	log, err := r.stack.Exchanges(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log {
		// The recorder hides the data; a question with its checksum has 13 bytes,
		// 9 with the short one.
		if e.INS() == "20" && e.Command[8:10] != "0D" && e.Command[8:10] != "09" {
			verified++
		}
		if len(e.Command) > 8 && e.Command[2:8] == "2A9E9A" {
			signed++
		}
	}
	return verified, signed
}

func atReader(t *testing.T, driver dnie.Driver, entry *typed) *remote {
	t.Helper()
	return &remote{
		desk:  &desk{cards: &cardreader.Cards{Service: pcsc.New(), Drivers: []cardreader.Driver{driver}, Now: time.Now}, entry: entry},
		stack: needs.PCSCD(t, pcscd.Options{}),
	}
}

func TestThroughARealPCSCD(t *testing.T) {
	l := newLab(t)
	entry := &typed{pin: citizenPIN, can: "123456", anyReader: true}
	r := atReader(t, dnie.Driver{Roots: l.roots, CAN: entry}, entry)

	for name, v := range map[string]struct {
		generation int
		changes    []func(*cards.Spec)
	}{
		"3.0": {2, nil}, "3.0, old keys": {1, nil}, "2.0": {1, []func(*cards.Spec){secondCard}}, "radio": {2, []func(*cards.Spec){contactless}},
	} {
		r.insert(t, v.generation, v.changes...)
		begin := time.Now()
		list, err := r.cards.List(t.Context())
		if err != nil || len(list) == 0 || list[0].Err != nil || len(list[0].Credentials) != 2 || list[0].PINs[0].TriesLeft != 3 {
			t.Fatalf("%s: %+v, %v", name, list, err)
		}
		listed := time.Since(begin)
		for _, usage := range []cardreader.Usage{cardreader.UsageAuthentication, cardreader.UsageSignature} {
			begin = time.Now()
			if err := r.sign(t, usage); err != nil {
				t.Errorf("%s, %s: %v", name, usage, err)
			}
			t.Logf("%s: listed in %v, found and signed (%s) in %v", name, listed, usage, time.Since(begin))
		}
		if verified, signed := r.secrets(t); verified != 2 || signed != 2 {
			t.Errorf("C-33: %s: %d VERIFY, %d signatures", name, verified, signed)
		}

		// Change and unblocking are kept for the kiosks of the police.
		for what, err := range map[string]error{
			"change":  r.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN", keypad{citizenPIN, "ANOTHERPIN"}),
			"unblock": r.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PIN", keypad{citizenPIN, "ANOTHERPIN"}),
		} {
			if !errors.Is(err, cardreader.ErrNotOffered) {
				t.Errorf("%s: %s: %v, want ErrNotOffered", name, what, err)
			}
		}

		entry.pin = "WRONG-PIN"
		refusal(t, r.sign(t, cardreader.UsageSignature), cardreader.PINWrong, 2)
		refusal(t, r.sign(t, cardreader.UsageSignature), cardreader.PINWrong, 1)
		refusal(t, r.sign(t, cardreader.UsageSignature), cardreader.PINBlocked, 0)
		entry.pin = citizenPIN
		refusal(t, r.sign(t, cardreader.UsageSignature), cardreader.PINBlocked, 0)
		if verified, _ := r.secrets(t); verified != 5 {
			t.Errorf("C-42: %s: %d VERIFY", name, verified)
		}
		r.remove(t)
	}
}

func TestRefusalsThroughARealPCSCD(t *testing.T) {
	l := newLab(t)
	entry := &typed{pin: citizenPIN, anyReader: true}
	r := atReader(t, dnie.Driver{Roots: l.roots}, entry)
	published, err := dnie.PublishedRoots()
	if err != nil {
		t.Fatal(err)
	}

	// Threat C-50: the lab's chip under the roots of the real cards.
	r.insert(t, 2)
	strict := &cardreader.Cards{Service: pcsc.New(), Drivers: []cardreader.Driver{dnie.Driver{Roots: published}}}
	list, err := strict.List(t.Context())
	if err != nil || len(list) == 0 || !errors.Is(list[0].Err, cardreader.ErrCardUntrusted) {
		t.Errorf("untrusted chip: %+v, %v", list, err)
	}
	if verified, _ := r.secrets(t); verified != 0 {
		t.Errorf("%d PINs sent to an untrusted chip", verified)
	}
	r.remove(t)

	// Threats C-51, C-53.
	for _, m := range []cards.Misbehaviour{cards.MisbehaviourWrongMAC, cards.MisbehaviourPlain, cards.MisbehaviourDowngrade6988} {
		r.insert(t, 2, misbehaving(m))
		if err := r.sign(t, cardreader.UsageSignature); !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Errorf("%s: %v, want ErrCardProtocol", m, err)
		}
		if verified, _ := r.secrets(t); verified != 0 {
			t.Errorf("%s: %d PINs sent", m, verified)
		}
		r.remove(t)
	}

	// Threat C-16 in every part of a signature: 14 commands that look at the card,
	// then PIN channel, counter, PIN, user channel, signature.
	r.cards.Now = nil
	r.insert(t, 2)
	found := r.find(t, cardreader.UsageSignature)
	r.remove(t)
	for _, at := range []int{1, 8, 13, 19, 30, 39, 49} {
		r.insert(t, 2, func(s *cards.Spec) { s.Faults.RemoveAt = at })
		if err := r.signWith(t, found); !errors.Is(err, cardreader.ErrCardRemoved) {
			t.Errorf("command %d: %v, want ErrCardRemoved", at, err)
		}
		if verified, signed := r.secrets(t); verified > 1 || signed > 1 {
			t.Errorf("command %d: %d VERIFY, %d signatures", at, verified, signed)
		}
		r.remove(t)
	}
}

// Each personality ends in its error, with the tries as they should be and nothing
// left behind.
func TestPersonalitiesThroughARealPCSCD(t *testing.T) {
	l := newLab(t)
	entry := &typed{pin: citizenPIN, anyReader: true}
	r := atReader(t, dnie.Driver{Roots: l.roots}, entry)
	r.cards.Now = nil
	before := runtime.NumGoroutine()
	// unread is a card that shows nothing of itself.
	const unread = -2
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for _, test := range []struct {
		personality cards.Personality
		want        func(error) bool
		tries       int
	}{
		{cards.Removed, is(cardreader.ErrCardRemoved), unread},
		{cards.RemovedAtPIN, is(cardreader.ErrCardRemoved), 3},
		{cards.RemovedAtSignature, is(cardreader.ErrCardRemoved), 3},
		{cards.ResetMidway, is(cardreader.ErrCardProtocol), 3},
		{cards.WrongStatus, is(cardreader.ErrCardProtocol), unread},
		{cards.MalformedTLV, is(cardreader.ErrCardProtocol), unread},
		{cards.Oversized, is(cardreader.ErrCardProtocol), unread},
		{cards.Bomb, is(cardreader.ErrCardProtocol), unread},
		{cards.LyingCounter, is(nil), 15},
		{cards.Chained, is(nil), 3},
		{cards.ShortOnly, is(nil), 3},
		{cards.LastTry, is(nil), 3},
		{cards.Blocked, func(err error) bool {
			refused, ok := errors.AsType[*cardreader.PINError](err)
			return ok && refused.Reason == cardreader.PINBlocked
		}, 0},
	} {
		t.Run(string(test.personality), func(t *testing.T) {
			r.insert(t, 2, func(s *cards.Spec) {
				if err := s.Become(test.personality); err != nil {
					t.Fatal(err)
				}
			})
			defer r.remove(t)
			err := r.sign(t, cardreader.UsageSignature)
			if !test.want(err) {
				t.Errorf("Sign = %v", err)
			}
			if verified, signed := r.secrets(t); verified > 1 || signed > 1 || test.tries == unread && verified != 0 {
				t.Errorf("%d VERIFY, %d signatures", verified, signed)
			}
			if test.tries == unread {
				return
			}
			if errors.Is(err, cardreader.ErrCardRemoved) {
				if err := r.stack.Reinsert(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			list, err := r.cards.List(t.Context())
			if err != nil || len(list) == 0 || len(list[0].PINs) != 1 || list[0].PINs[0].TriesLeft != test.tries {
				t.Errorf("%+v, %v; want %d tries", list, err, test.tries)
			}
		})
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}
