package apdu_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// script answers commands in order and fails the test on any other command.
type script struct {
	t     *testing.T
	steps []step
	sent  int
}

type step struct{ want, answer string }

func (s *script) Transmit(_ context.Context, command []byte) ([]byte, error) {
	s.t.Helper()
	if s.sent == len(s.steps) {
		s.t.Fatalf("unexpected command %X", command)
	}
	step := s.steps[s.sent]
	s.sent++
	if got := strings.ToUpper(hex.EncodeToString(command)); got != step.want {
		s.t.Fatalf("command %d is %s, want %s", s.sent, got, step.want)
	}
	answer, err := hex.DecodeString(step.answer)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, nil
}

// transmitter is a function as Transmitter.
type transmitter func(ctx context.Context, command []byte) ([]byte, error)

func (f transmitter) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	return f(ctx, command)
}

func TestCommandForms(t *testing.T) {
	long := bytes.Repeat([]byte{0xAA}, 256)
	tests := []struct {
		name     string
		command  apdu.Command
		kase     int
		form     string
		extended string
	}{
		{"case 1", apdu.Command{INS: 0xA4}, 1, "00A40000", "00A40000"},
		{"case 2", apdu.Command{INS: 0xB0, P1: 1, P2: 2, Ne: 0xC0}, 2, "00B00102C0", "00B001020000C0"},
		{"case 2 with all the card has", apdu.Command{INS: 0xB0, Ne: 256}, 2, "00B0000000", "00B00000000100"},
		{"case 3", apdu.Command{INS: 0xA4, P1: 2, P2: 0xC, Data: []byte{0xD0, 3}}, 3, "00A4020C02D003", "00A4020C000002D003"},
		{"case 4", apdu.Command{INS: 0xA4, P1: 9, P2: 4, Data: []byte{0xAD, 0xF1}, Ne: 256}, 4, "00A4090402ADF100", "00A40904000002ADF10100"},
		{"case 2 beyond the short form", apdu.Command{INS: 0xB0, Ne: 65536}, 2, "00B00000000000", "00B00000000000"},
		{"case 3 beyond the short form", apdu.Command{INS: 0xDB, Data: long}, 3, "00DB0000000100" + fmt.Sprintf("%X", long), "00DB0000000100" + fmt.Sprintf("%X", long)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.command.Case(); got != test.kase {
				t.Errorf("Case = %d, want %d", got, test.kase)
			}
			got, err := test.command.Append(nil)
			if err != nil || fmt.Sprintf("%X", got) != test.form {
				t.Errorf("Append = %X, %v; want %s", got, err, test.form)
			}
			got, err = test.command.AppendExtended(nil)
			if err != nil || fmt.Sprintf("%X", got) != test.extended {
				t.Errorf("AppendExtended = %X, %v; want %s", got, err, test.extended)
			}
		})
	}
}

func TestAppendRefusesWhatNoFormHolds(t *testing.T) {
	for _, command := range []apdu.Command{
		{Data: make([]byte, apdu.MaxExtendedData+1)}, {Ne: apdu.MaxExtendedNe + 1}, {Ne: -1},
	} {
		if _, err := command.Append(nil); !errors.Is(err, apdu.ErrCommand) {
			t.Errorf("%d data bytes, Ne %d: %v, want ErrCommand", len(command.Data), command.Ne, err)
		}
	}
}

func TestParseCommandRefusesBytesThatAreNone(t *testing.T) {
	for _, raw := range []string{
		"", "00", "00A400", "00A4040002AA", "00A4040002AABBCCDD", "00A404000001", "00A40400000003AABB", "00A404000000",
		"00A4040000000001",
	} {
		data, _ := hex.DecodeString(raw)
		if command, err := apdu.ParseCommand(data); !errors.Is(err, apdu.ErrCommand) {
			t.Errorf("%s: %v, %v; want ErrCommand", raw, command, err)
		}
	}
}

// Property: what parses is written the same in its own form.
func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		"00A4000C", "00B00000C0", "00A4020C02D003", "00A4090404ADF1340100", "002000010C31323334FFFFFFFFFFFFFFFF",
		"00B00000000000", "00DB000000000101", "00DB00000000020102FFFF",
	} {
		raw, _ := hex.DecodeString(seed)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		command, err := apdu.ParseCommand(raw)
		if err != nil {
			if !errors.Is(err, apdu.ErrCommand) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		short, err := command.Append(nil)
		if err != nil {
			t.Fatalf("%X does not encode: %v", raw, err)
		}
		extended, err := command.AppendExtended(nil)
		if err != nil {
			t.Fatalf("%X does not encode: %v", raw, err)
		}
		if !bytes.Equal(raw, short) && !bytes.Equal(raw, extended) {
			t.Fatalf("%X became %X and %X", raw, short, extended)
		}
	})
}

