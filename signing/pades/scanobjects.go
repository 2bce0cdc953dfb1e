package pades

import (
	"errors"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// objects follows every reference from the trailer and looks at each object
// once; then it counts what nothing leads to.
func (s *scanner) objects() error {
	queue := []pdf.Ref{}
	push := func(o pdf.Object) {
		pdf.Walk(o, func(_ string, ref pdf.Ref) {
			if !s.seen[ref] && len(s.seen) < maxScanned {
				s.seen[ref] = true
				queue = append(queue, ref)
			}
		})
	}
	push(s.doc.Trailer())
	for len(queue) > 0 {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		ref := queue[0]
		queue = queue[1:]
		object, err := s.doc.Object(ref)
		if err != nil {
			if !harmlessError(err) {
				return err
			}
			continue // readers take it for null
		}
		if object.Stream() {
			s.stream(ref, object.Value)
		}
		s.value(ref, object.Value)
		push(object.Value)
	}
	if len(s.seen) >= maxScanned {
		s.complete = false
		return nil
	}
	return s.unused()
}

// harmlessError tells whether an object cannot be read for its own reasons.
func harmlessError(err error) bool {
	var format *pdf.FormatError
	return errors.As(err, &format) || errors.Is(err, pdf.ErrMissing)
}

// stream looks at content that lies elsewhere (7.3.8.2, 8.10.4, 14.11.7).
func (s *scanner) stream(ref pdf.Ref, dict pdf.Object) {
	if !dict.Get("F").IsNull() || !dict.Get("Ref").IsNull() || !dict.Get("OPI").IsNull() {
		s.find(RiskExternal).object(ref)
	}
	if !dict.Get("Alternates").IsNull() {
		s.find(RiskAlternate).object(ref)
	}
}

// value looks at an object and everything directly inside it.
func (s *scanner) value(ref pdf.Ref, o pdf.Object) {
	for _, item := range o.Items() {
		s.value(ref, item)
	}
	if o.Kind() != pdf.Dictionary {
		return
	}
	s.action(ref, o)
	s.dictionary(ref, o)
	for _, value := range o.Entries() {
		s.value(ref, value)
	}
}

// action names actions by their type (table 201).
func (s *scanner) action(ref pdf.Ref, o pdf.Object) {
	switch o.Get("S").Name() {
	case "JavaScript", "ECMAScript":
		s.find(RiskScript).object(ref)
	case "Launch":
		s.find(RiskLaunch).object(ref).name(s.fileName(o.Get("F")))
	case "GoToR", "GoToE", "Thread":
		if !o.Get("F").IsNull() {
			s.find(RiskRemote).object(ref).name(s.fileName(o.Get("F")))
		}
	case "SubmitForm":
		s.find(RiskSubmit).object(ref).name(s.fileName(o.Get("F")))
	case "ImportData":
		s.find(RiskImport).object(ref).name(s.fileName(o.Get("F")))
	case "URI":
		s.find(RiskLink).object(ref).name(s.text(o.Get("URI")))
	case "Rendition", "Movie", "Sound", "RichMediaExecute":
		s.find(RiskMedia).object(ref)
		if !o.Get("JS").IsNull() {
			s.find(RiskScript).object(ref)
		}
	case "GoTo3DView":
		s.find(Risk3D).object(ref)
	case "SetOCGState":
		s.find(RiskHiddenLayer).object(ref)
	case "Hide", "ResetForm":
		s.find(RiskCalculation).object(ref)
	default:
		if !o.Get("JS").IsNull() {
			s.find(RiskScript).object(ref)
		}
	}
}

// dictionary names annotations and files by their type.
func (s *scanner) dictionary(ref pdf.Ref, o pdf.Object) {
	switch o.Get("Subtype").Name() {
	case "RichMedia", "Screen", "Movie", "Sound":
		if !o.Get("Rect").IsNull() {
			s.find(RiskMedia).object(ref)
		}
	case "3D", "U3D", "PRC":
		s.find(Risk3D).object(ref)
	}
	if embedded := o.Get("EF"); !embedded.IsNull() {
		name := s.text(o.Get("UF"))
		if name == "" {
			name = s.text(o.Get("F"))
		}
		s.find(RiskEmbedded).object(ref).name(name)
	}
	const hidden = 1<<1 | 1<<5 // Hidden and NoView, table 167
	if flags, _ := o.Get("F").Int(); flags&hidden != 0 && !o.Get("Rect").IsNull() && o.Get("Subtype").Name() != "Popup" {
		if !s.empty(o.Get("Rect")) {
			s.find(RiskHidden).object(ref)
		}
	}
}

func (s *scanner) empty(rect pdf.Object) bool {
	_, ok, err := s.doc.Rectangle(rect)
	return err != nil || !ok
}

// fileName reads a file specification (7.11), a string or a dictionary.
func (s *scanner) fileName(o pdf.Object) string {
	v, err := s.doc.Resolve(o)
	if err != nil {
		return ""
	}
	if v.Kind() != pdf.Dictionary {
		return v.Text()
	}
	for _, key := range []string{"UF", "F", "Unix", "DOS", "Mac"} {
		if text := s.text(v.Get(key)); text != "" {
			return text
		}
	}
	return ""
}

func (s *scanner) text(o pdf.Object) string {
	v, err := s.doc.Resolve(o)
	if err != nil {
		return ""
	}
	return v.Text()
}

// unused counts what could be brought into use by a later update: the stock of
// shadow attacks (threats P-37).
func (s *scanner) unused() error {
	for ref := range s.doc.Refs() {
		if s.seen[ref] {
			continue
		}
		object, err := s.doc.Object(ref)
		if err != nil {
			if !harmlessError(err) {
				return err
			}
			continue
		}
		switch kind := object.Value.Get("Type").Name(); kind {
		case "Page", "Pages", "Catalog", "Font", "XObject", "Annot":
			s.find(RiskUnreferenced).object(ref)
		}
	}
	return nil
}

// unlisted looks for objects that stand in the file but in none of its tables:
// what a reader that searches for objects would find, and ours does not (P-14).
func (s *scanner) unlisted() error {
	if s.doc.Rebuilt() {
		return nil // all of them were looked for
	}
	return s.doc.Unlisted(func(ref pdf.Ref, another bool) {
		if another {
			s.find(RiskDuplicate).object(ref)
		} else {
			s.find(RiskUnlisted).object(ref)
		}
	})
}

// form looks at the fields that can change after signing.
func (s *scanner) form() error {
	form, err := s.doc.Form()
	if err != nil {
		return err
	}
	if !form.Dict.Get("XFA").IsNull() {
		s.find(RiskXFA).object(form.Ref)
	}
	if on, _ := form.Dict.Get("NeedAppearances").Bool(); on {
		s.find(RiskAppearances).object(form.Ref)
	}
	order, err := s.doc.Value(form.Dict, "CO")
	if err != nil && !harmlessError(err) {
		return err
	}
	calculated := make(map[pdf.Ref]bool)
	for _, item := range order.Items() {
		if ref, ok := item.Ref(); ok {
			calculated[ref] = true
		}
	}
	for _, f := range form.Fields {
		const readOnly, pushButton = 1 << 0, 1 << 16
		flags, err := s.inheritedFlags(f)
		if err != nil {
			return err
		}
		switch {
		case f.Type == "Sig" || f.Type == "" || f.Type == "Btn" && flags&pushButton != 0:
			continue
		case calculated[f.Ref]:
			s.find(RiskCalculation).object(f.Ref).name(f.Name)
		}
		if flags&readOnly == 0 {
			s.find(RiskFields).object(f.Ref).name(f.Name)
		}
	}
	return nil
}

// inheritedFlags are /Ff of a field or of its nearest ancestor that has it.
func (s *scanner) inheritedFlags(f pdf.Field) (int64, error) {
	dict := f.Dict
	for i := len(f.Path) - 1; ; i-- {
		v, err := s.doc.Value(dict, "Ff")
		if err != nil && !harmlessError(err) {
			return 0, err
		}
		if flags, ok := v.Int(); ok || i <= 0 {
			return flags, nil
		}
		object, err := s.doc.Object(f.Path[i-1])
		if err != nil && !harmlessError(err) {
			return 0, err
		}
		dict = object.Value
	}
}

// layers looks for optional content that is not shown, or not always (8.11.4).
func (s *scanner) layers() error {
	_, catalog, err := s.doc.Root()
	if err != nil {
		return err
	}
	properties, err := s.doc.Value(catalog, "OCProperties")
	if err != nil || properties.IsNull() {
		return ignoreHarmless(err)
	}
	groups, err := s.doc.Value(properties, "OCGs")
	if err != nil {
		return ignoreHarmless(err)
	}
	config, err := s.doc.Value(properties, "D")
	if err != nil {
		return ignoreHarmless(err)
	}
	named := func(o pdf.Object) {
		ref, _ := o.Ref()
		f := s.find(RiskHiddenLayer).object(ref)
		if group, err := s.doc.Resolve(o); err == nil {
			f.name(s.text(group.Get("Name")))
		}
	}
	off := config.Get("OFF")
	if config.Get("BaseState").Name() == "OFF" {
		on, err := s.doc.Value(config, "ON")
		if err != nil {
			return ignoreHarmless(err)
		}
		for _, group := range groups.Items() {
			if !contains(on.Items(), group) {
				named(group)
			}
		}
		off = pdf.Object{}
	}
	list, err := s.doc.Resolve(off)
	if err != nil {
		return ignoreHarmless(err)
	}
	for _, group := range list.Items() {
		named(group)
	}
	// Shown on the screen but not on paper, or at some sizes only.
	automatic, err := s.doc.Value(config, "AS")
	if err != nil {
		return ignoreHarmless(err)
	}
	for range automatic.Items() {
		s.find(RiskHiddenLayer)
	}
	return nil
}

func contains(list []pdf.Object, o pdf.Object) bool {
	for _, item := range list {
		if pdf.Equal(item, o) {
			return true
		}
	}
	return false
}

func ignoreHarmless(err error) error {
	if err != nil && !harmlessError(err) {
		return err
	}
	return nil
}
