package cwa14890

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// C-50: a card with the public files of a genuine one and another key.
func TestC50EstablishRefusesAChipWithAnotherKey(t *testing.T) {
	l := newLab(t)
	card := newCard(l, rand.Reader, 8)
	other := generate()
	card.wrongKey = &other
	channel, err := Establish(t.Context(), card, l.options(t, RolePIN))
	if !errors.Is(err, ErrUntrusted) || channel != nil {
		t.Fatalf("got %v, want ErrUntrusted", err)
	}
	if n := len(card.commands); card.commands[n-2][1] != 0x88 {
		t.Errorf("went on after the proof failed: %X", card.commands[n-1])
	}
}

// C-54: answers to INTERNAL AUTHENTICATE that are no proof.
func TestC54EstablishRefusesImpossibleProofs(t *testing.T) {
	l := newLab(t)
	modulus := l.pin.n.FillBytes(make([]byte, 128))
	for _, v := range []struct {
		name   string
		answer []byte
		want   error
	}{
		{"zero", make([]byte, 128), cardreader.ErrCardProtocol},
		{"one", append(make([]byte, 127), 1), ErrUntrusted},
		{"the modulus", modulus, cardreader.ErrCardProtocol},
		{"above the modulus", bytes.Repeat([]byte{0xFF}, 128), cardreader.ErrCardProtocol},
		{"127 bytes", make([]byte, 127), cardreader.ErrCardProtocol},
		{"129 bytes", make([]byte, 129), cardreader.ErrCardProtocol},
		{"nothing", nil, cardreader.ErrCardProtocol},
		{"the proof for an earlier challenge", unhex(t, vectorInternal), ErrUntrusted},
	} {
		card := newCard(l, rand.Reader, 8)
		card.t0 = false
		wire := &recorder{next: card, edit: func(i int, answer []byte) []byte {
			if i == 5 {
				return append(bytes.Clone(v.answer), 0x90, 0x00)
			}
			return answer
		}}
		if _, err := Establish(t.Context(), wire, l.options(t, RolePIN)); !errors.Is(err, v.want) {
			t.Errorf("%s: got %v, want %v", v.name, err, v.want)
		}
		if len(wire.sent) != 6 {
			t.Errorf("%s: %d commands", v.name, len(wire.sent))
		}
	}
}

// Every bit of the chip's proof counts.
func TestEstablishRefusesEveryChangedProof(t *testing.T) {
	l := newLab(t)
	for i := range 128 {
		card := newCard(l, rand.Reader, 8)
		card.t0 = false
		wire := &recorder{next: card, edit: func(step int, answer []byte) []byte {
			if step == 5 {
				answer[i] ^= 1 << (i % 8)
			}
			return answer
		}}
		_, err := Establish(t.Context(), wire, l.options(t, RolePIN))
		if !errors.Is(err, ErrUntrusted) && !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Fatalf("byte %d: got %v", i, err)
		}
	}
}

func TestEstablishNamesAWrongGeneration(t *testing.T) {
	l, foreign := newLab(t), newLab(t)
	o := l.options(t, RolePIN)
	terminal, err := foreign.set.Terminal(RolePIN)
	if err != nil {
		t.Fatal(err)
	}
	o.Terminal = terminal
	card := newCard(l, rand.Reader, 8)
	_, err = Establish(t.Context(), card, o)
	var refused *apdu.StatusError
	if !errors.Is(err, ErrGeneration) || !errors.As(err, &refused) || refused.SW != 0x6A80 {
		t.Fatalf("got %v, want ErrGeneration with 6A80", err)
	}
	// The same card and the other set: one more try of the driver.
	if _, err := Establish(t.Context(), card, l.options(t, RolePIN)); err != nil {
		t.Errorf("second generation: %v", err)
	}
}

