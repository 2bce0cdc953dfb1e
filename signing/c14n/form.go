package c14n

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// form is an Output being written.
type form struct {
	out Output
	// What the method is, asked for at every token.
	exclusive, comments bool
	part                bool // the form is that of an element and not of the document
	w                   writer
	matches             int // elements Select agreed to
	root                int // depth of the selected element while inside it
	omitted             int // depth of an omitted element while inside it
	// shown says for each open element, by depth, whether it is in the
	// node-set.
	shown []bool
	text  answer // of the filter about the text node at hand
	err   error  // why the form cannot be written
	spaces
	listed map[string]bool      // prefixes of the PrefixList
	axis   []xmltext.Namespace  // declarations to be written
	attrs  []*xmltext.Attribute // attributes to be written
}

// answer is a decision that may not have been taken yet.
type answer uint8

const (
	unasked answer = iota
	yes
	no
)

func newForm(o Output) *form {
	f := &form{out: o, exclusive: o.Method.Exclusive(), comments: o.Method.Comments(), part: o.Manual || o.Select != nil, w: writer{to: o.To}, shown: []bool{false}, listed: make(map[string]bool)}
	for _, p := range o.Prefixes {
		if p == "#default" {
			p = ""
		}
		f.listed[p] = true
	}
	return f
}

// activate makes the form ready to be written to.
func (f *form) activate() {
	if f.w.buf == nil {
		f.w.buf = make([]byte, 0, firstBuffer)
	}
}

// token writes what a token contributes to the form.
func (f *form) token(c *Canonicalizer, t *xmltext.Token) {
	switch t.Kind {
	case xmltext.StartElement:
		f.text = unasked
		f.err = f.start(c, t)
	case xmltext.EndElement:
		f.text = unasked
		f.end(t)
	case xmltext.Text, xmltext.CDATA:
		if f.inside() && f.keepsText(t) {
			f.w.text(t.Data, t.Plain)
		}
	case xmltext.Comment:
		f.text = unasked
		if f.comments && f.inside() && f.keeps(Node{Kind: CommentNode, Depth: t.Depth}) {
			f.aside(c, t, "<!--", "-->")
		}
	case xmltext.ProcessingInstruction:
		f.text = unasked
		if f.inside() && f.keeps(Node{Kind: InstructionNode, Depth: t.Depth, Target: t.Target}) {
			f.aside(c, t, "<?", "?>")
		}
	}
}

// inside says whether the place in the document is one that is written.
func (f *form) inside() bool { return f.omitted == 0 && (f.root > 0 || !f.part) }

func (f *form) keeps(n Node) bool { return f.out.Filter == nil || f.out.Filter(n) }

// keepsText asks once for a text node, in how many pieces it ever comes.
func (f *form) keepsText(t *xmltext.Token) bool {
	if f.out.Filter == nil {
		return true
	}
	if f.text == unasked {
		f.text = no
		if f.out.Filter(Node{Kind: TextNode, Depth: t.Depth}) {
			f.text = yes
		}
	}
	return f.text == yes
}

// aside writes a comment or processing instruction; outside the document
// element a line feed parts it from that.
func (f *form) aside(c *Canonicalizer, t *xmltext.Token, before, after string) {
	if t.Depth == 0 && c.epilog {
		f.w.string("\n")
	}
	f.w.string(before)
	if len(t.Target) > 0 {
		f.w.bytes(t.Target)
		if len(t.Data) > 0 {
			f.w.string(" ")
		}
	}
	f.w.bytes(t.Data)
	f.w.string(after)
	if t.Depth == 0 && !c.epilog {
		f.w.string("\n")
	}
}

// start writes a start-tag, if its element is in the node-set, and those of
// its namespaces and attributes that are.
func (f *form) start(c *Canonicalizer, t *xmltext.Token) error {
	if !f.inside() {
		return nil
	}
	if f.out.Omit != nil && f.out.Omit(t) {
		f.omitted = t.Depth
		return nil
	}
	for len(f.shown) <= t.Depth {
		f.shown = append(f.shown, false)
	}
	shown := f.out.Filter == nil || f.out.Filter(Node{Kind: ElementNode, Depth: t.Depth, Element: t})
	f.shown[t.Depth] = shown
	if shown {
		f.w.buf = append(append(f.w.buf, '<'), t.Name.Qualified...)
	}
	f.attrs = f.attrs[:0]
	for i := range t.Attributes {
		a := &t.Attributes[i]
		if f.out.Filter == nil || shown && f.inheritable(a) || f.out.Filter(Node{Kind: AttributeNode, Depth: t.Depth, Element: t, Attribute: a}) {
			f.attrs = append(f.attrs, a)
		}
	}
	if err := f.namespaces(c, t); err != nil {
		return err
	}
	f.attributes(c, t)
	if shown {
		f.w.buf = append(f.w.buf, '>')
	}
	return nil
}

func (f *form) end(t *xmltext.Token) {
	if f.omitted > 0 {
		if t.Depth == f.omitted {
			f.omitted = 0
			if t.Depth == f.root {
				f.root = 0
			}
		}
		return
	}
	if !f.inside() {
		return
	}
	if f.shown[t.Depth] {
		f.w.buf = append(append(append(f.w.buf, '<', '/'), t.Name.Qualified...), '>')
	}
	f.shown[t.Depth] = false
	f.leave(t.Depth)
	if t.Depth == f.root {
		f.root = 0
	}
}

// attributes writes the attributes of an element, with what it inherits, in
// their order: by namespace name, then by local name.
func (f *form) attributes(c *Canonicalizer, t *xmltext.Token) {
	if len(c.xml.attrs) > 0 && f.shown[t.Depth] && !f.shown[t.Depth-1] && !f.exclusive {
		nearest := t.Depth - 1
		for nearest > 0 && !f.shown[nearest] {
			nearest--
		}
		if nearest == 0 {
			nearest = -1 // attributes of a Context have depth 0
		}
		f.inherit(&c.xml, t, nearest)
	}
	if len(f.attrs) > 1 {
		slices.SortFunc(f.attrs, compareAttributes)
	}
	for _, a := range f.attrs {
		f.w.attribute(a.Name.Qualified, a.Value, a.Plain)
	}
}

func compareAttributes(a, b *xmltext.Attribute) int {
	return cmp.Or(bytes.Compare(a.Name.Space, b.Name.Space), bytes.Compare(a.Name.Local(), b.Name.Local()))
}
