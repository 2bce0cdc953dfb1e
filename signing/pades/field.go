package pades

import (
	"fmt"
	"strings"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// target is the field to be signed.
type target struct {
	existing *pdf.Field // nil for a new field
	// references are the /SigRef dictionaries of certification and locks.
	references [][]byte
	// lock is the source of the /Lock dictionary of a new field.
	lock []byte
}

// chooseTarget takes the named empty field, else the first empty one that is not
// locked, else a new one.
func (l *layout) chooseTarget(r *restrictions) error {
	names := make(map[string]bool)
	for i := range l.form.Fields {
		f := &l.form.Fields[i]
		for at := range f.Name {
			if f.Name[at] == '.' {
				names[f.Name[:at]] = true
			}
		}
		names[f.Name] = true
		isEmpty := f.Type == "Sig" && f.Value.IsNull() && f.Ref != pdf.Ref{}
		if l.opts.FieldName != "" && f.Name == l.opts.FieldName {
			if !isEmpty {
				return refuse(RefusedFieldName, "leave the field name out or choose another", "the field %q is no empty signature field", f.Name)
			}
			if r.locks(f.Name) {
				return refuse(RefusedFieldLocked, "choose another field", "the field %q was locked by an earlier signature", f.Name)
			}
			l.target.existing = f
		}
		if isEmpty && l.opts.FieldName == "" && l.target.existing == nil && !r.locks(f.Name) {
			suits, err := l.suitsMark(f)
			if err != nil {
				return err
			}
			if suits {
				l.target.existing = f
			}
		}
	}
	if f := l.target.existing; f != nil {
		l.field = f.Name
		return l.honour(f)
	}
	if err := l.useLock(names); err != nil {
		return err
	}
	l.newField = true
	l.field = l.opts.FieldName
	if l.field == "" {
		for n := 1; l.field == "" || names[l.field]; n++ {
			l.field = fmt.Sprintf("Signature%d", n)
		}
	}
	if strings.Contains(l.field, ".") || names[l.field] {
		return refuse(RefusedFieldName, "choose a name without a full stop that no field has", "%q cannot be the name of a new field", l.field)
	}
	if r.locks(l.field) {
		return refuse(RefusedFieldLocked, "ask the author for a version with a field for this signature", "an earlier signature locked all fields that could be added")
	}
	return nil
}

// avoidDangling keeps the numbers of new objects out of lists that they are added to:
// a field or an annotation that is not there must not become the new one.
func (l *layout) avoidDangling() error {
	pages := make([]pdf.Page, 0, len(l.marks))
	for _, m := range l.marks {
		pages = append(pages, m.page)
	}
	if l.newField && len(pages) == 0 {
		first, err := l.doc.FirstPage()
		if err != nil {
			return err
		}
		pages = append(pages, first)
	}
	lists := []pdf.Object{l.form.Dict.Get("Fields")}
	for _, page := range pages {
		lists = append(lists, page.Dict.Get("Annots"))
	}
	for _, list := range lists {
		array, err := l.doc.Resolve(list)
		if err != nil {
			return err
		}
		l.update.Avoid(array)
	}
	return nil
}

// putField writes the new or changed field and, for a new one, the page's list
// of annotations.
func (l *layout) putField() error {
	l.signature = l.update.Reserve()
	value := []byte(l.signature.String())
	if f := l.target.existing; f != nil {
		edit := pdf.NewEdit(f.Dict).Set("V", value)
		forms := l.putMarks()
		merged := len(f.Widgets) == 1 && f.Widgets[0] == f.Ref
		if merged {
			if err := l.dress(f.Ref, f.Dict, edit, forms); err != nil {
				return err
			}
		}
		l.update.Put(f.Ref, edit.Bytes())
		if !merged {
			return l.dressKids(f, forms)
		}
		return nil
	}
	return l.putNewField()
}

// annotate puts annotations into the /Annots of a page. Of a page with an indirect
// array only the array changes, unless it also has to say that its annotations
// are visited in the order of the structure (ISO 14289-1 7.18.3), or a mark would show
// on another page that has the same array.
func (l *layout) annotate(a annotated, structured bool) error {
	page := a.page
	entry := page.Dict.Get("Annots")
	array, err := l.doc.Resolve(entry)
	if err != nil {
		return err
	}
	if !array.IsNull() && array.Kind() != pdf.Array {
		return &pdf.FormatError{Offset: array.Offset(), What: fmt.Sprintf("/Annots of page %d is no array", page.Number)}
	}
	var list []byte
	for i, ref := range a.annotations {
		if i > 0 {
			list = append(list, ' ')
		}
		list = append(list, ref.String()...)
	}
	items := pdf.AppendItem(array, list)
	edit := pdf.NewEdit(page.Dict)
	ref, indirect := entry.Ref()
	shared := false
	if indirect && len(l.marks) > 0 {
		if shared, err = l.sharesAnnotations(ref); err != nil {
			return err
		}
	}
	if indirect && !array.IsNull() && !shared {
		l.update.Put(ref, items)
	} else {
		edit.Set("Annots", items)
	}
	if structured && page.Dict.Get("Tabs").Name() != "S" {
		edit.Set("Tabs", []byte("/S"))
	}
	if !edit.Changed() {
		return nil
	}
	if err := unambiguous(page.Dict, fmt.Sprintf("page %d", page.Number)); err != nil {
		return err
	}
	l.update.Put(page.Ref, edit.Bytes())
	return nil
}

// sharesAnnotations tells whether several pages have this list of annotations.
func (l *layout) sharesAnnotations(list pdf.Ref) (bool, error) {
	if l.annotationLists == nil {
		l.annotationLists = make(map[pdf.Ref]int)
		if err := l.doc.WalkPages(func(p pdf.Page) bool {
			if ref, ok := p.Dict.Get("Annots").Ref(); ok {
				l.annotationLists[ref]++
			}
			return true
		}); err != nil {
			return false, err
		}
	}
	return l.annotationLists[list] > 1, nil
}

func (l *layout) dressKids(f *pdf.Field, forms []pdf.Ref) error {
	for _, ref := range f.Widgets {
		object, err := l.doc.Object(ref)
		if err != nil {
			return err
		}
		edit := pdf.NewEdit(object.Value)
		if err := l.dress(ref, object.Value, edit, forms); err != nil {
			return err
		}
		if edit.Changed() {
			l.update.Put(ref, edit.Bytes())
		}
	}
	return nil
}

// dress gives a visible widget its mark, or an empty appearance: it must have one
// (12.5.2), and an empty one shows the place of the signature as blank.
func (l *layout) dress(ref pdf.Ref, widget pdf.Object, edit *pdf.Edit, forms []pdf.Ref) error {
	for i, m := range l.marks {
		if m.widget == ref {
			edit.Set("AP", fmt.Appendf(nil, "<< /N %s >>", forms[i]))
			return nil
		}
	}
	ap, err := l.doc.Value(widget, "AP")
	if err != nil || !ap.Get("N").IsNull() {
		return err
	}
	rect, ok, err := l.doc.Rectangle(widget.Get("Rect"))
	if err != nil || !ok {
		return err
	}
	edit.Set("AP", fmt.Appendf(nil, "<< /N %s >>", l.emptyForm(rect[2]-rect[0], rect[3]-rect[1])))
	return nil
}

// emptyForm writes a form XObject that draws nothing.
func (l *layout) emptyForm(width, height float64) pdf.Ref {
	form := l.update.Reserve()
	l.update.Put(form, fmt.Appendf(nil,
		"<< /Type /XObject /Subtype /Form /BBox %s /Resources << >> /Length 0 >>\nstream\n\nendstream", rectangle([4]float64{0, 0, width, height})))
	return form
}

// putForm adds a new field to the AcroForm dictionary and sets SigFlags. Every
// other entry stays.
func (l *layout) putForm() error {
	edit := pdf.NewEdit(l.form.Dict)
	if l.newField {
		field := []byte(l.fieldObject.String())
		entry := l.form.Dict.Get("Fields")
		fields, err := l.doc.Resolve(entry)
		if err != nil {
			return err
		}
		if !fields.IsNull() && fields.Kind() != pdf.Array {
			return &pdf.FormatError{Offset: fields.Offset(), What: "/Fields of the form is no array"}
		}
		if ref, ok := entry.Ref(); ok && !fields.IsNull() {
			l.update.Put(ref, pdf.AppendItem(fields, field))
		} else {
			edit.Set("Fields", pdf.AppendItem(fields, field))
		}
	}
	flags, err := l.doc.Value(l.form.Dict, "SigFlags")
	if err != nil {
		return err
	}
	if n, ok := flags.Int(); !ok || n&3 != 3 {
		edit.Set("SigFlags", fmt.Appendf(nil, "%d", n|3))
	}
	switch {
	case !edit.Changed():
	case l.form.Dict.IsNull():
		ref := l.update.Reserve()
		l.update.Put(ref, edit.Bytes())
		l.setCatalog("AcroForm", []byte(ref.String()))
	case l.form.Ref != pdf.Ref{}:
		l.update.Put(l.form.Ref, edit.Bytes())
	default:
		l.setCatalog("AcroForm", edit.Bytes())
	}
	return nil
}

func (l *layout) setCatalog(key string, value []byte) {
	l.catalog.Set(key, value)
	l.changed = true
}

// putExtension declares the ETSI extension that brings ETSI.CAdES.detached
// (EN 319 142-1 5.6 for files before PDF 2.0). An ADBE extension of level 8
// declares it too.
func (l *layout) putExtension() error {
	if l.doc.Version() >= "2.0" {
		return nil
	}
	_, catalog, err := l.doc.Root()
	if err != nil {
		return err
	}
	entry := catalog.Get("Extensions")
	extensions, err := l.doc.Resolve(entry)
	if err != nil {
		return err
	}
	for _, need := range []struct {
		prefix string
		level  int64
	}{{"ESIC", 2}, {"ADBE", 8}} {
		declared, err := l.doc.Value(extensions, need.prefix)
		if err != nil {
			return err
		}
		list := declared.Items()
		if declared.Kind() == pdf.Dictionary {
			list = []pdf.Object{declared}
		}
		for _, item := range list {
			item, err := l.doc.Resolve(item)
			if err != nil {
				return err
			}
			if level, ok := item.Get("ExtensionLevel").Int(); ok && level >= need.level {
				return nil
			}
		}
	}
	if err := unambiguous(extensions, "the list of extensions"); err != nil {
		return err
	}
	body := pdf.NewEdit(extensions).Set("ESIC", []byte("<< /BaseVersion /1.7 /ExtensionLevel 2 >>")).Bytes()
	if ref, ok := entry.Ref(); ok && !extensions.IsNull() {
		l.update.Put(ref, body)
		return nil
	}
	l.setCatalog("Extensions", body)
	return nil
}
