package appearance

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/go-text/typesetting/font"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Objects takes PDF objects: *pdf.Update does.
type Objects interface {
	Reserve() pdf.Ref
	Put(ref pdf.Ref, body []byte)
}

// Rules are what the document that receives a mark asks of it. The zero value suits
// every document that claims no conformance.
type Rules struct {
	// Opaque forbids transparency: PDF/A-1 (ISO 19005-1 6.4), and later parts where
	// no output intent gives the colours to mix in.
	Opaque bool
	// Calibrated asks for colours that depend on no device: PDF/A without an output
	// intent (ISO 19005-1 6.2.3). With one, gray may stay as it is; CalibratedRGB
	// says that RGB may not.
	Calibrated, CalibratedRGB bool
	// CIDSet lists the glyphs of a subset (ISO 19005-1 6.3.5); dropped in PDF 2.0.
	CIDSet bool
}

// Colour spaces that stand for sRGB (ISO 32000-2 8.6.5.2, 8.6.5.3).
const (
	calGray = "[/CalGray << /WhitePoint [0.9505 1 1.089] /Gamma 2.2 >>]"
	calRGB  = "[/CalRGB << /WhitePoint [0.9505 1 1.089] /Gamma [2.2 2.2 2.2] " +
		"/Matrix [0.4124 0.2126 0.0193 0.3576 0.7152 0.1192 0.1805 0.0722 0.9505] >>]"
)

// Embedded is a drawing whose fonts and picture are in a document.
type Embedded struct {
	drawing   *Drawing
	objects   Objects
	rules     Rules
	resources pdf.Ref
	content   []byte // of the upright drawing, in points
}

// Embed puts fonts and picture of a drawing into a document.
func (d *Drawing) Embed(o Objects, rules Rules) *Embedded {
	e := &Embedded{drawing: d, objects: o, rules: rules}
	subsets := make(map[*font.Font]*subset)
	var order []*subset
	for _, run := range d.runs {
		s := subsets[run.face.Font]
		if s == nil {
			s = newSubset(run.face)
			subsets[run.face.Font] = s
			order = append(order, s)
		}
		for _, g := range run.glyphs {
			s.add(g.id, g.text)
		}
	}
	e.content = d.content(rules, func(run *glyphRun) (string, *subset) {
		s := subsets[run.face.Font]
		return "F" + strconv.Itoa(slices.Index(order, s)), s
	})
	body := []byte("<<")
	if len(order) > 0 {
		body = append(body, " /Font <<"...)
		for i, s := range order {
			body = fmt.Appendf(body, " /F%d %s", i, e.putFont(s))
		}
		body = append(body, " >>"...)
	}
	if d.picture != nil {
		body = fmt.Appendf(body, " /XObject << /P %s >>", e.putPicture(d.picture.Picture))
	}
	if rules.Calibrated {
		body = append(body, " /ColorSpace << /G "+calGray+" >>"...)
	}
	e.resources = o.Reserve()
	o.Put(e.resources, append(body, " >>"...))
	return e
}

// Form puts the form XObject of the drawing for a page that is shown rotated by a
// multiple of 90 degrees clockwise, and whose unit is a number of points
// (/UserUnit). It returns the object and the sides of its bounding box in units.
func (e *Embedded) Form(rotation int, unit float64) (form pdf.Ref, width, height float64) {
	w, h := e.drawing.width/unit, e.drawing.height/unit
	s := 1 / unit
	var m [6]float64
	switch width, height = w, h; rotation {
	case 90:
		width, height, m = h, w, [6]float64{0, s, -s, 0, h, 0}
	case 180:
		m = [6]float64{-s, 0, 0, -s, w, h}
	case 270:
		width, height, m = h, w, [6]float64{0, -s, s, 0, 0, w}
	default:
		m = [6]float64{s, 0, 0, s, 0, 0}
	}
	var content []byte
	if m == [6]float64{1, 0, 0, 1, 0, 0} {
		content = e.content
	} else {
		content = append(content, "q "...)
		for _, v := range m {
			content = append(appendNumber(content, v), ' ')
		}
		content = append(content, "cm\n"...)
		content = append(append(content, e.content...), "Q\n"...)
	}
	dict := []byte("/Type /XObject /Subtype /Form /FormType 1 /BBox [0 0 ")
	dict = append(appendNumber(dict, width), ' ')
	dict = fmt.Appendf(appendNumber(dict, height), "] /Resources %s", e.resources)
	form = e.objects.Reserve()
	e.objects.Put(form, stream(dict, content, true))
	return form, width, height
}

