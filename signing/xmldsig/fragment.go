package xmldsig

import (
	"bytes"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Fragment is an element of a document with what it inherits from there.
type Fragment struct {
	// Raw is the element in UTF-8, or in Encoding.
	Raw      []byte
	Encoding string
	// Context is what the element inherits.
	Context *c14n.Context
	// Element is the tree of Raw.
	Element *Element
}

// NewFragment reads an element.
func NewFragment(raw []byte, encoding string, ctx *c14n.Context) (*Fragment, error) {
	if ctx == nil {
		ctx = new(c14n.Context)
	}
	f := &Fragment{Raw: raw, Encoding: encoding, Context: ctx}
	var err error
	f.Element, err = readTree(ctx.Reader(bytes.NewReader(raw), f.options()))
	return f, err
}

func (f *Fragment) options() xmltext.Options {
	return xmltext.Options{
		Encoding: f.Encoding, Length: int64(len(f.Raw)),
		Limits: xmltext.Limits{Size: maxSignature, Depth: 1024, Elements: 1 << 24, Attributes: 1024, Markup: 2 << 20},
	}
}

// Canonical writes an element of the fragment in its canonical form, as it has
// it where the fragment stands.
func (f *Fragment) Canonical(e *Element, method c14n.Method, prefixes ...string) ([]byte, error) {
	all, err := f.Canonicals([]*Element{e}, method, prefixes...)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// Canonicals does so for several elements that do not contain each other, in one
// pass.
func (f *Fragment) Canonicals(elements []*Element, method c14n.Method, prefixes ...string) ([][]byte, error) {
	if len(elements) == 0 {
		return nil, nil
	}
	buffers := make([]bytes.Buffer, len(elements))
	outputs := make([]c14n.Output, len(elements))
	for i, e := range elements {
		outputs[i] = c14n.Output{Method: method, Prefixes: prefixes, Select: c14n.At(e.Start), To: &buffers[i]}
	}
	if err := c14n.WriteFragment(f.Context, bytes.NewReader(f.Raw), f.options(), outputs...); err != nil {
		return nil, err
	}
	all := make([][]byte, len(elements))
	for i := range buffers {
		all[i] = buffers[i].Bytes()
	}
	return all, nil
}
