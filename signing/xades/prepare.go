package xades

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// maxEnveloping bounds the data that is put into a signature, bytes: readers hold
// signatures in memory.
const maxEnveloping = 32 << 20

// maxObjects bounds the files of a detached signature.
const maxObjects = 1000 - 2

// Prepare reads a document once and decides what the signature will be. The
// Signer of the credential may be nil. It returns a *signing.RefusedError where
// signing would do harm, and an *xmltext.Error for a document that is not XML.
func Prepare(ctx context.Context, src io.ReaderAt, size int64, cred signing.Credential, o Options) (*Plan, error) {
	prepared, err := prepare(ctx, src, size, cred, o)
	if err != nil {
		return nil, err
	}
	return prepared.plan, nil
}

// prepared is a plan with what raising its level needs beside.
type prepared struct {
	plan *Plan
	// fragment is the signature without its value.
	fragment *xmldsig.Fragment
	// document is what the signature is put into, nil without one.
	document *xmldsig.Document
	resolver xmldsig.Resolver
}

func prepare(ctx context.Context, src io.ReaderAt, size int64, cred signing.Credential, o Options) (*prepared, error) {
	m, err := newMaker(cred, o)
	if err != nil {
		return nil, err
	}
	// The digest of the source is made while it is read.
	sum, failed := sha256.New(), make(chan error, 1)
	go func() { failed <- copyRange(ctx, sum, src, 0, size) }()
	var p *prepared
	switch o.Packaging {
	case Enveloped, "":
		p, err = m.enveloped(ctx, pieces{src, []Piece{{To: size}}}, nil)
	case Enveloping:
		p, err = m.enveloping(ctx, src, size)
	case Detached:
		p, err = m.besides(ctx, src, size)
	default:
		err = signing.Refuse(signing.RefusedOption, "choose enveloped, enveloping or detached", "%q is no packaging", o.Packaging)
	}
	if failure := <-failed; err == nil {
		err = failure
	}
	if err != nil {
		return nil, err
	}
	p.plan.SourceSize, p.plan.SourceDigest = size, sum.Sum(nil)
	return p, nil
}

// enveloped puts the signature at the end of the document element. What is read of
// the document goes to the copy too, unless that is nil.
func (m *maker) enveloped(ctx context.Context, source pieces, to io.Writer) (*prepared, error) {
	expected, err := m.parts()
	if err != nil {
		return nil, err
	}
	options := m.options.xml()
	options.Expect, options.Copy = expected, to
	doc, err := xmldsig.Open(ctx, source, source.size(), options)
	if err != nil {
		return nil, err
	}
	if doc.Root.Instructions > 0 {
		// Programs may act on them, and people do not see them.
		return nil, signing.Refuse(signing.RefusedInstructions, "ask for a document without them", "processing instructions stand inside the document")
	}
	if err := respect(ctx, doc); err != nil {
		return nil, err
	}
	outcomes, err := doc.Digest(ctx, nil, expected)
	if err != nil {
		return nil, err
	}
	for i, out := range outcomes {
		r := expected[i]
		if out.Err != nil {
			return nil, signing.Refuse(signing.RefusedOption, "name the identifier of one element", "the part %q cannot be signed: %v", r.URI, out.Err)
		}
		r.Value = out.Digest
		r.Transforms = m.transforms(out.Depth <= 1) // the document, or its element
		m.refer(r, m.mimeType("text/xml"), "")
	}
	made, err := m.make(seat{context: doc.Root.Context, encoding: doc.Encoding})
	if err != nil {
		return nil, err
	}
	plan := m.plan(made)
	plan.Encoding = doc.Encoding
	plan.EarlierSignatures = len(doc.Signatures)
	plan.Before, plan.After = cut(source.list, doc)
	return &prepared{plan: plan, fragment: made.fragment, document: doc}, nil
}

