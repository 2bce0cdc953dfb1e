package pades

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Visible asks for a signature that shows on pages.
type Visible struct {
	// Mark is what is drawn. Of its values those that are empty are filled in from
	// the certificate and the other options.
	Mark appearance.Mark
	// Places are where it is drawn. Without any it goes into the area of an empty
	// signature field, else to the lower right corner of the last page.
	//
	// A signature has one field with one widget (ISO 32000-2 12.7.5.5); further
	// places get stamp annotations with the same appearance, in the same revision.
	Places []Place
	// LeaveStructure keeps the logical structure of a document that is signed already
	// and claims PDF/UA as it is. Otherwise the mark becomes part of it, which that
	// claim demands (ISO 14289-1 7.18.4), but which some validators count as a change of
	// what was signed.
	LeaveStructure bool
}

// Special values of Place.Page.
const (
	// LastPage is the last page; LastPage-1 is the one before it, and so on.
	LastPage = -1
	// AllPages is every page.
	AllPages = math.MinInt
)

// Corner is where on a page a mark without coordinates goes.
type Corner string

// The corners.
const (
	BottomRight Corner = "bottom-right"
	BottomLeft  Corner = "bottom-left"
	TopRight    Corner = "top-right"
	TopLeft     Corner = "top-left"
)

// Place is a rectangle on one page or all pages. Lengths are in points (1/72 inch)
// on the page as it is displayed: after cropping and rotation, from its lower left
// corner.
type Place struct {
	// Page counts from 1; or LastPage, AllPages.
	Page int
	// Corner, unless empty, takes the place of X and Y.
	Corner              Corner
	X, Y, Width, Height float64
}

// The size of a mark for which none is given, and its distance from the edges, in
// points.
const (
	DefaultMarkWidth  = 200.0
	DefaultMarkHeight = 64.0
	markMargin        = 24.0
	// maxMarks bounds the places of one signature.
	maxMarks = 1000
)

// mark is one place where the signature shows.
type mark struct {
	page    pdf.Page
	view    pdf.PageView
	rect    [4]float64 // in user space
	widget  pdf.Ref    // of an existing field, else zero
	drawing *appearance.Drawing
}

// chooseMarks finds the places and lays the mark out, so that whatever is wrong
// with it comes up before a key is used.
func (l *layout) chooseMarks() error {
	v := l.opts.Visible
	if v == nil {
		return nil
	}
	if f := l.target.existing; f != nil {
		return l.markExisting(f)
	}
	if l.rules.permission != 0 {
		return refuse(RefusedVisible, "sign without a visible mark, or in an empty field of the document",
			"the author certified the document, and a new visible field could cover what was certified")
	}
	places := v.Places
	if len(places) == 0 {
		places = []Place{{Page: LastPage, Corner: BottomRight, Width: DefaultMarkWidth, Height: DefaultMarkHeight}}
	}
	if err := l.findPlaces(places); err != nil {
		return err
	}
	if len(l.marks) > 1 && l.earlier > 0 {
		return refuse(RefusedVisible, "place the mark on one page",
			"the document is signed already, and marks on further pages would count as changes to it")
	}
	return nil
}

