package appearance_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/go-text/typesetting/font"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// objects keeps what is put, in the order of the numbers.
type objects struct{ bodies [][]byte }

func (o *objects) Reserve() pdf.Ref {
	o.bodies = append(o.bodies, nil)
	return pdf.Ref{Number: uint32(len(o.bodies))}
}

func (o *objects) Put(ref pdf.Ref, body []byte) { o.bodies[ref.Number-1] = body }

// stream inflates the stream of an object that has a word in its dictionary.
func (o *objects) stream(t *testing.T, word string) []byte {
	t.Helper()
	for _, body := range o.bodies {
		head, data, ok := bytes.Cut(body, []byte("\nstream\n"))
		if !ok || !bytes.Contains(head, []byte(word)) {
			continue
		}
		r, err := zlib.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatalf("no stream with %s", word)
	return nil
}

func embed(t *testing.T, d *appearance.Drawing, rules appearance.Rules) string {
	t.Helper()
	o := new(objects)
	d.Embed(o, rules).Form(0, 1)
	var b strings.Builder
	for i, body := range o.bodies {
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, body)
	}
	return b.String()
}

// The embedded font is a font: an independent reader finds the glyphs with the
// shapes and widths of the source.
func TestEmbeddedFontIsReadByOthers(t *testing.T) {
	d, err := (&appearance.Mark{Text: "ÕŽ (Ωщ)"}).Draw(200, 40)
	if err != nil {
		t.Fatal(err)
	}
	o := new(objects)
	d.Embed(o, appearance.Rules{CIDSet: true}).Form(0, 1)
	file := o.stream(t, "/Length1")
	got, err := font.ParseTTF(bytes.NewReader(withCmap(file)))
	if err != nil {
		t.Fatal(err)
	}
	source, err := font.ParseTTF(bytes.NewReader(goregular.TTF))
	if err != nil {
		t.Fatal(err)
	}
	cmap := string(o.stream(t, "<<  /Filter")) // the only stream without entries of its own
	pairs := regexp.MustCompile(`<([0-9A-F]{4})> <([0-9A-F]{4})>\n`).FindAllStringSubmatch(cmap, -1)
	seen := ""
	for _, pair := range pairs {
		var n, r rune
		if _, err := fmt.Sscanf(pair[1]+" "+pair[2], "%x %x", &n, &r); err != nil || r == 0xFFFF {
			continue
		}
		seen += string(r)
		id, _ := source.NominalGlyph(r)
		if a, b := got.HorizontalAdvance(font.GID(n)), source.HorizontalAdvance(id); a != b {
			t.Errorf("%q is %v wide, want %v", r, a, b)
		}
		a, _ := got.GlyphDataOutline(font.GID(n))
		b, _ := source.GlyphDataOutline(id)
		if len(a.Segments) != len(b.Segments) {
			t.Errorf("%q has %d segments, want %d", r, len(a.Segments), len(b.Segments))
		}
	}
	if seen != "ÕŽ (Ωщ)" {
		t.Errorf("glyphs of %q", seen)
	}
	if sum := checksum(file); sum != 0xB1B0AFBA {
		t.Errorf("checksum %#x", sum)
	}
}

func checksum(data []byte) (sum uint32) {
	for i := 0; i+4 <= len(data); i += 4 {
		sum += binary.BigEndian.Uint32(data[i:])
	}
	return sum
}

// withCmap adds the table that a PDF does not need and readers of files do.
func withCmap(file []byte) []byte {
	be := binary.BigEndian
	n := int(be.Uint16(file[4:]))
	cmap := []byte{0, 0, 0, 1, 0, 3, 0, 1, 0, 0, 0, 12, 0, 4, 0, 24, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 0, 1, 0, 0}
	out := bytes.Clone(file[:12])
	be.PutUint16(out[4:], uint16(n+1))
	out = append(out, "cmap\x00\x00\x00\x00"...)
	out = be.AppendUint32(out, uint32(len(file)+16))
	out = be.AppendUint32(out, uint32(len(cmap)))
	for i := range n {
		row := bytes.Clone(file[12+16*i : 28+16*i])
		be.PutUint32(row[8:], be.Uint32(row[8:])+16)
		out = append(out, row...)
	}
	return append(append(out, file[12+16*n:]...), cmap...)
}

