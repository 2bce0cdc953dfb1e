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
		isEmpty := f.Type == "Sig" && f.Value.IsNull()
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
			l.target.existing = f
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
	return nil
}

// putField writes the new or changed field and, for a new one, the page's list
// of annotations.
func (l *layout) putField() error {
	l.signature = l.update.Reserve()
	value := []byte(l.signature.String())
	if f := l.target.existing; f != nil {
		edit := pdf.NewEdit(f.Dict).Set("V", value)
		merged := len(f.Widgets) == 1 && f.Widgets[0] == f.Ref
		if merged {
			if err := l.dress(f.Dict, edit); err != nil {
				return err
			}
		}
		l.update.Put(f.Ref, edit.Bytes())
		if !merged {
			return l.dressKids(f)
		}
		return nil
	}
	page, err := l.doc.FirstPage()
	if err != nil {
		return err
	}
	l.fieldObject = l.update.Reserve()
	body := []byte("<<\n/FT /Sig\n/T ")
	body = pdf.AppendText(body, l.field)
	body = fmt.Appendf(body, "\n/V %s\n/Type /Annot\n/Subtype /Widget\n/Rect [0 0 0 0]\n/F 132\n/P %s", value, page.Ref)
	if l.target.lock != nil { // table 235: the lock is an indirect object
		lock := l.update.Reserve()
		l.update.Put(lock, l.target.lock)
		body = fmt.Appendf(body, "\n/Lock %s", lock)
	}
	body = append(body, "\n>>"...)
	l.update.Put(l.fieldObject, body)
	return l.annotate(page, l.fieldObject)
}

// annotate puts a widget into the /Annots of a page. Of a page with an indirect
// array only the array changes.
func (l *layout) annotate(page pdf.Page, widget pdf.Ref) error {
	entry := page.Dict.Get("Annots")
	array, err := l.doc.Resolve(entry)
	if err != nil {
		return err
	}
	if !array.IsNull() && array.Kind() != pdf.Array {
		return &pdf.FormatError{Offset: array.Offset(), What: "/Annots of the first page is no array"}
	}
	items := pdf.AppendItem(array, []byte(widget.String()))
	if ref, ok := entry.Ref(); ok && !array.IsNull() {
		l.update.Put(ref, items)
		return nil
	}
	if err := unambiguous(page.Dict, "the first page"); err != nil {
		return err
	}
	l.update.Put(page.Ref, pdf.NewEdit(page.Dict).Set("Annots", items).Bytes())
	return nil
}

func (l *layout) dressKids(f *pdf.Field) error {
	for _, ref := range f.Widgets {
		object, err := l.doc.Object(ref)
		if err != nil {
			return err
		}
		edit := pdf.NewEdit(object.Value)
		if err := l.dress(object.Value, edit); err != nil {
			return err
		}
		if edit.Changed() {
			l.update.Put(ref, edit.Bytes())
		}
	}
	return nil
}

// dress gives a visible widget an empty appearance, which it must have
// (12.5.2), and which shows the place of the signature as blank.
func (l *layout) dress(widget pdf.Object, edit *pdf.Edit) error {
	ap, err := l.doc.Value(widget, "AP")
	if err != nil || !ap.Get("N").IsNull() {
		return err
	}
	rect, err := l.doc.Value(widget, "Rect")
	if err != nil {
		return err
	}
	var side [4]float64
	for i, item := range rect.Items() {
		if v, ok := item.Float(); ok && i < len(side) {
			side[i] = v
		}
	}
	width, height := max(side[2]-side[0], side[0]-side[2]), max(side[3]-side[1], side[1]-side[3])
	if width == 0 || height == 0 {
		return nil
	}
	form := l.update.Reserve()
	l.update.Put(form, fmt.Appendf(nil,
		"<< /Type /XObject /Subtype /Form /BBox [0 0 %.4g %.4g] /Resources << >> /Length 0 >>\nstream\n\nendstream", width, height))
	edit.Set("AP", fmt.Appendf(nil, "<< /N %s >>", form))
	return nil
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
