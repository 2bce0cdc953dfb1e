package saml

import (
	"bytes"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// canonicalize returns the canonical form of e without the child skip (the
// enveloped signature).
//
// goxmldsig orders attributes of two foreign namespaces by local name and knows no
// "#default" in a PrefixList. Where that makes a difference, which is seldom,
// package c14n writes the form.
func canonicalize(e, skip *element, algorithm, prefixes string) ([]byte, error) {
	tree := detach(e, skip, algorithm == c14nExclusiveCmt || algorithm == c14nInclusiveCmt)
	if strings.Contains(prefixes, "#default") || e.disordered() {
		return canonicalTree(tree, algorithm, prefixes)
	}
	switch algorithm {
	case c14nExclusive:
		return dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(tree)
	case c14nExclusiveCmt:
		return dsig.MakeC14N10ExclusiveWithCommentsCanonicalizerWithPrefixList(prefixes).Canonicalize(tree)
	case c14nInclusiveCmt:
		return dsig.MakeC14N10WithCommentsCanonicalizer().Canonicalize(tree)
	case c14nInclusive, c14n11:
		// With one apex and every binding declared on it, 1.0 and 1.1 agree but
		// for xml:id and xml:base, which the caller does not meet.
		return dsig.MakeC14N10RecCanonicalizer().Canonicalize(tree)
	}
	return nil, reject(ReasonSignatureAlgorithm, "canonicalization is not on the list")
}

// canonicalTree writes the form of a tree that declares every namespace in scope.
func canonicalTree(tree *etree.Element, algorithm, prefixes string) ([]byte, error) {
	method, err := c14n.ParseMethod(algorithm)
	if err != nil {
		return nil, reject(ReasonSignatureAlgorithm, "canonicalization is not on the list")
	}
	document := etree.NewDocumentWithRoot(tree)
	// So that line ends and blanks in values are read back as they are.
	document.WriteSettings = etree.WriteSettings{CanonicalText: true, CanonicalAttrVal: true}
	text, err := document.WriteToBytes()
	if err != nil {
		return nil, reject(ReasonXML, "canonicalization")
	}
	var form bytes.Buffer
	err = c14n.Write(bytes.NewReader(text), xmltext.Options{}, c14n.Output{Method: method, Prefixes: strings.Fields(prefixes), To: &form})
	if err != nil {
		return nil, reject(ReasonXML, "canonicalization")
	}
	return form.Bytes(), nil
}

// disordered tells whether an element at or below e has attributes whose order by
// namespace name is not that by local name.
func (e *element) disordered() bool {
	for i, a := range e.attributes {
		for _, b := range e.attributes[:i] {
			if a.ns != "" && b.ns != "" && a.ns != b.ns && (a.ns < b.ns) != (a.local < b.local) {
				return true
			}
		}
	}
	for _, c := range e.children {
		if c.element != nil && c.element.disordered() {
			return true
		}
	}
	return false
}

// detach copies e into a tree of its own that declares every namespace in scope.
func detach(e, skip *element, comments bool) *etree.Element {
	apex := graft(e, skip, comments)
	var declared []etree.Attr
	for _, d := range e.inScope() {
		declared = append(declared, declarationAttr(d))
	}
	apex.Attr = append(declared, apex.Attr[len(e.declarations):]...)
	return apex
}

func graft(e, skip *element, comments bool) *etree.Element {
	copied := etree.NewElement(e.local)
	copied.Space = e.prefix
	copied.Attr = make([]etree.Attr, 0, len(e.declarations)+len(e.attributes))
	for _, d := range e.declarations {
		copied.Attr = append(copied.Attr, declarationAttr(d))
	}
	for _, a := range e.attributes {
		copied.Attr = append(copied.Attr, etree.Attr{Space: a.prefix, Key: a.local, Value: a.value})
	}
	for _, c := range e.children {
		switch {
		case c.comment:
			if comments {
				copied.AddChild(etree.NewComment(c.text))
			}
		case c.element == nil:
			copied.AddChild(etree.NewText(c.text))
		case c.element != skip:
			copied.AddChild(graft(c.element, nil, comments))
		}
	}
	return copied
}

func declarationAttr(d declaration) etree.Attr {
	if d.prefix == "" {
		return etree.Attr{Key: "xmlns", Value: d.ns}
	}
	return etree.Attr{Space: "xmlns", Key: d.prefix, Value: d.ns}
}
