package pcsc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

func newService(f *fakeSystem) *Service { return &Service{system: f} }

func TestReadersTellTheStateOfEverySlot(t *testing.T) {
	f := newFakeSystem()
	f.names = []string{"empty", "card", "mute", "held", "gone", "odd"}
	atr := []byte{0x3B, 0x01}
	f.states = map[string]slot{
		"empty": {now: 0x00000012},
		"card":  {now: 0x00010022, atr: atr},
		"mute":  {now: 0x00010222},
		"held":  {now: 0x000100A2, atr: atr},
		"gone":  {now: 0x0000000E},
		"odd":   {now: 0x00010022, atr: make([]byte, maxATR+1)},
	}
	got, err := newService(f).Readers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []cardreader.Reader{
		{Name: "empty", State: cardreader.ReaderEmpty},
		{Name: "card", State: cardreader.ReaderPresent, ATR: atr},
		{Name: "mute", State: cardreader.ReaderMute},
		{Name: "held", State: cardreader.ReaderExclusive, ATR: atr},
		{Name: "odd", State: cardreader.ReaderPresent},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Readers = %v, want %v", got, want)
	}
	if f.open() != 0 {
		t.Errorf("%d contexts left open", f.open())
	}
}

func TestReadersWithoutAnyIsAnEmptyList(t *testing.T) {
	f := newFakeSystem()
	if got, err := newService(f).Readers(t.Context()); err != nil || len(got) != 0 || f.statuses != 0 {
		t.Errorf("Readers = %v, %v", got, err)
	}
}

// Threat C-12: names that cannot be used.
func TestReadersDropUnusableNames(t *testing.T) {
	f := newFakeSystem()
	long := strings.Repeat("x", maxName+1)
	f.names = []string{"", "a", long, "a", "b"}
	for _, name := range f.names {
		f.states[name] = slot{now: 0x12}
	}
	got, err := newService(f).Readers(t.Context())
	if err != nil || len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("Readers = %v, %v", got, err)
	}
	f.names = nil
	for i := range maxReaders + 1 {
		name := fmt.Sprint("reader ", i)
		f.names = append(f.names, name)
		f.states[name] = slot{now: 0x12}
	}
	if got, err = newService(f).Readers(t.Context()); err != nil || len(got) != maxReaders {
		t.Errorf("%d readers, %v; want %d", len(got), err, maxReaders)
	}
}

// Threat C-13: the list changes between the calls.
func TestReadersStartAgainWhenTheListChanged(t *testing.T) {
	f := newFakeSystem()
	f.states["a"] = slot{now: 0x12}
	f.lists = func(n int) ([]string, error) {
		switch n {
		case 1:
			return nil, &Error{Code: codeInsufficientBuffer}
		case 2:
			return []string{"a", "left"}, nil
		default:
			return []string{"a"}, nil
		}
	}
	if got, err := newService(f).Readers(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("Readers = %v, %v", got, err)
	}
	f.listed = 0
	f.lists = func(int) ([]string, error) { return nil, &Error{Code: codeInsufficientBuffer} }
	if _, err := newService(f).Readers(t.Context()); err == nil || f.listed != maxListings {
		t.Errorf("%v after %d listings", err, f.listed)
	}
}

func TestReturnCodesHaveMeanings(t *testing.T) {
	tests := []struct {
		code uint32
		want error
	}{
		{codeNoService, cardreader.ErrNoService},
		{codeServiceStopped, cardreader.ErrNoService},
		{codeSecurityViolation, cardreader.ErrNoService},
		{codeNoReaders, cardreader.ErrNoReader},
		{codeUnknownReader, cardreader.ErrReaderGone},
		{codeReaderUnavailable, cardreader.ErrReaderGone},
		{codeNoSmartcard, cardreader.ErrNoCard},
		{codeRemovedCard, cardreader.ErrCardRemoved},
		{codeResetCard, cardreader.ErrCardReset},
		{codeUnpoweredCard, cardreader.ErrCardReset},
		{codeSharingViolation, cardreader.ErrCardBusy},
		{codeUnresponsiveCard, cardreader.ErrCardMute},
		{codeUnsupportedCard, cardreader.ErrCardMute},
		{codeNotTransacted, cardreader.ErrCardMute},
		{codeNotReady, cardreader.ErrCardMute},
	}
	for _, test := range tests {
		err := error(&Error{Op: "connect", Code: test.code})
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), fmt.Sprintf("(PC/SC %08X)", test.code)) {
			t.Errorf("%08X: %v, want %v", test.code, err, test.want)
		}
	}
	if err := (&Error{Op: "connect", Code: codeSecurityViolation}); !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("a forbidden service reads %q", err)
	}
	if err := (&Error{Op: "x", Code: 0x80100001}); err.Unwrap() != nil {
		t.Errorf("an internal error means %v", err.Unwrap())
	}
}

