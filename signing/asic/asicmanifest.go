package asic

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Namespaces of ASiCManifest (EN 319 162-1 A.4).
const (
	namespaceASiC = "http://uri.etsi.org/02918/v1.2.1#"
	namespaceDS   = "http://www.w3.org/2000/09/xmldsig#"
)

// asicManifest is an ASiCManifest or ASiCArchiveManifest: what a signature or
// token in a file of its own is about.
type asicManifest struct {
	file       string // its name
	raw        []byte
	signature  string // URI of SigReference
	references []reference
}

// reference is a DataObjectReference.
type reference struct {
	uri, mediaType string
	root           bool // Rootfile
	hash           crypto.Hash
	unknown        string // the digest method, when it is not known
	digest         []byte
}

// manifestReader is what parseASiCManifest is in the middle of.
type manifestReader struct {
	m       *asicManifest
	begun   bool
	current *reference
	// value collects the text of a DigestValue while inValue.
	value   []byte
	inValue bool
}

// parseASiCManifest reads an ASiCManifest (EN 319 162-1 A.4, schema of A.9).
func parseASiCManifest(file string, raw []byte) (*asicManifest, error) {
	p := manifestReader{m: &asicManifest{file: file, raw: raw}}
	r := xmltext.NewReader(bytes.NewReader(raw), metaLimits())
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFormat, file, err)
		}
		wrong := ""
		switch t.Kind {
		case xmltext.StartElement:
			wrong = p.start(t)
		case xmltext.Text, xmltext.CDATA:
			if p.inValue {
				p.value = append(p.value, t.Data...)
			}
		case xmltext.EndElement:
			wrong = p.end(t)
		}
		if wrong != "" {
			return nil, fmt.Errorf("%w: %s: %s", ErrFormat, file, wrong)
		}
	}
	if !p.begun || p.m.signature == "" || len(p.m.references) == 0 {
		return nil, fmt.Errorf("%w: %s: it refers to nothing", ErrFormat, file)
	}
	return p.m, nil
}

// start takes an element up. What is returned is what is wrong with it, if anything.
func (p *manifestReader) start(t *xmltext.Token) (wrong string) {
	switch {
	case t.Depth == 1:
		if !t.Name.Is(namespaceASiC, "ASiCManifest") {
			return "it is something else"
		}
		p.begun = true
	case t.Depth == 2 && t.Name.Is(namespaceASiC, "SigReference"):
		uri, ok := t.Attr("", "URI")
		if !ok || p.m.signature != "" {
			return "SigReference"
		}
		p.m.signature = string(uri)
	case t.Depth == 2 && t.Name.Is(namespaceASiC, "DataObjectReference"):
		uri, ok := t.Attr("", "URI")
		if !ok || len(p.m.references) == maxReferences {
			return "DataObjectReference"
		}
		mediaType, _ := t.Attr("", "MimeType")
		root, _ := t.Attr("", "Rootfile")
		p.m.references = append(p.m.references, reference{uri: string(uri), mediaType: string(mediaType), root: string(root) == "true"})
		p.current = &p.m.references[len(p.m.references)-1]
	case t.Depth == 3 && p.current != nil && t.Name.Is(namespaceDS, "DigestMethod"):
		method, _ := t.Attr("", "Algorithm")
		var err error
		if p.current.hash, err = xmldsig.ParseDigest(string(method)); err != nil {
			p.current.unknown = string(method)
		}
	case t.Depth == 3 && p.current != nil && t.Name.Is(namespaceDS, "DigestValue"):
		p.inValue, p.value = true, p.value[:0]
	}
	return ""
}

func (p *manifestReader) end(t *xmltext.Token) (wrong string) {
	if p.inValue {
		p.inValue = false
		digest, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(p.value)), ""))
		if err != nil {
			return "DigestValue"
		}
		p.current.digest = digest
	}
	if t.Depth == 2 {
		p.current = nil
	}
	return ""
}

// writeASiCManifest makes an ASiCManifest about files with their digests.
func writeASiCManifest(signature, mediaType string, references []reference) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8" standalone="no"?>` + "\n")
	b.WriteString(`<asic:ASiCManifest xmlns:asic="` + namespaceASiC + `" xmlns:ds="` + namespaceDS + `">`)
	b.WriteString(`<asic:SigReference MimeType="` + mediaType + `" URI="`)
	writeAttribute(&b, xmldsig.NameURI(signature))
	b.WriteString(`"/>`)
	for _, r := range references {
		b.WriteString(`<asic:DataObjectReference MimeType="`)
		writeAttribute(&b, r.mediaType)
		if r.root {
			b.WriteString(`" Rootfile="true`)
		}
		b.WriteString(`" URI="`)
		writeAttribute(&b, r.uri)
		b.WriteString(`"><ds:DigestMethod Algorithm="` + xmldsig.DigestURI(r.hash) + `"/><ds:DigestValue>`)
		b.WriteString(base64.StdEncoding.EncodeToString(r.digest))
		b.WriteString(`</ds:DigestValue></asic:DataObjectReference>`)
	}
	b.WriteString(`</asic:ASiCManifest>`)
	return b.Bytes()
}

// state is how the files of a manifest stand.
type state int

const (
	stateIntact state = iota
	stateMissing
	stateChanged
	stateUnknown // a digest that is not known
)

// compare checks every file that a manifest is about. It returns the worst that
// was found, with the reference where that was first, and the names of the files.
func (c *Container) compare(ctx context.Context, m *asicManifest) (worst state, at reference, names []string, err error) {
	note := func(s state, r reference) {
		rank := [...]int{stateIntact: 0, stateUnknown: 1, stateMissing: 2, stateChanged: 3}
		if rank[s] > rank[worst] {
			worst, at = s, r
		}
	}
	for _, r := range m.references {
		f := c.refer(r.uri)
		if f == nil {
			note(stateMissing, r)
			continue
		}
		names = append(names, f.Name)
		if r.unknown != "" || !r.hash.Available() {
			note(stateUnknown, r)
			continue
		}
		digest, err := c.digestOf(ctx, f, r.hash)
		switch {
		case err != nil && corrupt(err):
			note(stateChanged, r)
		case err != nil:
			return worst, at, names, err
		case !bytes.Equal(digest, r.digest):
			note(stateChanged, r)
		}
	}
	return worst, at, names, nil
}

// digestOf is the digest of any file of the container.
func (c *Container) digestOf(ctx context.Context, f *archive.File, hash crypto.Hash) ([]byte, error) {
	if data := c.File(f.Name); data != nil {
		found, err := data.digest(ctx, hash)
		return found[hash], err
	}
	raw, err := f.ReadAll(maxMeta)
	if err != nil {
		return nil, err
	}
	h := hash.New()
	h.Write(raw)
	return h.Sum(nil), nil
}
