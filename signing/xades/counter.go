package xades

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// Countersign prepares, signs and completes a countersignature, and raises it as
// the options say.
func Countersign(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, id string, cred signing.Credential, o Options) (*signing.Result, error) {
	p, err := prepareCountersignature(ctx, src, size, id, cred, o)
	if err != nil {
		return nil, err
	}
	return p.sign(ctx, src, dst, cred, o)
}

// prepareCountersignature decides on a signature over the value of another one
// (EN 319 132-1 5.2.7): the one with that Id or, where id is a number, the one that
// a report lists under it; the only one of the document if id is empty. It is put
// into the other as an unsigned property.
func prepareCountersignature(ctx context.Context, src io.ReaderAt, size int64, id string, cred signing.Credential, o Options) (*prepared, error) {
	o.Manifest, o.SignKeyInfo = false, false
	m, err := newMaker(cred, o)
	if err != nil {
		return nil, err
	}
	doc, err := xmldsig.Open(ctx, src, size, m.options.xml())
	if err != nil {
		return nil, err
	}
	target, err := theSignature(doc, id)
	if err != nil {
		return nil, err
	}
	value := target.Element.Child(xmldsig.Namespace, "SignatureValue")
	if value == nil || value.ID() == "" {
		return nil, signing.Refuse(signing.RefusedBroken, "sign the document itself", "the value of the signature has no identifier to refer to")
	}
	if err := mayChange(ctx, doc, target); err != nil {
		return nil, err
	}
	e, err := newExtension(target.Fragment, target.Element)
	if err != nil {
		return nil, err
	}
	// The property goes in with a mark in the place of the signature.
	mark := []byte(m.id + "-mark")
	declarations := e.declarations(prefix)
	if err := e.put(bytes.Join([][]byte{[]byte("<xades:CounterSignature" + declarations + ">"), mark, []byte("</xades:CounterSignature>")}, nil)); err != nil {
		return nil, err
	}
	before, after, _ := bytes.Cut(e.fragment.Raw, xmldsig.Encode(mark, e.fragment.Encoding))
	at := seat{context: target.Context, before: before, after: after, encoding: doc.Encoding}
	r := m.inner(value.ID(), typeCountersigned)
	r.ID = m.referenceID(1)
	m.references = append(m.references, r)
	made, err := m.make(at)
	if err != nil {
		return nil, err
	}
	plan := m.plan(made)
	plan.Encoding = doc.Encoding
	plan.EarlierSignatures = len(doc.Signatures)
	outer := target
	for outer.Outer != nil {
		outer = outer.Outer
	}
	plan.Before = []Piece{{To: outer.Start}, {Bytes: before}}
	plan.After = []Piece{{Bytes: after}, {From: outer.End, To: size}}
	h := sha256.New()
	if err := copyRange(ctx, h, src, 0, size); err != nil {
		return nil, err
	}
	plan.SourceSize, plan.SourceDigest = size, h.Sum(nil)
	return &prepared{plan: plan, fragment: made.fragment, document: doc}, nil
}

// mayChange refuses a signature that another one covers: what is put into the one would
// break the other.
func mayChange(ctx context.Context, doc *xmldsig.Document, target *xmldsig.Signature) error {
	for _, s := range doc.Signatures {
		if s.Outer != nil || s == target {
			continue
		}
		outcomes, err := doc.Digest(ctx, s, s.References)
		if err != nil {
			return err
		}
		for _, out := range outcomes {
			d := []signing.SignedData{{Start: out.Start, End: out.End, Omitted: out.Omitted}}
			if out.Err == nil && covers(d, target.Start, target.End) {
				return signing.Refuse(signing.RefusedHarm, "put the document into a container", "another signature covers the one to be countersigned, which would have to change")
			}
		}
	}
	return nil
}

// theSignature finds a signature by its number or Id, of which no number is one;
// without it the document must have one that is no countersignature.
func theSignature(doc *xmldsig.Document, id string) (*xmldsig.Signature, error) {
	if n, err := strconv.Atoi(id); err == nil {
		if n < 1 || n > len(doc.Signatures) || doc.Signatures[n-1].Err != nil {
			return nil, signing.Refuse(signing.RefusedOption, fmt.Sprintf("choose one of 1 to %d", len(doc.Signatures)), "there is no signature %d", n)
		}
		return doc.Signatures[n-1], nil
	}
	var found *xmldsig.Signature
	for _, s := range doc.Signatures {
		if s.Err != nil || id == "" && s.Outer != nil || id != "" && s.ID() != id {
			continue
		}
		if found != nil {
			return nil, signing.Refuse(signing.RefusedOption, "name the identifier of one signature", "the document has several signatures")
		}
		found = s
	}
	if found == nil {
		return nil, signing.Refuse(signing.RefusedUnsigned, "sign the document first", "the document has no such signature")
	}
	return found, nil
}
