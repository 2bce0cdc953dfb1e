package pades

import (
	"fmt"
	"maps"
	"slices"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// compareFields judges form fields: new ones must be signatures, old ones may be
// signed when they were empty.
func (c *comparison) compareFields() error {
	old := make(map[pdf.Ref]pdf.Field, len(c.oldForm.Fields))
	for _, f := range c.oldForm.Fields {
		old[f.Ref] = f
	}
	for _, f := range c.newForm.Fields {
		before, existed := old[f.Ref]
		delete(old, f.Ref)
		if existed {
			c.compareField(before, f)
			continue
		}
		class, err := c.newSignature(f)
		if err != nil {
			return err
		}
		c.set.raise(class, "the form field %q was added", f.Name)
		if class == ChangesUndefined {
			continue
		}
		for _, w := range f.Widgets {
			c.signatures[w] = class
		}
		c.signatures[f.Ref] = class
	}
	for _, f := range c.oldForm.Fields {
		if _, gone := old[f.Ref]; !gone {
			continue
		}
		c.set.raise(ChangesOther, "the form field %q was removed", f.Name)
	}
	return nil
}

// newSignature classifies a field that was added: a signature or a time-stamp is
// harmless. A visible one can cover text, so it is pointed out, and a certified
// document must not get one (threats P-31).
func (c *comparison) newSignature(f pdf.Field) (Changes, error) {
	if f.Type != "Sig" {
		return ChangesUndefined, nil
	}
	for _, w := range f.Widgets {
		visible, err := c.visible(w)
		if err != nil {
			return ChangesUndefined, err
		}
		if visible && c.certified {
			return ChangesUndefined, nil
		}
		if visible {
			c.set.notes = append(c.set.notes, fmt.Sprintf("the visible signature field %q was added later and may cover text", f.Name))
		}
	}
	dict, err := c.after.Resolve(f.Value)
	if err != nil {
		return ChangesUndefined, err
	}
	if dict.Get("SubFilter").Name() == subFilterRFC3161 {
		return ChangesLTVOnly, nil
	}
	return ChangesFormFill, nil
}

func (c *comparison) visible(widget pdf.Ref) (bool, error) {
	object, err := c.after.Object(widget)
	if err != nil {
		return true, err
	}
	rect, err := c.after.Value(object.Value, "Rect")
	if err != nil {
		return true, err
	}
	var side [4]float64
	if len(rect.Items()) != len(side) {
		return true, nil
	}
	for i, item := range rect.Items() {
		side[i], _ = item.Float()
	}
	const hidden = 1 << 1
	flags, _ := object.Value.Get("F").Int()
	return side[0] != side[2] && side[1] != side[3] && flags&hidden == 0, nil
}

// compareField judges an existing field whose objects may have changed.
func (c *comparison) compareField(before, after pdf.Field) {
	parts := append([]pdf.Ref{before.Ref}, before.Widgets...)
	touched := slices.ContainsFunc(parts, func(r pdf.Ref) bool { return c.changed[r.Number] })
	if before.Name != after.Name || before.Type != after.Type {
		c.set.raise(ChangesOther, "the form field %q was renamed or became another kind", before.Name)
		return
	}
	signedNow := before.Type == "Sig" && before.Value.IsNull() && !after.Value.IsNull()
	if !touched && !signedNow {
		return
	}
	if !signedNow {
		c.set.raise(ChangesUndefined, "the form field %q changed", before.Name)
		return
	}
	c.set.raise(ChangesFormFill, "the field %q was signed", before.Name)
	for _, ref := range parts {
		if c.changed[ref.Number] {
			c.compareSigned(ref, before.Name)
		}
		c.signatures[ref] = ChangesFormFill
	}
}

// compareSigned allows a field that was signed to get a value and an appearance.
func (c *comparison) compareSigned(ref pdf.Ref, name string) {
	old, now, err := c.objects(ref.Number)
	if err != nil {
		c.set.raise(ChangesUndefined, "%v", err)
		return
	}
	c.explained[ref.Number] = true
	for _, key := range pdf.Differences(old.Value, now.Value) {
		switch key {
		case "V", "AP", "M", "DA", "MK", "AS":
		default:
			c.set.raise(ChangesUndefined, "the entry /%s of the field %q changed", key, name)
		}
	}
	// An appearance stream that is overwritten must belong to this field alone.
	pdf.Walk(old.Value.Get("AP"), func(_ string, target pdf.Ref) {
		if c.changed[target.Number] && c.referredOnly(target.Number, func(r referrer) bool {
			return r.number == ref.Number && r.key == "AP"
		}) {
			c.explained[target.Number] = true
		}
	})
}

// compareRest judges every changed object that no rule explained yet.
func (c *comparison) compareRest() error {
	for _, number := range slices.Sorted(maps.Keys(c.changed)) {
		if c.explained[number] {
			continue
		}
		before, after, err := c.objects(number)
		if err != nil {
			return err
		}
		if _, existed := c.before.Current(number); !existed {
			if len(c.referrers[number]) > 0 {
				c.set.raise(ChangesUndefined, "object %d, which was referred to but missing, was added", number)
			}
			continue
		}
		if _, exists := c.after.Current(number); !exists {
			c.set.raise(ChangesUndefined, "object %d was removed", number)
			continue
		}
		if err := c.compareObject(number, before, after); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) compareObject(number uint32, before, after pdf.Indirect) error {
	kind := before.Value.Get("Type").Name()
	inAnnots := func(r referrer) bool { return r.key == "Annots" && r.kind == "Page" }
	switch {
	case kind == "Pages":
		c.set.raise(ChangesOther, "the page tree changed")
	case kind == "Page":
		return c.comparePage(before.Value, after.Value)
	case before.Value.Kind() == pdf.Array && len(c.referrers[number]) > 0 && c.referredOnly(number, inAnnots):
		c.compareAnnotations(before.Value, after.Value)
	case before.Stream() && (kind == "XRef" || kind == "ObjStm") && len(c.referrers[number]) == 0:
		// A number of the old cross-reference machinery was used again.
	case slices.ContainsFunc(c.referrers[number], func(r referrer) bool { return r.kind == "Page" && r.key != "Annots" && r.key != "Parent" }):
		c.set.raise(ChangesOther, "page content changed")
	case before.Value.Get("Subtype").Name() != "" && !before.Value.Get("Rect").IsNull() && c.referredAsAnnotation(number):
		c.set.raise(ChangesAnnotations, "an annotation changed")
	default:
		c.set.raise(ChangesUndefined, "object %d changed", number)
	}
	return nil
}

func (c *comparison) referredAsAnnotation(number uint32) bool {
	return c.referredOnly(number, func(r referrer) bool {
		return r.key == "Annots" || r.key == "" || r.key == "Popup" || r.key == "Parent" || r.key == "IRT"
	})
}

// comparePage allows nothing but additions to /Annots.
func (c *comparison) comparePage(before, after pdf.Object) error {
	for _, key := range pdf.Differences(before, after) {
		if key != "Annots" {
			c.set.raise(ChangesOther, "the entry /%s of a page changed", key)
			continue
		}
		old, err := c.before.Value(before, key)
		if err != nil {
			return err
		}
		now, err := c.after.Value(after, key)
		if err != nil {
			return err
		}
		c.compareAnnotations(old, now)
	}
	return nil
}

// compareAnnotations judges a list of annotations: widgets of fields that were
// signed later are explained, others are annotations.
func (c *comparison) compareAnnotations(before, after pdf.Object) {
	old := before.Items()
	for _, item := range after.Items() {
		if slices.ContainsFunc(old, func(o pdf.Object) bool { return pdf.Equal(o, item) }) {
			continue
		}
		ref, _ := item.Ref()
		if class, ok := c.signatures[ref]; ok {
			c.set.raise(class, "a signature field was added")
			continue
		}
		c.set.raise(ChangesAnnotations, "an annotation was added")
	}
	for _, item := range old {
		if !slices.ContainsFunc(after.Items(), func(o pdf.Object) bool { return pdf.Equal(o, item) }) {
			c.set.raise(ChangesAnnotations, "an annotation was removed")
		}
	}
}
