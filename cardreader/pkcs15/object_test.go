package pkcs15

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ber reads a notation in which 30{0401 45} is a data object with its content.
func ber(t testing.TB, s string) []byte {
	t.Helper()
	built, rest := build(t, strings.Join(strings.Fields(s), ""))
	if rest != "" {
		t.Fatalf("unbalanced notation at %q", rest)
	}
	return built
}

func build(t testing.TB, s string) (built []byte, rest string) {
	t.Helper()
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			return append(built, unhex(t, s)...), ""
		}
		if s[i] == '}' {
			return append(built, unhex(t, s[:i])...), s[i:]
		}
		built = append(built, unhex(t, s[:i-2])...)
		tag := unhex(t, s[i-2:i])[0]
		inner, after := build(t, s[i+1:])
		if !strings.HasPrefix(after, "}") {
			t.Fatalf("unbalanced notation at %q", after)
		}
		built, s = tlv.Append(built, tlv.Tag(tag), inner), after[1:]
	}
	return built, ""
}

func specimen(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			digits.WriteString(line)
		}
	}
	return unhex(t, digits.String())
}

// refused: every error of the parsers has a meaning that drivers pass on.
func refused(err error) bool {
	return errors.Is(cardreader.Classify(context.Background(), explain(context.Background(), err)), cardreader.ErrCardProtocol)
}

func TestDirectoriesOfASpecimenAreRead(t *testing.T) {
	var d directory
	file := append(specimen(t, "specimen-prkdf.hex"), make([]byte, 1900)...)
	list, err := entries(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if err := d.takeKey(e); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.keys) != 2 || d.keys[0].label != "KprivAutenticacion" || d.keys[1].label != "KprivFirmaDigital" ||
		d.keys[0].reference != 1 || d.keys[1].reference != 2 || d.keys[0].content || !d.keys[1].content ||
		!bytes.Equal(d.keys[1].path.file, []byte{0x3F, 0x11, 0x01, 0x02}) {
		t.Errorf("keys %+v", d.keys)
	}
	list, err = entries(append(specimen(t, "specimen-cdf.hex"), 0xFF, 0xFF))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if err := d.takeCertificate(e); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.certificates) != 3 || !bytes.Equal(d.certificates[0].path.file, []byte{0x60, 0x61, 0x70, 0x01}) || d.certificates[0].path.length != 0x548 {
		t.Errorf("certificates %+v", d.certificates)
	}
	for i := range 2 {
		if k, ok := d.keyFor(i); !ok || k.label != d.keys[i].label {
			t.Errorf("certificate %d has key %q", i, k.label)
		}
	}
	if _, ok := d.keyFor(2); ok {
		t.Error("the authority's certificate has a key")
	}
}

// The miniature directories of the Latvian card, whose objects have no
// identifiers.
func TestObjectsWithoutIdentifiersBelongTogetherByTheirPlace(t *testing.T) {
	var d directory
	for _, step := range []struct {
		take func(tlv.Element) error
		file string
	}{{d.takeKey, "30{30{} 30{02{0081}}}"}, {d.takeCertificate, "30{A1{30{30{04{3401}}}}}"}} {
		list, err := entries(ber(t, step.file))
		if err != nil || len(list) != 1 {
			t.Fatal(err)
		}
		if err := step.take(list[0]); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.certificates) != 1 || string(d.certificates[0].path.file) != "\x34\x01" {
		t.Errorf("certificates %+v", d.certificates)
	}
	if len(d.keys) != 0 {
		t.Error("a key without a usage is used for signatures")
	}
	d.keys = []privateKey{{reference: 0x81, signs: true}}
	if k, ok := d.keyFor(0); !ok || k.reference != 0x81 {
		t.Errorf("key %+v", k)
	}
}

func parseOne[T any](t *testing.T, parse func(tlv.Element) (T, bool, error), file string) (T, bool, error) {
	t.Helper()
	list, err := entries(ber(t, file))
	if err != nil {
		var none T
		return none, false, err
	}
	if len(list) != 1 {
		t.Fatalf("%d entries", len(list))
	}
	return parse(list[0])
}

