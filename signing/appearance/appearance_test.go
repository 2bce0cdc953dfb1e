package appearance_test

import (
	"bytes"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/signing/appearance"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func values() appearance.Values {
	return appearance.Values{
		Name: "MARI-LIIS MÄNNIK", Identifier: "PNOEE-••••••••906", Issuer: "Lab ESTEID2018",
		Time: "2026-03-04 10:20:30 +02:00", Level: "PAdES B-T",
	}
}

const usual = "Signed by {name}\n{id}\n{issuer}\n{time}\nReason: {reason}\nPlace: {place}"

// dejavu has Arabic and Hebrew.
func dejavu(t testing.TB) *appearance.Fonts {
	t.Helper()
	data, err := appearance.ReadFont(needs.File(t, "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"))
	if err != nil {
		t.Fatal(err)
	}
	fonts, err := appearance.NewFonts(data)
	if err != nil {
		t.Fatal(err)
	}
	return fonts
}

// seal is a picture with alpha: a ring with a hole.
func seal(t testing.TB) *appearance.Picture {
	t.Helper()
	const side = 120
	m := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			if r := math.Hypot(float64(x)-side/2, float64(y)-side/2); r < side/2-2 && r > side/4 {
				m.Set(x, y, color.NRGBA{0x20, 0x50, 0xA0, 0xC0})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	p, err := appearance.ParsePicture(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPreviewsAreTheGoldenOnes looks at whole marks. The files were looked at by
// eye; small differences of rounding between processors are allowed.
func TestPreviewsAreTheGoldenOnes(t *testing.T) {
	for _, row := range []struct {
		name string
		mark appearance.Mark
		w, h float64
	}{
		{"text", appearance.Mark{Text: usual, Values: values(), Border: true}, 200, 64},
		{"greek-cyrillic", appearance.Mark{Text: "Υπογράφηκε: {name}\nПодписано: {name}\nõüäöšžñ ŐŰ", Values: values()}, 200, 64},
		{"right-to-left", appearance.Mark{Text: "תחתום על ידי {name} (2026)\nوقّع عليه محمد، لا 123", Values: values(), Fonts: dejavu(t), Border: true}, 200, 64},
		{"picture-left", appearance.Mark{Text: usual, Values: values(), Picture: seal(t), Border: true}, 200, 64},
		{"picture-above", appearance.Mark{Text: usual, Values: values(), Picture: seal(t), QR: "https://example.test/{id}", Border: true}, 100, 220},
		{"picture-alone", appearance.Mark{Picture: seal(t)}, 120, 60},
		{"code", appearance.Mark{Text: usual, Values: values(), QR: "https://example.test/{id}", Border: true}, 240, 80},
		{"everything", appearance.Mark{Text: usual, Values: values(), Picture: seal(t), QR: "{name}", Border: true}, 300, 80},
		{"tiny", appearance.Mark{Text: "{name}", Values: values(), Border: true}, 60, 12},
		{"wrapped", appearance.Mark{Text: strings.Repeat("A long reason, which goes on. ", 12), Border: true}, 160, 60},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, err := row.mark.Draw(row.w, row.h)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Image(144)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join("testdata", row.name+".png")
			if *update {
				var b bytes.Buffer
				if err := d.WritePNG(&b, 144); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			want, err := png.Decode(file)
			if err != nil {
				t.Fatal(err)
			}
			if want.Bounds() != got.Bounds() {
				t.Fatalf("%v, want %v", got.Bounds(), want.Bounds())
			}
			const tolerance = 4 // of 255
			for y := range want.Bounds().Dy() {
				for x := range want.Bounds().Dx() {
					a, b := color.GrayModel.Convert(got.At(x, y)).(color.Gray).Y, color.GrayModel.Convert(want.At(x, y)).(color.Gray).Y
					if a > b+tolerance && b < 255-tolerance || b > a+tolerance && a < 255-tolerance {
						t.Fatalf("pixel %d, %d is %d, want %d", x, y, a, b)
					}
				}
			}
		})
	}
}

func TestDrawRefuses(t *testing.T) {
	nan, huge := math.NaN(), 1e30
	for _, row := range []struct {
		name string
		mark appearance.Mark
		w, h float64
		want error
	}{
		{"nothing", appearance.Mark{}, 100, 50, appearance.ErrEmpty},
		{"lines without values", appearance.Mark{Text: "Reason: {reason}\n{place}"}, 100, 50, appearance.ErrEmpty},
		{"unknown place", appearance.Mark{Text: "{holder}"}, 100, 50, appearance.ErrTemplate},
		{"open brace", appearance.Mark{Text: "{name"}, 100, 50, appearance.ErrTemplate},
		{"closing brace", appearance.Mark{Text: "a } b"}, 100, 50, appearance.ErrTemplate},
		{"too long", appearance.Mark{Text: strings.Repeat("a ", 1500)}, 100, 50, appearance.ErrTemplate},
		{"too long a value", appearance.Mark{Text: "{name}", Values: appearance.Values{Name: strings.Repeat("a ", 1500)}}, 100, 50, appearance.ErrTemplate},
		{"too long a template", appearance.Mark{Text: strings.Repeat("{name}", 2000)}, 100, 50, appearance.ErrTemplate},
		{"too much text", appearance.Mark{Text: strings.Repeat("word ", 300)}, 100, 20, appearance.ErrTooSmall},
		{"too long a word", appearance.Mark{Text: strings.Repeat("w", 200)}, 100, 500, appearance.ErrTooSmall},
		{"no room for a code", appearance.Mark{Text: "x", QR: strings.Repeat("a", 400)}, 100, 20, appearance.ErrTooSmall},
		{"too long a code", appearance.Mark{QR: strings.Repeat("a", 1100)}, 500, 500, appearance.ErrTemplate},
		// P-50
		{"NaN", appearance.Mark{Text: "a"}, nan, 50, appearance.ErrSize},
		{"infinite", appearance.Mark{Text: "a"}, 100, math.Inf(1), appearance.ErrSize},
		{"huge", appearance.Mark{Text: "a"}, huge, huge, appearance.ErrSize},
		{"negative", appearance.Mark{Text: "a"}, -100, 50, appearance.ErrSize},
		{"zero", appearance.Mark{Text: "a"}, 0, 0, appearance.ErrSize},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := row.mark.Draw(row.w, row.h); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
		})
	}
}

