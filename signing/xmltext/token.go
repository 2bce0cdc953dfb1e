package xmltext

import "bytes"

// XMLNamespace is what the prefix xml is bound to in every document.
const XMLNamespace = "http://www.w3.org/XML/1998/namespace"

const xmlnsNamespace = "http://www.w3.org/2000/xmlns/"

// Kind says what a token is.
type Kind uint8

// The kinds of tokens.
const (
	// Declaration is the byte order mark, the XML declaration, or both.
	Declaration Kind = iota + 1
	// Doctype is a document type declaration with its internal subset.
	Doctype
	// Space is white space outside the document element.
	Space
	// StartElement is a start-tag or an empty-element tag.
	StartElement
	// EndElement is an end-tag; after an empty-element tag it has no bytes.
	EndElement
	// Text is a piece of character data, or what a reference stands for.
	Text
	// CDATA is a piece of a CDATA section. Its delimiters lie inside the
	// first and the last piece.
	CDATA
	// Comment is a whole comment.
	Comment
	// ProcessingInstruction is a whole processing instruction.
	ProcessingInstruction
)

// String gives the name of the kind.
func (k Kind) String() string {
	names := [...]string{"none", "declaration", "doctype", "space", "start-tag", "end-tag", "text", "CDATA", "comment", "processing instruction"}
	if int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// Token is one piece of a document. Its slices are valid until the next call
// of Reader.Next.
type Token struct {
	Kind Kind
	// Start and End are offsets in the source, bytes; End is exclusive.
	Start, End int64
	// Depth counts the open elements, that of a tag included: 1 for the tags
	// of the document element and for its text, 0 outside.
	Depth int
	// Name is that of a tag.
	Name Name
	// Attributes of a start-tag in the order of the source, namespace
	// declarations apart, then those that the internal subset supplies.
	Attributes []Attribute
	// Namespaces are the declarations of a start-tag in the order of the
	// source.
	Namespaces []Namespace
	// Target of a processing instruction.
	Target []byte
	// Data of Text, CDATA, Comment and ProcessingInstruction: normalised
	// UTF-8 with references replaced. Of Space: as in the source.
	Data []byte
	// Plain says that Data of Text or CDATA holds none of & < > and CR.
	Plain bool
	// Empty marks the start-tag that is an empty-element tag.
	Empty bool
}

// Attr gives the value of the attribute with that expanded name.
func (t *Token) Attr(space, local string) (value []byte, ok bool) {
	for i := range t.Attributes {
		if t.Attributes[i].Name.Is(space, local) {
			return t.Attributes[i].Value, true
		}
	}
	return nil, false
}

// Name is a qualified name with the namespace it stands for.
type Name struct {
	// Qualified is the name as written.
	Qualified []byte
	// Space is the namespace name, empty for no namespace.
	Space []byte
	// Slot is that of the prefix, see Namespace; -1 for an attribute without
	// prefix, which is in no namespace whatever the default is.
	Slot int
	// local is where the local part starts in Qualified.
	local int
}

// NewName makes a name of its parts; for tests and for names that no document
// wrote.
func NewName(prefix, local, space string, slot int) Name {
	n := Name{Qualified: []byte(local), Space: []byte(space), Slot: slot}
	if prefix != "" {
		n.Qualified, n.local = []byte(prefix+":"+local), len(prefix)+1
	}
	return n
}

// Prefix is what stands before the colon, empty if there is none.
func (n *Name) Prefix() []byte { return n.Qualified[:max(n.local-1, 0)] }

// Local is what stands behind the colon.
func (n *Name) Local() []byte { return n.Qualified[n.local:] }

// Is compares the expanded name.
func (n *Name) Is(space, local string) bool {
	return string(n.Local()) == local && string(n.Space) == space
}

// Equal compares expanded names.
func (n *Name) Equal(o *Name) bool {
	return bytes.Equal(n.Local(), o.Local()) && bytes.Equal(n.Space, o.Space)
}

// Attribute is an attribute that is not a namespace declaration.
type Attribute struct {
	Name  Name
	Value []byte // normalised
	// Plain says that Value holds none of & < " TAB LF and CR.
	Plain bool
	// ID says that the internal subset declares the attribute as an ID.
	ID bool
	// Default says that the internal subset supplied the attribute.
	Default bool
}

// Namespace binds a prefix.
type Namespace struct {
	// Prefix is empty for the default namespace, URI is empty where a default
	// namespace ends.
	Prefix, URI []byte
	// Slot is a small number that stands for the prefix as long as any
	// declaration of it is in scope, and may then stand for another.
	// It is smaller than Limits.Namespaces + 2.
	Slot int
}

// The slots of prefixes that are always in scope.
const (
	DefaultSlot = 0 // of the default namespace, bound to nothing at first
	XMLSlot     = 1 // of the prefix xml
)
