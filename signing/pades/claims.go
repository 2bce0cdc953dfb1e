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
}

// maxMetadata bounds the part of the XMP metadata that is looked at, in bytes.
const maxMetadata = 1 << 20

// readClaims looks at metadata, output intents and marks of the catalog. What
// cannot be read claims nothing.
func (l *layout) readClaims() error {
	catalog := l.catalog.Dict()
	l.claims = claims{part: l.readPart(catalog)}
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

// readPart finds pdfaid:part, an element or an attribute (ISO 19005-1 6.7.11).
func (l *layout) readPart(catalog pdf.Object) int {
	ref, ok := catalog.Get("Metadata").Ref()
	if !ok {
		return 0
	}
	object, err := l.doc.Object(ref)
	if err != nil {
		return 0
	}
	data, err := l.doc.Content(object)
	if err != nil {
		return 0
	}
	// Metadata in UTF-16 or UTF-32 reads as ASCII without its zeros.
	data = bytes.ReplaceAll(data[:min(len(data), maxMetadata)], []byte{0}, nil)
	found := regexp.MustCompile(`pdfaid:part(?:\s*=\s*["']|>)\s*([1-4])`).FindSubmatch(data)
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
