package pdf

import (
	"fmt"
	"math"
)

// Page is a leaf of the page tree.
type Page struct {
	Ref  Ref
	Dict Object
	// Number counts from 1.
	Number int
	// mediaBox, cropBox and rotate are the own or inherited entries (7.7.3.4).
	mediaBox, cropBox, rotate Object
}

// FirstPage walks down the page tree (7.7.3) to the first page.
func (d *Document) FirstPage() (Page, error) {
	var first Page
	err := d.WalkPages(func(p Page) bool { first = p; return false })
	return first, err
}

// WalkPages calls visit for every page in order until it returns false. A document
// without a page is malformed.
func (d *Document) WalkPages(visit func(Page) bool) error {
	_, catalog, err := d.Root()
	if err != nil {
		return err
	}
	seen := make(map[Ref]bool)
	stack := []pageNode{{object: catalog.Get("Pages")}}
	number := 0
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		ref, ok := node.object.Ref()
		if !ok {
			return malformed(node.object.Offset(), "node of the page tree is not an indirect object")
		}
		if seen[ref] {
			return malformed(node.object.Offset(), "the page tree runs in a circle")
		}
		seen[ref] = true
		if len(seen) > d.limits.Items {
			return &LimitError{What: "nodes of the page tree", Limit: int64(d.limits.Items)}
		}
		kids, err := d.readPage(&node)
		if err != nil {
			return fmt.Errorf("reading page tree: %w", err)
		}
		if kids.IsNull() {
			number++
			node.page.Ref, node.page.Number = ref, number
			if !visit(node.page) {
				return nil
			}
			continue
		}
		for i := len(kids.Items()) - 1; i >= 0; i-- {
			stack = append(stack, pageNode{object: kids.Items()[i], page: node.page})
		}
	}
	if number == 0 {
		return malformed(catalog.Offset(), "the document has no page")
	}
	return nil
}

// pageNode is a node of the page tree with what it inherits.
type pageNode struct {
	object Object
	page   Page
}

// readPage fills the node in and returns its kids, null for a page.
func (d *Document) readPage(node *pageNode) (kids Object, err error) {
	dict, err := d.Resolve(node.object)
	if err != nil {
		return Object{}, err
	}
	if dict.Kind() != Dictionary {
		return Object{}, malformed(node.object.Offset(), "node of the page tree is no dictionary")
	}
	node.page.Dict = dict
	for _, inherited := range [...]struct {
		key   string
		value *Object
	}{{"MediaBox", &node.page.mediaBox}, {"CropBox", &node.page.cropBox}, {"Rotate", &node.page.rotate}} {
		if value := dict.Get(inherited.key); !value.IsNull() {
			*inherited.value = value
		}
	}
	return d.Value(dict, "Kids")
}

// PageView is how a page is shown (14.11.2, tables 31 and 33).
type PageView struct {
	// X and Y are the lower left corner of what is shown, Width and Height its
	// sides, all in default user space, before the rotation.
	X, Y, Width, Height float64
	// Rotation is clockwise: 0, 90, 180 or 270 degrees.
	Rotation int
	// Unit is the length of one unit of user space in points (1/72 inch).
	Unit float64
}

// View returns how a page is shown: its crop box within its media box, its rotation
// and its unit. Where boxes are missing or empty the page is of the size Letter, as
// viewers have it.
func (d *Document) View(p Page) (PageView, error) {
	v := PageView{Width: 612, Height: 792, Unit: 1}
	media, ok, err := d.Rectangle(p.mediaBox)
	if err != nil {
		return v, err
	}
	if ok {
		v.X, v.Y, v.Width, v.Height = media[0], media[1], media[2]-media[0], media[3]-media[1]
	}
	crop, ok, err := d.Rectangle(p.cropBox)
	if err != nil {
		return v, err
	}
	if ok {
		x, y := max(v.X, crop[0]), max(v.Y, crop[1])
		w, h := min(v.X+v.Width, crop[2])-x, min(v.Y+v.Height, crop[3])-y
		if w > 0 && h > 0 {
			v.X, v.Y, v.Width, v.Height = x, y, w, h
		}
	}
	rotate, err := d.Resolve(p.rotate)
	if err != nil {
		return v, err
	}
	if degrees, ok := rotate.Float(); ok && math.Mod(degrees, 90) == 0 && math.Abs(degrees) < 1e6 {
		v.Rotation = ((int(degrees) % 360) + 360) % 360
	}
	unit, err := d.Value(p.Dict, "UserUnit")
	if err != nil {
		return v, err
	}
	if u, ok := unit.Float(); ok && u > 0 && u <= 75_000 { // ISO 32000-1 Annex C.2
		v.Unit = u
	}
	return v, nil
}

// Rectangle reads a rectangle (7.9.5) with its corners in order. ok is false for
// anything else, and for one without an area.
func (d *Document) Rectangle(o Object) (r [4]float64, ok bool, err error) {
	if o, err = d.Resolve(o); err != nil || len(o.Items()) != len(r) {
		return r, false, err
	}
	for i, item := range o.Items() {
		if item, err = d.Resolve(item); err != nil {
			return r, false, err
		}
		if r[i], ok = item.Float(); !ok || math.Abs(r[i]) > 1e9 {
			return r, false, nil
		}
	}
	if r[0] > r[2] {
		r[0], r[2] = r[2], r[0]
	}
	if r[1] > r[3] {
		r[1], r[3] = r[3], r[1]
	}
	return r, r[2] > r[0] && r[3] > r[1], nil
}
