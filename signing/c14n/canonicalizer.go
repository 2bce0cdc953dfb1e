package c14n

import (
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
	xml    inherited
	epilog bool // the document element has ended
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
		c.forms = append(c.forms, newForm(o))
	}
	return c, nil
}

// Token takes the next token of the reader. All of them have to be given, in
// order.
func (c *Canonicalizer) Token(t *xmltext.Token) error {
	for _, f := range c.forms {
		if err := f.token(c, t); err != nil {
			return err
		}
		if len(f.w.buf) >= buffer {
			if f.w.flush(); f.w.err != nil {
				return f.w.err
			}
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

// Close writes what is left. It fails if a part that was to be written is not
// there, or empty.
func (c *Canonicalizer) Close() error {
	for _, f := range c.forms {
		if f.matches == 0 && f.out.Select != nil {
			return ErrNotFound
		}
		if f.w.flush(); f.w.err != nil {
			return f.w.err
		}
		if !f.w.written {
			return ErrEmpty
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

// WriteFragment writes outputs of a source that holds one element, to be
// treated as standing where the context was taken. Offsets and Select are
// about the fragment; an Output without Select is the element itself.
func WriteFragment(ctx *Context, src io.Reader, o xmltext.Options, outputs ...Output) error {
	o.Namespaces = ctx.namespaces
	c, err := New(xmltext.NewReader(src, o), outputs...)
	if err != nil {
		return err
	}
	c.xml = ctx.xml.copy()
	return c.run()
}
