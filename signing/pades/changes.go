package pades

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// changeSet is the classification of what happened after a revision.
type changeSet struct {
	class Changes
	why   string // the first reason for the class
	// notes are harmless changes that a reader of the verdict should know of.
	notes []Finding
	// annotations says what was done to which annotation, where.
	annotations []string
	// locked names a field that was changed although a signature locked it.
	locked string
	// active tells that something was added which acts by itself.
	active bool
	// shown tells that what the pages show was changed, or which pages there are.
	shown bool
}

// maxNotes bounds the notes of one comparison, and the annotations it names.
const maxNotes = 20

func (s *changeSet) note(code, format string, args ...any) {
	if len(s.notes) < maxNotes {
		s.notes = append(s.notes, Finding{Code: code, Text: fmt.Sprintf(format, args...)})
	}
}

// weight orders the classes.
func weight(c Changes) int {
	return slices.Index([]Changes{ChangesNone, ChangesLTVOnly, ChangesFormFill, ChangesAnnotations, ChangesUndefined, ChangesOther}, c)
}

func (s *changeSet) raise(class Changes, format string, args ...any) {
	if weight(class) > weight(s.class) {
		s.class, s.why = class, fmt.Sprintf(format, args...)
	}
}

// raiseShown is for changes of what is shown.
func (s *changeSet) raiseShown(format string, args ...any) {
	s.shown = true
	s.raise(ChangesOther, format, args...)
}

const (
	// maxChanged bounds the objects that are compared one by one.
	maxChanged = 20_000
	// maxReferrers bounds what is remembered of who refers to a changed object.
	maxReferrers = 64
)

// comparison looks at what later revisions did to a signed one. An object that
// was changed is harmless only if its role allows the change and nothing outside
// that role refers to it (threats P-27 to P-38, in the coarse form that
// separates further signatures and validation data from everything else).
type comparison struct {
	before, after *pdf.Document
	set           changeSet
	changed       map[uint32]bool // objects that differ, old and new numbers
	explained     map[uint32]bool
	// watched are the objects of appearances, whose users matter even if they did
	// not change themselves.
	watched       map[uint32]bool
	referrers     map[uint32][]referrer
	root, newRoot pdf.Ref
	oldForm       *pdf.Form
	newForm       *pdf.Form
	// rules are what the signatures up to the old revision allow.
	rules      *restrictions
	signatures map[pdf.Ref]Changes // widgets of fields signed later, with their class
}

// referrer is a place in the signed revision that refers to an object.
type referrer struct {
	number uint32
	key    string // outermost key
	kind   string // /Type of the referring dictionary
}

func compareRevisions(before, after *pdf.Document) changeSet {
	c := &comparison{
		before: before, after: after,
		set:        changeSet{class: ChangesNone},
		changed:    make(map[uint32]bool),
		explained:  make(map[uint32]bool),
		watched:    make(map[uint32]bool),
		referrers:  make(map[uint32][]referrer),
		signatures: make(map[pdf.Ref]Changes),
	}
	if err := c.run(); err != nil {
		c.set.raise(ChangesUndefined, "the revisions cannot be compared: %v", err)
	}
	return c.set
}

func (c *comparison) run() error {
	if len(c.after.Revisions()) == len(c.before.Revisions()) {
		return nil
	}
	c.set.raise(ChangesLTVOnly, "a revision was added")
	if err := c.compareTrailers(); err != nil {
		return err
	}
	if err := c.findChanged(); err != nil || len(c.changed) == 0 {
		return err
	}
	var err error
	if c.oldForm, err = c.before.Form(); err != nil {
		return err
	}
	if c.newForm, err = c.after.Form(); err != nil {
		return err
	}
	c.watchAppearances()
	if err := c.findReferrers(); err != nil {
		return err
	}
	_, catalog, err := c.before.Root()
	if err != nil {
		return err
	}
	if c.rules, err = readRestrictions(c.before, c.oldForm, catalog); err != nil {
		return err
	}
	for _, step := range []func() error{c.compareFields, c.compareCatalogs, c.compareRest, c.compareActions} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) compareTrailers() error {
	oldRef, _, err := c.before.Root()
	if err != nil {
		return err
	}
	newRef, _, err := c.after.Root()
	if err != nil {
		return err
	}
	// A catalog under another number is the same if its entries are: they are
	// compared like those of one that was overwritten.
	c.root, c.newRoot = oldRef, newRef
	if !pdf.Equal(c.before.Trailer().Get("Encrypt"), c.after.Trailer().Get("Encrypt")) {
		c.set.raise(ChangesOther, "the encryption changed")
	}
	return nil
}

