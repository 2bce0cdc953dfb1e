package pades

import (
	"cmp"
	"errors"
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
		if f.Ref != (pdf.Ref{}) { // else compared with the list it stands in
			old[f.Ref] = f
		}
	}
	for _, f := range c.newForm.Fields {
		if f.Ref == (pdf.Ref{}) {
			continue
		}
		before, existed := old[f.Ref]
		delete(old, f.Ref)
		if existed {
			if err := c.compareField(before, f); err != nil {
				return err
			}
			continue
		}
		if slices.ContainsFunc(c.oldForm.Fields, func(o pdf.Field) bool { return o.Name == f.Name }) {
			c.set.raise(ChangesOther, "a second form field %q was added", f.Name)
			continue
		}
		class, err := c.newSignature(f)
		if err != nil {
			return err
		}
		if c.rules.locks(f.Name) && class != ChangesLTVOnly {
			// All fields but those that a lock names are locked, also those to come.
			c.set.locked = f.Name
			c.set.raise(ChangesOther, "the form field %q was added although a signature had locked it", f.Name)
			continue
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
		if visible && c.rules.permission != 0 {
			return ChangesUndefined, nil
		}
		if visible {
			c.set.note(findVisibleSignature, "the visible signature field %q was added later and may cover text", f.Name)
		}
	}
	return c.newValue(f)
}

// newValue classifies the signature that a field got. Its dictionary must be a
// new object: one that lay ready was not made by whoever signed (P-16).
func (c *comparison) newValue(f pdf.Field) (Changes, error) {
	if ref, ok := f.Value.Ref(); ok {
		if _, existed := c.before.Current(ref.Number); existed || len(c.referrers[ref.Number]) > 0 {
			c.set.raise(ChangesUndefined, "the field %q got a signature that was in the document before", f.Name)
			return ChangesUndefined, nil
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
		c.set.raiseShown("the page tree changed")
	case kind == "Page":
		return c.comparePage(before.Value, after.Value)
	case before.Value.Kind() == pdf.Array && len(c.referrers[number]) > 0 && c.referredOnly(number, inAnnots):
		return c.compareAnnotations(before.Value, after.Value)
	case before.Stream() && (kind == "XRef" || kind == "ObjStm") && len(c.referrers[number]) == 0:
		// A number of the old cross-reference machinery was used again.
	case slices.ContainsFunc(c.referrers[number], func(r referrer) bool { return r.kind == "Page" && r.key != "Annots" && r.key != "Parent" }):
		c.set.raiseShown("page content changed")
	case before.Value.Get("Subtype").Name() != "" && !before.Value.Get("Rect").IsNull() && c.referredAsAnnotation(number):
		return c.annotation(pdf.Ref{Number: number}, after.Value, c.after, "was changed")
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

// comparePage allows additions to /Annots, and their order. Entries that show nothing
// (table 31) are none that an editor needs to touch for them, yet do no more harm than
// others that are not known to be harmless.
func (c *comparison) comparePage(before, after pdf.Object) error {
	for _, key := range pdf.Differences(before, after) {
		switch {
		case key == "Annots":
		case key == "Tabs" && before.Get(key).IsNull() && after.Get(key).Name() == "S":
			// What ISO 14289-1 7.18.3 demands where the first annotation comes in.
			c.set.raise(ChangesFormFill, "the order of the annotations of a page was set")
			continue
		case slices.Contains([]string{"Tabs", "StructParents", "Metadata", "PieceInfo", "LastModified", "Thumb", "ID"}, key):
			c.set.raise(ChangesUndefined, "the entry /%s of a page changed", key)
			continue
		default:
			c.set.raiseShown("the entry /%s of a page changed", key)
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
		if err := c.compareAnnotations(old, now); err != nil {
			return err
		}
	}
	return nil
}

// compareAnnotations judges a list of annotations: widgets of fields that were
// signed later are explained, others are annotations.
func (c *comparison) compareAnnotations(before, after pdf.Object) error {
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
		if err := c.annotation(ref, item, c.after, "was added"); err != nil {
			return err
		}
	}
	for _, item := range old {
		if !slices.ContainsFunc(after.Items(), func(o pdf.Object) bool { return pdf.Equal(o, item) }) {
			ref, _ := item.Ref()
			if err := c.annotation(ref, item, c.before, "was removed"); err != nil {
				return err
			}
		}
	}
	return nil
}

// annotation notes what happened to an annotation of a document, which may be given
// by reference: its kind, its page and where it lies on it, in points.
func (c *comparison) annotation(ref pdf.Ref, item pdf.Object, doc *pdf.Document, what string) error {
	c.set.raise(ChangesAnnotations, "an annotation %s", what)
	if len(c.set.annotations) == maxNotes {
		return nil
	}
	dict, err := doc.Resolve(item)
	if err != nil {
		return err
	}
	rect, err := doc.Value(dict, "Rect")
	if err != nil {
		return err
	}
	place := "without a rectangle"
	if side := rect.Items(); len(side) == 4 {
		place = "at"
		for _, s := range side {
			number, _ := s.Float()
			place += fmt.Sprintf(" %g", number)
		}
	}
	page, err := pageOf(doc, ref, item)
	if err != nil {
		return err
	}
	c.set.annotations = append(c.set.annotations, fmt.Sprintf("%q %s %s %s", cmp.Or(dict.Get("Subtype").Name(), "?"), page, place, what))
	return nil
}

// pageOf names the page that lists an annotation.
func pageOf(doc *pdf.Document, ref pdf.Ref, item pdf.Object) (string, error) {
	found := "on no page"
	var failed error
	err := doc.WalkPages(func(p pdf.Page) bool {
		annots, err := doc.Value(p.Dict, "Annots")
		if err != nil {
			failed = err
			return false
		}
		for _, a := range annots.Items() {
			if r, ok := a.Ref(); ok && r.Number == ref.Number || !ok && pdf.Equal(a, item) {
				found = fmt.Sprintf("on page %d", p.Number)
				return false
			}
		}
		return true
	})
	return found, errors.Join(failed, err)
}
