package pades

import (
	"slices"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Bits that filling in a field may change: the print and lock flags of a widget
// (table 167), and the read-only flag of a field (table 227).
const (
	fillableWidgetFlags = 1<<2 | 1<<6 | 1<<7 | 1<<9
	fillableFieldFlags  = 1 << 0
)

// compareField judges an existing field whose objects may have changed: it may
// be signed when it was empty, or filled in, unless a signature locked it
// (threats P-27, P-28).
func (c *comparison) compareField(before, after pdf.Field) error {
	if before.Name != after.Name || before.Type != after.Type {
		c.set.raise(ChangesOther, "the form field %q was renamed or became another kind", before.Name)
		return nil
	}
	filled, err := c.valueChanged(before, after)
	if err != nil {
		return err
	}
	parts := append([]pdf.Ref{before.Ref}, before.Widgets...)
	touched := slices.ContainsFunc(parts, func(r pdf.Ref) bool { return c.changed[r.Number] })
	if !touched && !filled && !c.appearanceChanged(parts) {
		return nil
	}
	signedNow := before.Type == "Sig" && before.Value.IsNull() && !after.Value.IsNull()
	class := ChangesFormFill
	switch {
	case before.Type == "Sig" && !signedNow:
		if filled {
			c.set.raise(ChangesOther, "the signature in the field %q was changed or removed", before.Name)
			return nil
		}
		if !before.Value.IsNull() {
			// It shows what whoever signed wanted to be seen (threats P-31, P-39).
			c.set.raise(ChangesUndefined, "the signed field %q changed its look", before.Name)
		}
	case signedNow:
		if class, err = c.newValue(after); err != nil {
			return err
		}
	}
	if c.rules.locks(before.Name) && class != ChangesLTVOnly && (filled || !before.Value.IsNull()) {
		c.set.locked = before.Name
		c.set.raise(ChangesOther, "the form field %q was changed although a signature had locked it", before.Name)
		return nil
	}
	switch {
	case signedNow:
		c.set.raise(class, "the field %q was signed", before.Name)
	case filled:
		c.set.raise(class, "the form field %q was filled in", before.Name)
		c.set.note(findFilled, "the form field %q was filled in later", before.Name)
	case !c.mayBeDressed(before):
		c.set.raise(ChangesUndefined, "the appearance of the form field %q changed, but not its value", before.Name)
	default:
		c.set.raise(class, "the form field %q got an appearance", before.Name)
	}
	for _, ref := range parts {
		if err := c.compareFilled(ref, before.Name); err != nil {
			return err
		}
		if signedNow {
			c.signatures[ref] = class
		}
	}
	c.explainValue(before)
	return nil
}

// valueChanged compares what a field holds, through references.
func (c *comparison) valueChanged(before, after pdf.Field) (bool, error) {
	if ref, ok := before.Value.Ref(); ok && c.changed[ref.Number] {
		return true, nil
	}
	old, err := c.before.Resolve(before.Value)
	if err != nil {
		return false, err
	}
	now, err := c.after.Resolve(after.Value)
	if err != nil {
		return false, err
	}
	return !pdf.Equal(old, now), nil
}

// explainValue allows a value in an object of its own to be overwritten when it
// serves this field alone.
func (c *comparison) explainValue(f pdf.Field) {
	ref, ok := f.Value.Ref()
	if ok && f.Type != "Sig" && c.changed[ref.Number] && c.referredOnly(ref.Number, func(r referrer) bool {
		return r.number == f.Ref.Number && r.key == "V"
	}) {
		c.explained[ref.Number] = true
	}
}

// mayBeDressed tells whether a field may get an appearance without another
// value: when it had none, or when the form asked viewers to make one.
func (c *comparison) mayBeDressed(f pdf.Field) bool {
	if on, _ := c.oldForm.Dict.Get("NeedAppearances").Bool(); on {
		return true
	}
	for _, w := range f.Widgets {
		object, err := c.before.Object(w)
		if err != nil || !object.Value.Get("AP").IsNull() {
			return false
		}
	}
	return true
}

// watchAppearances notes the objects of all appearances.
func (c *comparison) watchAppearances() {
	for _, f := range c.oldForm.Fields {
		for _, w := range f.Widgets {
			if object, err := c.before.Object(w); err == nil {
				c.eachAppearance(object.Value.Get("AP"), func(ref pdf.Ref) { c.watched[ref.Number] = true })
			}
		}
	}
}

// appearanceChanged tells whether an appearance of a widget was overwritten in
// place.
func (c *comparison) appearanceChanged(widgets []pdf.Ref) bool {
	changed := false
	for _, w := range widgets {
		object, err := c.before.Object(w)
		if err != nil {
			continue
		}
		c.eachAppearance(object.Value.Get("AP"), func(ref pdf.Ref) { changed = changed || c.changed[ref.Number] })
	}
	return changed
}

// eachAppearance visits the objects of an appearance dictionary down to its
// streams (12.5.5): the dictionary, its sub-dictionaries, the streams.
func (c *comparison) eachAppearance(ap pdf.Object, visit func(pdf.Ref)) {
	const depth = 3
	var walk func(o pdf.Object, left int)
	walk = func(o pdf.Object, left int) {
		pdf.Walk(o, func(_ string, ref pdf.Ref) {
			visit(ref)
			object, err := c.before.Object(ref)
			if err == nil && !object.Stream() && left > 0 {
				walk(object.Value, left-1)
			}
		})
	}
	walk(ap, depth-1)
}

// compareFilled allows a field or widget to get a value and an appearance, and
// explains appearances that were overwritten when they serve this field alone.
func (c *comparison) compareFilled(ref pdf.Ref, name string) error {
	old, now, err := c.objects(ref.Number)
	if err != nil {
		return err
	}
	if c.changed[ref.Number] {
		c.explained[ref.Number] = true
	}
	for _, key := range pdf.Differences(old.Value, now.Value) {
		allowed := false
		switch key {
		case "V", "AP", "AS", "M", "DA", "Q", "MK", "I", "RV":
			allowed = true
		case "Type":
			allowed = old.Value.Get(key).IsNull() && now.Value.Get(key).Name() == "Annot"
		case "F":
			allowed = sameBits(old.Value, now.Value, key, fillableWidgetFlags)
		case "Ff":
			allowed = sameBits(old.Value, now.Value, key, fillableFieldFlags)
		}
		if !allowed {
			c.set.raise(ChangesUndefined, "the entry /%s of the field %q changed", key, name)
		}
	}
	if ap, ok := old.Value.Get("AP").Ref(); ok && !pdf.Equal(old.Value.Get("AP"), now.Value.Get("AP")) || c.changed[ap.Number] {
		if !c.referredOnly(ap.Number, func(r referrer) bool { return r.number == ref.Number && r.key == "AP" }) {
			c.set.raise(ChangesUndefined, "the appearance of the field %q served something else too", name)
		}
	}
	inside := map[uint32]bool{ref.Number: true}
	c.eachAppearance(old.Value.Get("AP"), func(target pdf.Ref) {
		if c.referredOnly(target.Number, func(r referrer) bool {
			return inside[r.number] && (r.number != ref.Number || r.key == "AP")
		}) {
			inside[target.Number] = true
			if c.changed[target.Number] {
				c.explained[target.Number] = true
			}
		}
	})
	return nil
}

// sameBits tells whether two flag entries differ in the given bits alone.
func sameBits(old, now pdf.Object, key string, mask int64) bool {
	a, _ := old.Get(key).Int()
	b, _ := now.Get(key).Int()
	return (a^b)&^mask == 0
}
