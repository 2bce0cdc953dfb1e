package securemessaging

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
)

// C-51: each bit of a good answer, and every shorter or longer form of it.
func TestC51UnwrapRefusesEveryTamperedAnswer(t *testing.T) {
	for _, macLength := range []int{4, 8} {
		for _, v := range answerVectors(macLength) {
			good := unhex(t, v.secured+"9000")
			refuse := func(name string, answer []byte) {
				t.Helper()
				s := vectorSession(t, v.counter, macLength)
				keys := s.keys
				plain, err := s.Unwrap(answer)
				var lost *LostError
				if !errors.As(err, &lost) || !errors.Is(err, cardreader.ErrCardProtocol) {
					t.Fatalf("%s, %s: got %X, %v; want a lost channel", v.name, name, plain, err)
				}
				for _, key := range keys {
					if !bytes.Equal(key, make([]byte, len(key))) {
						t.Fatalf("%s, %s: key is still in memory", v.name, name)
					}
				}
				if _, err := s.Unwrap(good); !errors.Is(err, ErrClosed) {
					t.Fatalf("%s, %s: second answer: got %v, want ErrClosed", v.name, name, err)
				}
				if _, err := s.Wrap(unhex(t, plainTries)); !errors.Is(err, ErrClosed) {
					t.Fatalf("%s, %s: next command: got %v, want ErrClosed", v.name, name, err)
				}
			}
			for i := range good {
				for bit := range 8 {
					bad := bytes.Clone(good)
					bad[i] ^= 1 << bit
					refuse(fmt.Sprintf("bit %d of byte %d flipped", bit, i), bad)
				}
				refuse(fmt.Sprintf("cut to %d bytes", i), good[:i])
				refuse(fmt.Sprintf("byte %d left out", i), append(bytes.Clone(good[:i]), good[i+1:]...))
				refuse(fmt.Sprintf("byte inserted at %d", i), append(append(bytes.Clone(good[:i]), 0), good[i:]...))
			}
			refuse("data outside of the MAC", append(unhex(t, v.secured+"990290009000"), 0)[:len(good)+4])
			refuse("unprotected success", []byte{0x90, 0x00})
			refuse("nothing", nil)
		}
	}
}

// C-51: objects that are authentic and still not an answer.
func TestUnwrapRefusesAuthenticNonsense(t *testing.T) {
	for _, v := range []struct{ name, objects string }{
		{"no status", "870901" + "0011223344556677"},
		{"status twice", "99029000" + "99029000"},
		{"status before data", "99029000" + "870901" + "0011223344556677"},
		{"status of three bytes", "9903900000"},
		{"unknown object", "8501FF" + "99029000"},
		{"cryptogram of half a block", "870501" + "00112233" + "99029000"},
		{"cryptogram without a block", "870101" + "99029000"},
		{"other padding indicator", "870902" + "0011223344556677" + "99029000"},
		{"length beyond the end", "87FF01" + "99029000"},
		{"bad padding", "870901" + "0011223344556677" + "99029000"},
	} {
		s := vectorSession(t, "d31ac8ec7ba0fe78", 8)
		if plain, err := s.Unwrap(seal(t, v.objects)); !isLost(err) {
			t.Errorf("%s: got %X, %v; want a lost channel", v.name, plain, err)
		}
	}
}

// seal puts a right MAC behind the objects, for the counter …78.
func seal(t testing.TB, objects string) []byte {
	t.Helper()
	s := vectorSession(t, "d31ac8ec7ba0fe78", 8)
	s.advance()
	data := unhex(t, objects)
	mac := s.suite.mac(s.counter, pad(bytes.Clone(data), 0, 8))
	return append(append(append(data, 0x8E, 8), mac...), 0x90, 0x00)
}

func isLost(err error) bool {
	var lost *LostError
	return errors.As(err, &lost)
}

