package pkcs15

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// spoiled is a card one of whose answers is changed.
type spoiled struct {
	*tree
	change func(c apdu.Command, answer []byte) []byte
	sent   []byte // the INS bytes
}

func (s *spoiled) Transmit(ctx context.Context, raw []byte) ([]byte, error) {
	answer, err := s.tree.Transmit(ctx, raw)
	if c, bad := apdu.ParseCommand(raw); bad == nil && err == nil {
		s.sent = append(s.sent, c.INS)
		answer = s.change(c, answer)
	}
	return answer, err
}

// Threat C-61: the classes of mistakes that drivers for cards have been making,
// one card for each. Whatever the card says, a driver of ours reads no more
// commands than a card with as many files needs, and what it lists is a
// certificate that the card really has.
func TestClassesOfDriverMistakes(t *testing.T) {
	none := func(_ apdu.Command, answer []byte) []byte { return answer }
	reads := func(change func([]byte) []byte) func(apdu.Command, []byte) []byte {
		return func(c apdu.Command, answer []byte) []byte {
			if c.INS == 0xB0 {
				return change(answer)
			}
			return answer
		}
	}
	for name, row := range map[string]struct {
		spoil  func(*tree)
		change func(apdu.Command, []byte) []byte
		listed int // credentials that may come of it at the most
	}{
		"string out of bounds: a label longer than its object": {
			func(c *tree) { c.files["3F0050154404"] = ber(t, "30{30{}}"); c.files["3F0050154404"][3] = 0x7F }, none, 0,
		},
		"string out of bounds: a label of 60 kB": {
			func(c *tree) {
				c.files["3F0050154401"] = ber(t, "30{30{0C{"+strings.Repeat("41", 60_000)+"}} 30{04{01}} A1{30{03{0204} 0A{01} 02{04} 02{08} 80{01}}}}")
			}, none, 1,
		},
		"double use: two keys and two certificates with one identifier": {
			func(c *tree) {
				for _, file := range []string{"3F0050154402", "3F0050154404"} {
					c.files[file] = append(bytes.Clone(c.files[file]), c.files[file]...)
				}
			}, none, 2,
		},
		"endless loop: reading gives nothing and says it went well": {
			func(*tree) {}, reads(func([]byte) []byte { return []byte{0x90, 0x00} }), 0,
		},
		"endless loop: reading gives one byte for ever": {
			func(*tree) {}, reads(func([]byte) []byte { return []byte{0x30, 0x90, 0x00} }), 0,
		},
		"return value not checked: a file that cannot be selected": {
			func(*tree) {}, func(c apdu.Command, answer []byte) []byte {
				if c.INS == 0xA4 && bytes.HasSuffix(c.Data, []byte{0x43, 0x00}) {
					return []byte{0x6A, 0x82} // although the card selected it
				}
				return answer
			}, 0,
		},
		"return value not checked: a file that cannot be read": {
			func(*tree) {}, reads(func(answer []byte) []byte { return append(answer[:len(answer)-2], 0x69, 0x82) }), 0,
		},
		"list overflow: more objects than any card has": {
			func(c *tree) {
				c.files["3F0050154404"] = bytes.Repeat(c.files["3F0050154404"], maxEntries+1)
			}, none, 0,
		},
		"list overflow: more lists than any card has": {
			func(c *tree) { c.files["3F0050155031"] = ber(t, strings.Repeat("A4{30{04{4404}}}", 500)) }, none, 1,
		},
		"uninitialised data: a file shorter than its size": {
			func(*tree) {}, func(c apdu.Command, answer []byte) []byte {
				if c.INS == 0xA4 && len(answer) == 8 {
					answer[4], answer[5] = 0x7F, 0xFF
				}
				return answer
			}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			card := &spoiled{tree: brainpoolCard(t, false), change: row.change}
			row.spoil(card.tree)
			opened, err := Driver{}.Open(t.Context(), card)
			if err == nil {
				credentials, failed := opened.Credentials(t.Context())
				if len(credentials) > row.listed {
					t.Errorf("%d credentials, at most %d", len(credentials), row.listed)
				}
				for _, c := range credentials {
					if c.Certificate.Subject.CommonName != "LAB PERSON" {
						t.Errorf("certificate of %q", c.Certificate.Subject.CommonName)
					}
				}
				err = failed
			}
			if err != nil && !refused(err) {
				t.Errorf("error without a meaning: %v", err)
			}
			if len(card.sent) > 600 {
				t.Errorf("%d commands", len(card.sent))
			}
			// Key generation answers: no driver asks a card for a key.
			if bytes.ContainsAny(card.sent, "\x46\x47") {
				t.Error("a key was generated")
			}
		})
	}
}
