package xmldsig

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Element is an element of a signature, held with its place. What elements of
// other vocabularies hold, which is mostly what signatures envelop, is left out.
type Element struct {
	Space, Local string
	// Prefix is that of the name as written.
	Prefix     string
	Attributes []Attribute
	Parent     *Element
	Children   []*Element
	// Text is the character data directly in the element, in one piece.
	Text string
	// Interrupted says that a comment or processing instruction stands directly
	// in the element.
	Interrupted bool
	// Instructed says that it is a processing instruction.
	Instructed bool
	// Start and End delimit the element in the fragment it was read from, bytes;
	// Open and Close its content. In an empty-element tag both are End.
	Start, Open, Close, End int64
	// prefixes are those bound to the namespace of XML Signature, for an element
	// that holds an XPath expression.
	prefixes []Attribute
}

// Attribute is an attribute of an Element.
type Attribute struct{ Space, Local, Value string }

// Is compares the expanded name.
func (e *Element) Is(space, local string) bool { return e.Local == local && e.Space == space }

// Attr returns an attribute.
func (e *Element) Attr(space, local string) (value string, ok bool) {
	for _, a := range e.Attributes {
		if a.Local == local && a.Space == space {
			return a.Value, true
		}
	}
	return "", false
}

// ID returns the attribute Id.
func (e *Element) ID() string {
	id, _ := e.Attr("", "Id")
	return id
}

// Child returns the first child of that name, nil if there is none.
func (e *Element) Child(space, local string) *Element {
	for _, c := range e.Children {
		if c.Is(space, local) {
			return c
		}
	}
	return nil
}

// Find follows a path of local names in one namespace.
func (e *Element) Find(space string, path ...string) *Element {
	for _, local := range path {
		if e == nil {
			return nil
		}
		e = e.Child(space, local)
	}
	return e
}

// All returns the children of that name.
func (e *Element) All(space, local string) []*Element {
	var all []*Element
	for _, c := range e.Children {
		if c.Is(space, local) {
			all = append(all, c)
		}
	}
	return all
}

// Walk visits the element and what is in it, in document order.
func (e *Element) Walk(visit func(*Element)) {
	visit(e)
	for _, c := range e.Children {
		c.Walk(visit)
	}
}

// foreign says that an element is of no vocabulary of signatures.
func foreign(space string) bool {
	return space != Namespace && space != moreNamespace && space != filter2Namespace &&
		!strings.HasPrefix(space, "http://uri.etsi.org/") && space != excNamespace
}

// readTree reads the one element that the reader gives. Of elements of other
// vocabularies it keeps name and place, and not what they hold.
func readTree(r tokens) (*Element, error) {
	var root, open *Element
	var text strings.Builder
	skipping, count := 0, 0
	// pieces holds the text of open elements that were interrupted by a child.
	var pieces []string
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		if skipping > 0 {
			if t.Kind == xmltext.EndElement && t.Depth == skipping {
				skipping = 0
				stub := open.Children[len(open.Children)-1]
				stub.Close, stub.End = t.Start, t.End
			}
			continue
		}
		switch t.Kind {
		case xmltext.StartElement:
			if count++; count > maxElements {
				return nil, excess(maxElements, "elements in a signature")
			}
			if open != nil && foreign(string(t.Name.Space)) && !xpathHolder(open) {
				skipping = t.Depth
				open.Children = append(open.Children, newElement(t, open))
				continue
			}
			e := newElement(t, open)
			if e.Local == "XPath" {
				for n := range r.InScope() {
					if string(n.URI) == Namespace {
						e.prefixes = append(e.prefixes, Attribute{Local: string(n.Prefix), Value: Namespace})
					}
				}
			}
			if open == nil {
				root = e
			} else {
				open.Children = append(open.Children, e)
				pieces = append(pieces, text.String())
				text.Reset()
			}
			open = e
		case xmltext.EndElement:
			open.Text = text.String()
			open.Close, open.End = t.Start, t.End
			text.Reset()
			if open = open.Parent; open != nil {
				text.WriteString(pieces[len(pieces)-1])
				pieces = pieces[:len(pieces)-1]
			}
		case xmltext.Text, xmltext.CDATA:
			if open != nil && !open.Is(Namespace, "Object") {
				text.Write(t.Data)
			}
		case xmltext.Comment, xmltext.ProcessingInstruction:
			if open != nil {
				open.Interrupted = true
				open.Instructed = open.Instructed || t.Kind == xmltext.ProcessingInstruction
			}
		}
	}
}

// resolve replaces the prefixes of the namespace of XML Signature in an
// expression by {ds}.
func (e *Element) resolve(expression string) string {
	if strings.Contains(expression, "{") {
		return ""
	}
	for _, p := range e.prefixes {
		if p.Local != "" {
			expression = strings.ReplaceAll(expression, ":"+p.Local+":Signature", ":{ds}Signature")
			expression = strings.ReplaceAll(expression, "/"+p.Local+":Signature", "/{ds}Signature")
		}
	}
	return expression
}

// xpathHolder says that an element is a transform, whose parameters are read
// whatever they are called.
func xpathHolder(e *Element) bool { return e.Is(Namespace, "Transform") }

func newElement(t *xmltext.Token, parent *Element) *Element {
	e := &Element{
		Space: string(t.Name.Space), Local: string(t.Name.Local()), Prefix: string(t.Name.Prefix()),
		Parent: parent, Start: t.Start, Open: t.End,
	}
	for i := range t.Attributes {
		a := &t.Attributes[i]
		e.Attributes = append(e.Attributes, Attribute{string(a.Name.Space), string(a.Name.Local()), string(a.Value)})
	}
	return e
}

// shape checks that the children of an element are those of a list, in order.
// A name with ? may be absent, with * may come any number of times, with + once
// at least. Text other than white space is malformed.
func (e *Element) shape(names ...string) error {
	if strings.Trim(e.Text, " \t\r\n") != "" {
		return malformed("text in ds:%s", e.Local)
	}
	at := 0
	for _, name := range names {
		local := strings.TrimRight(name, "?*+")
		mark := name[len(local):]
		n := 0
		for at < len(e.Children) && e.Children[at].Is(Namespace, local) {
			at, n = at+1, n+1
		}
		if n == 0 && (mark == "" || mark == "+") {
			return malformed("ds:%s without ds:%s", e.Local, local)
		}
		if n > 1 && mark != "*" && mark != "+" {
			return malformed("ds:%s with several ds:%s", e.Local, local)
		}
	}
	if at < len(e.Children) {
		return malformed("ds:%s holds %s where it may not", e.Local, quoted(e.Children[at].Local))
	}
	return nil
}

// String names an element in a message.
func (e *Element) String() string {
	if e.Space == Namespace {
		return "ds:" + e.Local
	}
	return fmt.Sprintf("%.60s", e.Local)
}
