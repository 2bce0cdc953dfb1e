package appearance

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/bidi"
)

// em is the size at which text is shaped; it is scaled afterwards, so that a letter
// has the same shape and relative place at every size.
const em = 1000

// paragraph is one line of the template, shaped.
type paragraph struct {
	text []rune
	// runs are in logical order.
	runs []shaping.Output
	rtl  bool
}

// typesetter shapes and wraps.
type typesetter struct {
	fonts   *Fonts
	shaper  shaping.HarfbuzzShaper
	wrapper shaping.LineWrapper
}

// shape turns lines into glyphs. The shaper is not ours and fonts may be anything,
// so a panic in it is an error here.
func (t *typesetter) shape(lines []string) (all []paragraph, err error) {
	defer func() {
		if r := recover(); r != nil {
			all, err = nil, fmt.Errorf("%w: the text cannot be set with it", ErrFont)
		}
	}()
	t.fonts.missing = 0
	for _, line := range lines {
		p := paragraph{text: []rune(line)}
		p.rtl = rightToLeft(p.text)
		direction := di.DirectionLTR
		if p.rtl {
			direction = di.DirectionRTL
		}
		var segmenter shaping.Segmenter
		for _, input := range segmenter.Split(shaping.Input{
			Text: p.text, RunEnd: len(p.text), Direction: direction, Size: fixed.I(em), Language: language.NewLanguage("en"),
		}, t.fonts) {
			p.runs = append(p.runs, t.shaper.Shape(input))
		}
		all = append(all, p)
	}
	if t.fonts.missing != 0 {
		return nil, &MissingGlyphError{Rune: t.fonts.missing}
	}
	return all, nil
}

// rightToLeft looks for the first letter with a direction (UAX #9 P2, P3).
func rightToLeft(text []rune) bool {
	for _, r := range text {
		properties, _ := bidi.LookupRune(r)
		switch properties.Class() {
		case bidi.L:
			return false
		case bidi.R, bidi.AL:
			return true
		}
	}
	return false
}

// line is one line of wrapped text, in the order from left to right. Lengths are in
// thousandths of the text size.
type line struct {
	text            []rune // of its paragraph
	runs            []shaping.Output
	width           float64
	ascent, descent float64 // both positive
	rtl             bool
}

// wrap breaks paragraphs into lines of a width in thousandths of the text size.
// whole is false when a word had to be broken.
func (t *typesetter) wrap(all []paragraph, width float64) (lines []line, whole bool) {
	whole = true
	for _, p := range all {
		direction := di.DirectionLTR
		if p.rtl {
			direction = di.DirectionRTL
		}
		config := shaping.WrapConfig{Direction: direction, BreakPolicy: shaping.Never}
		wrapped, _ := t.wrapper.WrapParagraphF(config, fixed.Int26_6(width*64), p.text, shaping.NewSliceIterator(cloneRuns(p.runs)))
		for _, w := range wrapped {
			l := line{text: p.text, rtl: p.rtl, runs: cloneRuns(w)}
			slices.SortStableFunc(l.runs, func(a, b shaping.Output) int { return cmp.Compare(a.VisualIndex, b.VisualIndex) })
			for _, run := range l.runs {
				l.width += float(run.Advance)
				l.ascent = max(l.ascent, float(run.LineBounds.Ascent))
				l.descent = max(l.descent, -float(run.LineBounds.Descent))
			}
			whole = whole && l.width <= width+1
			lines = append(lines, l)
		}
	}
	return lines, whole
}

func cloneRuns(runs []shaping.Output) []shaping.Output {
	out := slices.Clone(runs)
	for i := range out {
		out[i].Glyphs = slices.Clone(out[i].Glyphs)
	}
	return out
}

func float(v fixed.Int26_6) float64 { return float64(v) / 64 }

// leading is the distance added between lines, in thousandths of the text size.
const leading = 80

// height of lines in thousandths of the text size.
func height(lines []line) float64 {
	h := 0.0
	for i, l := range lines {
		if i > 0 {
			h += leading
		}
		h += l.ascent + l.descent
	}
	return h
}

// fit finds the largest size, in points, at which the text fits a box without
// breaking a word; where a word is wider than the box at any size, none fits.
func (t *typesetter) fit(all []paragraph, w, h float64) (size float64, lines []line, err error) {
	fits := func(size float64) bool {
		wrapped, whole := t.wrap(all, w/size*em)
		lines = wrapped
		return whole && height(wrapped)*size/em <= h+1e-6
	}
	if w <= 0 || h <= 0 || !fits(SmallestText) {
		return 0, nil, ErrTooSmall
	}
	const step = 0.25 // points
	low, high := 0, int((LargestText-SmallestText)/step)
	for low < high {
		middle := (low + high + 1) / 2
		if fits(SmallestText + float64(middle)*step) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	size = SmallestText + float64(low)*step
	fits(size)
	return size, lines, nil
}

// place turns lines into glyph runs with positions in points. The text is centred
// in the box vertically.
func place(lines []line, size, x, y, w, h float64) []*glyphRun {
	var out []*glyphRun
	scale := size / em
	top := y + h - max(0, (h-height(lines)*scale)/2)
	for _, l := range lines {
		base := top - l.ascent*scale
		at := x
		if l.rtl {
			at = x + w - l.width*scale
		}
		for _, run := range l.runs {
			g := &glyphRun{face: run.Face, size: size, reversed: run.Direction.Progression() == di.TowardTopLeft}
			g.text = l.text[run.Runes.Offset : run.Runes.Offset+run.Runes.Count]
			for i, glyph := range run.Glyphs {
				g.glyphs = append(g.glyphs, placedGlyph{
					id: glyph.GlyphID, text: clusterText(l.text, run.Glyphs, i),
					x: at + float(glyph.XOffset)*scale, y: base + float(glyph.YOffset)*scale,
				})
				at += float(glyph.Advance) * scale
			}
			out = append(out, g)
		}
		top = base - l.descent*scale - leading*scale
	}
	return out
}

// clusterText is what a glyph stands for: all runes of its cluster for the first
// glyph of the cluster, its own rune where a cluster has as many glyphs as runes,
// and nothing for further ones.
func clusterText(text []rune, glyphs []shaping.Glyph, i int) string {
	g := glyphs[i]
	runes := text[g.TextIndex() : g.TextIndex()+g.RunesCount()]
	first := i
	for first > 0 && glyphs[first-1].TextIndex() == g.TextIndex() {
		first--
	}
	switch {
	case g.GlyphsCount() == g.RunesCount():
		return string(runes[i-first])
	case i == first:
		return string(runes)
	}
	return ""
}

// glyphRun is text of one font and direction.
type glyphRun struct {
	face   *font.Face
	size   float64 // points
	glyphs []placedGlyph
	text   []rune // in logical order
	// reversed: the glyphs stand in the opposite order of the text.
	reversed bool
}

// placedGlyph is a glyph at its origin, in points from the lower left corner.
type placedGlyph struct {
	id   font.GID
	text string
	x, y float64
}

// simple tells whether reading the glyphs one by one gives the text.
func (g *glyphRun) simple() bool {
	read := ""
	for _, p := range g.glyphs {
		if p.text == "" {
			return false
		}
		read += p.text
	}
	return read == string(g.text)
}