// findChanged collects the objects that mean something else than before.
func (c *comparison) findChanged() error {
	for _, r := range c.after.Revisions()[len(c.before.Revisions()):] {
		for _, number := range r.Objects {
			if c.changed[number] || pdf.SameObject(c.before, c.after, number) {
				continue
			}
			same, err := c.sameMeaning(number)
			if err != nil {
				return err
			}
			if same {
				continue
			}
			if c.changed[number] = true; len(c.changed) > maxChanged {
				return &pdf.LimitError{What: "changed objects", Limit: maxChanged}
			}
		}
	}
	return nil
}

// objects returns an object before and after; a missing one is null.
func (c *comparison) objects(number uint32) (before, after pdf.Indirect, err error) {
	read := func(d *pdf.Document) (pdf.Indirect, error) {
		ref, ok := d.Current(number)
		if !ok {
			return pdf.Indirect{}, nil
		}
		return d.Object(ref)
	}
	if before, err = read(c.before); err == nil {
		after, err = read(c.after)
	}
	return before, after, err
}

func (c *comparison) sameMeaning(number uint32) (bool, error) {
	before, ok1 := c.before.Current(number)
	after, ok2 := c.after.Current(number)
	if !ok1 || !ok2 {
		return ok1 == ok2, nil
	}
	a, b, err := c.objects(number)
	if err != nil || before != after || a.Value.IsNull() != b.Value.IsNull() ||
		a.Compressed != b.Compressed && (a.Stream() || b.Stream()) || !pdf.Equal(a.Value, b.Value) {
		return false, err
	}
	if a.Compressed || b.Compressed || !a.Stream() && !b.Stream() {
		return true, nil
	}
	return sameBytes(c.before.Data(a), c.after.Data(b))
}

func sameBytes(a, b *io.SectionReader) (bool, error) {
	if a == nil || b == nil || a.Size() != b.Size() {
		return a == b, nil
	}
	x, y := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(a, x)
		m, err2 := io.ReadFull(b, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		for _, err := range []error{err, err2} {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
		}
	}
}

// findReferrers reads every object of the signed revision once and notes who
// refers to what was changed. New numbers count too: a reference to nothing
// that later leads to something is a change.
func (c *comparison) findReferrers() error {
	note := func(number uint32, kind string, value pdf.Object) {
		pdf.Walk(value, func(key string, target pdf.Ref) {
			if kind == "XRef" && (key == "Info" || key == "Root" || key == "Encrypt") {
				return // a trailer, which uses these as everybody expects
			}
			if _, exists := c.before.Current(target.Number); kind == "XRef" && !exists {
				return // producers leave entries of their own that lead nowhere
			}
			if list := c.referrers[target.Number]; (c.changed[target.Number] || c.watched[target.Number]) && len(list) < maxReferrers {
				c.referrers[target.Number] = append(list, referrer{number: number, key: key, kind: kind})
			}
		})
	}
	note(0, "XRef", c.before.Trailer())
	for ref := range c.before.Refs() {
		object, err := c.before.Object(ref)
		if err != nil {
			return err
		}
		kind := object.Value.Get("Type").Name()
		if kind == "XRef" && !object.Stream() {
			kind = ""
		}
		note(ref.Number, kind, object.Value)
	}
	return nil
}