func TestExchangeFollowsTheCardsLengths(t *testing.T) {
	get := apdu.Command{INS: 0xCA, Ne: 256}
	tests := []struct {
		name    string
		command apdu.Command
		steps   []step
		want    string
		sw      apdu.StatusWord
	}{
		{"a plain answer", get, []step{{"00CA000000", "AABB9000"}}, "AABB", 0x9000},
		{"61xx collected in two parts", get, []step{{"00CA000000", "AA6102"}, {"00C0000002", "BBCC6101"}, {"00C0000001", "DD9000"}}, "AABBCCDD", 0x9000},
		{"6100 asks for 256", get, []step{{"00CA000000", "6100"}, {"00C0000000", "AA9000"}}, "AA", 0x9000},
		{"the status after GET RESPONSE counts", get, []step{{"00CA000000", "6102"}, {"00C0000002", "6A82"}}, "", 0x6A82},
		{"6Cxx followed once", get, []step{{"00CA000000", "6C02"}, {"00CA000002", "AABB9000"}}, "AABB", 0x9000},
		{"6Cxx of GET RESPONSE", get, []step{{"00CA000000", "6110"}, {"00C0000010", "6C01"}, {"00C0000001", "AA9000"}}, "AA", 0x9000},
		{"GET RESPONSE has class 00 also after a secured command", apdu.Command{CLA: 0x0C, INS: 0xA4, Data: []byte{1}}, []step{{"0CA400000101", "6101"}, {"00C0000001", "AA9000"}}, "AA", 0x9000},
		{"a command without Le is not sent again", apdu.Command{INS: 0x20, Data: []byte{1}}, []step{{"002000000101", "6C0C"}}, "", 0x6C0C},
		{"unasked file control information", apdu.Command{INS: 0xA4, Data: []byte{1}}, []step{{"00A400000101", "62009000"}}, "6200", 0x9000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &script{t: t, steps: test.steps}
			r, err := apdu.Exchange(t.Context(), s, test.command)
			if err != nil || fmt.Sprintf("%X", r.Data) != test.want || r.SW != test.sw {
				t.Errorf("Exchange = %X %v, %v; want %s %v", r.Data, r.SW, err, test.want, test.sw)
			}
			if s.sent != len(test.steps) {
				t.Errorf("%d commands, want %d", s.sent, len(test.steps))
			}
		})
	}
}

// Threats C-01, C-04, C-05, C-06: answers that are too short, too long or never
// end.
func TestExchangeEndsWithACardThatBreaksTheRules(t *testing.T) {
	tests := []struct {
		name string
		// most is the number of commands after which it must have ended.
		most   int
		answer func(n int, command []byte) []byte
	}{
		{"C-01 one byte", 1, func(int, []byte) []byte { return []byte{0x90} }},
		{"C-02 no byte", 1, func(int, []byte) []byte { return nil }},
		{"C-04 302 bytes where one was asked", 1, func(int, []byte) []byte { return append(make([]byte, 302), 0x90, 0) }},
		{"C-04 longer than any answer", 1, func(int, []byte) []byte { return make([]byte, apdu.MaxResponse+1) }},
		{"C-04 GET RESPONSE with more than announced", 2, func(int, []byte) []byte { return []byte{1, 0x61, 1}[:] }},
		{"C-05 endless 61FF without data", apdu.MaxSteps + 1, func(int, []byte) []byte { return []byte{0x61, 0xFF} }},
		{"C-05 endless 6100 with data", apdu.MaxSteps + 1, func(n int, command []byte) []byte {
			if n == 1 {
				return []byte{0x61, 0x00}
			}
			return append(make([]byte, 256), 0x61, 0x00)
		}},
		{"C-06 6Cxx ping-pong", 2, func(n int, _ []byte) []byte { return []byte{0x6C, byte(1 + n%2)} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			card := transmitter(func(_ context.Context, command []byte) ([]byte, error) {
				n++
				if test.name == "C-04 GET RESPONSE with more than announced" && n == 2 {
					return []byte{1, 2, 0x90, 0}, nil
				}
				return test.answer(n, command), nil
			})
			_, err := apdu.Exchange(t.Context(), card, apdu.Command{INS: 0xB0, Ne: 1})
			if !errors.Is(err, apdu.ErrProtocol) {
				t.Errorf("Exchange = %v, want ErrProtocol", err)
			}
			if n > test.most {
				t.Errorf("%d commands, want at most %d", n, test.most)
			}
		})
	}
}

