//go:build vectors

package c14n_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// TestVectors compares canonical forms of node-sets with the octets of the
// interoperability vectors of Exclusive XML Canonicalization
// (merlin-c14n-three), which the tests of xmlsec carry. The vectors choose their
// node-sets by XPath; here each expression is a Filter.
//
//	EIDBRIDGE_VECTORS=xmlsec/tests go test -tags vectors -run Vectors -v ./signing/c14n
func TestVectors(t *testing.T) {
	folder := filepath.Join(os.Getenv("EIDBRIDGE_VECTORS"), "merlin-c14n-three")
	source, err := os.ReadFile(filepath.Join(folder, "signature.xml"))
	if err != nil {
		t.Fatal(err)
	}
	expressions := []func(n c14n.Node, parent *opened) bool{
		func(c14n.Node, *opened) bool { return true },
		func(n c14n.Node, parent *opened) bool {
			for _, prefix := range []string{"bar", "foo", "baz"} {
				if name(n) == prefix && !parent.is(prefix) {
					return false
				}
			}
			return name(n) != "" || n.Kind == c14n.TextNode
		},
		func(n c14n.Node, parent *opened) bool {
			return n.Kind == c14n.TextNode || space(n) != "" || declares(n, parent)
		},
		func(n c14n.Node, parent *opened) bool {
			itself := n.Kind == c14n.ElementNode && name(n) == "foo:Something"
			return !itself && (n.Kind == c14n.TextNode || space(n) != "" || declares(n, parent))
		},
		func(n c14n.Node, _ *opened) bool { return n.Kind != c14n.NamespaceNode },
		func(n c14n.Node, _ *opened) bool { return n.Kind == c14n.TextNode || space(n) != "" },
		func(n c14n.Node, _ *opened) bool { return n.Kind == c14n.NamespaceNode },
		declares,
		func(n c14n.Node, _ *opened) bool {
			return n.Kind == c14n.TextNode || space(n) != "" || name(n) == "" && n.Depth%2 == 1
		},
	}
	matched := 0
	for i := range 27 {
		o := c14n.Output{Method: c14n.Inclusive10}
		switch i / 9 {
		case 1:
			o.Method = c14n.Exclusive10
		case 2:
			o.Method, o.Prefixes = c14n.Exclusive10, []string{"#default"}
		}
		var stack []opened
		expression := expressions[i%9]
		o.Filter = func(n c14n.Node) bool {
			if n.Kind == c14n.ElementNode {
				stack = append(stack[:n.Depth-1], opened{name(n), space(n)})
			}
			within := false
			for _, e := range stack[:n.Depth] {
				within = within || e.name == "bar:Something"
			}
			return within && expression(n, &stack[n.Depth-1])
		}
		got, err := canonical(source, o)
		if err != nil && !errors.Is(err, c14n.ErrEmpty) { // two of them select nothing that is written
			t.Errorf("vector %d: %v", i, err)
			continue
		}
		want, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("c14n-%d.txt", i)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("vector %d\ngot  %q\nwant %q", i, got, want)
			continue
		}
		matched++
	}
	t.Logf("%d of 27 vectors equal", matched)
}

// opened is the element that a node belongs to, or is.
type opened struct{ name, space string }

func (o *opened) is(prefix string) bool { return o.name == prefix+":Something" }

// name is the XPath function name().
func name(n c14n.Node) string {
	switch n.Kind {
	case c14n.ElementNode:
		return string(n.Element.Name.Qualified)
	case c14n.AttributeNode:
		return string(n.Attribute.Name.Qualified)
	case c14n.NamespaceNode:
		return string(n.Namespace.Prefix)
	}
	return ""
}

// space is namespace-uri().
func space(n c14n.Node) string {
	switch n.Kind {
	case c14n.ElementNode:
		return string(n.Element.Name.Space)
	case c14n.AttributeNode:
		return string(n.Attribute.Name.Space)
	}
	return ""
}

// declares is string(self::node()) = namespace-uri(parent::node()) for the nodes
// of the vectors.
func declares(n c14n.Node, parent *opened) bool {
	return n.Kind == c14n.NamespaceNode && strings.TrimSpace(string(n.Namespace.URI)) == parent.space
}