func TestUnwrapBelievesTheProtectedStatusOnly(t *testing.T) {
	for _, v := range []struct {
		inner, outer string
		want         string // empty: refused
	}{
		{"63C3", "9000", "63C3"},
		{"63C3", "63C3", "63C3"},
		{"63C3", "63C4", ""},
		{"9000", "6982", ""},
		{"6982", "6100", ""},
	} {
		answer := seal(t, "9902"+v.inner)
		copy(answer[len(answer)-2:], unhex(t, v.outer))
		plain, err := vectorSession(t, "d31ac8ec7ba0fe78", 8).Unwrap(answer)
		if v.want == "" {
			if !isLost(err) {
				t.Errorf("%s in %s: got %X, %v; want a lost channel", v.inner, v.outer, plain, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(plain, unhex(t, v.want)) {
			t.Errorf("%s in %s: got %X, %v", v.inner, v.outer, plain, err)
		}
	}
}

func TestLostErrorSaysTheSameForEveryForgery(t *testing.T) {
	texts := map[string]bool{}
	for _, answer := range []string{
		"990290008E0800000000000000009000", // wrong MAC
		"99029000" + "9000",                // no MAC
		"8E0800000000000000009000",         // no status
		"990290008E0400000000" + "9000",    // short MAC
	} {
		_, err := vectorSession(t, "d31ac8ec7ba0fe7e", 8).Unwrap(unhex(t, answer))
		texts[fmt.Sprint(err)] = true
	}
	_, err := vectorSession(t, "d31ac8ec7ba0fe78", 8).Unwrap(seal(t, "870901"+"0011223344556677"+"99029000"))
	texts[fmt.Sprint(err)] = true
	if len(texts) != 1 {
		t.Errorf("got %d different texts: %v", len(texts), texts)
	}
}

func TestWrapRefusesWhatDoesNotFitAndKeepsTheCounter(t *testing.T) {
	des := vectorSession(t, "d31ac8ec7ba0fe75", 8)
	aes, err := NewAES(make([]byte, 32), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	long := func(n int) []byte {
		return append([]byte{0, 0x20, 0, 0, byte(n)}, make([]byte, n)...)
	}
	for _, v := range []struct {
		name    string
		session *Session
		command []byte
		fits    bool
	}{
		{"empty (C-09)", des, nil, false},
		{"three bytes (C-09)", des, []byte{0, 0x20, 0}, false},
		{"protected already", des, []byte{0x0C, 0x20, 0, 0}, false},
		{"GET RESPONSE", des, []byte{0, 0xC0, 0, 0, 0x10}, false},
		{"extended length", des, []byte{0, 0xB0, 0, 0, 0, 0x10, 0}, false},
		{"239 bytes, the most for CWA 14890", des, long(239), true},
		{"240 bytes", des, long(240), false},
		{"223 bytes, the most for PACE with Le", aes, append(long(223), 0), true},
		{"224 bytes", aes, append(long(224), 0), false},
	} {
		before := bytes.Clone(v.session.counter)
		wrapped, err := v.session.Wrap(v.command)
		if v.fits {
			if err != nil {
				t.Errorf("%s: %v", v.name, err)
			} else if lc := int(wrapped[4]); lc > maxWrapped || len(wrapped) < 5+lc {
				t.Errorf("%s: Lc %d of %d bytes", v.name, lc, len(wrapped))
			}
			continue
		}
		if !errors.Is(err, ErrCommand) {
			t.Errorf("%s: got %v, want ErrCommand", v.name, err)
		}
		if !bytes.Equal(before, v.session.counter) {
			t.Errorf("%s: the counter moved", v.name)
		}
	}
}

func TestWrapMarksACommandWithoutObjects(t *testing.T) {
	for _, v := range []struct {
		name string
		make func() (*Session, error)
		want int // bytes
	}{
		{"CWA 14890", func() (*Session, error) { return NewDES(make([]byte, 16), make([]byte, 16), make([]byte, 8), 8) }, 15},
		{"PACE", func() (*Session, error) { return NewAES(make([]byte, 16), make([]byte, 16)) }, 16},
	} {
		s, err := v.make()
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Wrap([]byte{0x80, 0x44, 0, 0})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != v.want || got[0] != 0x8C || got[4] != 10 || got[5] != 0x8E {
			t.Errorf("%s: got %X", v.name, got)
		}
	}
}

func TestSessionsRefuseKeysOfAWrongSize(t *testing.T) {
	sixteen, eight := make([]byte, 16), make([]byte, 8)
	for _, err := range []error{
		second(NewDES(sixteen[:15], sixteen, eight, 8)),
		second(NewDES(sixteen, make([]byte, 24), eight, 8)),
		second(NewDES(sixteen, sixteen, sixteen, 8)),
		second(NewDES(sixteen, sixteen, eight, 7)),
		second(NewAES(sixteen, make([]byte, 24))),
		second(NewAES(eight, eight)),
	} {
		if !errors.Is(err, ErrKeys) {
			t.Errorf("got %v, want ErrKeys", err)
		}
	}
	if _, err := CMAC(eight, nil); !errors.Is(err, ErrKeys) {
		t.Errorf("CMAC: got %v, want ErrKeys", err)
	}
}

func second(_ *Session, err error) error { return err }

func TestUnwrapRefusesAnAnswerOneByteOverTheLimit(t *testing.T) {
	s := vectorSession(t, "d31ac8ec7ba0fe78", 8)
	if _, err := s.Unwrap(make([]byte, maxAnswer+1)); !isLost(err) {
		t.Errorf("got %v, want a lost channel", err)
	}
}

func TestCounterCarriesOverAllBytes(t *testing.T) {
	s := &Session{counter: []byte{0x00, 0xFF, 0xFF}}
	s.advance()
	if want := []byte{1, 0, 0}; !bytes.Equal(s.counter, want) {
		t.Errorf("got %X, want %X", s.counter, want)
	}
}

// FuzzUnwrap: nothing but the answers that were made with the keys is accepted.
func FuzzUnwrap(f *testing.F) {
	good := map[string]bool{}
	for _, v := range answerVectors(8) {
		answer := unhex(f, v.secured+"9000")
		f.Add(answer)
		if v.counter == "d31ac8ec7ba0fe78" {
			good[string(answer)] = true
		}
	}
	f.Add(unhex(f, "6987"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		s := vectorSession(t, "d31ac8ec7ba0fe78", 8)
		plain, err := s.Unwrap(answer)
		switch {
		case good[string(answer)]:
			if err != nil {
				t.Fatalf("a good answer was refused: %v", err)
			}
		case err == nil:
			t.Fatalf("accepted %X as %X", answer, plain)
		case s.suite != nil || !isLost(err):
			t.Fatalf("session survived %X: %v", answer, err)
		}
	})
}