// referredOnly tells whether every referrer of an object satisfies a condition.
func (c *comparison) referredOnly(number uint32, allowed func(referrer) bool) bool {
	list := c.referrers[number]
	return len(list) < maxReferrers && !slices.ContainsFunc(list, func(r referrer) bool { return !allowed(r) })
}

// explain marks a changed object as harmless when only the given key leads to
// it.
func (c *comparison) explain(o pdf.Object, class Changes, allowed func(referrer) bool) {
	ref, ok := o.Ref()
	if !ok || !c.changed[ref.Number] {
		return
	}
	if c.referredOnly(ref.Number, allowed) {
		c.explained[ref.Number] = true
		c.set.raise(class, "object %d", ref.Number)
	}
}

// under returns a condition: referred to by the catalog, or one that was the catalog
// before and means nothing now, or an already explained object, below a key.
func (c *comparison) under(keys ...string) func(referrer) bool {
	return func(r referrer) bool {
		return slices.Contains(keys, r.key) && (r.number == c.root.Number || r.kind == "Catalog" || c.explained[r.number])
	}
}

// compareCatalogs judges the entries of the catalog and what hangs on them.
func (c *comparison) compareCatalogs() error {
	_, before, err := c.before.Root()
	if err != nil {
		return err
	}
	_, after, err := c.after.Root()
	if err != nil {
		return err
	}
	c.explained[c.root.Number] = true
	if _, existed := c.before.Current(c.newRoot.Number); c.root != c.newRoot && existed {
		c.set.raise(ChangesOther, "another object became the catalog")
	}
	for _, key := range pdf.Differences(before, after) {
		switch key {
		case "AcroForm":
		case "Extensions", "DSS":
			if after.Get(key).IsNull() {
				c.set.raise(ChangesUndefined, "the catalog entry /%s was removed", key)
			}
			c.set.raise(ChangesLTVOnly, "catalog entry /%s", key)
		case "Metadata", "Version":
			c.set.raise(ChangesLTVOnly, "catalog entry /%s", key)
		case "Pages", "OpenAction", "AA", "OCProperties", "Collection":
			c.set.raiseShown("the catalog entry /%s changed", key)
		default:
			c.set.raise(ChangesUndefined, "the catalog entry /%s changed", key)
		}
	}
	c.explain(before.Get("Extensions"), ChangesLTVOnly, c.under("Extensions"))
	c.explain(before.Get("Metadata"), ChangesLTVOnly, c.under("Metadata"))
	c.explain(c.before.Trailer().Get("Info"), ChangesLTVOnly, func(referrer) bool { return false })
	if err := c.compareForms(before, after); err != nil {
		return err
	}
	if err := c.compareStructure(before, after); err != nil {
		return err
	}
	return c.compareDSS(before)
}

// compareDSS explains changes inside the old document security store, which may
// only grow; its objects must serve nothing else.
func (c *comparison) compareDSS(catalog pdf.Object) error {
	inside := map[uint32]bool{c.root.Number: true}
	queue := []pdf.Object{catalog.Get("DSS")}
	for len(queue) > 0 && len(inside) < maxChanged {
		o := queue[0]
		queue = queue[1:]
		pdf.Walk(o, func(_ string, ref pdf.Ref) {
			if inside[ref.Number] {
				return
			}
			inside[ref.Number] = true
			if object, err := c.before.Object(ref); err == nil && !object.Stream() {
				queue = append(queue, object.Value)
			}
			if c.changed[ref.Number] && c.referredOnly(ref.Number, func(r referrer) bool {
				return inside[r.number] && (r.number != c.root.Number || r.key == "DSS")
			}) {
				c.explained[ref.Number] = true
			}
		})
	}
	return nil
}