// parts are the references to the document, still without transforms: their
// octets do not depend on the signature.
func (m *maker) parts() ([]xmldsig.Reference, error) {
	uris := []string{""}
	if len(m.options.Elements) > 0 {
		uris = nil
		for _, id := range m.options.Elements {
			uris = append(uris, "#"+id)
		}
	}
	all := make([]xmldsig.Reference, len(uris))
	for i, uri := range uris {
		list := []xmldsig.Transform{m.form()}
		if m.options.Parallel {
			list = append([]xmldsig.Transform{subtract()}, list...)
		}
		var err error
		all[i], err = xmldsig.NewReference(xmldsig.Reference{HasURI: true, URI: uri, Digest: m.algorithm.Digest, Transforms: list})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func subtract() xmldsig.Transform {
	return xmldsig.Transform{Algorithm: xmldsig.TransformFilter2, XPath: "/descendant::" + xmldsig.Prefix + ":Signature"}
}

// transforms lists those of a reference; around says that the signature lies
// inside what it refers to.
func (m *maker) transforms(around bool) []xmldsig.Transform {
	switch {
	case around && m.options.Parallel:
		return []xmldsig.Transform{subtract(), m.form()}
	case around:
		return []xmldsig.Transform{{Algorithm: xmldsig.TransformEnveloped}, m.form()}
	case m.options.Parallel:
		return []xmldsig.Transform{subtract(), m.form()}
	}
	return []xmldsig.Transform{m.form()}
}

func (m *maker) mimeType(usual string) string {
	if m.options.MimeType != "" {
		return m.options.MimeType
	}
	return usual
}

// respect refuses to put a signature where it breaks an earlier one.
func respect(ctx context.Context, doc *xmldsig.Document) error {
	for _, s := range doc.Signatures {
		if s.Outer != nil || s.Err != nil {
			continue
		}
		outcomes, err := doc.Digest(ctx, s, s.References)
		if err != nil {
			return err
		}
		for i, out := range outcomes {
			if out.Err == nil && out.Depth <= 1 && out.End > 0 && !s.References[i].LeavesSignaturesOut() {
				return signing.Refuse(signing.RefusedEarlier,
					"put the document into a container, sign it detached, or countersign", "another signature inside the document would break the one that is there")
			}
		}
	}
	return nil
}

// cut divides a document where a signature goes in: before the end-tag of the
// document element, which an empty-element tag gets with it.
func cut(list []Piece, doc *xmldsig.Document) (head, tail []Piece) {
	const all = 1 << 62
	if !doc.Root.Empty() {
		return clip(list, 0, doc.Root.Close), clip(list, doc.Root.Close, all)
	}
	slash := doc.Root.End - int64(len(xmldsig.Encode([]byte("/>"), doc.Encoding)))
	head = append(clip(list, 0, slash), Piece{Bytes: xmldsig.Encode([]byte(">"), doc.Encoding)})
	end := Piece{Bytes: xmldsig.Encode([]byte("</"+doc.Root.Qualified+">"), doc.Encoding)}
	return head, append([]Piece{end}, clip(list, doc.Root.End, all)...)
}

// clip keeps what lies between two offsets.
func clip(list []Piece, from, to int64) []Piece {
	var kept []Piece
	start := int64(0)
	for _, p := range list {
		end := start + p.size()
		low, high := max(from, start)-start, min(to, end)-start
		if low < high {
			if p.Bytes != nil {
				kept = append(kept, Piece{Bytes: p.Bytes[low:high]})
			} else {
				kept = append(kept, Piece{From: p.From + low, To: p.From + high})
			}
		}
		start = end
	}
	return kept
}

// enveloping puts the data into the signature.
func (m *maker) enveloping(ctx context.Context, src io.ReaderAt, size int64) (*prepared, error) {
	if size > maxEnveloping {
		return nil, signing.Refuse(signing.RefusedTooLarge, "sign it detached or put it into a container", "%d bytes are too many to put into a signature", size)
	}
	doc, err := xmldsig.Open(ctx, src, size, m.options.xml())
	var syntax *xmltext.Error
	if err != nil && !errors.As(err, &syntax) {
		return nil, err
	}
	head := `<ds:Object Id="` + m.objectID() + `"`
	r := m.inner(m.objectID(), xmldsig.TypeObject)
	var inside Piece
	mimeType, encoding := m.mimeType("text/xml"), ""
	if err == nil && doc.Encoding == "UTF-8" {
		inside = Piece{From: doc.Root.Start, To: doc.Root.End}
	} else {
		raw := make([]byte, size)
		if err := copyRange(ctx, bytes.NewBuffer(raw[:0]), src, 0, size); err != nil {
			return nil, err
		}
		inside = Piece{Bytes: base64.StdEncoding.AppendEncode(nil, raw)}
		encoding = xmldsig.TransformBase64
		head += ` Encoding="` + encoding + `"`
		r.Transforms = []xmldsig.Transform{{Algorithm: xmldsig.TransformBase64}}
		if err != nil {
			mimeType = m.mimeType("application/octet-stream")
		}
	}
	envelops := []Piece{{Bytes: []byte(head + ">")}, inside, {Bytes: []byte("</ds:Object>")}}
	// The form of the object depends on what is around it and not beside it.
	around := []Piece{{Bytes: []byte(`<ds:Signature xmlns:ds="` + xmldsig.Namespace + `" Id="` + m.id + `">`)}}
	around = append(append(around, envelops...), Piece{Bytes: []byte(closing)})
	view := pieces{src, around}
	if r, err = xmldsig.NewReference(r); err != nil {
		return nil, err
	}
	options := m.options.xml()
	options.Expect = []xmldsig.Reference{r}
	// It is no whole signature, which Open says of it and nobody asks.
	if doc, err = xmldsig.Open(ctx, view, view.size(), options); err != nil {
		return nil, err
	}
	outcomes, err := doc.Digest(ctx, nil, options.Expect)
	if err != nil {
		return nil, err
	}
	if outcomes[0].Err != nil {
		return nil, fmt.Errorf("digesting the data: %w", outcomes[0].Err)
	}
	r.Value = outcomes[0].Digest
	m.refer(r, mimeType, encoding)
	made, err := m.make(seat{})
	if err != nil {
		return nil, err
	}
	plan := m.plan(made)
	plan.Envelops = envelops
	return &prepared{plan: plan, fragment: made.fragment, document: doc}, nil
}

const closing = "</ds:Signature>"

// besides puts document element and signature side by side.
func (m *maker) besides(ctx context.Context, src io.ReaderAt, size int64) (*prepared, error) {
	doc, err := xmldsig.Open(ctx, src, size, m.options.xml())
	if err != nil {
		return nil, err
	}
	if doc.Encoding != "UTF-8" {
		return nil, signing.Refuse(signing.RefusedOption, "sign it enveloped or put it into a container", "a document in %s cannot be put into another", doc.Encoding)
	}
	m.options.Elements = []string{m.id + "-content"}
	return m.enveloped(ctx, pieces{src, []Piece{
		{Bytes: []byte(`<SignedDocument><Content Id="` + m.id + `-content">`)},
		{From: doc.Root.Start, To: doc.Root.End},
		{Bytes: []byte(`</Content></SignedDocument>`)},
	}}, nil)
}

// PrepareObjects decides on a detached signature about files that stay where they
// are. The document that Complete writes holds the signature alone.
func PrepareObjects(ctx context.Context, objects []Object, cred signing.Credential, o Options) (*Plan, error) {
	p, err := prepareObjects(ctx, objects, cred, o)
	if err != nil {
		return nil, err
	}
	return p.plan, nil
}

func prepareObjects(ctx context.Context, objects []Object, cred signing.Credential, o Options) (*prepared, error) {
	m, err := newMaker(cred, o)
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 || len(objects) > maxObjects {
		return nil, signing.Refuse(signing.RefusedOption, fmt.Sprintf("sign 1 to %d files at a time", maxObjects), "a signature about %d files", len(objects))
	}
	seen := make(map[string]bool)
	for _, object := range objects {
		if object.URI == "" || object.URI[0] == '#' || seen[object.URI] {
			return nil, signing.Refuse(signing.RefusedOption, "give every file a name of its own", "the name %q cannot be signed", object.URI)
		}
		seen[object.URI] = true
		if len(object.Digest) != m.algorithm.Digest.Size() {
			return nil, signing.Refuse(signing.RefusedOption, "digest with "+m.algorithm.Digest.String(), "the digest of %q has %d bytes", object.URI, len(object.Digest))
		}
		mimeType := object.MimeType
		if mimeType == "" {
			mimeType = "application/octet-stream"
		}
		m.refer(xmldsig.Reference{HasURI: true, URI: object.URI, Value: object.Digest}, mimeType, "")
	}
	at, before, after := seat{}, "", ""
	if o.Container {
		before, after = containerOpen, containerClose
		shell := []byte(before + after)
		doc, err := xmldsig.Open(ctx, bytes.NewReader(shell), int64(len(shell)), xmldsig.Options{})
		if err != nil {
			return nil, err
		}
		at.context = doc.Root.Context
	}
	made, err := m.make(at)
	if err != nil {
		return nil, err
	}
	plan := m.plan(made)
	plan.Before = []Piece{{Bytes: []byte(declaration + before)}}
	plan.After = []Piece{{Bytes: []byte(after)}}
	return &prepared{plan: plan, fragment: made.fragment}, nil
}

const (
	declaration    = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	containerOpen  = `<asic:XAdESSignatures xmlns:asic="http://uri.etsi.org/02918/v1.2.1#">`
	containerClose = `</asic:XAdESSignatures>`
)
