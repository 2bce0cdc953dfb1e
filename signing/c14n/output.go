package c14n

import (
	"io"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Output is one canonical form of one part of a document.
type Output struct {
	Method Method
	// Prefixes is the PrefixList of InclusiveNamespaces for the exclusive
	// methods; "#default" stands for the default namespace.
	Prefixes []string
	// Select picks the element whose subtree is written. It is asked at every
	// start-tag of the document and must agree to one. Nil is the whole
	// document.
	Select Selector
	// Manual leaves the choice of the element to Canonicalizer.Start.
	Manual bool
	// Apart keeps an error of this output from ending the others;
	// Canonicalizer.Err tells it.
	Apart bool
	// Omit picks elements whose subtrees are left out. It is asked at the
	// start-tags that would be written. Nil leaves nothing out.
	Omit Selector
	// Filter narrows the node-set further; nil keeps every node.
	Filter Filter
	// To takes the octets.
	To io.Writer
}

// Selector looks at a start-tag. The token is valid during the call.
type Selector func(t *xmltext.Token) bool

// ByID picks the elements with that value in an attribute Id, ID or id, in
// xml:id, or in an attribute that the internal subset declares as an ID.
func ByID(id string) Selector {
	return func(t *xmltext.Token) bool {
		for i := range t.Attributes {
			a := &t.Attributes[i]
			if string(a.Value) == id && (a.ID || isID(&a.Name)) {
				return true
			}
		}
		return false
	}
}

func isID(n *xmltext.Name) bool {
	if len(n.Prefix()) > 0 {
		return n.Is(xmltext.XMLNamespace, "id")
	}
	local := string(n.Local())
	return local == "Id" || local == "ID" || local == "id"
}

// At picks the element whose start-tag stands at that offset of the source.
// After a first pass that looked at a document it says without doubt which
// element is meant.
func At(offset int64) Selector {
	return func(t *xmltext.Token) bool { return t.Start == offset }
}

// ByName picks all elements of that name.
func ByName(space, local string) Selector {
	return func(t *xmltext.Token) bool { return t.Name.Is(space, local) }
}

// NodeKind is a kind of node of the XPath data model.
type NodeKind uint8

// The kinds of nodes a Filter is asked for.
const (
	ElementNode NodeKind = iota + 1
	NamespaceNode
	AttributeNode
	TextNode
	CommentNode
	InstructionNode
)

// Node is what a Filter decides on. Its slices are valid during the call.
type Node struct {
	Kind NodeKind
	// Depth counts the elements around the node, an element itself included:
	// namespaces, attributes and text have the depth of their element.
	Depth int
	// Element is the start-tag of an ElementNode and of the element that has
	// the NamespaceNode or AttributeNode; nil for other nodes.
	Element *xmltext.Token
	// Attribute is that of an AttributeNode.
	Attribute *xmltext.Attribute
	// Namespace is that of a NamespaceNode.
	Namespace xmltext.Namespace
	// Target is that of an InstructionNode.
	Target []byte
}

// Filter says whether a node is in the node-set. It is asked in document
// order: for an element, its attributes, its namespaces in no particular order,
// then its content; only for nodes within Select and outside Omit whose answer
// matters to the form; and for a namespace perhaps more than once. A Filter
// that has to know ancestors keeps them itself, by Depth.
type Filter func(n Node) bool