// Each refusal of the card keeps its step and its status word, and ends the
// handshake there.
func TestEstablishStopsAtEveryRefusal(t *testing.T) {
	l := newLab(t)
	for step := range 8 {
		card := newCard(l, rand.Reader, 8)
		card.t0 = false
		wire := &recorder{next: card, edit: func(i int, answer []byte) []byte {
			if i == step {
				return []byte{0x69, 0x85}
			}
			return answer
		}}
		_, err := Establish(t.Context(), wire, l.options(t, RolePIN))
		var refused *apdu.StatusError
		if !errors.As(err, &refused) || refused.SW != apdu.SWConditionsOfUse || errors.Is(err, ErrGeneration) {
			t.Errorf("step %d: got %v", step, err)
		}
		if len(wire.sent) != step+1 {
			t.Errorf("step %d: %d commands", step, len(wire.sent))
		}
	}
}

func TestEstablishRefusesAChallengeOfAWrongSize(t *testing.T) {
	l := newLab(t)
	card := newCard(l, rand.Reader, 8)
	card.t0 = false
	wire := &recorder{next: card, edit: func(i int, answer []byte) []byte {
		if i == 6 {
			return append(answer[:7], 0x90, 0x00)
		}
		return answer
	}}
	if _, err := Establish(t.Context(), wire, l.options(t, RolePIN)); !errors.Is(err, cardreader.ErrCardProtocol) {
		t.Errorf("got %v, want ErrCardProtocol", err)
	}
}

func TestEstablishTellsTheCardOfAnotherSerial(t *testing.T) {
	l := newLab(t)
	o := l.options(t, RolePIN)
	o.Serial[7]++
	_, err := Establish(t.Context(), newCard(l, rand.Reader, 8), o)
	var refused *apdu.StatusError
	if !errors.As(err, &refused) || refused.SW != 0x6300 || refused.INS != 0x82 {
		t.Errorf("got %v, want 6300 to EXTERNAL AUTHENTICATE", err)
	}
}

func TestEstablishRefusesIncompleteOptions(t *testing.T) {
	l := newLab(t)
	for name, change := range map[string]func(*Options){
		"no chip":           func(o *Options) { o.Chip = nil },
		"no terminal":       func(o *Options) { o.Terminal = nil },
		"public key only":   func(o *Options) { o.Terminal = &Terminal{role: RolePIN, own: o.Terminal.own, key: o.Terminal.key} },
		"MAC of six bytes":  func(o *Options) { o.MACLength = 6 },
		"MAC of zero bytes": func(o *Options) { o.MACLength = 0 },
	} {
		o := l.options(t, RolePIN)
		change(&o)
		card := newCard(l, rand.Reader, 8)
		if _, err := Establish(t.Context(), card, o); !errors.Is(err, ErrOptions) || len(card.commands) != 0 {
			t.Errorf("%s: got %v after %d commands, want ErrOptions", name, err, len(card.commands))
		}
	}
}

func TestEstablishEndsWithoutRandomNumbers(t *testing.T) {
	l := newLab(t)
	for _, text := range []string{"1122", vectorTerminalRandom[:40]} {
		o := l.options(t, RolePIN)
		o.Rand = hexReader(text)
		_, err := Establish(t.Context(), newCard(l, rand.Reader, 8), o)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	}
}

// The terminal's private keys are public: only fresh random numbers keep the
// channel secret.
func TestEstablishNeverUsesRandomNumbersTwice(t *testing.T) {
	l := newLab(t)
	seen := map[string]bool{}
	for range 8 {
		card := newCard(l, hexReader(vectorCardRandom), 8)
		if _, err := Establish(t.Context(), card, l.options(t, RolePIN)); err != nil {
			t.Fatal(err)
		}
		for _, command := range card.commands {
			if command[1] == 0x88 || command[1] == 0x82 {
				seen[hex.EncodeToString(command)] = true
			}
		}
	}
	if len(seen) != 16 {
		t.Errorf("8 handshakes with %d different messages, want 16", len(seen))
	}
}