// A mark shows letters or says which it cannot show; it draws no empty boxes.
func TestDrawNamesTheCharacterThatNoFontHas(t *testing.T) {
	for _, text := range []string{"日本", "a \U0001F58B", "שלום"} {
		_, err := (&appearance.Mark{Text: text}).Draw(200, 50)
		missing, ok := errors.AsType[*appearance.MissingGlyphError](err)
		if !ok || !strings.ContainsRune(text, missing.Rune) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestTextIsPlain (P-40, L-37): what turns text around or breaks lines does not reach
// the mark from values, and braces in values are no places.
func TestTextIsPlain(t *testing.T) {
	for _, row := range []struct{ template, name, want string }{
		{"{name}", "A\nSigned by B\r\x00\x1b[1m", "A Signed by B [1m"},
		{"{name}", "abc\u202Edef\u2066ghi\u2069\uFEFF", "abcdefghi"},
		{"by {name}!", "{issuer} {{", "by {issuer} {{!"},
		{"{{{name}}}", "x", "{x}"},
		{"a\n{place}\nb {name}", "x", "a, b x"},
	} {
		d, err := (&appearance.Mark{Text: row.template, Values: appearance.Values{Name: row.name}}).Draw(200, 50)
		if err != nil {
			t.Errorf("%q: %v", row.name, err)
			continue
		}
		want := strings.ReplaceAll(row.want, "B [1m", "B[1m")
		if got := strings.ReplaceAll(d.Text(), "B [1m", "B[1m"); got != want {
			t.Errorf("text %q, want %q", got, want)
		}
	}
}

func TestImageBoundsItsSize(t *testing.T) {
	d, err := (&appearance.Mark{Text: "a"}).Draw(1000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, dpi := range []float64{0, -1, math.NaN(), math.Inf(1), 1e6} {
		if _, err := d.Image(dpi); !errors.Is(err, appearance.ErrSize) {
			t.Errorf("%v dpi: %v", dpi, err)
		}
	}
}

func FuzzDraw(f *testing.F) {
	f.Add(usual, "MARI-LIIS", 200.0, 64.0)
	f.Add("{name", "שלום a", 20.0, 10.0)
	f.Fuzz(func(t *testing.T, template, name string, w, h float64) {
		d, err := (&appearance.Mark{Text: template, Values: appearance.Values{Name: name}, Border: true}).Draw(w, h)
		if err != nil {
			return
		}
		if gw, gh := d.Size(); gw != w || gh != h {
			t.Errorf("size %v, %v", gw, gh)
		}
		if w < 500 && h < 500 {
			if _, err := d.Image(36); err != nil {
				t.Error(err)
			}
		}
	})
}
