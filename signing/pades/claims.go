package pades

import (
	"bytes"
	"regexp"

	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// claims is what a document says that it conforms to, and which a signature has to
// keep true.
type claims struct {
	// part is that of PDF/A (ISO 19005), 0 without the claim.
	part int
	// intent is the number of colour components of the output intent for PDF/A, 0
	// without one.
	intent int64
	// tagged: the document has a logical structure (ISO 32000-2 14.7), as PDF/UA
	// and the levels A of PDF/A demand.
	tagged bool
	// universal: its metadata says that it conforms to PDF/UA.
	universal bool
}

// maxMetadata bounds the part of the XMP metadata that is looked at, in bytes.
const maxMetadata = 1 << 20

// readClaims looks at metadata, output intents and marks of the catalog. What
// cannot be read claims nothing.
func (l *layout) readClaims() error {
	catalog := l.catalog.Dict()
	metadata := l.readMetadata(catalog)
	l.claims = claims{
		part:      part(metadata, pdfaPart),
		universal: part(metadata, pdfuaPart) > 0,
	}
	marks, err := l.doc.Value(catalog, "MarkInfo")
	if err == nil {
		marked, _ := marks.Get("Marked").Bool()
		_, rooted := catalog.Get("StructTreeRoot").Ref()
		l.claims.tagged = marked && rooted
	}
	intents, err := l.doc.Value(catalog, "OutputIntents")
	if err != nil {
		return nil
	}
	for _, item := range intents.Items() {
		intent, err := l.doc.Resolve(item)
		if err != nil || intent.Get("S").Name() != "GTS_PDFA1" { // of all parts of ISO 19005
			continue
		}
		if profile, err := l.doc.Value(intent, "DestOutputProfile"); err == nil {
			l.claims.intent, _ = profile.Get("N").Int()
		}
	}
	return nil
}

// readMetadata returns the XMP metadata of the document as far as it is looked at, nil
// where there is none that can be read.
func (l *layout) readMetadata(catalog pdf.Object) []byte {
	ref, ok := catalog.Get("Metadata").Ref()
	if !ok {
		return nil
	}
	object, err := l.doc.Object(ref)
	if err != nil {
		return nil
	}
	data, err := l.doc.Content(object)
	if err != nil {
		return nil
	}
	// Metadata in UTF-16 or UTF-32 reads as ASCII without its zeros.
	return bytes.ReplaceAll(data[:min(len(data), maxMetadata)], []byte{0}, nil)
}

// The property part of a prefix, an element (which may declare the prefix) or an
// attribute, with a value that is known.
var (
	pdfaPart  = regexp.MustCompile(`pdfaid:part(?:\s*=\s*["']|(?:\s[^<>]*)?>)\s*([1-4])`)  // ISO 19005-1 6.7.11
	pdfuaPart = regexp.MustCompile(`pdfuaid:part(?:\s*=\s*["']|(?:\s[^<>]*)?>)\s*([1-2])`) // ISO 14289-1 5 and ISO 14289-2 5
)

// part returns the value of the property, 0 where there is none.
func part(metadata []byte, property *regexp.Regexp) int {
	found := property.FindSubmatch(metadata)
	if found == nil {
		return 0
	}
	return int(found[1][0] - '0')
}

// rules are what a mark has to obey.
func (c claims) rules() appearance.Rules {
	if c.part == 0 {
		return appearance.Rules{}
	}
	return appearance.Rules{
		Opaque:        true,
		Calibrated:    c.intent == 0,
		CalibratedRGB: c.intent != 3,
		CIDSet:        c.part == 1,
	}
}
