package pdf

import (
	"errors"
	"fmt"
)

// Field is a terminal field of the interactive form (12.7.4), or a field that
// has nothing but widgets below it.
type Field struct {
	// Ref is zero for a field that stands in the list itself.
	Ref  Ref
	Dict Object
	// Name is the fully qualified name.
	Name string
	// Type is the own or inherited /FT.
	Type string
	// Value is the own or inherited /V, as it stands.
	Value Object
	// Widgets are the annotations of the field; the field itself when merged.
	Widgets []Ref
	// Path holds the field and its ancestors, root first.
	Path []Ref
}

// Form is the interactive form of a document.
type Form struct {
	// Dict is the AcroForm dictionary; null when the document has none.
	Dict Object
	// Ref is set when the dictionary is an indirect object.
	Ref    Ref
	Fields []Field
}

type fieldNode struct {
	object Object
	name   string
	kind   string
	value  Object
	path   []Ref
}

// Form reads all fields.
func (d *Document) Form() (*Form, error) {
	_, catalog, err := d.Root()
	if err != nil {
		return nil, err
	}
	form := &Form{}
	form.Ref, _ = catalog.Get("AcroForm").Ref()
	if form.Dict, err = d.Value(catalog, "AcroForm"); err != nil {
		return nil, err
	}
	if form.Dict.IsNull() {
		return form, nil
	}
	if form.Dict.Kind() != Dictionary {
		return nil, malformed(form.Dict.Offset(), "/AcroForm is no dictionary")
	}
	fields, err := d.Value(form.Dict, "Fields")
	if err != nil {
		return nil, err
	}
	seen := make(map[Ref]bool)
	var stack []fieldNode
	push := func(parent fieldNode, kids []Object) {
		for i := len(kids) - 1; i >= 0; i-- {
			n := parent
			n.object = kids[i]
			stack = append(stack, n)
		}
	}
	push(fieldNode{}, fields.Items())
	total := 0
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		ref, ok := node.object.Ref()
		if ok && seen[ref] {
			return nil, malformed(node.object.Offset(), "form field %d occurs twice in the field tree", ref.Number)
		}
		seen[ref] = true
		if total++; total > d.limits.Fields {
			return nil, &LimitError{What: "form fields", Limit: int64(d.limits.Fields)}
		}
		if err := d.readField(form, node, ref, push); err != nil {
			return nil, fmt.Errorf("reading form field %d: %w", ref.Number, err)
		}
	}
	return form, nil
}

// readField adds one field, or descends into its kids.
func (d *Document) readField(form *Form, node fieldNode, ref Ref, push func(fieldNode, []Object)) error {
	if len(node.path) == d.limits.Depth {
		return &LimitError{What: "nesting of form fields", Limit: int64(d.limits.Depth)}
	}
	dict := node.object // some producers write fields into the list itself
	if ref != (Ref{}) {
		object, err := d.Object(ref)
		if errors.Is(err, ErrMissing) {
			return nil // a reference to nothing is null
		}
		if err != nil {
			return err
		}
		dict = object.Value
	}
	if dict.IsNull() {
		return nil
	}
	if dict.Kind() != Dictionary {
		return malformed(dict.Offset(), "form field is no dictionary")
	}
	node.path = append(node.path[:len(node.path):len(node.path)], ref)
	if partial, err := d.Value(dict, "T"); err != nil {
		return err
	} else if partial.Kind() == String {
		if node.name != "" {
			node.name += "."
		}
		node.name += partial.Text()
	}
	if kind, err := d.Value(dict, "FT"); err != nil {
		return err
	} else if !kind.IsNull() {
		node.kind = kind.Name()
	}
	if v := dict.Get("V"); !v.IsNull() {
		node.value = v
	}
	kids, err := d.Value(dict, "Kids")
	if err != nil {
		return err
	}
	widgets, err := d.widgets(kids.Items())
	if err != nil {
		return err
	}
	if len(kids.Items()) > 0 && widgets == nil {
		push(node, kids.Items())
		return nil
	}
	if len(kids.Items()) == 0 && ref != (Ref{}) && dict.Get("Subtype").Name() == "Widget" {
		widgets = []Ref{ref}
	}
	form.Fields = append(form.Fields, Field{
		Ref: ref, Dict: dict, Name: node.name, Type: node.kind, Value: node.value, Widgets: widgets, Path: node.path,
	})
	return nil
}

// widgets returns the kids when they are mere widgets (without /T), else nil.
// Widgets that stand in the list itself are left out.
func (d *Document) widgets(kids []Object) ([]Ref, error) {
	refs := []Ref{}
	for _, kid := range kids {
		ref, indirect := kid.Ref()
		dict, err := d.Resolve(kid)
		if err != nil {
			return nil, err
		}
		if dict.Kind() == Dictionary && !dict.Get("T").IsNull() {
			return nil, nil
		}
		if indirect {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}