func TestConnectionIsATransaction(t *testing.T) {
	for _, reset := range []bool{false, true} {
		f := newFakeSystem()
		f.handle = newFakeHandle()
		conn, err := newService(f).Connect(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := conn.Transmit(t.Context(), []byte{0, 0xA4, 0, 0xC}); err != nil || len(answer) != 2 {
			t.Errorf("Transmit = %X, %v", answer, err)
		}
		if len(conn.ATR()) != 2 {
			t.Errorf("ATR = %X", conn.ATR())
		}
		for range 2 {
			if err := conn.Close(reset); err != nil {
				t.Error(err)
			}
		}
		want := []string{"begin", map[bool]string{true: "end with reset", false: "end"}[reset], "disconnect"}
		if got := f.handle.notes(); !slices.Equal(got, want) || f.open() != 0 {
			t.Errorf("calls %q and %d contexts, want %q", got, f.open(), want)
		}
		if _, err := conn.Transmit(t.Context(), []byte{0, 0xA4, 0, 0xC}); err == nil {
			t.Error("Transmit after Close")
		}
	}
}

func TestConnectGivesBackWhatItOpened(t *testing.T) {
	tests := []struct {
		name     string
		sabotage func(f *fakeSystem)
		want     error
	}{
		{"no service", func(f *fakeSystem) { f.down = codeNoService }, cardreader.ErrNoService},
		{"no card", func(f *fakeSystem) { f.connects = func() error { return &Error{Code: codeNoSmartcard} } }, cardreader.ErrNoCard},
		{"held exclusively", func(f *fakeSystem) { f.connects = func() error { return &Error{Code: codeSharingViolation} } }, cardreader.ErrCardBusy},
		{"C-16 card pulled a moment ago cannot be powered", func(f *fakeSystem) {
			f.states["a"] = slot{now: 0x12}
			f.connects = func() error { return &Error{Code: codeUnresponsiveCard} }
		}, cardreader.ErrNoCard},
		{"C-16 card pulled before its answer to reset is read", func(f *fakeSystem) {
			f.states["a"] = slot{now: 0x12}
			f.handle.atrs = func() ([]byte, error) { return nil, &Error{Code: codeUnpoweredCard} }
		}, cardreader.ErrNoCard},
		{"C-16 card pulled while other programs come and go", func(f *fakeSystem) {
			f.connects = func() error { return &Error{Code: codeUnresponsiveCard} }
			f.looks = func(n int) {
				// Each of them moves the counter of events; the removal comes last.
				f.states["a"] = slot{now: uint32(n)<<16 | statePresent}
				if n == 20 {
					f.states["a"] = slot{now: uint32(n)<<16 | 0x12}
				}
			}
		}, cardreader.ErrNoCard},
		{"mute card that stays", func(f *fakeSystem) {
			f.states["a"], f.impatient = slot{now: 0x222}, true
			f.connects = func() error { return &Error{Code: codeUnresponsiveCard} }
		}, cardreader.ErrCardMute},
		{"removed before the transaction", func(f *fakeSystem) { f.handle.begins = func(int) error { return &Error{Code: codeRemovedCard} } }, cardreader.ErrCardRemoved},
		{"reset again and again", func(f *fakeSystem) { f.handle.begins = func(int) error { return &Error{Code: codeResetCard} } }, cardreader.ErrCardReset},
		{"C-10 no answer to reset", func(f *fakeSystem) { f.handle.reset = nil }, cardreader.ErrCardUnsupported},
		{"C-10 answer to reset too long", func(f *fakeSystem) { f.handle.reset = make([]byte, maxATR+1) }, cardreader.ErrCardUnsupported},
		{"C-44 the binding panics", func(f *fakeSystem) { f.connects = func() error { panic("index out of range") } }, cardreader.ErrCardProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeSystem()
			f.handle = newFakeHandle()
			test.sabotage(f)
			if _, err := newService(f).Connect(t.Context(), "a"); !errors.Is(err, test.want) {
				t.Errorf("Connect = %v, want %v", err, test.want)
			}
			if f.open() != 0 {
				t.Errorf("%d contexts left open", f.open())
			}
			if slices.Contains(f.handle.notes(), "disconnect with reset") || slices.Contains(f.handle.notes(), "end with reset") {
				t.Error("another program's card was reset")
			}
		})
	}
	f := newFakeSystem()
	f.handle = newFakeHandle()
	f.handle.active = protocolOther
	if _, err := newService(f).Connect(t.Context(), "a"); err == nil || f.open() != 0 {
		t.Errorf("unknown protocol: %v", err)
	}
}

