package appearance

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"github.com/go-text/typesetting/font/opentype"
	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
	"golang.org/x/image/vector"
)

// maxPreview bounds a preview, in pixels a side.
const maxPreview = 8192

// WritePNG draws the mark on white paper at a resolution in dots an inch, and
// writes it as PNG.
func (d *Drawing) WritePNG(w io.Writer, dpi float64) error {
	pixels, err := d.Image(dpi)
	if err != nil {
		return err
	}
	return png.Encode(w, pixels)
}

// Image draws the mark on white paper at a resolution in dots an inch.
func (d *Drawing) Image(dpi float64) (image.Image, error) {
	scale := dpi / 72
	w, h := int(math.Ceil(d.width*scale)), int(math.Ceil(d.height*scale))
	// The comparisons are false for NaN.
	if !(scale > 0 && d.width*scale <= maxPreview && d.height*scale <= maxPreview) || w < 1 || h < 1 {
		return nil, fmt.Errorf("%w: a preview of %d by %d pixels", ErrSize, w, h)
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	c := &canvas{out: out, scale: scale, height: d.height}
	if d.border {
		c.begin()
		const out, in = frameWidth / 2, frameWidth * 3 / 2
		c.rectangle(out, out, d.width-2*out, d.height-2*out, false)
		c.rectangle(in, in, d.width-2*in, d.height-2*in, true)
		c.fill()
	}
	if p := d.picture; p != nil {
		c.picture(p)
	}
	if d.code != nil {
		c.begin()
		d.code.each(func(x, y, w, h float64) { c.rectangle(x, y, w, h, false) })
		c.fill()
	}
	for _, run := range d.runs {
		c.begin()
		for _, g := range run.glyphs {
			if shape, ok := run.face.GlyphDataOutline(g.id); ok {
				c.glyph(shape.Segments, g.x, g.y, run.size/float64(run.face.Upem()))
			}
		}
		c.fill()
	}
	return out, nil
}

// canvas turns points with the origin below into pixels with the origin above.
type canvas struct {
	out           *image.RGBA
	scale, height float64
	path          *vector.Rasterizer
}

func (c *canvas) begin() { c.path = vector.NewRasterizer(c.out.Rect.Dx(), c.out.Rect.Dy()) }

func (c *canvas) fill() {
	c.path.Draw(c.out, c.out.Bounds(), image.NewUniform(color.Black), image.Point{})
}

func (c *canvas) at(x, y float64) (px, py float32) {
	return float32(x * c.scale), float32((c.height - y) * c.scale)
}

// rectangle adds a rectangle; a hole runs the other way round.
func (c *canvas) rectangle(x, y, w, h float64, hole bool) {
	corners := [4][2]float64{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}}
	if hole {
		corners[1], corners[3] = corners[3], corners[1]
	}
	for i, corner := range corners {
		px, py := c.at(corner[0], corner[1])
		if i == 0 {
			c.path.MoveTo(px, py)
		} else {
			c.path.LineTo(px, py)
		}
	}
	c.path.ClosePath()
}

func (c *canvas) glyph(segments []opentype.Segment, x, y, scale float64) {
	for i, s := range segments {
		at := func(i int) (float32, float32) {
			return c.at(x+float64(s.Args[i].X)*scale, y+float64(s.Args[i].Y)*scale)
		}
		ax, ay := at(0)
		switch s.Op {
		case opentype.SegmentOpMoveTo:
			if i > 0 {
				c.path.ClosePath()
			}
			c.path.MoveTo(ax, ay)
		case opentype.SegmentOpLineTo:
			c.path.LineTo(ax, ay)
		case opentype.SegmentOpQuadTo:
			bx, by := at(1)
			c.path.QuadTo(ax, ay, bx, by)
		case opentype.SegmentOpCubeTo:
			bx, by := at(1)
			dx, dy := at(2)
			c.path.CubeTo(ax, ay, bx, by, dx, dy)
		}
	}
	if len(segments) > 0 {
		c.path.ClosePath()
	}
}

func (c *canvas) picture(p *placedPicture) {
	b := p.pixels.Bounds()
	x, y := p.x*c.scale, (c.height-p.y-p.h)*c.scale
	sx, sy := p.w*c.scale/float64(b.Dx()), p.h*c.scale/float64(b.Dy())
	xdraw.CatmullRom.Transform(c.out, f64.Aff3{sx, 0, x, 0, sy, y}, p.pixels, b, xdraw.Over, nil)
}
