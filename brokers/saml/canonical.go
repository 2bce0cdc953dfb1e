package saml

import (
	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// canonicalize returns the canonical form of e without the child skip (the
// enveloped signature).
//
// Known difference of goxmldsig from the standard: attributes of two foreign
// namespaces on one element are ordered by local name. A signature over such an
// element does not verify; none that should not verify does.
func canonicalize(e, skip *element, algorithm, prefixes string) ([]byte, error) {
	tree := detach(e, skip, algorithm == c14nExclusiveCmt || algorithm == c14nInclusiveCmt)
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
