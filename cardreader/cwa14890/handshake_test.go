package cwa14890

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/securemessaging"
)

// Random numbers of the handshake vector, in the order in which each side uses
// them.
const (
	vectorTerminalRandom = "1122334455667788" + // RND.IFD
		"909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babb" +
		"bcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9" + // PRND2
		"030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc" // Kifd
	vectorCardRandom = "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b" +
		"3c3d3e3f404142434445464748494a4b4c4d4e4f50515253545556575859" + // PRND1
		"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f" + // Kicc
		"99aabbccddeeff00" // RND.ICC
	vectorInternal = "a4abcd8956c8fcfb0d45f670453652db946b11562741222f43062dc7a5ec1b34ce30b9ba7d7761cb2a23f958" +
		"fa8ff2102fa75172524fd3eba990b31f59ff3d2172547e74bc39f975f54a620eca8b6c43a87d4219fc53c152" +
		"3c68083dd91b2a9ee8127c69bab58fac2814de5b87739d36a2479316cfb632febd91b336a81991fc"
	vectorExternal = "348240465e6261738535dde5c05235651919436c70e86546fd51fad67302fb109b1a4fa0b2f07833939f5c9b" +
		"4b473b4ba7b41d934f38695e7df3e982715cd652a5a559fc626a202f3bf4d9db9408b67e314703675bb4065f" +
		"b98b28218091d3a5ddfe130d4dfd05ffb0489df8889f64494af856c806c28406a21d8f68eb9b1497"
)

func hexReader(text string) io.Reader { return hex.NewDecoder(strings.NewReader(text)) }

// options are those of a good handshake with the lab's card.
func (l *lab) options(t testing.TB, role Role) Options {
	t.Helper()
	chip, err := l.trust().VerifyChip(l.intermediateDER, l.chipX)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := l.set.Terminal(role)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Chip: chip, Serial: [8]byte(unhex(t, vectorChipSerial)), Terminal: terminal, MACLength: 8}
}

func TestEstablishReproducesTheHandshakeVector(t *testing.T) {
	l := newLab(t)
	wire := &recorder{next: newCard(l, hexReader(vectorCardRandom), 8)}
	o := l.options(t, RolePIN)
	o.Rand = hexReader(vectorTerminalRandom)
	channel, err := Establish(t.Context(), wire, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.Transmit(t.Context(), unhex(t, "002000000843525950544F4B49")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ command, answer string }{
		{"002281B6048302020F", "9000"},
		{"002A00AED2" + hex.EncodeToString(o.Terminal.authority.raw), "9000"},
		{"002281B60A8308" + labAuthorityReference, "9000"},
		{"002A00AED1" + hex.EncodeToString(o.Terminal.own.raw), "9000"},
		{"0022C1A412830C00000000" + vectorTerminalSerial + "8402021F", "9000"},
		{"00880000101122334455667788" + vectorTerminalSerial, "6180"},
		{"00C0000080", vectorInternal + "9000"},
		{"0084000008", "99aabbccddeeff009000"},
		{"0082000080" + vectorExternal, "9000"},
		// Only the right keys and the right counter give these.
		{"0C2000001D87110182FCBD886675C9C9578E012E3696372E8E0802B2A1514E137BA8", "610E"},
		{"00C000000E", "990290008E08952594D63A99D2199000"},
	} {
		if i >= len(wire.sent) {
			t.Fatalf("only %d commands", len(wire.sent))
		}
		if !bytes.Equal(wire.sent[i], unhex(t, want.command)) {
			t.Errorf("command %d:\n got %X\nwant %s", i, wire.sent[i], want.command)
		}
		if !bytes.Equal(wire.answers[i], unhex(t, want.answer)) {
			t.Errorf("answer %d:\n got %X\nwant %s", i, wire.answers[i], want.answer)
		}
	}
}

// recorder notes the traffic and may change an answer.
type recorder struct {
	next    cardreader.Transport
	sent    [][]byte
	answers [][]byte
	edit    func(i int, answer []byte) []byte
}

func (r *recorder) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	answer, err := r.next.Transmit(ctx, command)
	if err != nil {
		return nil, err
	}
	if r.edit != nil {
		answer = r.edit(len(r.sent), bytes.Clone(answer))
	}
	r.sent = append(r.sent, bytes.Clone(command))
	r.answers = append(r.answers, bytes.Clone(answer))
	return answer, nil
}

