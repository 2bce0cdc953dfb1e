package pades

import (
	"errors"
	"math"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// pages looks for content beyond what is shown of each page.
func (s *scanner) pages() error {
	var failed error
	err := s.doc.WalkPages(func(p pdf.Page) bool {
		s.pageCount++
		if failed = s.ctx.Err(); failed != nil {
			return false
		}
		if s.pageCount > maxScannedPages || s.content > maxScannedBytes {
			s.complete = false
			return true
		}
		outside, err := s.outside(p)
		if err != nil && !harmlessError(err) && !tooLarge(err) {
			failed = err
			return false
		}
		if err != nil {
			s.complete = s.complete && !tooLarge(err)
		}
		if outside {
			s.find(RiskOutside).page(p.Number)
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

func tooLarge(err error) bool {
	var limit *pdf.LimitError
	return errors.As(err, &limit)
}

// outside tells whether text, pictures or annotations of a page stand where no
// reader sees them.
func (s *scanner) outside(p pdf.Page) (bool, error) {
	view, err := s.doc.View(p)
	if err != nil {
		return false, err
	}
	annotations, err := s.doc.Value(p.Dict, "Annots")
	if err != nil {
		return false, err
	}
	for _, item := range annotations.Items() {
		annotation, err := s.doc.Resolve(item)
		if err != nil {
			continue
		}
		r, ok, err := s.doc.Rectangle(annotation.Get("Rect"))
		if err == nil && ok && beyond(view, r) && annotation.Get("Subtype").Name() != "Popup" {
			return true, nil
		}
	}
	g := &graphics{s: s, page: p, view: view}
	return g.run()
}

// slack is how far outside something may be and still count as at the edge, in
// units of user space.
const slack = 2

func beyond(v pdf.PageView, r [4]float64) bool {
	return r[2] < v.X-slack || r[0] > v.X+v.Width+slack || r[3] < v.Y-slack || r[1] > v.Y+v.Height+slack
}

// matrix is a transformation (8.3.3).
type matrix [6]float64

// times is the transformation m followed by n.
func (m matrix) times(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

func (m matrix) apply(x, y float64) (float64, float64) {
	return m[0]*x + m[2]*y + m[4], m[1]*x + m[3]*y + m[5]
}

// box is the rectangle around a transformed one.
func (m matrix) box(r [4]float64) [4]float64 {
	out := [4]float64{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, corner := range [][2]float64{{r[0], r[1]}, {r[0], r[3]}, {r[2], r[1]}, {r[2], r[3]}} {
		x, y := m.apply(corner[0], corner[1])
		out = [4]float64{min(out[0], x), min(out[1], y), max(out[2], x), max(out[3], y)}
	}
	return out
}

// graphics follows the content of a page as far as it takes to know where text
// and pictures are. What is inside forms is clipped to them (8.10.1), so their
// boxes stand for it.
type graphics struct {
	s          *scanner
	page       pdf.Page
	view       pdf.PageView
	ctm        matrix
	saved      []matrix
	text, line matrix
	leading    float64
	found      bool
}

// maxSaved bounds the graphics states that are kept.
const maxSaved = 64

func (g *graphics) run() (bool, error) {
	contents, err := g.s.doc.Resolve(g.page.Dict.Get("Contents"))
	if err != nil {
		return false, err
	}
	parts := contents.Items()
	if contents.Kind() != pdf.Array {
		parts = []pdf.Object{g.page.Dict.Get("Contents")}
	}
	identity := matrix{1, 0, 0, 1, 0, 0}
	g.ctm, g.text, g.line = identity, identity, identity
	for _, part := range parts {
		ref, ok := part.Ref()
		if !ok {
			continue
		}
		object, err := g.s.doc.Object(ref)
		if err != nil || !object.Stream() {
			continue
		}
		data, err := g.s.doc.Content(object)
		if err != nil {
			return g.found, err
		}
		if g.s.content += int64(len(data)); g.s.content > maxScannedBytes {
			g.s.complete = false
			return g.found, nil
		}
		if err := pdf.Operations(data, pdf.Limits{}, g.operate); err != nil || g.found {
			return g.found, err
		}
	}
	return g.found, nil
}

func numbers(operands []pdf.Object) (n matrix, ok bool) {
	if len(operands) != len(n) {
		return n, false
	}
	for i, o := range operands {
		if n[i], ok = o.Float(); !ok {
			return n, false
		}
	}
	return n, true
}

func (g *graphics) operate(operator string, operands []pdf.Object) bool {
	number := func(i int) float64 {
		if i >= len(operands) {
			return 0
		}
		v, _ := operands[i].Float()
		return v
	}
	move := func(x, y float64) {
		g.line = matrix{1, 0, 0, 1, x, y}.times(g.line)
		g.text = g.line
	}
	switch operator {
	case "q":
		if len(g.saved) < maxSaved {
			g.saved = append(g.saved, g.ctm)
		}
	case "Q":
		if n := len(g.saved); n > 0 {
			g.ctm, g.saved = g.saved[n-1], g.saved[:n-1]
		}
	case "cm":
		if m, ok := numbers(operands); ok {
			g.ctm = m.times(g.ctm)
		}
	case "BT":
		g.text = matrix{1, 0, 0, 1, 0, 0}
		g.line = g.text
	case "Tm":
		if m, ok := numbers(operands); ok {
			g.text, g.line = m, m
		}
	case "TL":
		g.leading = number(0)
	case "Td":
		move(number(0), number(1))
	case "TD":
		g.leading = -number(1)
		move(number(0), number(1))
	case "T*":
		move(0, -g.leading)
	case "'", "\"":
		move(0, -g.leading)
		g.show(operands[max(0, len(operands)-1):])
	case "Tj", "TJ":
		g.show(operands)
	case "Do":
		g.draw(operands)
	}
	return !g.found
}

// show looks at where a piece of text begins. Text that begins left or right of
// the page may reach into it, so only what stands above or below counts, or far
// to the side.
func (g *graphics) show(operands []pdf.Object) {
	printed := false
	for _, o := range operands {
		for _, item := range append(o.Items(), o) {
			if b, ok := item.Bytes(); ok && len(b) > 0 {
				printed = true
			}
		}
	}
	x, y := g.text.times(g.ctm).apply(0, 0)
	r := [4]float64{x, y, x, y}
	const reach = 1000
	if x < g.view.X {
		r[2] = x + reach
	}
	if printed && beyond(g.view, r) {
		g.found = true
	}
}

// draw looks at where a picture or a form is.
func (g *graphics) draw(operands []pdf.Object) {
	if len(operands) != 1 {
		return
	}
	d := g.s.doc
	resources, err := d.Value(g.page.Dict, "Resources")
	if err != nil {
		return
	}
	objects, err := d.Value(resources, "XObject")
	if err != nil {
		return
	}
	x, err := d.Value(objects, operands[0].Name())
	if err != nil {
		return
	}
	box, m := [4]float64{0, 0, 1, 1}, g.ctm
	switch x.Get("Subtype").Name() {
	case "Image":
	case "Form":
		r, ok, err := d.Rectangle(x.Get("BBox"))
		if err != nil || !ok {
			return
		}
		box = r
		list, err := d.Value(x, "Matrix")
		if own, ok := numbers(list.Items()); err == nil && ok {
			m = own.times(m)
		}
	default:
		return
	}
	if beyond(g.view, m.box(box)) {
		g.found = true
	}
}
