package securemessaging

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// script is a card that answers a fixed list and notes what it was sent.
type script struct {
	answers [][]byte
	errs    map[int]error
	sent    [][]byte
}

func (s *script) Transmit(_ context.Context, command []byte) ([]byte, error) {
	i := len(s.sent)
	s.sent = append(s.sent, bytes.Clone(command))
	if err := s.errs[i]; err != nil {
		return nil, err
	}
	if i >= len(s.answers) {
		return nil, errors.New("script ended")
	}
	return s.answers[i], nil
}

// afterHandshake is a channel with the keys of the throw-away handshake.
func afterHandshake(t *testing.T, card cardreader.Transport) *Channel {
	t.Helper()
	s, err := NewDES(unhex(t, "be5c15a50f52ca279bf58e414b5c578e"), unhex(t, "a881f240c8f819d7307619c86a613e99"),
		unhex(t, "ddeeff0055667788"), 8)
	if err != nil {
		t.Fatal(err)
	}
	return New(card, s)
}

func TestChannelCarriesAPlainCommand(t *testing.T) {
	card := &script{answers: [][]byte{unhex(t, "990290008E08952594D63A99D2199000")}}
	channel := afterHandshake(t, card)
	answer, err := channel.Transmit(t.Context(), unhex(t, plainVerify))
	if err != nil || !bytes.Equal(answer, []byte{0x90, 0x00}) {
		t.Fatalf("got %X, %v", answer, err)
	}
	if want := unhex(t, "0C2000001D87110182FCBD886675C9C9578E012E3696372E8E0802B2A1514E137BA8"); !bytes.Equal(card.sent[0], want) {
		t.Errorf("sent %X, want %X", card.sent[0], want)
	}
}

func TestChannelFetchesTheAnswerOutsideOfTheProtection(t *testing.T) {
	whole := unhex(t, "990290008E08952594D63A99D219")
	card := &script{answers: [][]byte{
		{0x61, 0x0E},
		append(bytes.Clone(whole[:6]), 0x61, 0x08),
		append(bytes.Clone(whole[6:]), 0x90, 0x00),
	}}
	answer, err := apdu.Do(t.Context(), afterHandshake(t, card),
		apdu.Command{INS: 0x20, Data: []byte("CRYPTOKI")})
	if err != nil || len(answer) != 0 {
		t.Fatalf("got %X, %v", answer, err)
	}
	if !bytes.Equal(card.sent[1], unhex(t, "00C000000E")) || !bytes.Equal(card.sent[2], unhex(t, "00C0000008")) {
		t.Errorf("sent %X", card.sent[1:])
	}
}

// C-53: whatever the card says to the first protected command, nothing follows
// in clear, and the command is not repeated.
func TestC53ChannelNeverFallsBackToClear(t *testing.T) {
	for _, status := range []string{"6987", "6988", "6982", "6688", "6C10", "6D00", "6E00", "63C2", "9000"} {
		card := &script{answers: [][]byte{unhex(t, status), {0x90, 0x00}, {0x90, 0x00}}}
		channel := afterHandshake(t, card)
		_, err := channel.Transmit(t.Context(), unhex(t, plainVerify))
		var lost *LostError
		if !errors.As(err, &lost) || !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Fatalf("%s: got %v, want a lost channel", status, err)
		}
		if want := unhex(t, status); lost.SW != apdu.StatusWord(want[0])<<8|apdu.StatusWord(want[1]) {
			t.Errorf("%s: error says %v", status, lost.SW)
		}
		if _, err := channel.Transmit(t.Context(), unhex(t, plainVerify)); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: next command: got %v, want ErrClosed", status, err)
		}
		if len(card.sent) != 1 {
			t.Errorf("%s: card saw %d commands: %X", status, len(card.sent), card.sent)
		}
	}
}

// C-52: an answer that was right once.
func TestC52ChannelRefusesAReplayedAnswer(t *testing.T) {
	good := unhex(t, "990290008E08952594D63A99D2199000")
	card := &script{answers: [][]byte{good, good}}
	channel := afterHandshake(t, card)
	if _, err := channel.Transmit(t.Context(), unhex(t, plainVerify)); err != nil {
		t.Fatal(err)
	}
	if _, err := channel.Transmit(t.Context(), unhex(t, plainVerify)); !isLost(err) {
		t.Fatalf("got %v, want a lost channel", err)
	}
}

func TestChannelEndsWithTheTransport(t *testing.T) {
	for _, step := range []int{0, 1} {
		card := &script{answers: [][]byte{{0x61, 0x0E}}, errs: map[int]error{step: cardreader.ErrCardRemoved}}
		channel := afterHandshake(t, card)
		if _, err := channel.Transmit(t.Context(), unhex(t, plainVerify)); !errors.Is(err, cardreader.ErrCardRemoved) {
			t.Errorf("step %d: got %v, want ErrCardRemoved", step, err)
		}
		if _, err := channel.Transmit(t.Context(), unhex(t, plainVerify)); !errors.Is(err, ErrClosed) {
			t.Errorf("step %d: got %v, want ErrClosed", step, err)
		}
	}
	// C-01, C-02: an answer that is none.
	for _, answer := range [][]byte{nil, {0x90}} {
		channel := afterHandshake(t, &script{answers: [][]byte{answer}})
		if _, err := channel.Transmit(t.Context(), unhex(t, plainVerify)); !errors.Is(err, apdu.ErrProtocol) {
			t.Errorf("%X: got %v, want apdu.ErrProtocol", answer, err)
		}
	}
}

func TestChannelSurvivesACommandThatWasNotSent(t *testing.T) {
	card := &script{answers: [][]byte{unhex(t, "990290008E08952594D63A99D2199000")}}
	channel := afterHandshake(t, card)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := channel.Transmit(cancelled, unhex(t, plainVerify)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := channel.Transmit(t.Context(), []byte{0, 0xC0, 0, 0, 0}); !errors.Is(err, ErrCommand) {
		t.Errorf("got %v, want ErrCommand", err)
	}
	if _, err := channel.Transmit(t.Context(), unhex(t, plainVerify)); err != nil {
		t.Errorf("the good command: %v", err)
	}
}

func TestNewChannelReplacesInsteadOfNesting(t *testing.T) {
	card := &script{answers: [][]byte{unhex(t, "990290008E08952594D63A99D2199000")}}
	first := New(card, vectorSession(t, "d31ac8ec7ba0fe78", 8))
	second := afterHandshake(t, first)
	if _, err := second.Transmit(t.Context(), unhex(t, plainVerify)); err != nil {
		t.Errorf("new channel: %v", err)
	}
	if _, err := first.Transmit(t.Context(), unhex(t, plainVerify)); !errors.Is(err, ErrClosed) {
		t.Errorf("old channel: got %v, want ErrClosed", err)
	}
	second.Close()
	second.Close()
	if _, err := second.Transmit(t.Context(), unhex(t, plainVerify)); !errors.Is(err, ErrClosed) {
		t.Errorf("closed channel: got %v, want ErrClosed", err)
	}
}
