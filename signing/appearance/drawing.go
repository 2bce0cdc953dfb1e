package appearance

import (
	"fmt"
	"math"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// Drawing is a mark laid out in a rectangle. Lengths are in points, the origin is
// the lower left corner.
type Drawing struct {
	width, height float64
	lines         []string
	runs          []*glyphRun
	picture       *placedPicture
	code          *placedCode
	border        bool
}

type placedPicture struct {
	*Picture
	x, y, w, h float64
}

// placedCode is a QR code: side modules in a row, dark ones true.
type placedCode struct {
	x, y, side float64
	modules    int
	dark       []bool
}

// Lengths in points.
const (
	padding    = 3.0  // between the frame and what is inside, and between the parts
	smallMark  = 40.0 // below this side the padding shrinks
	frameWidth = 0.5  // its line stands as far from the edge
)

// box is a rectangle in points.
type box struct{ x, y, w, h float64 }

// Draw lays the mark out in a rectangle of width and height in points. Errors are
// ErrSize, ErrEmpty, ErrTemplate, ErrTooSmall, ErrFont and *MissingGlyphError.
func (m *Mark) Draw(width, height float64) (*Drawing, error) {
	for _, side := range []float64{width, height} {
		// The comparison is false for NaN (threats P-50).
		if !(side >= 2 && side <= MaxSide) {
			return nil, fmt.Errorf("%w: %.4g by %.4g points", ErrSize, width, height)
		}
	}
	d := &Drawing{width: width, height: height, border: m.Border}
	lines, err := m.expand(m.Text)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		if l != "" {
			d.lines = append(d.lines, l)
		}
	}
	content, err := m.expand(m.QR)
	if err != nil {
		return nil, err
	}
	if len(d.lines) == 0 && m.Picture == nil && len(content) == 0 {
		return nil, ErrEmpty
	}
	pad := padding * min(1, min(width, height)/smallMark)
	room := box{pad, pad, width - 2*pad, height - 2*pad}
	if len(content) > 0 {
		if err := d.addCode(strings.Join(content, "\n"), &room, pad, len(d.lines) > 0 || m.Picture != nil); err != nil {
			return nil, err
		}
	}
	if m.Picture != nil {
		d.addPicture(m.Picture, &room, pad, len(d.lines) > 0)
	}
	if len(d.lines) == 0 {
		return d, nil
	}
	fonts := m.Fonts
	if fonts == nil {
		if fonts, err = NewFonts(); err != nil {
			return nil, err
		}
	}
	t := &typesetter{fonts: fonts}
	paragraphs, err := t.shape(lines)
	if err != nil {
		return nil, err
	}
	size, wrapped, err := t.fit(paragraphs, room.w, room.h)
	if err != nil {
		return nil, err
	}
	d.runs = place(wrapped, size, room.x, room.y, room.w, room.h)
	return d, nil
}

// take cuts a part off the room: at the side where the room is wide, above or below
// where it is high. What stands alone takes all of it.
func (r *box) take(part, gap float64, first, alone bool) box {
	switch {
	case alone:
		return *r
	case r.w >= r.h:
		w := r.w * part
		taken := box{r.x + r.w - w, r.y, w, r.h}
		if first {
			taken.x = r.x
			r.x += w + gap
		}
		r.w -= w + gap
		return taken
	default:
		h := r.h * part
		taken := box{r.x, r.y, r.w, h}
		if first {
			taken.y = r.y + r.h - h
		} else {
			r.y += h + gap
		}
		r.h -= h + gap
		return taken
	}
}

// addPicture stands first: at the left or at the top. Its shape is kept.
func (d *Drawing) addPicture(p *Picture, room *box, gap float64, shared bool) {
	const part = 0.38
	b := p.pixels.Bounds()
	shape := float64(b.Dx()) / float64(b.Dy())
	share := part
	if room.w >= room.h { // do not take more than a narrow picture needs
		share = min(part, room.h*shape/room.w)
	}
	place := room.take(share, gap, true, !shared)
	w, h := place.w, place.w/shape
	if h > place.h {
		w, h = place.h*shape, place.h
	}
	d.picture = &placedPicture{p, place.x + (place.w-w)/2, place.y + (place.h-h)/2, w, h}
}

// quietZone is the margin of a QR code in modules (ISO/IEC 18004 6.3.8).
const quietZone = 4

// addCode stands last: at the right or at the bottom.
func (d *Drawing) addCode(content string, room *box, gap float64, shared bool) error {
	if len(content) > MaxQR {
		return fmt.Errorf("%w: a QR code of more than %d bytes", ErrTemplate, MaxQR)
	}
	code, err := qr.Encode(content, qr.M, qr.Auto)
	if err != nil {
		return fmt.Errorf("%w: QR code: %w", ErrTemplate, err)
	}
	n := code.Bounds().Dx()
	c := &placedCode{modules: n, dark: make([]bool, n*n)}
	for y := range n {
		for x := range n {
			r, _, _, _ := code.At(x, y).RGBA()
			c.dark[y*n+x] = r == 0
		}
	}
	share := 0.5
	if room.w >= room.h {
		share = min(share, room.h/room.w)
	} else {
		share = min(share, room.w/room.h)
	}
	place := room.take(share, gap, false, !shared)
	side := min(place.w, place.h)
	module := side / float64(n+2*quietZone)
	// Cameras of today read 0.2 mm; smaller is a decoration.
	const smallest = 0.5 // points
	if module < smallest {
		return fmt.Errorf("%w: a QR code of %d by %d modules", ErrTooSmall, n, n)
	}
	c.side = module * float64(n)
	c.x = place.x + (place.w-c.side)/2
	c.y = place.y + (place.h-c.side)/2
	d.code = c
	return nil
}

// Text is what the mark says in words, for those who do not see it.
func (d *Drawing) Text() string { return strings.Join(d.lines, ", ") }

// Size returns width and height in points.
func (d *Drawing) Size() (width, height float64) { return d.width, d.height }

// each calls f for every stretch of dark modules in a row, in points.
func (c *placedCode) each(f func(x, y, w, h float64)) {
	module := c.side / float64(c.modules)
	for row := range c.modules {
		for from := 0; from < c.modules; {
			to := from
			for to < c.modules && c.dark[row*c.modules+to] {
				to++
			}
			if to > from {
				f(c.x+float64(from)*module, c.y+c.side-float64(row+1)*module, float64(to-from)*module, module)
			}
			from = to + 1
		}
	}
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }
