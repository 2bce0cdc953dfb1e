package c14n

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Canonicalizer writes canonical forms of one document as its tokens come.
type Canonicalizer struct {
	reader *xmltext.Reader
	forms  []*form
	// active are the forms that something may be written to.
	active []*form
	// asking are the forms whose Select has to be asked.
	asking []*form
	// starting are forms that start with the next token.
	starting []*form
	xml      inherited
	epilog   bool // the document element has ended
}

// New prepares canonicalization of the document that r reads.
func New(r *xmltext.Reader, outputs ...Output) (*Canonicalizer, error) {
	c := &Canonicalizer{reader: r}
	for _, o := range outputs {
		if _, err := ParseMethod(string(o.Method)); err != nil {
			return nil, err
		}
		if len(o.Prefixes) > 0 && !o.Method.Exclusive() {
			return nil, fmt.Errorf("%w: a PrefixList is for exclusive canonicalization", ErrMethod)
		}
		f := newForm(o)
		c.forms = append(c.forms, f)
		switch {
		case o.Manual:
		case o.Select != nil:
			c.asking = append(c.asking, f)
		default:
			f.activate()
			c.active = append(c.active, f)
		}
	}
	return c, nil
}

// Start begins an Output marked Manual, by index, at the element whose start-tag
// is given next. It ends with that element, and may not be begun again within.
func (c *Canonicalizer) Start(output int) {
	c.starting = append(c.starting, c.forms[output])
}

// Err says why an output marked Apart cannot be written, nil if it can. Those
// that are empty say so after Close.
func (c *Canonicalizer) Err(output int) error {
	f := c.forms[output]
	if f.err == nil && f.w.err != nil {
		return f.w.err
	}
	return f.err
}

// Token takes the next token of the reader. All of them have to be given, in
// order.
func (c *Canonicalizer) Token(t *xmltext.Token) error {
	if t.Kind == xmltext.StartElement && (len(c.asking) > 0 || len(c.starting) > 0) {
		if err := c.begin(t); err != nil {
			return err
		}
	}
	done := false
	for _, f := range c.active {
		f.token(c, t)
		if len(f.w.buf) >= buffer {
			f.w.flush()
		}
		done = done || f.err != nil || f.w.err != nil || f.root == 0 && f.part
	}
	if done {
		if err := c.retire(); err != nil {
			return err
		}
	}
	switch t.Kind {
	case xmltext.StartElement:
		return c.xml.enter(t)
	case xmltext.EndElement:
		c.xml.leave(t.Depth)
		c.epilog = t.Depth == 1
	}
	return nil
}

// begin starts the forms whose element this is.
func (c *Canonicalizer) begin(t *xmltext.Token) error {
	for _, f := range c.asking {
		if !f.out.Select(t) {
			continue
		}
		if f.matches++; f.matches > 1 {
			return ErrAmbiguous
		}
		c.starting = append(c.starting, f)
	}
	for _, f := range c.starting {
		f.activate()
		f.root = t.Depth
		c.active = append(c.active, f)
	}
	c.starting = c.starting[:0]
	return nil
}

// retire ends the forms whose element has ended or that cannot be written. An
// error of an Output that is not marked Apart ends all.
func (c *Canonicalizer) retire() error {
	kept := c.active[:0]
	for _, f := range c.active {
		if f.err == nil && f.w.err == nil && (f.root > 0 || !f.part) {
			kept = append(kept, f)
			continue
		}
		f.w.flush()
		f.w.buf = nil
		if err := cmp.Or(f.err, f.w.err); err != nil && !f.out.Apart {
			return err
		}
	}
	c.active = kept
	return nil
}

// Close writes what is left. It fails if a part that was to be written is not
// there, or empty.
func (c *Canonicalizer) Close() error {
	for _, f := range c.forms {
		f.w.flush()
		if !f.w.written && f.err == nil {
			f.err = ErrEmpty
		}
		if f.out.Apart {
			continue
		}
		if f.matches == 0 && f.out.Select != nil {
			return ErrNotFound
		}
		if err := cmp.Or(f.w.err, f.err); err != nil {
			return err
		}
	}
	return nil
}

// Write reads a document to its end and writes the outputs.
func Write(src io.Reader, o xmltext.Options, outputs ...Output) error {
	c, err := New(xmltext.NewReader(src, o), outputs...)
	if err != nil {
		return err
	}
	return c.run()
}

func (c *Canonicalizer) run() error {
	for {
		t, err := c.reader.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return c.Close()
			}
			return err
		}
		if err := c.Token(t); err != nil {
			return err
		}
	}
}

// Context is what an element inherits from its ancestors.
type Context struct {
	namespaces []xmltext.Namespace
	xml        inherited
}

// Context gives what a child of the innermost open element inherits. It is
// asked after Token took a start-tag or something within the element, and
// stays valid.
func (c *Canonicalizer) Context() *Context {
	ctx := &Context{xml: c.xml.copy()}
	for n := range c.reader.InScope() {
		ctx.namespaces = append(ctx.namespaces, xmltext.Namespace{Prefix: slices.Clone(n.Prefix), URI: slices.Clone(n.URI)})
	}
	return ctx
}

// Reader reads a source that holds one element, to be treated as standing where
// the context was taken.
func (ctx *Context) Reader(src io.Reader, o xmltext.Options) *xmltext.Reader {
	o.Namespaces = ctx.namespaces
	return xmltext.NewReader(src, o)
}

// Size is about what the context holds, bytes.
func (ctx *Context) Size() int {
	n := len(ctx.xml.bytes)
	for i := range ctx.namespaces {
		n += len(ctx.namespaces[i].Prefix) + len(ctx.namespaces[i].URI) + 64
	}
	return n
}

// WriteFragment writes outputs of a source that holds one element, to be
// treated as standing where the context was taken. Offsets and Select are
// about the fragment; an Output without Select is the element itself.
func WriteFragment(ctx *Context, src io.Reader, o xmltext.Options, outputs ...Output) error {
	c, err := New(ctx.Reader(src, o), outputs...)
	if err != nil {
		return err
	}
	c.xml = ctx.xml.copy()
	return c.run()
}
