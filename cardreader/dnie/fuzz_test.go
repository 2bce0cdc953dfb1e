package dnie_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
)

// babbler answers with what the fuzzer made up.
type babbler struct {
	atr, noise []byte
	secrets    int
}

func (b *babbler) ATR() []byte { return b.atr }

func (b *babbler) Close(bool) error { return nil }

func (b *babbler) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if len(command) > 1 && (command[1] == 0x20 || command[1] == 0x24) {
		b.secrets++
	}
	n := min(len(b.noise), 2)
	if n > 0 {
		n = min(len(b.noise), 2+int(b.noise[0]))
	}
	answer := b.noise[:n]
	b.noise = b.noise[n:]
	if len(answer) == 0 {
		return nil, cardreader.ErrCardRemoved
	}
	return append(bytes.Clone(answer[1:]), 0x90, 0x00), nil
}

// Threat C-11: the answer to reset of a DNIe and noise after it. No PIN and no
// question about one comes of it.
func FuzzCardThatIsNone(f *testing.F) {
	contact, _ := hex.DecodeString("3B7F960000006A444E4965200101550421039000")
	radio, _ := hex.DecodeString("3B888001E1F35E117781A10003")
	fci, _ := hex.DecodeString("0E6F0C850A01000600090000000000")
	f.Add(false, append(fci, append([]byte{0x09}, "BMP200002"...)...))
	f.Add(true, []byte{0})
	l := newLab(f)
	f.Fuzz(func(t *testing.T, overRadio bool, noise []byte) {
		card := &babbler{atr: contact, noise: noise}
		if overRadio {
			card.atr = radio
		}
		opened, err := dnie.Driver{Roots: l.roots, CAN: &typed{can: "123456"}}.Open(t.Context(), card)
		if err != nil {
			return
		}
		info, err := opened.Info(t.Context())
		if err == nil && len(info.DocumentNumber) > 32 {
			t.Errorf("document number of %d characters", len(info.DocumentNumber))
		}
		_, _ = opened.Credentials(t.Context())
		if status, err := opened.PINs(t.Context()); err == nil {
			t.Errorf("counter without a chip: %+v", status)
		}
		if card.secrets > 0 {
			t.Error("a PIN command was sent")
		}
	})
}
