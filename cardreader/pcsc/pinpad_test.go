package pcsc

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// readerWithKeys answers what a reader with a pad does.
func readerWithKeys(t *testing.T, features, properties, entry string) (*fakeHandle, cardreader.Connection) {
	t.Helper()
	f := newFakeSystem()
	f.names = []string{"Pad"}
	f.handle = newFakeHandle()
	f.handle.controls = func(code uint32, _ []byte) ([]byte, error) {
		switch code {
		case getFeatures:
			return unhex(t, features), nil
		case 0x42330012:
			return unhex(t, properties), nil
		case 0x42330006, 0x42330007:
			return unhex(t, entry), nil
		}
		t.Errorf("control code %08X", code)
		return nil, nil
	}
	s := &Service{system: f}
	c, err := s.Connect(t.Context(), "Pad")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(false) })
	return f.handle, c
}

func pad(t *testing.T, c cardreader.Connection) (cardreader.PINPad, error) {
	t.Helper()
	return c.(cardreader.PINPadProvider).PINPad(t.Context())
}

const (
	padFeatures = "06 04 42330006 07 04 42330007 12 04 42330012"
	plainPad    = "01 02 1002 06 01 04 07 01 08 0B 02 E604 0C 02 3010"
)

func TestPadGetsTheStructuresByteForByte(t *testing.T) {
	verify := cardreader.PadEntry{Command: unhex(t, "002000010CFFFFFFFFFFFFFFFFFFFFFFFF"), Min: 4, Max: 12}
	change := cardreader.PadEntry{Command: unhex(t, "0024000118"+strings.Repeat("FF", 24)), Min: 4, Max: 12, NewOffset: 12, Language: 0x0425}
	unblock := cardreader.PadEntry{Command: unhex(t, "002C02010C"+strings.Repeat("FF", 12)), Min: 4, Max: 12, Unblock: true}
	tests := []struct {
		name, properties string
		entry            cardreader.PadEntry
		change           bool
		want             string
	}{
		{"EstEID PIN1", "", verify, false, "1E1E 02 00 00 0C04 02 FF 0000 00 000000 11000000 00200001 0C" + strings.Repeat("FF", 12)},
		{"no display", "01 02 0000", verify, false, "1E1E 02 00 00 0C04 02 00 0000 00 000000 11000000 00200001 0C" + strings.Repeat("FF", 12)},
		{"shorter reader", plainPad, verify, false, "1E1E 02 00 00 0804 02 FF 0000 00 000000 11000000 00200001 0C" + strings.Repeat("FF", 12)},
		{"change in Estonian", "", change, true, "1E1E 02 00 00 00 0C 0C04 03 02 03 2504 000102 000000 1D000000 00240001 18" + strings.Repeat("FF", 24)},
		{"unblock", "", unblock, true, "1E1E 02 00 00 00 00 0C04 01 02 02 0000 010200 000000 11000000 002C0201 0C" + strings.Repeat("FF", 12)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			handle, c := readerWithKeys(t, padFeatures, test.properties, "63C2")
			p, err := pad(t, c)
			if err != nil || p == nil || !p.CanChange() {
				t.Fatalf("PINPad = %v, %v", p, err)
			}
			enter := p.Verify
			if test.change {
				enter = p.Change
			}
			sw, err := enter(t.Context(), test.entry)
			if err != nil || sw != 0x63C2 {
				t.Errorf("%04X, %v", sw, err)
			}
			got := handle.controlled[len(handle.controlled)-1]
			if hex.EncodeToString(got) != hex.EncodeToString(unhex(t, test.want)) {
				t.Errorf("got  %X\nwant %X", got, unhex(t, test.want))
			}
		})
	}
}

// Threat C-48, and readers that announce keys they do not have.
func TestReadersWithoutUsableKeysHaveNoPad(t *testing.T) {
	tests := []struct {
		name, features, properties string
		want                       error
	}{
		{"nothing offered", "", "", nil},
		{"another feature alone", "12 04 42330012", "", nil},
		{"OMNIKEY 3121", padFeatures, "0B 02 6B07 0C 02 3130", nil},
		{"OMNIKEY 6121", padFeatures, "0B 02 6B07 0C 02 3266", nil},
		{"HID Smart@Link", padFeatures, "0B 02 6B07 0C 02 213A", nil},
		{"entry cut off", "06 04 423300", "", cardreader.ErrCardProtocol},
		{"length of 3", "06 03 42330006", "", cardreader.ErrCardProtocol},
		{"tag twice", "06 04 42330006 06 04 42330007", "", cardreader.ErrCardProtocol},
		{"control code 0", "06 04 00000000", "", cardreader.ErrCardProtocol},
		{"properties cut off", padFeatures, "0B 02 6B", cardreader.ErrCardProtocol},
		{"property without length", padFeatures, "0B", cardreader.ErrCardProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, c := readerWithKeys(t, test.features, test.properties, "")
			if p, err := pad(t, c); p != nil || !errors.Is(err, test.want) {
				t.Errorf("PINPad = %v, %v; want %v", p, err, test.want)
			}
			if answer, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); err != nil || len(answer) != 2 {
				t.Errorf("the card cannot be used after the question: %v", err)
			}
		})
	}
	for name, honest := range map[string]bool{"C3PO LTC31 v2 00 00": false, "HP USB Smart Card Keyboard 00 00": false, "C3PO LTC31 00 00": true} {
		_, c := readerWithKeys(t, padFeatures, plainPad, "")
		c.(*connection).reader = name
		if p, err := pad(t, c); (p != nil) != honest || err != nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	f := newFakeSystem()
	f.names, f.handle = []string{"Plain"}, newFakeHandle()
	c, err := (&Service{system: f}).Connect(t.Context(), "Plain")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(false) })
	if p, err := pad(t, c); p != nil || err != nil {
		t.Errorf("reader that does not know the question: %v, %v", p, err)
	}
}