func TestPINObjectsGiveTheFormOfThePIN(t *testing.T) {
	tests := []struct {
		name, file string
		want       string
		block      string // of the PIN 12345
	}{
		{
			"accepted by OpenSC in an emulated DNIe",
			"30{30{0C{50494E} 03{06C0}} 30{04{01}} A1{30{03{0348} 0A{01} 02{08} 02{10} 02{10} 80{00} 30{04{3F000000}}}}}",
			"01 PIN 8-16 digits, reference 0", "3132333435",
		},
		{
			"padded",
			"30{30{0C{50494E}} 30{04{01}} A1{30{03{020C} 0A{01} 02{04} 02{0C} 02{0C} 80{81} 04{00}}}}",
			"01 PIN 4-12 digits, reference 81", "313233343500000000000000",
		},
		{
			"BCD, no maximum",
			"30{30{0C{50494E}} 30{04{02}} A1{30{03{0204} 0A{00} 02{04} 02{06} 80{01}}}}",
			"02 PIN 4-12 digits, reference 1", "12345FFFFFFF",
		},
		{
			"ISO 9564-1",
			"30{30{0C{50494E}} 30{04{02}} A1{30{03{0204} 0A{04} 02{04} 02{08} 02{0C} 80{01}}}}",
			"02 PIN 4-12 digits, reference 1", "2512345FFFFFFFFF",
		},
		{
			"UTF-8",
			"30{30{0C{50494E}} 30{04{02}} A1{30{03{0348} 0A{02} 02{04} 02{10} 02{10} 80{01}}}}",
			"02 PIN 4-16 printable, reference 1", "3132333435",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, ok, err := parseOne(t, parsePINObject, test.file)
			if err != nil || !ok {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%X %s %d-%d %s, reference %X", p.auth, p.label, p.min, p.max, p.rule().Class, p.reference)
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if block := fmt.Sprintf("%X", p.append(nil, []byte("12345"))); block != test.block {
				t.Errorf("block %s, want %s", block, test.block)
			}
		})
	}
}

// Threats C-23, C-24, C-25, C-61: directories that lie.
func TestParsersRefuseWhatIsOutOfBounds(t *testing.T) {
	deep := []byte{0x02, 0x01, 0x01}
	for range 40 {
		deep = tlv.Append(nil, 0x30, deep)
	}
	many := bytes.Repeat([]byte{0x30, 0x00}, maxEntries+1)
	if _, err := entries(many); !refused(err) {
		t.Errorf("%d entries: %v", maxEntries+1, err)
	}
	if list, err := entries(many[:2*maxEntries]); err != nil || len(list) != maxEntries {
		t.Errorf("%d entries: %v", maxEntries, err)
	}
	type parser func(string) error
	key := func(s string) error { _, _, err := parseOne(t, parsePrivateKey, s); return err }
	certificate := func(s string) error { _, _, err := parseOne(t, parseCertificateEntry, s); return err }
	pinObject := func(s string) error { _, _, err := parseOne(t, parsePINObject, s); return err }
	token := func(s string) error { _, err := parseTokenInfo(ber(t, s)); return err }
	tests := []struct {
		name  string
		parse parser
		file  string
	}{
		{"C-23 length beyond the file", key, "3082 FFFF 00"},
		{"C-23 indefinite length", certificate, "3080 0000"},
		{"C-23 tag without end", key, "1FFFFFFFFF"},
		{"key reference of three bytes", key, "30{30{} 30{02{010203}}}"},
		{"empty bit string", key, "30{30{} 30{03{}}}"},
		{"bit string with 8 unused bits", key, "30{30{} 30{03{0840}}}"},
		{"certificate without a place", certificate, "30{30{} 30{}}"},
		{"certificate in a number", certificate, "30{30{} 30{} A1{30{02{01}}}}"},
		{"path of three bytes", certificate, "30{30{} 30{} A1{30{30{04{3F0050}}}}}"},
		{"path of eighteen bytes", certificate, "30{30{} 30{} A1{30{30{04{3F00" + strings.Repeat("5015", 8) + "}}}}}"},
		{"negative index", certificate, "30{30{} 30{} A1{30{30{04{4300} 02{80}}}}}"},
		{"index of five bytes", certificate, "30{30{} 30{} A1{30{30{04{4300} 02{0100000000}}}}}"},
		{"length above any file", certificate, "30{30{} 30{} A1{30{30{04{4300} 80{010000}}}}}"},
		{"PIN without lengths", pinObject, "30{30{} 30{} A1{30{03{0348} 0A{01}}}}"},
		{"PIN of 33 characters", pinObject, "30{30{} 30{} A1{30{03{0348} 0A{01} 02{04} 02{21} 02{21}}}}"},
		{"PIN with max below min", pinObject, "30{30{} 30{} A1{30{03{0348} 0A{01} 02{08} 02{08} 02{04}}}}"},
		{"PIN with min 0", pinObject, "30{30{} 30{} A1{30{03{0348} 0A{01} 02{00} 02{08} 02{08}}}}"},
		{"padded PIN longer than its block", pinObject, "30{30{} 30{} A1{30{03{0204} 0A{01} 02{04} 02{08} 02{0C}}}}"},
		{"pad character of two bytes", pinObject, "30{30{} 30{} A1{30{03{0204} 0A{01} 02{04} 02{08} 02{08} 04{0000}}}}"},
		{"token information of another type", token, "04{00}"},
		{"algorithm number of five bytes", token, "30{02{00} 04{31} A2{30{02{FFFFFFFF}}}}"},
	}
	for _, test := range tests {
		if err := test.parse(test.file); !refused(err) {
			t.Errorf("%s: %v, want ErrCardProtocol", test.name, err)
		}
	}
	// C-24: what is nested is not followed down; nothing usable comes of it.
	list, err := entries(deep)
	if err != nil || len(list) == 0 {
		t.Fatalf("C-24: %d entries, %v", len(list), err)
	}
	if k, _, err := parsePrivateKey(list[0]); err != nil && !refused(err) || k.id != "" || k.signs || k.referenced {
		t.Errorf("C-24: %+v, %v", k, err)
	}
}