// Threat C-07: only 9000 is a success, for every status word there is.
func TestDoTakesOnlyOneStatusForSuccess(t *testing.T) {
	for sw := range 1 << 16 {
		n := 0
		card := transmitter(func(context.Context, []byte) ([]byte, error) {
			n++
			return []byte{byte(sw >> 8), byte(sw)}, nil
		})
		_, err := apdu.Do(t.Context(), card, apdu.Command{INS: 0x20, P2: 0x85, Data: []byte{1}})
		if (err == nil) != (sw == 0x9000) {
			t.Fatalf("%04X: %v", sw, err)
		}
		if err == nil {
			continue
		}
		var status *apdu.StatusError
		if errors.As(err, &status) {
			if int(status.SW) != sw || n != 1 || !strings.Contains(err.Error(), fmt.Sprintf("00200085: %04X ", sw)) {
				t.Fatalf("%04X: %v after %d commands", sw, err, n)
			}
		} else if !errors.Is(err, apdu.ErrProtocol) {
			t.Fatalf("%04X: %v", sw, err)
		}
	}
}

func TestAnswerThatNobodyReadsIsNotFetched(t *testing.T) {
	for answer, want := range map[string]bool{"\x61\x1B": true, "\x90\x00": true, "\x6A\x82": false, "\x62\x83": false} {
		n := 0
		card := transmitter(func(context.Context, []byte) ([]byte, error) { n++; return []byte(answer), nil })
		data, err := apdu.Do(t.Context(), card, apdu.Command{INS: 0xA4, Data: []byte{0x3F, 0}, Ne: 256, Unread: true})
		if (err == nil) != want || n != 1 || len(data) != 0 {
			t.Errorf("%X: %v after %d commands, %d bytes", answer, err, n, len(data))
		}
	}
}

// extending is a card and reader that claim to take extended lengths.
type extending struct{ transmitter }

func (extending) TakesExtended(context.Context) bool { return true }

// Threat C-08: the claim is wrong, the card answers 6700. The data goes once more by
// chaining, and no further.
func TestExtendedLengthFallsBackToChainingOnce(t *testing.T) {
	data := bytes.Repeat([]byte{0x5A}, 300)
	for _, test := range []struct {
		name           string
		takes, refuses bool
		command        apdu.Command
		sent           []int // bytes of each command
		want           bool
	}{
		{"taken", true, false, apdu.Command{INS: 0x2A, Data: data}, []int{7 + 300}, true},
		{"long answer taken", true, false, apdu.Command{INS: 0xB0, Ne: 512}, []int{7}, true},
		{"not claimed", false, false, apdu.Command{INS: 0x2A, Data: data}, []int{5 + 255, 5 + 45}, true},
		{"claimed and refused", true, true, apdu.Command{INS: 0x2A, Data: data}, []int{7 + 300, 5 + 255, 5 + 45}, true},
		{"long answer refused", true, true, apdu.Command{INS: 0xB0, Ne: 512}, []int{7, 5}, true},
		{"short is never repeated", true, true, apdu.Command{INS: 0x20, Data: []byte("1234")}, []int{9}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var sent []int
			card := transmitter(func(_ context.Context, raw []byte) ([]byte, error) {
				sent = append(sent, len(raw))
				if test.refuses && len(raw) > 5 && raw[4] == 0 {
					return []byte{0x67, 0x00}, nil
				}
				return []byte{0x90, 0x00}, nil
			})
			var to apdu.Transmitter = card
			if test.takes {
				to = extending{card}
			}
			if _, err := apdu.Do(t.Context(), to, test.command); (err == nil) != test.want {
				t.Error(err)
			}
			if fmt.Sprint(sent) != fmt.Sprint(test.sent) {
				t.Errorf("sent %v, want %v", sent, test.sent)
			}
		})
	}
	// A card that refuses every length ends the matter.
	n := 0
	stubborn := extending{func(context.Context, []byte) ([]byte, error) { n++; return []byte{0x67, 0x00}, nil }}
	var status *apdu.StatusError
	if _, err := apdu.Do(t.Context(), stubborn, apdu.Command{INS: 0x2A, Data: data}); !errors.As(err, &status) || n != 2 {
		t.Errorf("%v after %d commands", err, n)
	}
}

