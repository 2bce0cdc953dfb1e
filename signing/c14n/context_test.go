package c14n_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// cutting is a document with the places of its elements and the contexts in
// which they stand.
type cutting struct {
	start, end int64
	context    *c14n.Context
}

func cut(t *testing.T, source []byte) []cutting {
	t.Helper()
	r := xmltext.NewReader(bytes.NewReader(source), xmltext.Options{})
	c, err := c14n.New(r)
	if err != nil {
		t.Fatal(err)
	}
	var elements []cutting
	var open []int
	outside := []*c14n.Context{c.Context()}
	for {
		token, err := r.Next()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Token(token); err != nil {
			t.Fatal(err)
		}
		switch token.Kind {
		case xmltext.StartElement:
			open = append(open, len(elements))
			elements = append(elements, cutting{start: token.Start, context: outside[len(outside)-1]})
			outside = append(outside, c.Context())
		case xmltext.EndElement:
			elements[open[len(open)-1]].end = token.End
			open, outside = open[:len(open)-1], outside[:len(outside)-1]
		}
	}
}

// TestWriteFragmentEqualsTheElementInItsPlace cuts elements out of generated
// documents.
func TestWriteFragmentEqualsTheElementInItsPlace(t *testing.T) {
	compared := 0
	for seed := range uint64(30) {
		g := generator{Rand: rand.New(rand.NewPCG(seed, 9)), left: 25, withIDs: true}
		source := g.document()
		for _, e := range cut(t, source) {
			for _, m := range c14n.Methods() {
				o := c14n.Output{Method: m}
				if m.Exclusive() && seed%2 == 0 {
					o.Prefixes = []string{"p", "#default", "n1"}
				}
				var fragment bytes.Buffer
				o.To = &fragment
				err := c14n.WriteFragment(e.context, bytes.NewReader(source[e.start:e.end]), xmltext.Options{}, o)
				if err != nil {
					t.Fatal(err)
				}
				o.Select = c14n.At(e.start)
				whole, err := canonical(source, o)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(fragment.Bytes(), whole) {
					t.Fatalf("%s of %s\nin place %s\ncut out  %s", m, source[e.start:e.end], whole, fragment.Bytes())
				}
				compared++
			}
		}
	}
	t.Logf("%d fragments", compared)
}

func ExampleWriteFragment() {
	const document = `<a xmlns:p="urn:p" xml:lang="en"><b/></a>`
	r := xmltext.NewReader(strings.NewReader(document), xmltext.Options{})
	c, _ := c14n.New(r)
	t, _ := r.Next()
	_ = c.Token(t) // the start-tag of a

	// What the new element has to be digested as, once it stands in a.
	var octets strings.Builder
	err := c14n.WriteFragment(c.Context(), strings.NewReader(`<p:new/>`), xmltext.Options{},
		c14n.Output{Method: c14n.Inclusive10, To: &octets})
	fmt.Println(octets.String(), err)
	// Output: <p:new xmlns:p="urn:p" xml:lang="en"></p:new> <nil>
}