// TestVectorsOfVersion11 compares with the test suite of Canonical XML 1.1
// (xmldsig2ed-tests, c14n11), which the tests of Santuario carry. Its expressions
// are read by a small evaluator of what they use.
//
//	EIDBRIDGE_VECTORS11=santuario/src/test/resources/org/w3c/www/interop/c14n11 go test …
func TestVectorsOfVersion11(t *testing.T) {
	folder := os.Getenv("EIDBRIDGE_VECTORS11")
	names, err := filepath.Glob(filepath.Join(folder, "*.xpath"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no vectors in %q", folder)
	}
	matched := 0
	for _, file := range names {
		base := strings.TrimSuffix(filepath.Base(file), ".xpath")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, expression, _ := strings.Cut(string(text), "[")
		expression = expression[:strings.LastIndexByte(expression, ']')]
		family := base[:strings.LastIndexByte(base, '-')]
		source, err := os.ReadFile(filepath.Join(folder, family+"-input.xml"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(folder, base+".output"))
		if err != nil {
			t.Fatal(err)
		}
		var stack []opened
		got, err := canonical(source, c14n.Output{Method: c14n.Inclusive11, Filter: func(n c14n.Node) bool {
			if n.Kind == c14n.ElementNode {
				id, _ := n.Element.Attr("", "id")
				stack = append(stack[:n.Depth-1], opened{localName(name(n)), string(id)})
			}
			e := evaluator{words: words(expression), node: n, stack: stack[:n.Depth]}
			return e.or()
		}})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\ngot  %q\nwant %q", base, err, got, want)
			continue
		}
		matched++
	}
	t.Logf("%d of %d vectors equal", matched, len(names))
}

func localName(qualified string) string { return qualified[strings.IndexByte(qualified, ':')+1:] }

func words(expression string) []string {
	for _, mark := range []string{"(", ")"} {
		expression = strings.ReplaceAll(expression, mark, " "+mark+" ")
	}
	return strings.Fields(expression)
}

// evaluator evaluates steps joined by and, or and not for one node. opened.space
// is the identifier of an element here.
type evaluator struct {
	words []string
	node  c14n.Node
	stack []opened
}

func (e *evaluator) take(word string) bool {
	if len(e.words) > 0 && e.words[0] == word {
		e.words = e.words[1:]
		return true
	}
	return false
}

func (e *evaluator) or() bool {
	value := e.and()
	for e.take("or") {
		more := e.and()
		value = value || more
	}
	return value
}

func (e *evaluator) and() bool {
	value := e.step()
	for e.take("and") {
		more := e.step()
		value = value && more
	}
	return value
}

func (e *evaluator) step() bool {
	switch {
	case e.take("("):
		value := e.or()
		e.take(")")
		return value
	case e.take("not"):
		return !e.step()
	case e.take("count"):
		// count(id("E3")|ancestor-or-self::node()) = count(ancestor-or-self::node())
		for i, w := range e.words {
			if w == "=" {
				rest := e.words[i+1:]
				depth := 0
				for j, w := range rest {
					if w == "(" {
						depth++
					}
					if w == ")" {
						if depth--; depth == 0 {
							e.words = rest[j+1:]
							break
						}
					}
				}
				break
			}
		}
		for _, o := range e.stack {
			if o.space == "E3" {
				return true
			}
		}
		return false
	}
	word := e.words[0]
	e.words = e.words[1:]
	if e.take("(") { // self::text()
		e.take(")")
		return word == "self::text" && e.node.Kind == c14n.TextNode
	}
	axis, test, _ := strings.Cut(word, "::")
	test = localName(test)
	last := len(e.stack) - 1
	switch axis {
	case "self":
		return e.node.Kind == c14n.ElementNode && e.stack[last].name == test
	case "parent":
		if e.node.Kind == c14n.ElementNode {
			last--
		}
		return last >= 0 && e.stack[last].name == test
	}
	for _, o := range e.stack {
		if o.name == test {
			return true
		}
	}
	return false
}

// TestVectorsOfWholeDocuments compares with the examples of Canonical XML 1.0,
// chapter 3, as the tests of Santuario carry them.
//
//	EIDBRIDGE_VECTORS10=santuario/src/test/resources/org/apache/xml/security/c14n/in go test …
func TestVectorsOfWholeDocuments(t *testing.T) {
	folder := os.Getenv("EIDBRIDGE_VECTORS10")
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, c := range []struct {
		in, want string
		method   c14n.Method
	}{
		{"31_input.xml", "31_c14n.xml", c14n.Inclusive10},
		{"31_input.xml", "31_c14n-comments.xml", c14n.Inclusive10WithComments},
		{"32_input.xml", "32_c14n.xml", c14n.Inclusive10},
		{"33_input.xml", "33_c14n.xml", c14n.Inclusive10},
		{"34_input.xml", "34_c14n.xml", c14n.Inclusive10},
		{"35_input.xml", "35_c14n.xml", c14n.Inclusive10},
		{"36_input.xml", "36_c14n.xml", c14n.Inclusive10},
	} {
		var out bytes.Buffer
		err := c14n.Write(bytes.NewReader(read(c.in)), xmltext.Options{Subset: &xmltext.Subset{External: map[string][]byte{"world.txt": read("world.txt")}}}, c14n.Output{Method: c.method, To: &out})
		if err != nil || !bytes.Equal(out.Bytes(), read(c.want)) {
			t.Errorf("%s: %v\ngot  %q\nwant %q", c.want, err, out.Bytes(), read(c.want))
		}
	}
}