// Every kind of page turns the same drawing, and its box turns with it.
func TestFormTurnsWithThePage(t *testing.T) {
	d, err := (&appearance.Mark{Text: "a", Border: true}).Draw(100, 40)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		rotation int
		unit     float64
		w, h     float64
		matrix   string
	}{
		{0, 1, 100, 40, ""},
		{90, 1, 40, 100, "q 0 1 -1 0 40 0 cm"},
		{180, 1, 100, 40, "q -1 0 0 -1 100 40 cm"},
		{270, 1, 40, 100, "q 0 -1 1 0 0 100 cm"},
		{0, 2, 50, 20, "q 0.5 0 0 0.5 0 0 cm"},
		{90, 2, 20, 50, "q 0 0.5 -0.5 0 20 0 cm"},
	} {
		o := new(objects)
		_, w, h := d.Embed(o, appearance.Rules{}).Form(row.rotation, row.unit)
		content := string(o.stream(t, "/Subtype /Form"))
		if w != row.w || h != row.h || row.matrix != "" && !strings.HasPrefix(content, row.matrix+"\n") || row.matrix == "" && strings.Contains(content, " cm") {
			t.Errorf("rotation %d, unit %v: %v by %v, %q", row.rotation, row.unit, w, h, content[:30])
		}
	}
}

// TestRulesOfArchives looks for what ISO 19005 forbids.
func TestRulesOfArchives(t *testing.T) {
	d, err := (&appearance.Mark{Text: "a", Picture: seal(t), QR: "x", Border: true}).Draw(200, 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		rules appearance.Rules
		want  []string
		not   []string
	}{
		{"none", appearance.Rules{}, []string{"/SMask", "/DeviceRGB"}, []string{"/CIDSet", "/Cal"}},
		{"PDF/A-1, RGB intent", appearance.Rules{Opaque: true, CIDSet: true}, []string{"/CIDSet", "/DeviceRGB"}, []string{"/SMask", "/Cal"}},
		{"PDF/A, CMYK intent", appearance.Rules{Opaque: true, CalibratedRGB: true}, []string{"/CalRGB"}, []string{"/SMask", "/DeviceRGB", "/CalGray"}},
		{"PDF/A, no intent", appearance.Rules{Opaque: true, Calibrated: true, CalibratedRGB: true}, []string{"/CalRGB", "/CalGray"}, []string{"/SMask", "/DeviceRGB", "/DeviceGray"}},
	} {
		got := embed(t, d, row.rules)
		for _, w := range row.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %s", row.name, w)
			}
		}
		for _, n := range row.not {
			if strings.Contains(got, n) {
				t.Errorf("%s: %s", row.name, n)
			}
		}
	}
}

// Fonts that forbid embedding, and files that are no fonts, are refused.
func TestFontsAreRefused(t *testing.T) {
	restricted := func(fsType uint16) []byte {
		data := bytes.Clone(goregular.TTF)
		for i := range int(binary.BigEndian.Uint16(data[4:])) {
			if row := data[12+16*i:]; string(row[:4]) == "OS/2" {
				binary.BigEndian.PutUint16(data[binary.BigEndian.Uint32(row[8:])+8:], fsType)
			}
		}
		return data
	}
	for _, row := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"installable", restricted(0), true},
		{"preview and print", restricted(4), true},
		{"editable", restricted(8), true},
		{"restricted licence", restricted(2), false},
		{"no subsets", restricted(0x100), false},
		{"bitmaps only", restricted(0x200), false},
		{"empty", nil, false},
		{"text", []byte("not a font"), false},
		{"cut off", goregular.TTF[:4000], false},
	} {
		if _, err := appearance.NewFonts(row.data); (err == nil) != row.ok || err != nil && !errors.Is(err, appearance.ErrFont) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func FuzzNewFonts(f *testing.F) {
	f.Add(goregular.TTF[:2000])
	f.Add([]byte("OTTO\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fonts, err := appearance.NewFonts(data)
		if err != nil {
			return
		}
		if d, err := (&appearance.Mark{Text: "Ab fi", Fonts: fonts}).Draw(100, 30); err == nil {
			d.Embed(new(objects), appearance.Rules{}).Form(0, 1)
		}
	})
}
