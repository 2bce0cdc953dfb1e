package appearance

import (
	"encoding/binary"
	"math"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
)

// subset is a new TrueType font of the glyphs that a drawing uses (OpenType
// specification 1.9.1, chapters head to maxp). Glyph 0 is empty and never shown.
type subset struct {
	face   *font.Face
	glyphs []subsetGlyph
	index  map[subsetKey]int
}

// subsetKey: the same shape that stands for different characters gets two numbers,
// so that each of them can be read back.
type subsetKey struct {
	id   font.GID
	text string
}

type subsetGlyph struct {
	text    string
	advance float64 // font units
	outline outline
}

func newSubset(face *font.Face) *subset {
	return &subset{
		face: face, index: make(map[subsetKey]int),
		glyphs: []subsetGlyph{{advance: float64(face.Upem()) / 2}},
	}
}

// add returns the glyph's number in the subset.
func (s *subset) add(id font.GID, text string) int {
	key := subsetKey{id, text}
	if n, ok := s.index[key]; ok {
		return n
	}
	n := len(s.glyphs)
	s.index[key] = n
	g := subsetGlyph{text: text, advance: float64(s.face.HorizontalAdvance(id))}
	if shape, ok := s.face.GlyphDataOutline(id); ok {
		g.outline = quadratic(shape.Segments)
	}
	s.glyphs = append(s.glyphs, g)
	return n
}

// width of a glyph in thousandths of the text size, as its font says.
func (s *subset) width(n int) float64 {
	return round(math.Round(s.glyphs[n].advance) * 1000 / float64(s.face.Upem()))
}

// outline is made of closed contours of points on and off the curve.
type outline struct {
	contours               [][]point
	xMin, yMin, xMax, yMax int16
}

type point struct {
	x, y int16
	on   bool
}

// quadratic turns an outline of any kind into TrueType's curves. Cubic ones are cut
// until the error is below a unit's third.
func quadratic(segments []opentype.Segment) outline {
	var o outline
	var contour []fpoint
	var pen fpoint
	flush := func() {
		if points := toPoints(contour); len(points) > 1 {
			o.contours = append(o.contours, points)
		}
		contour = nil
	}
	for _, s := range segments {
		at := func(i int) fpoint { return fpoint{float64(s.Args[i].X), float64(s.Args[i].Y), true} }
		switch s.Op {
		case opentype.SegmentOpMoveTo:
			flush()
			pen = at(0)
			contour = append(contour, pen)
		case opentype.SegmentOpLineTo:
			pen = at(0)
			contour = append(contour, pen)
		case opentype.SegmentOpQuadTo:
			control := at(0)
			control.on = false
			pen = at(1)
			contour = append(contour, control, pen)
		case opentype.SegmentOpCubeTo:
			contour = append(contour, quadratics(pen, at(0), at(1), at(2))...)
			pen = at(2)
		}
	}
	flush()
	o.measure()
	return o
}

type fpoint struct {
	x, y float64
	on   bool
}

func mix(a, b fpoint, t float64) fpoint {
	return fpoint{a.x + (b.x-a.x)*t, a.y + (b.y-a.y)*t, true}
}

// quadratics approximates a cubic curve by pieces whose control points lie where
// the tangents of the piece say. The error of one piece is at most √3/36 of the
// third difference, and falls with the third power of their number.
func quadratics(p0, p1, p2, p3 fpoint) []fpoint {
	const tolerance = 0.3 // font units
	const most = 16
	dx, dy := p3.x-3*p2.x+3*p1.x-p0.x, p3.y-3*p2.y+3*p1.y-p0.y
	n := min(most, max(1, int(math.Ceil(math.Cbrt(math.Hypot(dx, dy)*math.Sqrt(3)/36/tolerance)))))
	var out []fpoint
	for i := range n {
		// Cut the piece [a,b] out of the curve (de Casteljau).
		a, b := float64(i)/float64(n), float64(i+1)/float64(n)
		q0, q1, q2, q3 := part(p0, p1, p2, p3, a, b)
		control := fpoint{x: (3*(q1.x+q2.x) - q0.x - q3.x) / 4, y: (3*(q1.y+q2.y) - q0.y - q3.y) / 4}
		out = append(out, control, fpoint{q3.x, q3.y, true})
	}
	return out
}