// compareForms judges the AcroForm dictionary. Its fields were judged before.
func (c *comparison) compareForms(before, after pdf.Object) error {
	c.explain(before.Get("AcroForm"), ChangesLTVOnly, c.under("AcroForm"))
	old, now := c.oldForm.Dict, c.newForm.Dict
	for _, key := range pdf.Differences(old, now) {
		switch key {
		case "Fields":
		case "SigFlags":
			had, _ := old.Get(key).Int()
			if has, _ := now.Get(key).Int(); had&^has != 0 {
				c.set.raise(ChangesUndefined, "the form entry /SigFlags lost a flag")
			}
		case "NeedAppearances":
			if on, _ := now.Get(key).Bool(); on {
				c.set.raise(ChangesUndefined, "the form asks for new appearances")
			}
		case "DR", "DA", "Q":
			// What new appearances are made of; nothing that is shown as it is.
			same, err := c.grew(old.Get(key), now.Get(key), 2)
			if err != nil {
				return err
			}
			if on, _ := now.Get("NeedAppearances").Bool(); !same && on {
				c.set.raise(ChangesUndefined, "the form entry /%s changed", key)
			}
		default:
			c.set.raise(ChangesUndefined, "the form entry /%s changed", key)
		}
	}
	if err := c.compareResources(old, now); err != nil {
		return err
	}
	c.explain(old.Get("Fields"), ChangesLTVOnly, func(r referrer) bool {
		return c.under("AcroForm", "Fields")(r) || r.key == "Fields" && r.number == c.oldForm.Ref.Number ||
			r.key == "Annots" && r.kind == "Page"
	})
	if old.IsNull() && !now.IsNull() && !after.Get("AcroForm").IsNull() {
		return nil
	}
	oldFields, err := c.before.Value(old, "Fields")
	if err != nil {
		return err
	}
	newFields, err := c.after.Value(now, "Fields")
	if err != nil {
		return err
	}
	if !keeps(oldFields.Items(), newFields.Items()) {
		c.set.raise(ChangesOther, "form fields were removed or reordered")
	}
	return nil
}

// grew tells whether a value is what it was, or came into being, or is a
// dictionary that kept every entry and got more, so many levels deep.
func (c *comparison) grew(old, now pdf.Object, levels int) (bool, error) {
	old, err := c.before.Resolve(old)
	if err != nil {
		return false, err
	}
	if now, err = c.after.Resolve(now); err != nil {
		return false, err
	}
	switch {
	case old.IsNull() || pdf.Equal(old, now):
		return true, nil
	case levels == 0 || old.Kind() != pdf.Dictionary || now.Kind() != pdf.Dictionary:
		return false, nil
	}
	for key, value := range old.Entries() {
		same, err := c.grew(value, now.Get(key), levels-1)
		if err != nil || !same || value.IsNull() != now.Get(key).IsNull() {
			return false, err
		}
	}
	return true, nil
}

// compareResources explains default resources in objects of their own, and the
// fonts in them, that did nothing but grow.
func (c *comparison) compareResources(old, now pdf.Object) error {
	inside := map[uint32]bool{c.oldForm.Ref.Number: true}
	if c.oldForm.Ref == (pdf.Ref{}) {
		inside[c.root.Number] = true
	}
	resources, err := c.before.Value(old, "DR")
	if err != nil {
		return err
	}
	for _, part := range []pdf.Object{old.Get("DR"), resources.Get("Font")} {
		ref, ok := part.Ref()
		if !ok {
			continue
		}
		if c.changed[ref.Number] && c.referredOnly(ref.Number, func(r referrer) bool {
			return inside[r.number] && (r.key == "DR" || r.key == "Font" || r.key == "AcroForm")
		}) {
			same, err := c.grew(old.Get("DR"), now.Get("DR"), 2)
			if err != nil {
				return err
			}
			c.explained[ref.Number] = same
		}
		inside[ref.Number] = true
	}
	return nil
}

// keeps tells whether a list holds all of another in its order. What came in between
// is judged for itself; some producers put new fields first.
func keeps(old, now []pdf.Object) bool {
	for _, o := range now {
		if len(old) > 0 && pdf.Equal(old[0], o) {
			old = old[1:]
		}
	}
	return len(old) == 0
}
