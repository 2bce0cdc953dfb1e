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

// parseASiCManifest reads an ASiCManifest (EN 319 162-1 A.4, schema of A.9).
func parseASiCManifest(file string, raw []byte) (*asicManifest, error) {
	m := &asicManifest{file: file, raw: raw}
	wrong := func(what string) (*asicManifest, error) {
		return nil, fmt.Errorf("%w: %s: %s", ErrFormat, file, what)
	}
	r := xmltext.NewReader(bytes.NewReader(raw), metaLimits())
	var current *reference
	var value []byte
	inValue, begun := false, false
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFormat, file, err)
		}
		switch t.Kind {
		case xmltext.StartElement:
			switch {
			case t.Depth == 1:
				if !t.Name.Is(namespaceASiC, "ASiCManifest") {
					return wrong("it is something else")
				}
				begun = true
			case t.Depth == 2 && t.Name.Is(namespaceASiC, "SigReference"):
				uri, ok := t.Attr("", "URI")
				if !ok || m.signature != "" {
					return wrong("SigReference")
				}
				m.signature = string(uri)
			case t.Depth == 2 && t.Name.Is(namespaceASiC, "DataObjectReference"):
				uri, ok := t.Attr("", "URI")
				if !ok || len(m.references) == maxReferences {
					return wrong("DataObjectReference")
				}
				mediaType, _ := t.Attr("", "MimeType")
				root, _ := t.Attr("", "Rootfile")
				m.references = append(m.references, reference{uri: string(uri), mediaType: string(mediaType), root: string(root) == "true"})
				current = &m.references[len(m.references)-1]
			case t.Depth == 3 && current != nil && t.Name.Is(namespaceDS, "DigestMethod"):
				method, _ := t.Attr("", "Algorithm")
				if current.hash, err = xmldsig.ParseDigest(string(method)); err != nil {
					current.unknown = string(method)
				}
			case t.Depth == 3 && current != nil && t.Name.Is(namespaceDS, "DigestValue"):
				inValue, value = true, value[:0]
			}
		case xmltext.Text, xmltext.CDATA:
			if inValue {
				value = append(value, t.Data...)
			}
		case xmltext.EndElement:
			if inValue {
				inValue = false
				if current.digest, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(value)), "")); err != nil {
					return wrong("DigestValue")
				}
			}
			if t.Depth == 2 {
				current = nil
			}
		}
	}
	if !begun || m.signature == "" || len(m.references) == 0 {
		return wrong("it refers to nothing")
	}
	return m, nil
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
