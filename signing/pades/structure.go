package pades

import (
	"fmt"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// structure adds elements to the logical structure of a tagged document (ISO
// 32000-2 14.7), so that the annotations of a signature are part of it (ISO 14289-1
// 7.18.1 and 7.18.4).
type structure struct {
	l        *layout
	root     pdf.Ref
	rootEdit *pdf.Edit
	parent   pdf.Ref    // of new elements: a Document at the top, else the root
	document pdf.Object // null when the parent is the root
	parents  pdf.Object // the parent tree, resolved
	next     int64      // key in the parent tree
	elements []pdf.Ref
	keys     []int64
}

// maxStructureDepth bounds the descent into the parent tree.
const maxStructureDepth = 32

// structured tells whether annotations of the new signature go into the structure. In
// a document that is signed already they do so only where its claim of PDF/UA depends
// on it, because some validators (pyHanko 0.38) count any growth of the structure as a
// change of what was signed; others (DSS 6.4, Verify) see what it is. A hidden signature
// then needs no element.
func (l *layout) structured() bool {
	switch {
	case !l.claims.tagged:
		return false
	case len(l.marks) == 0:
		// ISO 14289-2 8.10.2.3: a widget without size is no content, but an artifact.
		return l.earlier == 0 && l.doc.Version() < "2.0"
	}
	return l.earlier == 0 || l.claims.universal && !l.opts.Visible.LeaveStructure
}

// openStructure returns nil where nothing goes into the structure, and for a structure
// of an unexpected shape, which is left alone.
func (l *layout) openStructure() (*structure, error) {
	if !l.structured() {
		return nil, nil //nolint:nilnil // nothing to do is no error
	}
	s := &structure{l: l}
	s.root, _ = l.catalog.Dict().Get("StructTreeRoot").Ref()
	root, err := l.doc.Resolve(l.catalog.Dict().Get("StructTreeRoot"))
	if err != nil {
		return nil, err
	}
	if root.Kind() != pdf.Dictionary {
		return nil, nil //nolint:nilnil // as above
	}
	if err := unambiguous(root, "the structure"); err != nil {
		return nil, err
	}
	s.rootEdit, s.parent = pdf.NewEdit(root), s.root
	if s.parents, err = l.doc.Value(root, "ParentTree"); err != nil {
		return nil, err
	}
	if next, ok := root.Get("ParentTreeNextKey").Int(); ok && next > 0 {
		s.next = next
	}
	last, err := lastKey(l.doc, s.parents, 0)
	if err != nil {
		return nil, err
	}
	s.next = max(s.next, last+1)
	return s, s.findDocument(root)
}

// findDocument takes the first Document element at the top as the parent.
func (s *structure) findDocument(root pdf.Object) error {
	kids, err := s.l.doc.Value(root, "K")
	if err != nil {
		return err
	}
	first := root.Get("K")
	if kids.Kind() == pdf.Array {
		if len(kids.Items()) == 0 {
			return nil
		}
		first = kids.Items()[0]
	}
	ref, ok := first.Ref()
	if !ok {
		return nil
	}
	element, err := s.l.doc.Resolve(first)
	if err != nil {
		return err
	}
	if element.Get("S").Name() == "Document" {
		if _, twice := element.Duplicate(); !twice {
			s.parent, s.document = ref, element
		}
	}
	return nil
}

// lastKey returns the greatest key of a number tree (7.9.7), -1 for an empty one.
func lastKey(doc *pdf.Document, node pdf.Object, depth int) (int64, error) {
	if depth > maxStructureDepth {
		return 0, &pdf.LimitError{What: "depth of the parent tree", Limit: maxStructureDepth}
	}
	kids, err := doc.Value(node, "Kids")
	if err != nil {
		return 0, err
	}
	if items := kids.Items(); len(items) > 0 {
		kid, err := doc.Resolve(items[len(items)-1])
		if err != nil {
			return 0, err
		}
		return lastKey(doc, kid, depth+1)
	}
	numbers, err := doc.Value(node, "Nums")
	if err != nil {
		return 0, err
	}
	last := int64(-1)
	for i := 0; i+1 < len(numbers.Items()); i += 2 {
		if key, ok := numbers.Items()[i].Int(); ok {
			last = max(last, key)
		}
	}
	return last, nil
}

// add makes an element for an annotation and returns the annotation's
// /StructParent.
func (s *structure) add(kind string, annotation, page pdf.Ref, alternate string) int64 {
	element := s.l.update.Reserve()
	body := fmt.Appendf(nil, "<<\n/Type /StructElem\n/S /%s\n/P %s\n/Pg %s\n/K << /Type /OBJR /Obj %s /Pg %s >>\n/Alt ", kind, s.parent, page, annotation, page)
	body = pdf.AppendText(body, alternate)
	if s.l.catalog.Dict().Get("Lang").IsNull() { // ISO 14289-1 7.2: the language of every text is known
		body = append(body, "\n/Lang (en)"...)
	}
	s.l.update.Put(element, append(body, "\n>>"...))
	s.elements = append(s.elements, element)
	s.keys = append(s.keys, s.next)
	s.next++
	return s.next - 1
}

// put links the new elements from their parent and from the parent tree.
func (s *structure) put() {
	list := ""
	numbers := ""
	for i, e := range s.elements {
		if i > 0 {
			list, numbers = list+" ", numbers+" "
		}
		list += e.String()
		numbers += fmt.Sprintf("%d %s", s.keys[i], e)
	}
	if s.document.IsNull() {
		s.grow(s.rootEdit, "K", list)
	} else {
		edit := pdf.NewEdit(s.document)
		s.grow(edit, "K", list)
		if edit.Changed() {
			s.l.update.Put(s.parent, edit.Bytes())
		}
	}
	tree := pdf.NewEdit(s.parents)
	if s.parents.Get("Kids").IsNull() {
		s.grow(tree, "Nums", numbers)
	} else {
		node := s.l.update.Reserve()
		s.l.update.Put(node, fmt.Appendf(nil, "<< /Limits [%d %d] /Nums [%s] >>", s.keys[0], s.keys[len(s.keys)-1], numbers))
		s.grow(tree, "Kids", node.String())
	}
	if tree.Changed() {
		if ref, ok := s.rootEdit.Dict().Get("ParentTree").Ref(); ok && !s.parents.IsNull() {
			s.l.update.Put(ref, tree.Bytes())
		} else {
			s.rootEdit.Set("ParentTree", tree.Bytes())
		}
	}
	s.rootEdit.Set("ParentTreeNextKey", fmt.Appendf(nil, "%d", s.next))
	s.l.update.Put(s.root, s.rootEdit.Bytes())
}

// grow appends to an entry that is an array, direct or not, or a single value.
func (s *structure) grow(edit *pdf.Edit, key, items string) {
	entry := edit.Dict().Get(key)
	value, err := s.l.doc.Resolve(entry)
	ref, indirect := entry.Ref()
	switch {
	case err != nil || entry.IsNull() || value.IsNull():
		edit.Set(key, []byte("["+items+"]"))
	case value.Kind() == pdf.Array && indirect:
		s.l.update.Put(ref, pdf.AppendItem(value, []byte(items)))
	case value.Kind() == pdf.Array:
		edit.Set(key, pdf.AppendItem(value, []byte(items)))
	default:
		edit.Set(key, fmt.Appendf(nil, "[%s %s]", entry.Raw(), items))
	}
}