func TestCapabilitiesAreReadFromTheAnswerToReset(t *testing.T) {
	for atr, want := range map[string]bool{
		"3BDB960080B1FE451F830012233F536549440F900020": false, // Estonian card of 2018
		"3B84800173000040":           false, // no category in front
		"3B8580018073000040B1":       true,
		"3B85800180730000807B":       false,
		"3B8680010073000040AA":       false, // the object reaches into the status
		"3B888001007300004007900032": true,
		"3B8F8001":                   false, "3B": false, "": false, "3BFF": false,
	} {
		raw, err := hex.DecodeString(atr)
		if err != nil {
			t.Fatal(err)
		}
		if got := apdu.ExtendedLengths(raw); got != want {
			t.Errorf("%s: %v", atr, got)
		}
	}
}

func TestChainSplitsLongData(t *testing.T) {
	data := bytes.Repeat([]byte{1, 2, 3, 4, 5}, 110) // 550 bytes
	var joined []byte
	var classes []byte
	card := transmitter(func(_ context.Context, raw []byte) ([]byte, error) {
		command, err := apdu.ParseCommand(raw)
		if err != nil || len(command.Data) > apdu.MaxShortData {
			t.Fatalf("%d bytes, %v", len(command.Data), err)
		}
		joined = append(joined, command.Data...)
		classes = append(classes, command.CLA)
		return []byte{0x90, 0}, nil
	})
	if _, err := apdu.Do(t.Context(), card, apdu.Command{INS: 0x2A, Data: data, Ne: 256}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(joined, data) || !bytes.Equal(classes, []byte{0x10, 0x10, 0x00}) {
		t.Errorf("classes %X, %d bytes", classes, len(joined))
	}

	n := 0
	refusing := transmitter(func(context.Context, []byte) ([]byte, error) { n++; return []byte{0x68, 0x84}, nil })
	var status *apdu.StatusError
	if _, err := apdu.Do(t.Context(), refusing, apdu.Command{Data: data}); !errors.As(err, &status) || n != 1 {
		t.Errorf("refused first part: %v after %d commands", err, n)
	}
}

// Threat C-45: a command shows its data only when it was declared harmless, and
// a transport can tell.
func TestCommandsAreMaskedUnlessPublic(t *testing.T) {
	secret := apdu.Command{INS: 0x20, P2: 1, Data: []byte("1234")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		got := fmt.Sprintf(verb, secret)
		if strings.Contains(got, "1234") || strings.Contains(got, "31323334") || strings.Contains(got, "49 50") {
			t.Errorf("%s shows %s", verb, got)
		}
		if got = fmt.Sprintf(verb, &secret); strings.Contains(got, "31323334") || strings.Contains(got, "49 50") {
			t.Errorf("%s of a pointer shows %s", verb, got)
		}
	}
	public := apdu.Command{INS: 0xA4, Data: []byte{0xAD, 0xF1}, Public: true, Ne: 256}
	if got := fmt.Sprint(public); got != "00A40000 ADF1 Le 256" {
		t.Errorf("public command prints %q", got)
	}
	var marks []bool
	card := transmitter(func(ctx context.Context, _ []byte) ([]byte, error) {
		marks = append(marks, apdu.Public(ctx))
		return []byte{0x90, 0}, nil
	})
	_, _ = apdu.Do(t.Context(), card, secret)
	_, _ = apdu.Do(t.Context(), card, public)
	if len(marks) != 2 || marks[0] || !marks[1] || apdu.Public(t.Context()) {
		t.Errorf("marks are %v", marks)
	}
}

// Threat C-46: the encoded command does not stay behind.
func TestExchangeWipesMaskedCommands(t *testing.T) {
	var seen []byte
	card := transmitter(func(_ context.Context, command []byte) ([]byte, error) {
		seen = command
		return []byte{0x90, 0}, nil
	})
	if _, err := apdu.Do(t.Context(), card, apdu.Command{INS: 0x20, Data: []byte("1234")}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(seen, make([]byte, len(seen))) {
		t.Errorf("left behind: %X", seen)
	}
}

func TestExchangeBoundsEveryCommandInTime(t *testing.T) {
	card := transmitter(func(ctx context.Context, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if _, err := apdu.Do(t.Context(), card, apdu.Command{Timeout: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do = %v, want DeadlineExceeded", err)
	}
}