// content writes the operators of the upright drawing.
func (d *Drawing) content(rules Rules, of func(*glyphRun) (string, *subset)) []byte {
	var b []byte
	black := func(fill, stroke string) {
		if rules.Calibrated {
			b = fmt.Appendf(b, "/G %s 0 %s\n", strings.ReplaceAll(fill, "g", "cs"), strings.ReplaceAll(fill, "g", "sc"))
			b = fmt.Appendf(b, "/G %s 0 %s\n", strings.ReplaceAll(stroke, "G", "CS"), strings.ReplaceAll(stroke, "G", "SC"))
			return
		}
		b = fmt.Appendf(b, "0 %s 0 %s\n", fill, stroke)
	}
	black("g", "G")
	numbers := func(operator string, values ...float64) {
		for _, v := range values {
			b = append(appendNumber(b, v), ' ')
		}
		b = append(append(b, operator...), '\n')
	}
	if d.border {
		numbers("w", frameWidth)
		numbers("re", frameWidth, frameWidth, d.width-2*frameWidth, d.height-2*frameWidth)
		b = append(b, "S\n"...)
	}
	if p := d.picture; p != nil {
		b = append(b, "q\n"...)
		numbers("cm", p.w, 0, 0, p.h, p.x, p.y)
		b = append(b, "/P Do\nQ\n"...)
	}
	if d.code != nil {
		d.code.each(func(x, y, w, h float64) { numbers("re", x, y, w, h) })
		b = append(b, "f\n"...)
	}
	for _, run := range d.runs {
		name, s := of(run)
		b = run.append(b, name, s)
	}
	return b
}

// append shows a run. Where glyphs read one by one do not give the text, it says
// what to read (14.9.4). Runs from right to left are left to the reader, which turns
// glyphs around but not what is said of them.
func (g *glyphRun) append(b []byte, name string, s *subset) []byte {
	if len(g.glyphs) == 0 {
		return b
	}
	spelled := !g.reversed && !g.simple()
	if spelled {
		b = append(pdf.AppendText(append(b, "/Span << /ActualText "...), string(g.text)), " >> BDC\n"...)
	}
	b = fmt.Appendf(b, "BT /%s ", name)
	b = append(appendNumber(b, g.size), " Tf\n"...)
	const hair = 0.001 // points
	pen, baseline, open := 0.0, math.NaN(), false
	for _, glyph := range g.glyphs {
		n := s.index[subsetKey{glyph.id, glyph.text}]
		x, y := round(glyph.x), round(glyph.y)
		if y != baseline {
			if open {
				b = append(b, "] TJ\n"...)
			}
			b = append(appendNumber(append(b, "1 0 0 1 "...), x), ' ')
			b = append(appendNumber(b, y), " Tm [<"...)
			pen, baseline, open = x, y, true
		} else if shift := (pen - glyph.x) / g.size * 1000; math.Abs(pen-glyph.x) > hair {
			b = append(appendNumber(b, shift), '<')
			pen = glyph.x
		} else {
			b = append(b, '<')
		}
		b = fmt.Appendf(b, "%04X>", n)
		pen += s.width(n) * g.size / 1000
	}
	b = append(b, "] TJ\nET\n"...)
	if spelled {
		b = append(b, "EMC\n"...)
	}
	return b
}

// appendNumber writes a real without exponent (7.3.3).
func appendNumber(b []byte, v float64) []byte {
	v = round(v)
	if v == 0 { // not -0
		v = 0
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}

// putFont writes the composite font (9.7) of a subset.
func (e *Embedded) putFont(s *subset) pdf.Ref {
	file := s.bytes()
	fileRef, toUnicode, descriptor := e.objects.Reserve(), e.objects.Reserve(), e.objects.Reserve()
	cid, composite := e.objects.Reserve(), e.objects.Reserve()
	e.objects.Put(fileRef, stream(fmt.Appendf(nil, "/Length1 %d", len(file)), file, true))
	e.objects.Put(toUnicode, stream(nil, s.toUnicode(), true))

	name := string(pdf.AppendName(nil, subsetTag(file)+"+"+fontName(s.face)))
	per := 1000 / float64(s.face.Upem())
	xMin, yMin, xMax, yMax := s.bounds()
	extents, _ := s.face.FontHExtents()
	d := fmt.Appendf(nil, "<< /Type /FontDescriptor /FontName %s /Flags 4 /ItalicAngle 0 /StemV 80 /FontBBox [", name)
	for _, v := range []int16{xMin, yMin, xMax, yMax} {
		d = append(appendNumber(d, float64(v)*per), ' ')
	}
	d = appendNumber(append(d, "] /Ascent "...), float64(extents.Ascender)*per)
	d = appendNumber(append(d, " /Descent "...), float64(extents.Descender)*per)
	d = appendNumber(append(d, " /CapHeight "...), float64(s.face.LineMetric(font.CapHeight))*per)
	d = fmt.Appendf(d, " /FontFile2 %s", fileRef)
	if e.rules.CIDSet {
		set := make([]byte, (len(s.glyphs)+7)/8)
		for i := range s.glyphs {
			set[i/8] |= 0x80 >> (i % 8)
		}
		ref := e.objects.Reserve()
		e.objects.Put(ref, stream(nil, set, false))
		d = fmt.Appendf(d, " /CIDSet %s", ref)
	}
	e.objects.Put(descriptor, append(d, " >>"...))

	c := fmt.Appendf(nil, "<< /Type /Font /Subtype /CIDFontType2 /BaseFont %s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "+
		"/FontDescriptor %s /CIDToGIDMap /Identity /DW 0 /W [0 [", name, descriptor)
	for i := range s.glyphs {
		c = append(appendNumber(c, s.width(i)), ' ')
	}
	e.objects.Put(cid, append(c, "]] >>"...))
	e.objects.Put(composite, fmt.Appendf(nil,
		"<< /Type /Font /Subtype /Type0 /BaseFont %s /Encoding /Identity-H /DescendantFonts [%s] /ToUnicode %s >>", name, cid, toUnicode))
	return composite
}

// subsetTag is six letters that differ between subsets (9.9.2).
func subsetTag(file []byte) string {
	sum := sha256.Sum256(file)
	tag := make([]byte, 6)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	return string(tag)
}

func fontName(face *font.Face) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, face.Describe().Family)
	return name[:min(len(name), 60)]
}

