package xmldsig

import (
	"strings"

	"github.com/eidbridge/eidbridge/signing/c14n"
)

// Transforms that are accepted beside the canonical forms.
const (
	TransformEnveloped = Namespace + "enveloped-signature"
	TransformBase64    = Namespace + "base64"
	TransformXPath     = "http://www.w3.org/TR/1999/REC-xpath-19991116"
	TransformFilter2   = "http://www.w3.org/2002/06/xmldsig-filter2"
)

const filter2Namespace = TransformFilter2

// Transform is a transform of a reference.
type Transform struct {
	Algorithm string
	// Prefixes is the PrefixList of an exclusive canonical form.
	Prefixes []string
	// XPath is the expression of the XPath transforms. Of those only expressions
	// that remove signatures are accepted, see removes.
	XPath string
}

// chain is what a list of transforms amounts to.
type chain struct {
	// own removes the signature the reference is in, all every signature, top those
	// directly in the document element.
	own, all, top bool
	// again says that signatures are removed from what was made canonical before.
	again bool
	// canonical is the last canonical form, empty if the list has none.
	canonical Canonicalization
	base64    bool
}

// readTransforms reads ds:Transforms. The list is closed (threats ):
// removal of signatures first, then one canonical form or base64.
func readTransforms(e *Element) ([]Transform, chain, error) {
	var list []Transform
	var c chain
	if e == nil {
		return nil, c, nil
	}
	if err := e.shape("Transform+"); err != nil {
		return nil, c, err
	}
	if len(e.Children) > maxTransforms {
		return nil, c, excess(maxTransforms, "transforms of a reference")
	}
	for _, child := range e.Children {
		uri, ok := child.Attr("", "Algorithm")
		if !ok {
			return nil, c, malformed("ds:Transform without algorithm")
		}
		t := Transform{Algorithm: uri}
		if err := c.add(&t, child); err != nil {
			return list, c, err
		}
		list = append(list, t)
	}
	return list, c, c.check()
}

// check looks at the list as a whole. Signatures that are removed after a
// canonical form, as programs of the Spanish administration write it, are no
// longer the signature that refers: only the removal of all of them means
// something, and means the same as before the form.
func (c *chain) check() error {
	if c.again && !c.all {
		return untransformed("enveloped-signature transform after a canonical form")
	}
	return nil
}

// reopens tells whether signatures may still be removed: from a document, or from
// the octets of C14N 1.0, which say the same as what they were made of.
func (c *chain) reopens() bool {
	if c.canonical.Method == c14n.Inclusive10 && !c.base64 {
		c.again = true
	}
	return c.again || c.canonical.Method == "" && !c.base64
}

func (c *chain) add(t *Transform, e *Element) error {
	done := c.canonical.Method != "" || c.base64
	switch t.Algorithm {
	case TransformEnveloped:
		if c.own || !c.reopens() {
			return untransformed("enveloped-signature transform twice or after a canonical form")
		}
		c.own = true
	case TransformXPath, TransformFilter2:
		if !c.reopens() {
			return untransformed("XPath after a canonical form")
		}
		return c.xpath(t, e)
	case TransformBase64:
		if done {
			return untransformed("base64 after another form of octets")
		}
		c.base64 = true
	default:
		if done && !c.again {
			return untransformed("two transforms to octets")
		}
		method, err := c14n.ParseMethod(t.Algorithm)
		if err != nil {
			return untransformed("transform %s", quoted(t.Algorithm))
		}
		if t.Prefixes, err = prefixList(e, method); err != nil {
			return err
		}
		c.canonical = Canonicalization{method, t.Prefixes}
		return nil
	}
	if len(e.Children) > 0 {
		return untransformed("parameters of transform %s", quoted(t.Algorithm))
	}
	return nil
}

// xpath accepts the expressions that mean what enveloped-signature means, or the
// same of all signatures. They are compared as words, with the prefix that the
// document gives to the namespace of XML Signature; nothing is evaluated.
func (c *chain) xpath(t *Transform, e *Element) error {
	if len(e.Children) != 1 || strings.Trim(e.Text, " \t\r\n") != "" {
		return untransformed("XPath with other than one expression")
	}
	x := e.Children[0]
	space, filter := Namespace, ""
	if t.Algorithm == TransformFilter2 {
		space = filter2Namespace
		filter, _ = x.Attr("", "Filter")
	}
	if !x.Is(space, "XPath") || len(x.Children) > 0 {
		return malformed("XPath transform")
	}
	t.XPath = strings.TrimSpace(x.Text)
	if x.Interrupted {
		return untransformed("XPath %s with comments in it", quoted(t.XPath))
	}
	expression := x.resolve(strings.Join(strings.Fields(x.Text), ""))
	switch {
	case t.Algorithm == TransformXPath && (expression == "not(ancestor-or-self::{ds}Signature)" || expression == "not(ancestor-or-self::{ds}Signature[1])"),
		t.Algorithm == TransformFilter2 && filter == "subtract" && (expression == "/descendant::{ds}Signature" || expression == "//{ds}Signature" || expression == "/descendant-or-self::{ds}Signature"):
		c.all = true
	case t.Algorithm == TransformFilter2 && filter == "subtract" && (expression == "/*/{ds}Signature" || expression == "/child::*/child::{ds}Signature"):
		c.top = true
	case t.Algorithm == TransformXPath && expression == "count(ancestor-or-self::{ds}Signature|here()/ancestor::{ds}Signature[1])>count(ancestor-or-self::{ds}Signature)",
		t.Algorithm == TransformFilter2 && filter == "subtract" && expression == "here()/ancestor::{ds}Signature[1]":
		c.own = true
	default:
		return untransformed("XPath %s", quoted(t.XPath))
	}
	return nil
}