// suitsMark tells whether an empty field that nobody named can be taken: with a mark,
// one that has an area, unless other places are wanted.
func (l *layout) suitsMark(f *pdf.Field) (bool, error) {
	if l.opts.Visible == nil {
		return true, nil
	}
	if len(l.opts.Visible.Places) > 0 {
		return false, nil
	}
	for _, ref := range f.Widgets {
		_, ok, err := l.area(ref)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// area is the rectangle of a widget; ok is false for one that is not seen.
func (l *layout) area(widget pdf.Ref) (rect [4]float64, ok bool, err error) {
	object, err := l.doc.Object(widget)
	if err != nil {
		return rect, false, err
	}
	return l.doc.Rectangle(object.Value.Get("Rect"))
}

// markExisting draws into the area of the field that is signed.
func (l *layout) markExisting(f *pdf.Field) error {
	if len(l.opts.Visible.Places) > 0 {
		return refuse(RefusedOption, "leave out the place of the mark or the name of the field", "the field %q has a place of its own", f.Name)
	}
	for _, ref := range f.Widgets {
		rect, ok, err := l.area(ref)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		page, found, err := l.pageOf(ref)
		if err != nil {
			return err
		}
		if found {
			l.marks = append(l.marks, mark{page: page, rect: rect, widget: ref})
		}
	}
	if len(l.marks) == 0 {
		return refuse(RefusedVisible, "sign without a visible mark, or choose another field", "the field %q has no area to draw in", f.Name)
	}
	return l.drawMarks()
}

// pageOf finds the page of a widget: the one it names, if that exists, else the one
// that lists it.
func (l *layout) pageOf(widget pdf.Ref) (page pdf.Page, found bool, err error) {
	object, err := l.doc.Object(widget)
	if err != nil {
		return pdf.Page{}, false, err
	}
	named, _ := object.Value.Get("P").Ref()
	var walkErr error
	err = l.doc.WalkPages(func(p pdf.Page) bool {
		annotations, err := l.doc.Value(p.Dict, "Annots")
		if err != nil {
			walkErr = err
			return false
		}
		lists := slices.ContainsFunc(annotations.Items(), func(o pdf.Object) bool {
			ref, ok := o.Ref()
			return ok && ref == widget
		})
		if lists || !found && p.Ref == named {
			page, found = p, true
		}
		return !lists
	})
	return page, found, errors.Join(err, walkErr)
}

// findPlaces looks the pages of the places up.
func (l *layout) findPlaces(places []Place) error {
	for _, p := range places {
		if err := p.check(); err != nil {
			return err
		}
	}
	count := 0
	if err := l.doc.WalkPages(func(p pdf.Page) bool { count = p.Number; return true }); err != nil {
		return err
	}
	for _, p := range places {
		if p.Page != AllPages && (p.Page > count || p.Page < -count) {
			pages := fmt.Sprintf("%d pages", count)
			if count == 1 {
				pages = "one page"
			}
			return refuse(RefusedOption, "choose a page that exists", "the document has %s, and the mark is placed on page %d", pages, p.Page)
		}
	}
	var walkErr error
	err := l.doc.WalkPages(func(page pdf.Page) bool {
		for _, p := range places {
			if p.Page != AllPages && p.Page != page.Number && p.Page+count+1 != page.Number {
				continue
			}
			if len(l.marks) == maxMarks {
				walkErr = refuse(RefusedOption, "place it on fewer pages", "the mark is placed on more than %d pages", maxMarks)
				return false
			}
			view, err := l.doc.View(page)
			if err == nil {
				var m mark
				if m, err = p.on(page, view); err == nil {
					l.marks = append(l.marks, m)
				}
			}
			if err != nil {
				walkErr = err
				return false
			}
		}
		return true
	})
	if err := errors.Join(err, walkErr); err != nil {
		return err
	}
	return l.drawMarks()
}

// check refuses what is no place at all (threats P-50).
func (p Place) check() error {
	for _, v := range []float64{p.X, p.Y, p.Width, p.Height} {
		if math.IsNaN(v) || math.Abs(v) > appearance.MaxSide {
			return refuse(RefusedOption, "give lengths in points, 72 an inch", "the place of the mark has an impossible length")
		}
	}
	if p.Width < 0 || p.Height < 0 || p.Page == 0 {
		return refuse(RefusedOption, "count pages from 1", "the place of the mark is impossible")
	}
	return nil
}

// on computes the rectangle on one page.
func (p Place) on(page pdf.Page, view pdf.PageView) (mark, error) {
	pageWidth, pageHeight := view.Width*view.Unit, view.Height*view.Unit
	if view.Rotation%180 != 0 {
		pageWidth, pageHeight = pageHeight, pageWidth
	}
	w, h := p.Width, p.Height
	if w == 0 {
		w = DefaultMarkWidth
	}
	if h == 0 {
		h = DefaultMarkHeight
	}
	x, y := p.X, p.Y
	if p.Corner != "" {
		margin := min(markMargin, pageWidth/10, pageHeight/10)
		w, h = min(w, pageWidth-2*margin), min(h, pageHeight-2*margin)
		x, y = margin, margin
		if p.Corner == TopRight || p.Corner == BottomRight {
			x = pageWidth - margin - w
		}
		if p.Corner == TopLeft || p.Corner == TopRight {
			y = pageHeight - margin - h
		}
	}
	const hair = 0.01 // points
	if x < -hair || y < -hair || x+w > pageWidth+hair || y+h > pageHeight+hair {
		return mark{}, refuse(RefusedOption, fmt.Sprintf("the page is %.0f by %.0f points", pageWidth, pageHeight),
			"the mark does not lie on page %d", page.Number)
	}
	return mark{page: page, view: view, rect: toUserSpace(view, x/view.Unit, y/view.Unit, w/view.Unit, h/view.Unit)}, nil
}

// toUserSpace turns a rectangle of the displayed page, in units, into one of the
// page before its rotation.
func toUserSpace(v pdf.PageView, x, y, w, h float64) [4]float64 {
	var left, bottom float64
	switch v.Rotation {
	case 90:
		left, bottom, w, h = v.Width-y-h, x, h, w
	case 180:
		left, bottom = v.Width-x-w, v.Height-y-h
	case 270:
		left, bottom, w, h = y, v.Height-x-w, h, w
	default:
		left, bottom = x, y
	}
	return [4]float64{v.X + left, v.Y + bottom, v.X + left + w, v.Y + bottom + h}
}

// drawMarks lays the mark out for every size that occurs.
func (l *layout) drawMarks() error {
	m := l.opts.Visible.Mark
	l.fillIn(&m.Values)
	type size struct{ w, h float64 }
	drawn := make(map[size]*appearance.Drawing)
	for i := range l.marks {
		at := &l.marks[i]
		var err error
		if at.view, err = l.doc.View(at.page); err != nil {
			return err
		}
		w, h := (at.rect[2]-at.rect[0])*at.view.Unit, (at.rect[3]-at.rect[1])*at.view.Unit
		if at.view.Rotation%180 != 0 {
			w, h = h, w
		}
		// The same size up to rounding is the same drawing.
		key := size{math.Round(w * 100), math.Round(h * 100)}
		if drawn[key] == nil {
			if drawn[key], err = m.Draw(w, h); err != nil {
				return refuseMark(err)
			}
		}
		at.drawing = drawn[key]
	}
	return nil
}

// refuseMark says what to do about a mark that cannot be drawn.
func refuseMark(err error) error {
	advice := "choose another text, picture or font"
	switch missing := (*appearance.MissingGlyphError)(nil); {
	case errors.Is(err, appearance.ErrTooSmall):
		advice = "make the rectangle larger or the text shorter"
	case errors.Is(err, appearance.ErrSize):
		advice = "give width and height in points, 72 an inch"
	case errors.As(err, &missing):
		advice = "name a font that has it"
	}
	return &RefusedError{Code: RefusedVisible, Why: "the mark cannot be drawn: " + err.Error(), Advice: advice}
}

// fillIn completes the values of a mark.
func (l *layout) fillIn(v *appearance.Values) {
	set := func(target *string, value string) {
		if *target == "" {
			*target = value
		}
	}
	set(&v.Name, l.template.Certificate.Subject.CommonName)
	set(&v.Issuer, l.template.Certificate.Issuer.CommonName)
	set(&v.Time, l.at.Format("2006-01-02 15:04:05 -07:00"))
	set(&v.Reason, l.opts.Reason)
	set(&v.Place, l.opts.Location)
	level := l.opts.Level
	if level == "" {
		level = signing.BaselineB
	}
	set(&v.Level, "PAdES "+string(level))
}

// putMarks writes the forms of all marks and returns them in their order.
func (l *layout) putMarks() []pdf.Ref {
	rules := l.claims.rules()
	embedded := make(map[*appearance.Drawing]*appearance.Embedded)
	type key struct {
		drawing  *appearance.Drawing
		rotation int
		unit     float64
	}
	forms := make(map[key]pdf.Ref)
	var out []pdf.Ref
	for _, m := range l.marks {
		k := key{m.drawing, m.view.Rotation, m.view.Unit}
		if _, ok := forms[k]; !ok {
			if embedded[m.drawing] == nil {
				embedded[m.drawing] = m.drawing.Embed(l.update, rules)
			}
			forms[k], _, _ = embedded[m.drawing].Form(m.view.Rotation, m.view.Unit)
		}
		out = append(out, forms[k])
	}
	return out
}

// putNewField writes a new field with its widget, and the further marks as stamps.
func (l *layout) putNewField() error {
	forms := l.putMarks()
	places := l.marks
	if len(places) == 0 { // hidden, on the first page
		page, err := l.doc.FirstPage()
		if err != nil {
			return err
		}
		places = []mark{{page: page}}
		if l.claims.part > 0 { // every field has an appearance (ISO 19005-1 6.9)
			forms = []pdf.Ref{l.emptyForm(0, 0)}
		}
	}
	structure, err := l.openStructure()
	if err != nil {
		return err
	}
	var lists []annotated
	for i, m := range places {
		form := pdf.Ref{}
		if forms != nil {
			form = forms[i]
		}
		ref := l.update.Reserve()
		if i == 0 {
			l.fieldObject = ref
		}
		l.putMark(ref, m, form, structure)
		if n := len(lists); n > 0 && lists[n-1].page.Ref == m.page.Ref {
			lists[n-1].annotations = append(lists[n-1].annotations, ref)
		} else {
			lists = append(lists, annotated{m.page, []pdf.Ref{ref}})
		}
	}
	if structure != nil {
		structure.put()
	}
	for _, a := range lists {
		if err := l.annotate(a, structure != nil || l.claims.tagged && l.earlier == 0); err != nil {
			return err
		}
	}
	return nil
}

// putMark writes the annotation of a mark: that of the field, which is its widget, or a
// stamp. form is its look, zero for none.
func (l *layout) putMark(ref pdf.Ref, m mark, form pdf.Ref, structure *structure) {
	field := ref == l.fieldObject
	kind := "Annot"
	if l.claims.part == 1 { // which is of PDF 1.4 and does not know that type
		kind = "Figure"
	}
	body := []byte("<<\n/Type /Annot\n/Subtype /Stamp\n/F 708") // print, read only, locked
	if field {
		kind = "Form"
		body = pdf.AppendText([]byte("<<\n/FT /Sig\n/T "), l.field)
		body = fmt.Appendf(body, "\n/V %s\n/Type /Annot\n/Subtype /Widget\n/F 132", l.signature)
		if l.target.lock != nil { // table 235: the lock is an indirect object
			lock := l.update.Reserve()
			l.update.Put(lock, l.target.lock)
			body = fmt.Appendf(body, "\n/Lock %s", lock)
		}
	}
	body = fmt.Appendf(body, "\n/Rect %s\n/P %s", rectangle(m.rect), m.page.Ref)
	if form != (pdf.Ref{}) {
		body = fmt.Appendf(body, "\n/AP << /N %s >>", form)
	}
	alternate := l.alternate()
	if l.claims.tagged || len(l.marks) > 0 {
		if field {
			body = pdf.AppendText(append(body, "\n/TU "...), alternate)
		}
		body = pdf.AppendText(append(body, "\n/Contents "...), alternate)
	}
	if structure != nil {
		body = fmt.Appendf(body, "\n/StructParent %d", structure.add(kind, ref, m.page.Ref, alternate))
	}
	l.update.Put(ref, append(body, "\n>>"...))
}

// annotated is a page with its new annotations.
type annotated struct {
	page        pdf.Page
	annotations []pdf.Ref
}

// alternate is what the field is called by those who do not see it (/TU, and
// /Contents of annotations).
func (l *layout) alternate() string {
	for _, m := range l.marks {
		if text := []rune(m.drawing.Text()); len(text) > 0 {
			return string(text[:min(len(text), 500)])
		}
	}
	if len(l.marks) > 0 && l.template.Certificate.Subject.CommonName != "" {
		return l.template.Certificate.Subject.CommonName
	}
	return l.field
}

// rectangle writes a rectangle (7.9.5) with numbers without exponents.
func rectangle(r [4]float64) []byte {
	b := []byte{'['}
	for i, v := range r {
		if i > 0 {
			b = append(b, ' ')
		}
		text := fmt.Appendf(nil, "%.3f", v)
		b = append(b, bytes.TrimSuffix(bytes.TrimRight(text, "0"), []byte{'.'})...)
	}
	return append(b, ']')
}

// Preview lays the mark of a signature out as Prepare would and returns it as it
// comes to stand in the first of its places. Nothing is signed; the Signer of the
// credential may be nil.
func Preview(ctx context.Context, src io.ReaderAt, size int64, cred signing.Credential, o Options) (*appearance.Drawing, error) {
	if o.Visible == nil {
		return nil, refuse(RefusedOption, "ask for a mark", "an invisible signature has no preview")
	}
	l, err := newLayout(ctx, src, size, cred, o)
	if err != nil {
		return nil, err
	}
	return l.marks[0].drawing, nil
}
