package xades

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// extension raises one signature: it splices unsigned properties into the
// fragment that holds it.
type extension struct {
	fragment *xmldsig.Fragment
	// signature is the ds:Signature in the fragment.
	signature *xmldsig.Element
	// start is where the signature starts in the fragment; splicing behind that
	// place leaves it.
	start int64
}

func newExtension(f *xmldsig.Fragment, signature *xmldsig.Element) (*extension, error) {
	e := &extension{fragment: f, signature: signature, start: signature.Start}
	if e.properties() == nil {
		return nil, signing.Refuse(signing.RefusedBroken, "have the document signed again", "the signature has no XAdES properties")
	}
	return e, nil
}

// properties is QualifyingProperties of the signature.
func (e *extension) properties() *xmldsig.Element { return qualifying(e.signature) }

// qualifying finds QualifyingProperties of a signature, in the namespace that
// can be extended.
func qualifying(signature *xmldsig.Element) *xmldsig.Element {
	for _, object := range signature.All(xmldsig.Namespace, "Object") {
		for _, c := range object.Children {
			if c.Local == "QualifyingProperties" && isXAdES(c.Space) {
				return c
			}
		}
	}
	return nil
}

// isXAdES knows the namespaces of the versions that have been in use.
func isXAdES(space string) bool {
	switch space {
	case Namespace, "http://uri.etsi.org/01903/v1.2.2#", "http://uri.etsi.org/01903/v1.1.1#":
		return true
	}
	return false
}

// unsigned is UnsignedSignatureProperties, nil if there is none.
func (e *extension) unsigned() *xmldsig.Element {
	q := e.properties()
	return q.Find(q.Space, "UnsignedProperties", "UnsignedSignatureProperties")
}

// put splices properties in at the end of UnsignedSignatureProperties, which are
// made if they are not there. The properties declare their prefixes.
func (e *extension) put(properties []byte) error {
	q := e.properties()
	qualified := func(local string) string {
		if q.Prefix == "" {
			return local
		}
		return q.Prefix + ":" + local
	}
	wrap := func(local string, inner []byte) []byte {
		return slices.Concat([]byte("<"+qualified(local)+">"), inner, []byte("</"+qualified(local)+">"))
	}
	target := e.unsigned()
	switch outer := q.Child(q.Space, "UnsignedProperties"); {
	case target != nil:
	case outer != nil:
		properties, target = wrap("UnsignedSignatureProperties", properties), outer
		if outer.Close != outer.End {
			return e.splice(outer.Open, outer.Open, properties)
		}
	default:
		properties, target = wrap("UnsignedProperties", wrap("UnsignedSignatureProperties", properties)), q
	}
	if target.Close != target.End {
		return e.splice(target.Close, target.Close, properties)
	}
	// An empty-element tag becomes a pair.
	name := target.Local
	if target.Prefix != "" {
		name = target.Prefix + ":" + name
	}
	slash := int64(len(xmldsig.Encode([]byte("/>"), e.fragment.Encoding)))
	return e.splice(target.End-slash, target.End, slices.Concat([]byte(">"), properties, []byte("</"+name+">")))
}

// splice replaces a stretch of the fragment.
func (e *extension) splice(from, to int64, ascii []byte) error {
	raw := slices.Concat(e.fragment.Raw[:from], xmldsig.Encode(ascii, e.fragment.Encoding), e.fragment.Raw[to:])
	f, err := xmldsig.NewFragment(raw, e.fragment.Encoding, e.fragment.Context)
	if err != nil {
		return fmt.Errorf("adding a property: %w", err)
	}
	e.fragment = f
	e.signature = nil
	f.Element.Walk(func(x *xmldsig.Element) {
		if x.Start == e.start && e.signature == nil {
			e.signature = x
		}
	})
	if e.signature == nil || e.properties() == nil {
		return errors.New("adding a property: the signature is no longer found")
	}
	return nil
}

// declarations are the namespace declarations that a new property needs: those
// that are not in scope where it goes.
func (e *extension) declarations(wanted ...string) string {
	where := e.unsigned()
	if where == nil {
		where = e.properties()
	}
	have := make(map[string]string)
	r := e.fragment.Context.Reader(bytes.NewReader(e.fragment.Raw), xmltext.Options{
		Encoding: e.fragment.Encoding, Limits: xmltext.Limits{Size: 1 << 30, Depth: 1024, Elements: 1 << 24, Attributes: 1024, Markup: 2 << 20},
	})
	for {
		t, err := r.Next()
		if err != nil {
			break
		}
		if t.Kind == xmltext.StartElement && t.Start == where.Start {
			for n := range r.InScope() {
				have[string(n.Prefix)] = string(n.URI)
			}
			break
		}
	}
	var b strings.Builder
	for _, p := range wanted {
		uri := map[string]string{prefix: e.properties().Space, prefix141: Namespace141, xmldsig.Prefix: xmldsig.Namespace}[p]
		if have[p] != uri {
			fmt.Fprintf(&b, ` xmlns:%s="%s"`, p, uri)
		}
	}
	return b.String()
}