// tree is a card with nothing but files, by absolute path, which can be told in
// which way files may be selected.
type tree struct {
	files    map[string][]byte
	forms    map[byte]bool // by P1 of SELECT
	selected []byte
	df       string
	sent     int
	// sign answers PSO; verified tells whether the PIN was sent before.
	sign     func(data []byte) []byte
	verified bool
	commands [][]byte
}

func (c *tree) Transmit(_ context.Context, raw []byte) ([]byte, error) {
	c.sent++
	command, err := apdu.ParseCommand(raw)
	if err != nil {
		return []byte{0x67, 0x00}, nil
	}
	c.commands = append(c.commands, bytes.Clone(raw))
	switch command.INS {
	case 0xA4:
		return c.selectFile(command), nil
	case 0xB0:
		at := int(command.P1)<<8 | int(command.P2)
		if at > len(c.selected) {
			return []byte{0x6B, 0x00}, nil
		}
		part := c.selected[at:]
		return append(bytes.Clone(part[:min(len(part), command.Ne)]), 0x90, 0x00), nil
	case 0x20:
		c.verified = true
		return []byte{0x90, 0x00}, nil
	case 0x22:
		return []byte{0x90, 0x00}, nil
	case 0x2A:
		if c.sign == nil || !c.verified {
			return []byte{0x69, 0x82}, nil
		}
		return append(c.sign(command.Data), 0x90, 0x00), nil
	default:
		return []byte{0x6D, 0x00}, nil
	}
}

func (c *tree) selectFile(command apdu.Command) []byte {
	if !c.forms[command.P1] {
		return []byte{0x6A, 0x86}
	}
	name := fmt.Sprintf("%X", command.Data)
	switch command.P1 {
	case byName:
		if string(command.Data) != usualName {
			return []byte{0x6A, 0x82}
		}
		c.df = "3F005015"
		return []byte{0x90, 0x00}
	case byPathFromRoot:
		name = "3F00" + name
	case byIdentifier:
		if name != "3F00" {
			name = c.df + name
		}
	default:
		name = c.df + name
	}
	if content, ok := c.files[name]; ok {
		c.selected, c.df = content, name[:len(name)-4]
		return []byte{0x62, 0x04, 0x80, 0x02, byte(len(content) >> 8), byte(len(content)), 0x90, 0x00}
	}
	for file := range c.files {
		if strings.HasPrefix(file, name) {
			c.df = name
			return []byte{0x62, 0x00, 0x90, 0x00}
		}
	}
	return []byte{0x6A, 0x82}
}

// brainpoolCard holds a certificate on brainpoolP256r1, in the file or in the
// directory itself, and gives a recorded signature.
func brainpoolCard(t *testing.T, inline bool) *tree {
	t.Helper()
	der, signature := brainpoolData(t)
	place := ber(t, "30{04{3F0050154300}}")
	if inline {
		place = tlv.Append(nil, 0xA0, der)
	}
	certificate := tlv.Append(nil, 0x30, bytes.Join([][]byte{
		ber(t, "30{} 30{04{45}}"), tlv.Append(nil, 0xA1, tlv.Append(nil, 0x30, place)),
	}, nil))
	return &tree{
		forms: map[byte]bool{byName: true, byChildEF: true, byPathFromRoot: true, byIdentifier: true},
		files: map[string][]byte{
			"3F0050155031": ber(t, "A0{30{04{4402}}} A4{30{04{4404}}} A8{30{04{4401}}}"),
			"3F0050155032": ber(t, "30{02{00} 04{31}}"),
			"3F0050154401": ber(t, "30{30{0C{50494E}} 30{04{01}} A1{30{03{0204} 0A{01} 02{04} 02{08} 80{01}}}}"),
			"3F0050154402": ber(t, "A0{30{04{01}} 30{04{45} 03{0520} 02{01}}}"),
			"3F0050154404": certificate,
			"3F0050154300": der,
			"3F002F00":     ber(t, "61{4F{A000000063504B43532D3135} 51{3F005015}}"),
		},
		sign: func([]byte) []byte { return signature },
	}
}