func part(p0, p1, p2, p3 fpoint, a, b float64) (q0, q1, q2, q3 fpoint) {
	at := func(t, u, v float64) fpoint { // the blossom of the curve
		x, y, z := mix(p0, p1, t), mix(p1, p2, t), mix(p2, p3, t)
		x, y = mix(x, y, u), mix(y, z, u)
		return mix(x, y, v)
	}
	return at(a, a, a), at(a, a, b), at(a, b, b), at(b, b, b)
}

// toPoints rounds a contour, and leaves out its repeated end and the points that
// TrueType reads in the middle between two controls.
func toPoints(in []fpoint) []point {
	if n := len(in); n > 1 && in[0].x == in[n-1].x && in[0].y == in[n-1].y && in[n-1].on {
		in = in[:n-1]
	}
	var out []point
	for i, p := range in {
		if p.on && len(in) > 2 {
			before, after := in[(i+len(in)-1)%len(in)], in[(i+1)%len(in)]
			implied := !before.on && !after.on && 2*p.x == before.x+after.x && 2*p.y == before.y+after.y
			if implied && i > 0 {
				continue
			}
		}
		out = append(out, point{unit(p.x), unit(p.y), p.on})
	}
	return out
}

func unit(v float64) int16 {
	return int16(math.Round(max(math.MinInt16, min(math.MaxInt16, v))))
}

func (o *outline) measure() {
	first := true
	for _, c := range o.contours {
		for _, p := range c {
			if first {
				o.xMin, o.xMax, o.yMin, o.yMax, first = p.x, p.x, p.y, p.y, false
				continue
			}
			o.xMin, o.xMax = min(o.xMin, p.x), max(o.xMax, p.x)
			o.yMin, o.yMax = min(o.yMin, p.y), max(o.yMax, p.y)
		}
	}
}

// bounds is the box around all glyphs, in font units.
func (s *subset) bounds() (xMin, yMin, xMax, yMax int16) {
	for _, g := range s.glyphs {
		o := g.outline
		xMin, yMin, xMax, yMax = min(xMin, o.xMin), min(yMin, o.yMin), max(xMax, o.xMax), max(yMax, o.yMax)
	}
	return xMin, yMin, xMax, yMax
}

