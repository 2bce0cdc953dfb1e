package vpcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// wire is the card side of the protocol, one connection after the other. answer
// gets every payload and returns the messages to send, nil to hang up.
type wire struct {
	addr string
	mu   sync.Mutex
	got  [][]byte
}

var testATR = []byte{0x3B, 0x80, 0x01}

func listen(t *testing.T, answer func(payload []byte) []byte) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String()}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.serve(conn, answer)
		}
	}()
	return w
}

func (w *wire) serve(conn net.Conn, answer func([]byte) []byte) {
	defer conn.Close()
	for {
		var n uint16
		if binary.Read(conn, binary.BigEndian, &n) != nil {
			return
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		w.mu.Lock()
		w.got = append(w.got, payload)
		w.mu.Unlock()
		if n == 1 && payload[0] != getATR {
			continue
		}
		raw := answer(payload)
		if raw == nil {
			return
		}
		if _, err := conn.Write(raw); err != nil {
			return
		}
	}
}

func (w *wire) received() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Split(bytes.Join(w.got, []byte("|")), []byte("|"))
}

func framed(payload ...byte) []byte {
	return append([]byte{byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

func polite(payload []byte) []byte {
	if len(payload) == 1 {
		return framed(testATR...)
	}
	return framed(append(bytes.Clone(payload), 0x90, 0)...)
}

func connect(t *testing.T, s *Service) cardreader.Connection {
	t.Helper()
	conn, err := s.Connect(t.Context(), s.name())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestConnectionFollowsTheProtocol(t *testing.T) {
	w := listen(t, polite)
	s := New(w.addr)
	readers, err := s.Readers(t.Context())
	if err != nil || len(readers) != 1 || readers[0].State != cardreader.ReaderPresent || !bytes.Equal(readers[0].ATR, testATR) {
		t.Fatalf("Readers = %+v, %v", readers, err)
	}
	conn := connect(t, s)
	if !bytes.Equal(conn.ATR(), testATR) {
		t.Errorf("ATR = %X", conn.ATR())
	}
	answer, err := conn.Transmit(t.Context(), []byte{0, 0xA4, 0, 0xC})
	if err != nil || !bytes.Equal(answer, []byte{0, 0xA4, 0, 0xC, 0x90, 0}) {
		t.Errorf("Transmit = %X, %v", answer, err)
	}
	if readers, err = s.Readers(t.Context()); err != nil || readers[0].State != cardreader.ReaderPresent {
		t.Errorf("Readers while connected = %+v, %v", readers, err)
	}
	if err := conn.Close(true); err != nil {
		t.Error(err)
	}
	_ = conn.Close(true)
	// A second connection proves that the slot is free, and that the card took
	// all messages of the first.
	_ = connect(t, s).Close(false)
	want := []string{"\x04", "\x01", "\x04", "\x00\xA4\x00\x0C", "\x02", "\x00", "\x01", "\x04"}
	got := w.received()
	for i := range want {
		if i >= len(got) || string(got[i]) != want[i] {
			t.Fatalf("messages %X, want %X", got, want)
		}
	}
}

func TestNothingListeningIsAnEmptySlot(t *testing.T) {
	s := New(freeport.Address(t))
	readers, err := s.Readers(t.Context())
	if err != nil || len(readers) != 1 || readers[0].State != cardreader.ReaderEmpty {
		t.Errorf("Readers = %+v, %v", readers, err)
	}
	if _, err := s.Connect(t.Context(), s.name()); !errors.Is(err, cardreader.ErrNoCard) {
		t.Errorf("Connect = %v, want ErrNoCard", err)
	}
	if _, err := s.Connect(t.Context(), "another"); !errors.Is(err, cardreader.ErrReaderGone) {
		t.Errorf("Connect to another reader = %v, want ErrReaderGone", err)
	}
}

func TestOnlyLoopbackAddressesAreDialled(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:35963", "example.org:1", "0.0.0.0:1", "[2001:db8::1]:1", ":35963", "127.0.0.1", "localhost.example:1"} {
		s := New(addr)
		if _, err := s.Readers(t.Context()); !errors.Is(err, ErrAddress) {
			t.Errorf("Readers at %q = %v, want ErrAddress", addr, err)
		}
		if _, err := s.Connect(t.Context(), s.name()); !errors.Is(err, ErrAddress) {
			t.Errorf("Connect to %q = %v, want ErrAddress", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "localhost:1"} {
		if _, err := loopback(addr); err != nil {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// Threats C-01, C-02, C-09, C-10, C-16: what a bad card or caller does to the
// wire.
func TestFaultsOnTheWire(t *testing.T) {
	command := []byte{0, 0xA4, 0, 0xC}
	onAPDU := func(answer []byte) func([]byte) []byte {
		return func(payload []byte) []byte {
			if len(payload) == 1 {
				return framed(testATR...)
			}
			return answer
		}
	}
	tests := []struct {
		name   string
		answer []byte
		want   error
	}{
		{"hangs up", nil, cardreader.ErrCardRemoved},
		{"length zero", framed(), cardreader.ErrCardRemoved},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := connect(t, New(listen(t, onAPDU(test.answer)).addr))
			defer func() { _ = conn.Close(false) }()
			for range 2 {
				if _, err := conn.Transmit(t.Context(), command); !errors.Is(err, test.want) {
					t.Errorf("Transmit = %v, want %v", err, test.want)
				}
			}
		})
	}
	t.Run("commands that are none", func(t *testing.T) {
		w := listen(t, polite)
		conn := connect(t, New(w.addr))
		defer func() { _ = conn.Close(false) }()
		for _, n := range []int{0, 1, 3, maxCommand + 1} {
			if _, err := conn.Transmit(t.Context(), make([]byte, n)); !errors.Is(err, cardreader.ErrCardProtocol) {
				t.Errorf("%d bytes: %v, want ErrCardProtocol", n, err)
			}
		}
		if got := w.received(); len(got) != 2 {
			t.Errorf("the card got %X", got)
		}
	})
	t.Run("the longest answer", func(t *testing.T) {
		conn := connect(t, New(listen(t, onAPDU(framed(make([]byte, 65535)...))).addr))
		defer func() { _ = conn.Close(false) }()
		if answer, err := conn.Transmit(t.Context(), command); err != nil || len(answer) != 65535 {
			t.Errorf("%d bytes, %v", len(answer), err)
		}
	})
	t.Run("an answer to reset that is too long", func(t *testing.T) {
		s := New(listen(t, func([]byte) []byte { return framed(make([]byte, maxATR+1)...) }).addr)
		if readers, err := s.Readers(t.Context()); err != nil || readers[0].State != cardreader.ReaderMute {
			t.Errorf("Readers = %+v, %v", readers, err)
		}
		if _, err := s.Connect(t.Context(), s.name()); !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Errorf("Connect = %v, want ErrCardProtocol", err)
		}
	})
}

// Threat C-03: a card that never answers ends with the caller's deadline, and
// the connection is not used again.
func TestSilenceEndsAtTheDeadline(t *testing.T) {
	conn := connect(t, New(listen(t, func(payload []byte) []byte {
		if len(payload) == 1 {
			return framed(testATR...)
		}
		return []byte{} // no answer, no hanging up
	}).addr))
	defer func() { _ = conn.Close(true) }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := conn.Transmit(ctx, []byte{0, 0xA4, 0, 0xC}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Transmit = %v, want DeadlineExceeded", err)
	}
	if _, err := conn.Transmit(t.Context(), []byte{0, 0xA4, 0, 0xC}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Transmit afterwards = %v, want the same", err)
	}
}

// Threat C-22: one connection at a time.
func TestSecondConnectionWaitsItsTurn(t *testing.T) {
	s := New(listen(t, polite).addr)
	first := connect(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Connect(ctx, s.name()); !errors.Is(err, cardreader.ErrCardBusy) {
		t.Errorf("Connect = %v, want ErrCardBusy", err)
	}
	second := make(chan error, 1)
	go func() {
		conn, err := s.Connect(context.Background(), s.name())
		if err == nil {
			_ = conn.Close(false)
		}
		second <- err
	}()
	_ = first.Close(false)
	if err := <-second; err != nil {
		t.Errorf("Connect after Close = %v", err)
	}
}
