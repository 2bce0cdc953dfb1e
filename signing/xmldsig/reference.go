package xmldsig

import (
	"crypto"
	"net/url"
	"strings"

	"github.com/eidbridge/eidbridge/signing/c14n"
)

// Reference is a ds:Reference.
type Reference struct {
	ID, Type string
	// URI is meaningful if HasURI is set: without the attribute the application
	// has to know what is meant.
	URI    string
	HasURI bool
	// Transforms are what the reference lists.
	Transforms []Transform
	// Digest and Value are what it demands. Digest is 0 if it is not known.
	Digest crypto.Hash
	Value  []byte
	// Element is the ds:Reference, nil for one that no document wrote.
	Element *Element
	// Err is why the reference cannot be processed: ErrFormat or ErrAlgorithm.
	Err error

	chain chain
}

// readReferences reads the ds:Reference elements of a signature or manifest.
func readReferences(elements []*Element) ([]Reference, error) {
	if len(elements) > maxReferences {
		return nil, excess(maxReferences, "references")
	}
	all := make([]Reference, len(elements))
	for i, e := range elements {
		r := Reference{Element: e, ID: e.ID()}
		r.Type, _ = e.Attr("", "Type")
		r.URI, r.HasURI = e.Attr("", "URI")
		r.Err = r.read(e)
		all[i] = r
	}
	return all, nil
}

func (r *Reference) read(e *Element) error {
	if err := e.shape("Transforms?", "DigestMethod", "DigestValue"); err != nil {
		return err
	}
	var err error
	if r.Transforms, r.chain, err = readTransforms(e.Child(Namespace, "Transforms")); err != nil {
		return err
	}
	if r.Digest, err = digestMethod(e.Child(Namespace, "DigestMethod")); err != nil {
		return err
	}
	// A value of another length is base64 all the same, and matches nothing.
	r.Value, err = decode(e.Child(Namespace, "DigestValue"), 64)
	return err
}

// NewReference makes a reference that is to be written. The error is
// ErrAlgorithm for transforms that are not accepted.
func NewReference(r Reference) (Reference, error) {
	r.chain = chain{}
	for i := range r.Transforms {
		t := &r.Transforms[i]
		if err := r.chain.add(t, t.element()); err != nil {
			return r, err
		}
	}
	if err := r.chain.check(); err != nil {
		return r, err
	}
	if DigestURI(r.Digest) == "" {
		return r, unaccepted("digest %s", r.Digest)
	}
	return r, nil
}

// element is the transform as it would be read.
func (t *Transform) element() *Element {
	e := &Element{Space: Namespace, Local: "Transform"}
	switch {
	case t.XPath != "":
		x := &Element{Space: Namespace, Local: "XPath", Text: t.XPath, Parent: e, prefixes: []Attribute{{Local: "ds", Value: Namespace}}}
		if t.Algorithm == TransformFilter2 {
			x.Space = filter2Namespace
			x.Attributes = []Attribute{{Local: "Filter", Value: "subtract"}}
		}
		e.Children = []*Element{x}
	case len(t.Prefixes) > 0:
		e.Children = []*Element{{
			Space: excNamespace, Local: "InclusiveNamespaces", Parent: e,
			Attributes: []Attribute{{Local: "PrefixList", Value: strings.Join(t.Prefixes, " ")}},
		}}
	}
	return e
}

// Kind says how a reference is dereferenced.
type Kind string

// The kinds of references.
const (
	KindDocument Kind = "document" // URI=""
	KindElement  Kind = "element"  // URI="#id"
	KindExternal Kind = "external" // anything else
	KindNone     Kind = "none"     // no URI
)

// Kind says how the reference is dereferenced. The ID is that of KindElement.
func (r *Reference) Kind() (kind Kind, id string) {
	kind, id, _ = r.dereference(false)
	return kind, id
}

// dereference reads the URI. XPointer forms are external, and so not found,
// unless they are accepted; they keep comments.
func (r *Reference) dereference(xpointer bool) (kind Kind, id string, comments bool) {
	switch {
	case !r.HasURI:
		return KindNone, "", false
	case r.URI == "":
		return KindDocument, "", false
	case r.URI[0] != '#':
		return KindExternal, "", false
	case xpointer && r.URI == "#xpointer(/)":
		return KindDocument, "", true
	}
	fragment := r.URI[1:]
	if inner, ok := strings.CutPrefix(fragment, "xpointer(id("); ok {
		if inner, ok = strings.CutSuffix(inner, "))"); ok && xpointer && len(inner) > 2 && inner[0] == inner[len(inner)-1] && (inner[0] == '\'' || inner[0] == '"') {
			return KindElement, inner[1 : len(inner)-1], true
		}
		return KindExternal, "", false
	}
	if plain, err := url.PathUnescape(fragment); err == nil && strings.Contains(fragment, "%") {
		fragment = plain
	}
	return KindElement, fragment, false
}

// target is what octets a reference yields, as something that can be compared:
// references of the same target share their octets.
type target struct {
	kind     Kind
	id       string // KindElement
	uri      string // KindExternal
	own      int64  // start of the signature to be removed, -1 for none
	all, top bool   // all signatures removed, those in the document element
	method   c14n.Method
	prefixes string
	base64   bool
	raw      bool // external octets as they are
}

// target finds what the reference of a signature yields. Start is where the
// signature stands, -1 for one that is not in the document yet.
func (r *Reference) target(start int64, xpointer bool) target {
	kind, id, comments := r.dereference(xpointer)
	if kind == KindNone {
		kind = KindExternal // only the caller can know what is meant
	}
	t := target{kind: kind, id: id, own: -1, all: r.chain.all, top: r.chain.top, base64: r.chain.base64}
	if r.chain.own && !r.chain.again {
		t.own = start
	}
	if kind == KindExternal {
		t.uri = r.URI
		t.raw = r.chain.canonical.Method == "" && !r.chain.base64 && !r.chain.all && !r.chain.own && !r.chain.top
		comments = true
	}
	if t.base64 || t.raw {
		return t
	}
	t.method, t.prefixes = r.chain.canonical.Method, strings.Join(r.chain.canonical.Prefixes, " ")
	if t.method == "" {
		t.method = c14n.Inclusive10
	}
	if !comments {
		t.method = t.method.WithoutComments()
	}
	return t
}

// LeavesSignaturesOut tells whether the reference leaves every signature out of
// what it digests, so that another one in the document changes nothing.
func (r *Reference) LeavesSignaturesOut() bool { return r.chain.all || r.chain.top }