// toUnicode writes the CMap that reads glyphs back (9.10.3). What carries no text of
// its own, such as the second glyph of a letter, reads as a zero width space.
func (s *subset) toUnicode() []byte {
	b := []byte("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	for from := 1; from < len(s.glyphs); from += 100 {
		to := min(from+100, len(s.glyphs))
		b = fmt.Appendf(b, "%d beginbfchar\n", to-from)
		for i := from; i < to; i++ {
			text := s.glyphs[i].text
			if text == "" {
				text = "\u200B"
			}
			b = fmt.Appendf(b, "<%04X> <", i)
			for _, unit := range utf16.Encode([]rune(text)) {
				b = fmt.Appendf(b, "%04X", unit)
			}
			b = append(b, ">\n"...)
		}
		b = append(b, "endbfchar\n"...)
	}
	return append(b, "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"...)
}

// putPicture writes an image XObject (8.9.5): a JPEG as it is, other pixels
// deflated, with a soft mask for alpha where that is allowed.
func (e *Embedded) putPicture(p *Picture) pdf.Ref {
	space := "/DeviceRGB"
	if e.rules.CalibratedRGB || e.rules.Calibrated {
		space = calRGB
	}
	if p.gray {
		space = "/DeviceGray"
		if e.rules.Calibrated {
			space = calGray
		}
	}
	bounds := p.pixels.Bounds()
	dict := fmt.Appendf(nil, "/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8", bounds.Dx(), bounds.Dy())
	ref := e.objects.Reserve()
	if p.jpeg != nil {
		e.objects.Put(ref, withStream(fmt.Appendf(dict, " /ColorSpace %s /Filter /DCTDecode", space), p.jpeg))
		return ref
	}
	source := p.pixels
	if e.rules.Opaque {
		source = p.flattened()
	}
	image := fmt.Appendf(slices.Clone(dict), " /ColorSpace %s", space)
	if !p.opaque && !e.rules.Opaque {
		mask := e.objects.Reserve()
		gray := "/DeviceGray"
		e.objects.Put(mask, stream(fmt.Appendf(slices.Clone(dict), " /ColorSpace %s", gray), channel(source, 3, 1), true))
		image = fmt.Appendf(image, " /SMask %s", mask)
	}
	data := channel(source, 0, 3)
	if p.gray {
		data = channel(source, 0, 1)
	}
	e.objects.Put(ref, stream(image, data, true))
	return ref
}

// channel takes n components of each pixel, from the given one on.
func channel(src *image.NRGBA, from, n int) []byte {
	out := make([]byte, 0, len(src.Pix)/4*n)
	for i := 0; i < len(src.Pix); i += 4 {
		out = append(out, src.Pix[i+from:i+from+n]...)
	}
	return out
}

// stream writes a stream object, deflated when that is wanted.
func stream(dict, data []byte, deflate bool) []byte {
	if deflate {
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		_, _ = w.Write(data) // a Buffer takes everything
		_ = w.Close()
		data = b.Bytes()
		dict = append(slices.Clone(dict), " /Filter /FlateDecode"...)
	}
	return withStream(dict, data)
}

func withStream(dict, data []byte) []byte {
	out := append([]byte("<< "), dict...)
	out = fmt.Appendf(out, " /Length %d >>\nstream\n", len(data))
	out = append(out, data...)
	return append(out, "\nendstream"...)
}
