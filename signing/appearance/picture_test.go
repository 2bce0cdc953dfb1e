package appearance_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/appearance"
)

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// chunk is one of PNG.
func chunk(kind string, data []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	out = append(append(out, kind...), data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// headerOnly is a PNG that claims a size.
func headerOnly(w, h uint32) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(header, 8, 6, 0, 0, 0))...)
}

// exif is the segment of JPEG that gives an orientation and a place.
func exif(orientation byte) []byte {
	body := append([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00"),
		0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0)
	body = append(body, "GPS 40.4168 N"...)
	return append([]byte{0xFF, 0xE1, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
}

// TestPictureBombsAreRefused (P-51): the size is looked at before anything is
// decoded.
func TestPictureBombsAreRefused(t *testing.T) {
	small := pngOf(t, image.NewGray(image.Rect(0, 0, 4, 4)))
	animated := append(append(bytes.Clone(small[:33]), chunk("acTL", make([]byte, 8))...), small[33:]...)
	for _, row := range []struct {
		name string
		data []byte
	}{
		{"65535 squared", headerOnly(65535, 65535)},
		{"one row of 2³¹−1", headerOnly(1<<31-1, 1)},
		{"5 million pixels", headerOnly(2500, 2000)},
		{"a row more than 2048 squared", headerOnly(2048, 2049)},
		{"header alone", headerOnly(10, 10)},
		{"animated", animated},
		{"larger than 5 MiB", append(bytes.Clone(small), make([]byte, 5<<20)...)},
		{"SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)},
		{"GIF", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;")},
		{"truncated JPEG", jpegOf(t, image.NewGray(image.Rect(0, 0, 40, 40)))[:100]},
		{"empty", nil},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := appearance.ParsePicture(row.data); !errors.Is(err, appearance.ErrPicture) {
			t.Errorf("%s: %v", row.name, err)
		}
		runtime.ReadMemStats(&after)
		if used := int64(after.TotalAlloc - before.TotalAlloc); used > 1<<20 {
			t.Errorf("%s: allocated %d bytes", row.name, used)
		}
	}
	if _, err := appearance.ParsePicture(pngOf(t, image.NewGray(image.Rect(0, 0, 2048, 2048)))); err != nil {
		t.Errorf("2048 squared: %v", err)
	}
}

// A photograph of a signature comes as its camera made it: turned, and with the
// place where it was taken, which has no business in a document.
func TestJPEGIsTurnedAndLosesItsPlace(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 32, 16))
	for i := range m.Pix {
		m.Pix[i] = 255
	}
	for y := range 8 { // the upper left quarter is dark
		for x := range 16 {
			m.SetGray(x, y, color.Gray{})
		}
	}
	plain := jpegOf(t, m)
	for orientation, corner := range map[byte][2]int{
		1: {0, 0}, 2: {1, 0}, 3: {1, 1}, 4: {0, 1}, 5: {0, 0}, 6: {1, 0}, 7: {1, 1}, 8: {0, 1},
	} {
		photo := append(append(bytes.Clone(plain[:2]), exif(orientation)...), plain[2:]...)
		p, err := appearance.ParsePicture(photo)
		if err != nil {
			t.Fatal(err)
		}
		w, h := 32.0, 16.0
		if orientation >= 5 {
			w, h = h, w
		}
		d, err := (&appearance.Mark{Picture: p}).Draw(w+6, h+6)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := d.Image(72)
		if err != nil {
			t.Fatal(err)
		}
		b := shown.Bounds()
		at := func(cx, cy int) uint8 {
			x, y := b.Dx()/4+cx*b.Dx()/2, b.Dy()/4+cy*b.Dy()/2
			return color.GrayModel.Convert(shown.At(x, y)).(color.Gray).Y
		}
		for _, c := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
			if dark := at(c[0], c[1]) < 128; dark != (c == corner) {
				t.Errorf("orientation %d: corner %v dark: %v", orientation, c, dark)
			}
		}
		if embedded := embed(t, d, appearance.Rules{}); strings.Contains(embedded, "GPS") {
			t.Errorf("orientation %d: the place is in the document", orientation)
		}
	}
}

// testdata/cmyk.jpg has four components with Adobe's marker, testdata/progressive.jpg
// several scans: the first is turned into RGB, the second stands as it is.
func TestJPEGKinds(t *testing.T) {
	for _, row := range []struct{ file, want, not string }{
		{"cmyk.jpg", "/DeviceRGB", "DCTDecode"},
		{"progressive.jpg", "DCTDecode", "Flate"},
	} {
		data, err := os.ReadFile("testdata/" + row.file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := appearance.ParsePicture(data)
		if err != nil {
			t.Fatalf("%s: %v", row.file, err)
		}
		d, err := (&appearance.Mark{Picture: p}).Draw(50, 50)
		if err != nil {
			t.Fatal(err)
		}
		image := ""
		for object := range strings.SplitSeq(embed(t, d, appearance.Rules{}), "endobj") {
			if strings.Contains(object, "/Subtype /Image") {
				image, _, _ = strings.Cut(object, "stream")
			}
		}
		if !strings.Contains(image, row.want) || strings.Contains(image, row.not) {
			t.Errorf("%s: %s", row.file, image)
		}
	}
}

func FuzzParsePicture(f *testing.F) {
	f.Add(pngOf(f, image.NewNRGBA(image.Rect(0, 0, 3, 3))))
	plain := jpegOf(f, image.NewGray(image.Rect(0, 0, 9, 9)))
	f.Add(append(append(bytes.Clone(plain[:2]), exif(6)...), plain[2:]...))
	f.Add(headerOnly(65535, 65535))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := appearance.ParsePicture(data)
		if err != nil {
			if !errors.Is(err, appearance.ErrPicture) {
				t.Error(err)
			}
			return
		}
		if _, err := (&appearance.Mark{Picture: p}).Draw(30, 30); err != nil {
			t.Error(err)
		}
	})
}