func brainpoolData(t *testing.T) (der, signature []byte) {
	t.Helper()
	base := filepath.Join("..", "..", "signing", "brainpool", "testdata", "brainpoolP256r1")
	text, err := os.ReadFile(base + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	der = decodePEM(t, text)
	if text, err = os.ReadFile(base + ".sig"); err != nil {
		t.Fatal(err)
	}
	return der, unhex(t, string(text))
}

// Cards differ in the ways of selecting a file; one of them is enough.
func TestCardsAreReadInWhateverWayTheySelectFiles(t *testing.T) {
	ways := map[string]map[byte]bool{
		"name and path":     {byName: true, byChildEF: true, byPathFromRoot: true, byIdentifier: true},
		"name and steps":    {byName: true, byIdentifier: true},
		"path alone":        {byPathFromRoot: true, byIdentifier: true},
		"identifiers alone": {byIdentifier: true},
	}
	for name, forms := range ways {
		for _, inline := range []bool{false, true} {
			card := brainpoolCard(t, inline)
			card.forms = forms
			opened, err := Driver{}.Open(t.Context(), card)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			credentials, err := opened.Credentials(t.Context())
			if err != nil || len(credentials) != 1 || credentials[0].Certificate.Subject.CommonName != "LAB PERSON" {
				t.Errorf("%s: %d credentials, %v", name, len(credentials), err)
			}
			if card.sent > 60 {
				t.Errorf("%s: %d commands", name, card.sent)
			}
		}
	}
}

func decodePIN(t *testing.T, digits string) *pin.PIN {
	t.Helper()
	p, err := pin.New([]byte(digits))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wipe)
	return p
}

// Threat C-27: lists that point at themselves, at each other, at the MF.
func TestEveryDirectoryIsReadOnce(t *testing.T) {
	for name, odf := range map[string]string{
		"itself":              "A0{30{04{5031}}} A4{30{04{5031}}}",
		"the same file twice": strings.Repeat("A4{30{04{4404}}}", 50),
		"the MF":              "A4{30{04{3F00}}}",
		"other lists without end": func() string {
			var b strings.Builder
			for i := range 60 {
				fmt.Fprintf(&b, "A4{30{04{60%02X}}}", i)
			}
			return b.String()
		}(),
	} {
		card := brainpoolCard(t, false)
		card.files["3F0050155031"] = ber(t, odf)
		opened, err := Driver{}.Open(t.Context(), card)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = opened.Credentials(t.Context()); err != nil && !refused(err) {
			t.Errorf("%s: %v", name, err)
		}
		if card.sent > 60 {
			t.Errorf("%s: %d commands", name, card.sent)
		}
	}
}

func FuzzDirectories(f *testing.F) {
	f.Add(specimen(f, "specimen-prkdf.hex"))
	f.Add(specimen(f, "specimen-cdf.hex"))
	for _, seed := range []string{
		"A0{30{04{4402}}} A4{30{04{4404}}} A8{30{04{4401}}}",
		"30{02{00} 04{31}}",
		"61{4F{A000000063504B43532D3135} 51{3F005015}}",
		"30{30{0C{50494E}} 30{04{01}} A1{30{03{0204} 0A{01} 02{04} 02{08} 80{01}}}}",
	} {
		f.Add(ber(f, seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var d directory
		list, err := entries(file)
		if err != nil && !refused(err) {
			t.Fatalf("error without a meaning: %v", err)
		}
		for _, e := range list {
			for _, take := range []func(tlv.Element) error{d.takeKey, d.takeCertificate, d.takePIN} {
				if err := take(e); err != nil && !refused(err) {
					t.Fatalf("error without a meaning: %v", err)
				}
			}
		}
		for _, p := range d.pins {
			// Property: what the rule lets through fits into the block.
			if p.usable() == nil && len(p.append(nil, bytes.Repeat([]byte{'1'}, p.max))) > iso7816.MaxBlock {
				t.Fatalf("PIN %+v", p)
			}
		}
		for _, c := range d.certificates {
			if len(c.path.file) > maxPath {
				t.Fatalf("path of %d bytes", len(c.path.file))
			}
		}
		if _, err := parseTokenInfo(file); err != nil && !refused(err) {
			t.Fatalf("error without a meaning: %v", err)
		}
		if _, _, err := applications(file); err != nil && !refused(err) {
			t.Fatalf("error without a meaning: %v", err)
		}
	})
}