func TestPadRefusesEntriesItCannotTake(t *testing.T) {
	_, c := readerWithKeys(t, "06 04 42330006", "", "9000")
	p, err := pad(t, c)
	if err != nil || p.CanChange() {
		t.Fatalf("PINPad = %v, %v", p, err)
	}
	for name, e := range map[string]cardreader.PadEntry{
		"no command":    {Min: 4, Max: 8},
		"min above max": {Command: unhex(t, "0020000108FFFFFFFFFFFFFFFF"), Min: 9, Max: 8},
		"255 exceeded":  {Command: unhex(t, "0020000108FFFFFFFFFFFFFFFF"), Min: 4, Max: 256},
	} {
		if _, err := p.Verify(t.Context(), e); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := p.Change(t.Context(), cardreader.PadEntry{}); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("Change = %v", err)
	}
	_, c = readerWithKeys(t, "06 04 42330006", "", "90")
	if p, err = pad(t, c); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(t.Context(), cardreader.PadEntry{Command: unhex(t, "0020000108FFFFFFFFFFFFFFFF"), Min: 4, Max: 8}); !errors.Is(err, cardreader.ErrCardProtocol) {
		t.Errorf("answer of one byte: %v", err)
	}
}

// A holder who never types must not hold the program.
func TestEntryAtThePadEndsWithItsCaller(t *testing.T) {
	handle, c := readerWithKeys(t, "06 04 42330006", "", "")
	p, err := pad(t, c)
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	handle.controls = func(uint32, []byte) ([]byte, error) {
		close(entered)
		<-release
		return []byte{0x64, 0}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error, 1)
	go func() {
		_, err := p.Verify(ctx, cardreader.PadEntry{Command: unhex(t, "0020000108FFFFFFFFFFFFFFFF"), Min: 4, Max: 8})
		cancelled <- err
	}()
	<-entered
	cancel()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("Verify = %v", err)
	}
	close(release)
	if _, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); !errors.Is(err, context.Canceled) {
		t.Errorf("Transmit after it = %v", err)
	}
}

// Extended lengths need the card's word, T=1, and a reader that takes them.
func TestExtendedLengthsNeedCardReaderAndProtocol(t *testing.T) {
	const capable, plain = "3B8580018073000040B1", "3B858001807300008071"
	for _, test := range []struct {
		name, atr, properties string
		protocol              protocol
		want                  bool
	}{
		{"card says so", capable, "", protocolT1, true},
		{"card says nothing", plain, "", protocolT1, false},
		{"T=0", capable, "", protocolT0, false},
		{"reader takes 64 KiB", capable, "0A 04 00000100", protocolT1, true},
		{"reader takes short ones alone", capable, "0A 04 00010000", protocolT1, false},
		{"reader answers nonsense", capable, "0A", protocolT1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			handle, c := readerWithKeys(t, padFeatures, test.properties, "")
			handle.active = test.protocol
			conn := c.(*connection)
			conn.answer = unhex(t, test.atr)
			if got := conn.TakesExtended(t.Context()); got != test.want {
				t.Errorf("TakesExtended = %v", got)
			}
		})
	}
}

func FuzzPadAnswers(f *testing.F) {
	f.Add([]byte("\x06\x04\x42\x33\x00\x06"), []byte("\x0b\x02\x6b\x07"))
	f.Fuzz(func(t *testing.T, features, properties []byte) {
		if parsed, err := parseFeatures(features); err == nil && len(parsed)*6 != len(features) {
			t.Errorf("%d features of %d bytes", len(parsed), len(features))
		} else if err != nil && !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Errorf("error without a meaning: %v", err)
		}
		if _, err := parseProperties(properties); err != nil && !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Errorf("error without a meaning: %v", err)
		}
	})
}
