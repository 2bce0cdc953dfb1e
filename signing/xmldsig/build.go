package xmldsig

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// Prefix is that of the namespace of XML Signature in what is built.
const Prefix = "ds"

// Template is a ds:Signature to be made.
type Template struct {
	// ID is the Id of the ds:Signature; SignatureValue and KeyInfo get it with
	// "-value" and "-key".
	ID               string
	Canonicalization c14n.Method
	Algorithm        cms.Algorithm
	// References hold the digests; an empty Value is written as such.
	References []Reference
	// Certificates go into ds:KeyInfo in that order, the signer's first; DER.
	Certificates [][]byte
	// Objects become ds:Object elements, or are such.
	Objects []*etree.Element
}

// ValueID and KeyInfoID are the identifiers within the signature.
func (t *Template) ValueID() string   { return t.ID + "-value" }
func (t *Template) KeyInfoID() string { return t.ID + "-key" }

// Element builds the ds:Signature with an empty signature value.
func (t *Template) Element() *etree.Element {
	signature := element("Signature")
	signature.CreateAttr("xmlns:"+Prefix, Namespace)
	signature.CreateAttr("Id", t.ID)
	info := child(signature, "SignedInfo")
	child(info, "CanonicalizationMethod").CreateAttr("Algorithm", string(t.Canonicalization))
	child(info, "SignatureMethod").CreateAttr("Algorithm", SignatureURI(t.Algorithm))
	for i := range t.References {
		info.AddChild(t.References[i].build())
	}
	child(signature, "SignatureValue").CreateAttr("Id", t.ValueID())
	if len(t.Certificates) > 0 {
		key := child(signature, "KeyInfo")
		key.CreateAttr("Id", t.KeyInfoID())
		data := child(key, "X509Data")
		for _, c := range t.Certificates {
			child(data, "X509Certificate").SetText(base64.StdEncoding.EncodeToString(c))
		}
	}
	for _, o := range t.Objects {
		signature.AddChild(o)
	}
	return signature
}

// NewObject makes a ds:Object around an element.
func NewObject(content *etree.Element) *etree.Element {
	object := element("Object")
	object.AddChild(content)
	return object
}

// NewManifest makes a ds:Manifest of references.
func NewManifest(id string, references []Reference) *etree.Element {
	manifest := element("Manifest")
	manifest.CreateAttr("Id", id)
	for i := range references {
		manifest.AddChild(references[i].build())
	}
	return manifest
}

func (r *Reference) build() *etree.Element {
	e := element("Reference")
	for _, a := range []struct{ name, value string }{{"Id", r.ID}, {"Type", r.Type}} {
		if a.value != "" {
			e.CreateAttr(a.name, a.value)
		}
	}
	if r.HasURI {
		e.CreateAttr("URI", r.URI)
	}
	if len(r.Transforms) > 0 {
		list := child(e, "Transforms")
		for i := range r.Transforms {
			r.Transforms[i].build(child(list, "Transform"))
		}
	}
	child(e, "DigestMethod").CreateAttr("Algorithm", DigestURI(r.Digest))
	child(e, "DigestValue").SetText(base64.StdEncoding.EncodeToString(r.Value))
	return e
}

func (t *Transform) build(e *etree.Element) {
	e.CreateAttr("Algorithm", t.Algorithm)
	switch {
	case t.Algorithm == TransformXPath:
		child(e, "XPath").SetText(t.XPath)
	case t.Algorithm == TransformFilter2:
		x := etree.NewElement("dsig-filter2:XPath")
		x.CreateAttr("xmlns:dsig-filter2", filter2Namespace)
		x.CreateAttr("Filter", "subtract")
		x.SetText(t.XPath)
		e.AddChild(x)
	case len(t.Prefixes) > 0:
		x := etree.NewElement("ec:InclusiveNamespaces")
		x.CreateAttr("xmlns:ec", excNamespace)
		x.CreateAttr("PrefixList", strings.Join(t.Prefixes, " "))
		e.AddChild(x)
	}
}

// DigestElements adds ds:DigestMethod and ds:DigestValue to an element.
func DigestElements(to *etree.Element, uri string, digest []byte) {
	child(to, "DigestMethod").CreateAttr("Algorithm", uri)
	child(to, "DigestValue").SetText(base64.StdEncoding.EncodeToString(digest))
}

func element(local string) *etree.Element { return etree.NewElement(Prefix + ":" + local) }

func child(parent *etree.Element, local string) *etree.Element {
	return parent.CreateElement(Prefix + ":" + local)
}

// Bytes writes an element in US-ASCII: other characters become references, so
// that it can be put into a document of any encoding.
func Bytes(e *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.WriteSettings = etree.WriteSettings{CanonicalText: true, CanonicalAttrVal: true, CanonicalEndTags: false}
	doc.SetRoot(e)
	raw, err := doc.WriteToBytes()
	if err != nil {
		return nil, err
	}
	return ASCII(raw), nil
}

// ASCII replaces the characters beyond US-ASCII by references.
func ASCII(raw []byte) []byte {
	plain := true
	for _, c := range raw {
		plain = plain && c < 0x80
	}
	if plain {
		return raw
	}
	var out []byte
	for _, c := range string(raw) {
		if c < 0x80 {
			out = append(out, byte(c))
		} else {
			out = fmt.Appendf(out, "&#x%X;", c)
		}
	}
	return out
}

// Encode turns US-ASCII into an encoding of xmltext.Reader.Encoding.
func Encode(ascii []byte, encoding string) []byte {
	var low, high int
	switch encoding {
	case "UTF-16LE":
		low, high = 0, 1
	case "UTF-16BE":
		low, high = 1, 0
	default:
		return ascii
	}
	out := make([]byte, 2*len(ascii))
	for i, c := range ascii {
		out[2*i+low], out[2*i+high] = c, 0
	}
	return out
}

// SetValue puts a signature value, base64, into the empty ds:SignatureValue of a
// signature that was built here.
func SetValue(signature []byte, valueID string, value []byte) ([]byte, error) {
	empty := `<` + Prefix + `:SignatureValue Id="` + valueID + `"/>`
	before, after, found := strings.Cut(string(signature), empty)
	if !found || strings.Contains(after, empty) {
		return nil, malformed("no empty ds:SignatureValue")
	}
	filled := `<` + Prefix + `:SignatureValue Id="` + valueID + `">` + base64.StdEncoding.EncodeToString(value) + `</` + Prefix + `:SignatureValue>`
	return []byte(before + filled + after), nil
}