func TestResetBetweenConnectAndTransactionIsRepaired(t *testing.T) {
	f := newFakeSystem()
	f.handle = newFakeHandle()
	f.handle.begins = func(n int) error {
		if n <= 3 { // another program signs and signs
			return &Error{Code: codeResetCard}
		}
		return nil
	}
	conn, err := newService(f).Connect(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(false)
	if got := f.handle.notes(); len(got) < 4 || !slices.Equal(got[:4], []string{"reconnect", "reconnect", "reconnect", "begin"}) {
		t.Errorf("calls %q", got)
	}
}

// Threats C-03, C-19: calls that do not return are left behind, counted, and
// clean up when they come back.
func TestCallsThatBlockAreLeftBehind(t *testing.T) {
	// The clock of the bubble stands still until a call has begun and blocks.
	synctest.Test(t, callsThatBlock)
}

func callsThatBlock(t *testing.T) {
	f := newFakeSystem()
	f.handle = newFakeHandle()
	release := make(chan struct{})
	f.handle.begins = func(int) error { <-release; return nil }
	s := newService(f)
	for range maxAbandoned {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := s.Connect(ctx, "a"); !errors.Is(err, cardreader.ErrCardBusy) {
			t.Errorf("Connect = %v, want ErrCardBusy", err)
		}
		cancel()
	}
	if n := s.workers.abandoned.Load(); n != maxAbandoned {
		t.Errorf("%d calls left behind", n)
	}
	if _, err := s.Readers(t.Context()); !errors.Is(err, cardreader.ErrCardBusy) {
		t.Errorf("with %d of them: %v, want ErrCardBusy", maxAbandoned, err)
	}
	close(release)
	eventually(t, func() bool { return s.workers.abandoned.Load() == 0 && f.open() == 0 })
	if slices.Contains(f.handle.notes(), "end with reset") {
		t.Error("a card that saw no PIN was reset")
	}
	conn, err := s.Connect(t.Context(), "a")
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	_ = conn.Close(false)
}

// Threat C-03 in the middle: the PIN may be on the card, so it is reset.
func TestSilentCardIsResetWhenItComesBack(t *testing.T) {
	f := newFakeSystem()
	f.handle = newFakeHandle()
	release := make(chan struct{})
	f.handle.sends = func([]byte) ([]byte, error) { <-release; return []byte{0x90, 0}, nil }
	s := newService(f)
	conn, err := s.Connect(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	for range 2 {
		if _, err := conn.Transmit(ctx, []byte{0, 0x20, 0, 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Transmit = %v, want DeadlineExceeded", err)
		}
	}
	if err := conn.Close(true); err != nil {
		t.Error(err)
	}
	close(release)
	eventually(t, func() bool { return s.workers.abandoned.Load() == 0 && f.open() == 0 })
	if got := f.handle.notes(); !slices.Equal(got, []string{"begin", "end with reset", "disconnect"}) {
		t.Errorf("calls %q", got)
	}
}

// A context that is over before a command is no call left behind.
func TestTransmitAfterTheDeadlineStillCloses(t *testing.T) {
	f := newFakeSystem()
	f.handle = newFakeHandle()
	conn, err := newService(f).Connect(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := conn.Transmit(ctx, []byte{0, 0xA4, 0, 0}); !errors.Is(err, context.Canceled) {
		t.Errorf("Transmit = %v", err)
	}
	if err := conn.Close(false); err != nil || f.open() != 0 {
		t.Errorf("Close = %v with %d contexts open", err, f.open())
	}
}

// eventually waits for goroutines that finish by themselves, without a clock of
// its own.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatal("did not happen")
		}
	}
}

func TestPrepareFollowsTheProtocol(t *testing.T) {
	tests := []struct {
		name    string
		command []byte
		t0, t1  []byte
	}{
		{"case 1", []byte{0, 0xA4, 0, 0xC}, []byte{0, 0xA4, 0, 0xC, 0}, []byte{0, 0xA4, 0, 0xC}},
		{"case 2", []byte{0, 0xB0, 0, 0, 0xC0}, []byte{0, 0xB0, 0, 0, 0xC0}, []byte{0, 0xB0, 0, 0, 0xC0}},
		{"case 3", []byte{0, 0xA4, 0, 0, 2, 1, 2}, []byte{0, 0xA4, 0, 0, 2, 1, 2}, []byte{0, 0xA4, 0, 0, 2, 1, 2}},
		{"case 4", []byte{0, 0xA4, 0, 0, 2, 1, 2, 0}, []byte{0, 0xA4, 0, 0, 2, 1, 2}, []byte{0, 0xA4, 0, 0, 2, 1, 2, 0}},
	}
	for _, test := range tests {
		t0, err0 := prepare(protocolT0, test.command)
		t1, err1 := prepare(protocolT1, test.command)
		if err0 != nil || err1 != nil || !slices.Equal(t0, test.t0) || !slices.Equal(t1, test.t1) {
			t.Errorf("%s: T=0 %X %v, T=1 %X %v", test.name, t0, err0, t1, err1)
		}
	}
	extended := []byte{0, 0xB0, 0, 0, 0, 0x10, 0}
	if _, err := prepare(protocolT0, extended); !errors.Is(err, apdu.ErrCommand) {
		t.Errorf("extended under T=0: %v", err)
	}
	if got, err := prepare(protocolT1, extended); err != nil || !slices.Equal(got, extended) {
		t.Errorf("extended under T=1: %X, %v", got, err)
	}
	// Threat C-09.
	for _, command := range [][]byte{nil, {0}, {0, 0xA4, 0}} {
		if _, err := prepare(protocolT1, command); !errors.Is(err, apdu.ErrCommand) {
			t.Errorf("%X: %v, want ErrCommand", command, err)
		}
	}
}

// Threats C-02, C-04, C-15, C-16, C-21: what a failed command means.
func TestTransmitTellsWhyItFailed(t *testing.T) {
	tests := []struct {
		name   string
		answer []byte
		code   uint32
		state  uint32
		want   error
	}{
		{"C-02 no bytes and no error", nil, 0, 0x22, cardreader.ErrCardRemoved},
		{"C-04 longer than any answer", make([]byte, apdu.MaxResponse+1), 0, 0x22, cardreader.ErrCardProtocol},
		{"C-15 reader unplugged", nil, codeReaderUnavailable, 0x22, cardreader.ErrReaderGone},
		{"C-16 card removed", nil, codeRemovedCard, 0x22, cardreader.ErrCardRemoved},
		{"C-16 not transacted, the slot is empty", nil, codeNotTransacted, 0x12, cardreader.ErrCardRemoved},
		{"C-18 reset by another program", nil, codeResetCard, 0x22, cardreader.ErrCardReset},
		{"C-18 reset while connecting, the protocol is forgotten", nil, codeProtoMismatch, 0x22, cardreader.ErrCardReset},
		{"C-21 stale handle", nil, codeInvalidHandle, 0x22, cardreader.ErrNoService},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeSystem()
			f.handle = newFakeHandle()
			f.states["a"] = slot{now: test.state}
			f.handle.sends = func([]byte) ([]byte, error) {
				if test.code != 0 {
					return nil, &Error{Op: "transmit", Code: test.code}
				}
				return test.answer, nil
			}
			conn, err := newService(f).Connect(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(false) }()
			for range 2 {
				if _, err := conn.Transmit(t.Context(), []byte{0, 0xA4, 0, 0}); !errors.Is(err, test.want) {
					t.Errorf("Transmit = %v, want %v", err, test.want)
				}
			}
			if len(f.handle.commands) != 1 {
				t.Errorf("%d commands were sent", len(f.handle.commands))
			}
		})
	}
}