// stamp gets a time-stamp over ds:SignatureValue (EN 319 132-1 5.3).
func (e *extension) stamp(ctx context.Context, stamps signing.Stamper) ([]byte, error) {
	octets, err := e.fragment.Canonical(e.signature.Child(xmldsig.Namespace, "SignatureValue"), stampForm)
	if err != nil {
		return nil, err
	}
	h := stampDigest.New()
	h.Write(octets)
	token, err := stamps.Stamp(ctx, stampDigest, h.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrUnreached, err)
	}
	return token.Raw, nil
}

// putStamp adds SignatureTimeStamp.
func (e *extension) putStamp(token []byte) error {
	property, _ := stampProperty(prefix+":SignatureTimeStamp", e.declarations(prefix, xmldsig.Prefix), stampForm, token)
	return e.put(property)
}

// stampProperty writes a time-stamp property with an identifier of its own.
func stampProperty(name, declarations string, form c14n.Method, token []byte) (property []byte, id string) {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	id = "ts-" + hex.EncodeToString(random)
	return fmt.Appendf(nil, `<%s%s Id="%s"><ds:CanonicalizationMethod Algorithm="%s"/><xades:EncapsulatedTimeStamp>%s</xades:EncapsulatedTimeStamp></%s>`,
		name, declarations, id, form, base64.StdEncoding.EncodeToString(token), name), id
}

// putMaterial adds CertificateValues and RevocationValues (5.4.2 and 5.4.3).
func (e *extension) putMaterial(m revocation.Material) error {
	d := e.declarations(prefix)
	property := append(certificateValues(m, d), revocationValues(m, d)...)
	if len(property) == 0 {
		return nil
	}
	return e.put(property)
}

// putStampMaterial adds TimeStampValidationData (5.5.2) for a time-stamp.
func (e *extension) putStampMaterial(m revocation.Material, id string) error {
	inner := append(certificateValues(m, ""), revocationValues(m, "")...)
	if len(inner) == 0 {
		return nil
	}
	uri := ""
	if id != "" {
		uri = ` URI="#` + id + `"`
	}
	return e.put(slices.Concat(
		[]byte("<xades141:TimeStampValidationData"+e.declarations(prefix141, prefix)+uri+">"), inner, []byte("</xades141:TimeStampValidationData>")))
}

func certificateValues(m revocation.Material, declarations string) []byte {
	return values("CertificateValues", declarations, encapsulated("EncapsulatedX509Certificate", m.Certificates))
}

func revocationValues(m revocation.Material, declarations string) []byte {
	inner := append(values("CRLValues", "", encapsulated("EncapsulatedCRLValue", m.CRLs)),
		values("OCSPValues", "", encapsulated("EncapsulatedOCSPValue", m.OCSPs))...)
	return values("RevocationValues", declarations, inner)
}

// values wraps what is not empty.
func values(local, declarations string, inner []byte) []byte {
	if len(inner) == 0 {
		return nil
	}
	return slices.Concat([]byte("<xades:"+local+declarations+">"), inner, []byte("</xades:"+local+">"))
}

func encapsulated(local string, list [][]byte) []byte {
	var b []byte
	for _, der := range list {
		b = append(b, "<xades:"+local+">"...)
		b = base64.StdEncoding.AppendEncode(b, der)
		b = append(b, "</xades:"+local+">"...)
	}
	return b
}

// archive is what an archive time-stamp is made over, beside the fragment.
type archive struct {
	// before is the property itself, nil for one that is to be added.
	before   *xmldsig.Element
	form     c14n.Method
	prefixes []string
	// references writes the octets of all references.
	references func(io.Writer) error
	// enveloped writes the canonical ds:Object that is not in the fragment; nil for
	// none.
	enveloped func(io.Writer) error
	// covered tells whether a reference leads to a ds:Object.
	covered func(*xmldsig.Element) bool
}

// imprint writes what an archive time-stamp is about, case of one document
// (EN 319 132-1 5.5.2.2, TS 101 903 v1.4.2 8.2.1): the octets of the references,
// ds:SignedInfo, ds:SignatureValue, ds:KeyInfo, the unsigned properties before it,
// and every ds:Object but for the one with the properties. The older property of
// TS 101 903 v1.3.2 leaves out every ds:Object that a reference leads to.
func (a *archive) imprint(to io.Writer, f *xmldsig.Fragment, signature *xmldsig.Element) error {
	if err := a.references(to); err != nil {
		return err
	}
	var list []*xmldsig.Element
	for _, local := range []string{"SignedInfo", "SignatureValue", "KeyInfo"} {
		if e := signature.Child(xmldsig.Namespace, local); e != nil {
			list = append(list, e)
		}
	}
	q := qualifying(signature)
	if unsigned := q.Find(q.Space, "UnsignedProperties", "UnsignedSignatureProperties"); unsigned != nil {
		for _, p := range unsigned.Children {
			if p == a.before {
				break
			}
			list = append(list, p)
		}
	}
	for _, object := range signature.All(xmldsig.Namespace, "Object") {
		if q.Parent != object && (a.before == nil || a.before.Space == Namespace141 || !a.covered(object)) {
			list = append(list, object)
		}
	}
	octets, err := f.Canonicals(list, a.form, a.prefixes...)
	if err != nil {
		return err
	}
	for _, o := range octets {
		if _, err := to.Write(o); err != nil {
			return err
		}
	}
	if a.enveloped != nil {
		return a.enveloped(to)
	}
	return nil
}
