package pades

import (
	"maps"
	"slices"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// growth is a logical structure (ISO 32000-2 14.7) that a later revision added to. It
// is harmless where all of the old structure stays as it was and the new elements are
// about the widgets of signatures that were added in the same way, which documents that
// claim PDF/UA demand of them (ISO 14289-1 7.18.4). Everything else that happens to a
// structure stays unexplained.
type growth struct {
	*comparison
	elements map[pdf.Ref]bool // the new ones
	explains []uint32         // objects that did nothing but grow
}

// compareStructure explains the objects of a structure that grew in a harmless way.
func (c *comparison) compareStructure(before, after pdf.Object) error {
	root, ok := before.Get("StructTreeRoot").Ref()
	if !ok || !c.changed[root.Number] || !pdf.Equal(before.Get("StructTreeRoot"), after.Get("StructTreeRoot")) {
		return nil // a change of the entry itself was noticed
	}
	g := &growth{comparison: c, elements: make(map[pdf.Ref]bool)}
	for number := range g.owners() {
		old, now, err := c.objects(number)
		if err != nil {
			return err
		}
		if _, existed := c.before.Current(number); !existed || number == root.Number || !isElement(old.Value) {
			continue
		}
		if grew, err := g.dictionary(old.Value, now.Value, pdf.Ref{Number: number, Generation: old.Ref.Generation}, "K"); err != nil || !grew {
			return err
		}
		g.explains = append(g.explains, number)
	}
	old, now, err := c.objects(root.Number)
	if err != nil {
		return err
	}
	if grew, err := g.dictionary(old.Value, now.Value, root, "K", "ParentTree", "ParentTreeNextKey"); err != nil || !grew {
		return err
	}
	if grew, err := g.parents(old.Value, now.Value); err != nil || !grew {
		return err
	}
	for _, number := range append(g.explains, root.Number) {
		if !c.referredOnly(number, structural) {
			return nil
		}
	}
	for _, number := range append(g.explains, root.Number) {
		c.explained[number] = true
	}
	c.set.raise(ChangesFormFill, "the structure names a signature that was added")
	return nil
}

// owners are the changed objects, and those that refer to one as their kids.
func (g *growth) owners() map[uint32]bool {
	all := maps.Clone(g.changed)
	for number := range g.changed {
		for _, r := range g.referrers[number] {
			if r.key == "K" {
				all[r.number] = true
			}
		}
	}
	return all
}

// isElement tells whether an object is a structure element, whose /Type is optional
// (table 355).
func isElement(o pdf.Object) bool {
	_, inside := o.Get("P").Ref()
	kind := o.Get("Type")
	return inside && o.Get("S").Name() != "" && (kind.IsNull() || kind.Name() == "StructElem")
}

// structural tells whether a reference is one that leads to parts of a structure.
func structural(r referrer) bool {
	switch r.key {
	case "StructTreeRoot":
		return r.kind == "Catalog"
	case "P", "K", "ParentTree", "Nums", "Kids", "Names", "Ref", "SD":
		return r.kind == "" || r.kind == "StructElem" || r.kind == "StructTreeRoot"
	}
	return r.key == "" && r.kind == "" // an array in an object of its own
}

// dictionary tells whether an element, or the root, differs in the given entries only,
// and kept all its kids.
func (g *growth) dictionary(old, now pdf.Object, ref pdf.Ref, keys ...string) (bool, error) {
	if old.Kind() != pdf.Dictionary || now.Kind() != pdf.Dictionary {
		return false, nil
	}
	for _, key := range pdf.Differences(old, now) {
		if !slices.Contains(keys, key) {
			return false, nil
		}
	}
	added, ok, err := g.list(old.Get("K"), now.Get("K"))
	if err != nil || !ok {
		return false, err
	}
	for _, kid := range added {
		if ok, err := g.element(kid, ref); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// list returns what was appended to an entry that is an array or a single value, direct
// or not; ok is false if anything else happened to it.
func (g *growth) list(old, now pdf.Object) (added []pdf.Object, ok bool, err error) {
	items := func(d *pdf.Document, entry pdf.Object) ([]pdf.Object, error) {
		value, err := d.Resolve(entry)
		switch {
		case err != nil || entry.IsNull():
			return nil, err
		case value.Kind() == pdf.Array:
			return value.Items(), nil
		}
		return []pdf.Object{entry}, nil
	}
	before, err := items(g.before, old)
	if err != nil {
		return nil, false, err
	}
	after, err := items(g.after, now)
	if err != nil || len(after) < len(before) {
		return nil, false, err
	}
	for i, o := range before {
		if !pdf.Equal(o, after[i]) {
			return nil, false, nil
		}
	}
	if ref, is := old.Ref(); is && g.changed[ref.Number] {
		if value, err := g.before.Resolve(old); err != nil || value.Kind() == pdf.Array {
			g.explains = append(g.explains, ref.Number)
		}
	}
	return after[len(before):], true, nil
}

// element tells whether a new kid is an element about the widget of a signature that was
// added, and nothing else.
func (g *growth) element(kid pdf.Object, parent pdf.Ref) (bool, error) {
	ref, ok := kid.Ref()
	if _, existed := g.before.Current(ref.Number); !ok || existed || len(g.referrers[ref.Number]) > 0 {
		return false, nil
	}
	dict, err := g.after.Resolve(kid)
	if err != nil {
		return false, err
	}
	for key := range dict.Entries() {
		if !slices.Contains([]string{"Type", "S", "P", "Pg", "K", "Alt", "Lang"}, key) {
			return false, nil
		}
	}
	above, _ := dict.Get("P").Ref()
	content, err := g.after.Value(dict, "K")
	if err != nil {
		return false, err
	}
	about, _ := content.Get("Obj").Ref()
	_, signature := g.signatures[about]
	if dict.Get("S").Name() != "Form" || above != parent || content.Get("Type").Name() != "OBJR" || !signature {
		return false, nil
	}
	g.elements[ref] = true
	return true, nil
}

// parents tells whether the parent tree (14.7.5.4) got entries for the new elements,
// under keys beyond all it had, and nothing else happened to it.
func (g *growth) parents(old, now pdf.Object) (bool, error) {
	if ref, is := old.Get("ParentTree").Ref(); is && g.changed[ref.Number] {
		g.explains = append(g.explains, ref.Number)
	}
	before, err := g.before.Value(old, "ParentTree")
	if err != nil {
		return false, err
	}
	after, err := g.after.Value(now, "ParentTree")
	if err != nil {
		return false, err
	}
	for _, key := range pdf.Differences(before, after) {
		if key != "Nums" && key != "Kids" {
			return false, nil
		}
	}
	last, err := lastKey(g.before, before, 0)
	if err != nil {
		return false, err
	}
	numbers, ok, err := g.list(before.Get("Nums"), after.Get("Nums"))
	if err != nil || !ok || !g.entries(numbers, last) {
		return false, err
	}
	kids, ok, err := g.list(before.Get("Kids"), after.Get("Kids"))
	if err != nil || !ok {
		return false, err
	}
	for _, kid := range kids {
		ref, is := kid.Ref()
		if _, existed := g.before.Current(ref.Number); !is || existed || len(g.referrers[ref.Number]) > 0 {
			return false, nil
		}
		node, err := g.after.Resolve(kid)
		if err != nil {
			return false, err
		}
		numbers, err := g.after.Value(node, "Nums")
		if err != nil || !node.Get("Kids").IsNull() || !g.entries(numbers.Items(), last) {
			return false, err
		}
	}
	return true, nil
}

// entries tells whether a list of keys and values names new elements alone.
func (g *growth) entries(numbers []pdf.Object, last int64) bool {
	if len(numbers)%2 != 0 {
		return false
	}
	for i := 0; i < len(numbers); i += 2 {
		key, isKey := numbers[i].Int()
		element, isElement := numbers[i+1].Ref()
		if !isKey || key <= last || !isElement || !g.elements[element] {
			return false
		}
	}
	return true
}