// The DNIe 3.0 way: PIN channel, VERIFY, user channel inside of it.
func TestEstablishChangesFromPINToUserChannel(t *testing.T) {
	l := newLab(t)
	for _, t0 := range []bool{true, false} {
		card := newCard(l, rand.Reader, 8)
		card.t0 = t0
		pin, err := Establish(t.Context(), card, l.options(t, RolePIN))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := apdu.Do(t.Context(), pin, apdu.Command{INS: 0x20, Data: []byte("CRYPTOKI")}); err != nil {
			t.Fatalf("VERIFY in the PIN channel: %v", err)
		}
		before := len(card.commands)
		user, err := Establish(t.Context(), pin, l.options(t, RoleUser))
		if err != nil {
			t.Fatalf("user channel: %v", err)
		}
		for _, command := range card.commands[before:] {
			if command[0]&0x0C == 0 && command[1] != 0xC0 {
				t.Errorf("in clear: %X", command)
			}
		}
		data, err := apdu.Do(t.Context(), user, apdu.Command{INS: 0xB0, Ne: 256})
		if err == nil {
			t.Errorf("300 bytes for 256 asked: got %d", len(data))
		}
		answer, err := user.Transmit(t.Context(), unhex(t, "00B0000000"))
		if err != nil || len(answer) != 302 {
			t.Fatalf("long answer: %d bytes, %v", len(answer), err)
		}
		r, err := apdu.Exchange(t.Context(), user, apdu.Command{INS: 0x20, Data: []byte("CRYPTOKI")})
		if err != nil || r.SW != apdu.SWSecurityNotSatisfied {
			t.Errorf("VERIFY in the user channel: got %v, %v", r.SW, err)
		}
		if _, err := pin.Transmit(t.Context(), unhex(t, "0020000000")); !errors.Is(err, securemessaging.ErrClosed) {
			t.Errorf("PIN channel after the change: got %v, want ErrClosed", err)
		}
		if card.verifies != 1 {
			t.Errorf("card saw %d VERIFY", card.verifies)
		}
	}
}

func TestEstablishWithTheShortMACOfOldCards(t *testing.T) {
	l := newLab(t)
	card := newCard(l, rand.Reader, 4)
	o := l.options(t, RolePIN)
	o.MACLength = 4
	channel, err := Establish(t.Context(), card, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := apdu.Exchange(t.Context(), channel, apdu.Command{INS: 0x20, Ne: 256})
	if n, ok := r.SW.Tries(); err != nil || !ok || n != 3 {
		t.Errorf("tries left: got %v, %v", r.SW, err)
	}
}

// C-52: wrong MAC, answer of an earlier command, lost step in the counter, and
// objects cut short, all within a live channel.
func TestC52ChannelEndsWithTheFirstWrongAnswer(t *testing.T) {
	l := newLab(t)
	var previous []byte
	for _, v := range []struct {
		name string
		edit func(answer []byte) []byte
	}{
		{"wrong MAC", func(a []byte) []byte { a[len(a)-3] ^= 1; return a }},
		{"replayed answer", func([]byte) []byte { return previous }},
		{"cut object", func(a []byte) []byte { return append(a[:len(a)-5], 0x90, 0x00) }},
		{"no answer data", func([]byte) []byte { return []byte{0x90, 0x00} }},
	} {
		card := newCard(l, rand.Reader, 8)
		card.t0 = false
		wire := &recorder{next: card}
		channel, err := Establish(t.Context(), wire, l.options(t, RolePIN))
		if err != nil {
			t.Fatal(err)
		}
		tries := unhex(t, "0020000000")
		if _, err := channel.Transmit(t.Context(), tries); err != nil {
			t.Fatal(err)
		}
		previous = wire.answers[len(wire.answers)-1]
		wire.edit = func(_ int, answer []byte) []byte { return v.edit(answer) }
		var lost *securemessaging.LostError
		if answer, err := channel.Transmit(t.Context(), tries); !errors.As(err, &lost) {
			t.Errorf("%s: got %X, %v; want a lost channel", v.name, answer, err)
		}
		sent := len(card.commands)
		if _, err := channel.Transmit(t.Context(), tries); !errors.Is(err, securemessaging.ErrClosed) || len(card.commands) != sent {
			t.Errorf("%s: a command after the end: %v", v.name, err)
		}
	}
}

func TestChannelEndsWhenTheCounterIsOutOfStep(t *testing.T) {
	l := newLab(t)
	card := newCard(l, rand.Reader, 8)
	channel, err := Establish(t.Context(), card, l.options(t, RolePIN))
	if err != nil {
		t.Fatal(err)
	}
	card.session.counter++
	_, err = channel.Transmit(t.Context(), unhex(t, "002000000843525950544F4B49"))
	var lost *securemessaging.LostError
	if !errors.As(err, &lost) || lost.SW != 0x6988 {
		t.Errorf("got %v, want a channel lost with 6988", err)
	}
	if card.verifies != 0 || card.tries != 3 {
		t.Errorf("the card counted a PIN: %d", card.verifies)
	}
}
