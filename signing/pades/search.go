package pades

import (
	"fmt"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// maxSearched bounds the objects that are searched for orphaned signatures.
const maxSearched = 20_000

// search looks beyond what the form leads to: for objects of which the file has a
// second version that no table names (P-14), and for signatures that belong to no
// field (P-16).
func (v *verifier) search(r *Report) error {
	err := v.doc.Unlisted(func(_ pdf.Ref, another bool) { v.ambiguous = v.ambiguous || another })
	if err != nil {
		return err
	}
	known := make(map[pdf.Ref]bool, len(v.signed))
	for _, s := range v.signed {
		known[s.ref] = true
	}
	looked, orphans := 0, 0
	for ref := range v.doc.Refs() {
		if looked++; looked > maxSearched {
			break
		}
		if known[ref] {
			continue
		}
		object, err := v.doc.Object(ref)
		if err != nil {
			continue // whoever needs it is told
		}
		if kind := object.Value.Get("Type").Name(); kind == "Sig" || kind == "DocTimeStamp" ||
			!object.Value.Get("ByteRange").IsNull() && !object.Value.Get("Contents").IsNull() {
			orphans++
		}
	}
	if orphans > 0 {
		r.Warnings = append(r.Warnings, Finding{Code: findOrphan, Text: fmt.Sprintf("%d signatures belong to no form field and are not judged", orphans)})
	}
	return nil
}