// bytes writes the font file with the tables that a CIDFontType2 needs (ISO 32000-2
// table 124).
func (s *subset) bytes() []byte {
	be := binary.BigEndian
	var glyf, loca, hmtx []byte
	maxPoints, maxContours, maxAdvance := 0, 0, 0
	for _, g := range s.glyphs {
		loca = be.AppendUint32(loca, uint32(len(glyf)))
		advance := int(math.Round(max(0, min(math.MaxUint16, g.advance))))
		maxAdvance = max(maxAdvance, advance)
		hmtx = be.AppendUint16(hmtx, uint16(advance))
		hmtx = be.AppendUint16(hmtx, uint16(g.outline.xMin))
		points := 0
		for _, c := range g.outline.contours {
			points += len(c)
		}
		maxPoints, maxContours = max(maxPoints, points), max(maxContours, len(g.outline.contours))
		glyf = g.outline.append(glyf)
		for len(glyf)%4 != 0 {
			glyf = append(glyf, 0)
		}
	}
	loca = be.AppendUint32(loca, uint32(len(glyf)))
	xMin, yMin, xMax, yMax := s.bounds()
	extents, _ := s.face.FontHExtents()

	head := be.AppendUint32(nil, 0x00010000) // version
	head = be.AppendUint32(head, 0x00010000) // fontRevision
	head = be.AppendUint32(head, 0)          // checkSumAdjustment, set below
	head = be.AppendUint32(head, 0x5F0F3CF5)
	head = be.AppendUint16(head, 0x0003) // baseline and left bearing at zero
	head = be.AppendUint16(head, s.face.Upem())
	head = append(head, make([]byte, 16)...) // created, modified
	for _, v := range []int16{xMin, yMin, xMax, yMax, 0, 8, 2, 1, 0} {
		head = be.AppendUint16(head, uint16(v)) // … macStyle, lowestRecPPEM, direction, long loca, format
	}
	hhea := be.AppendUint32(nil, 0x00010000)
	for _, v := range []int16{unit(float64(extents.Ascender)), unit(float64(extents.Descender)), 0} {
		hhea = be.AppendUint16(hhea, uint16(v))
	}
	hhea = be.AppendUint16(hhea, uint16(maxAdvance))
	for _, v := range []int16{xMin, 0, xMax, 1, 0, 0, 0, 0, 0, 0, 0} {
		hhea = be.AppendUint16(hhea, uint16(v))
	}
	hhea = be.AppendUint16(hhea, uint16(len(s.glyphs)))
	maxp := be.AppendUint32(nil, 0x00010000)
	for _, v := range []int{len(s.glyphs), maxPoints, maxContours, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0} {
		maxp = be.AppendUint16(maxp, uint16(v))
	}
	return assemble([]table{{"glyf", glyf}, {"head", head}, {"hhea", hhea}, {"hmtx", hmtx}, {"loca", loca}, {"maxp", maxp}})
}

// append writes a simple glyph (glyf table, simple glyph description).
func (o *outline) append(dst []byte) []byte {
	if len(o.contours) == 0 {
		return dst
	}
	be := binary.BigEndian
	for _, v := range []int16{int16(len(o.contours)), o.xMin, o.yMin, o.xMax, o.yMax} {
		dst = be.AppendUint16(dst, uint16(v))
	}
	last := -1
	var flags, xs, ys []byte
	var x, y int16
	for _, c := range o.contours {
		last += len(c)
		dst = be.AppendUint16(dst, uint16(last))
		for _, p := range c {
			flag := byte(0)
			if p.on {
				flag = 1
			}
			flags = append(flags, flag)
			xs = be.AppendUint16(xs, uint16(p.x-x))
			ys = be.AppendUint16(ys, uint16(p.y-y))
			x, y = p.x, p.y
		}
	}
	dst = be.AppendUint16(dst, 0) // no instructions
	dst = append(dst, flags...)
	dst = append(dst, xs...)
	return append(dst, ys...)
}

type table struct {
	tag  string
	data []byte
}

// assemble writes the table directory; tables come in the order of their tags.
func assemble(tables []table) []byte {
	be := binary.BigEndian
	power, selector := 1, 0
	for power*2 <= len(tables) {
		power, selector = power*2, selector+1
	}
	out := be.AppendUint32(nil, 0x00010000)
	for _, v := range []int{len(tables), power * 16, selector, (len(tables) - power) * 16} {
		out = be.AppendUint16(out, uint16(v))
	}
	at, headAt := len(out)+16*len(tables), 0
	var body []byte
	for _, t := range tables {
		if t.tag == "head" {
			headAt = at
		}
		out = append(out, t.tag...)
		out = be.AppendUint32(out, checksum(t.data))
		out = be.AppendUint32(out, uint32(at))
		out = be.AppendUint32(out, uint32(len(t.data)))
		body = append(body, t.data...)
		at += len(t.data)
		for len(body)%4 != 0 {
			body, at = append(body, 0), at+1
		}
	}
	out = append(out, body...)
	be.PutUint32(out[headAt+8:], 0xB1B0AFBA-checksum(out))
	return out
}

func checksum(data []byte) uint32 {
	sum := uint32(0)
	for i := 0; i < len(data); i += 4 {
		var word [4]byte
		copy(word[:], data[i:])
		sum += binary.BigEndian.Uint32(word[:])
	}
	return sum
}
