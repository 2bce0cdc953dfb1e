package pades_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// TestUnusualDocumentsTakeTwoSignatures, a hidden and a visible one, and the first stays
// valid. What other readers say of them is in TestThirdPartiesAcceptEveryStructure and
// TestInteropReadersSeeTheSame.
func TestUnusualDocumentsTakeTwoSignatures(t *testing.T) {
	cred := citizen(t)
	for _, s := range pdfs.Unusual() {
		t.Run(s.Name, func(t *testing.T) {
			once, _ := sign(t, s.Data, cred, pades.Options{})
			twice, _ := sign(t, once, cred, visible())
			report := verify(t, twice, trusted())
			if len(report.Signatures) != 2 {
				t.Fatalf("%d signatures", len(report.Signatures))
			}
			for _, got := range report.Signatures {
				if got.Indication != signing.TotalPassed {
					t.Errorf("field %q: %s/%s %v", got.Field, got.Indication, got.SubIndication, got.Findings)
				}
			}
			out, err := judge(t, twice, "qpdf", "--check")
			if err != nil {
				t.Errorf("qpdf: %v\n%s", err, out)
			}
		})
	}
}

// TestFieldBesideItsWidget is signed where the value belongs, in the field (ISO 32000-2
// 12.7.4.1: a widget that is no field has no value). qpdf and pyHanko follow; poppler
// 22.12 takes a widget with a parent for a field, looks there for the value and finds none.
func TestFieldBesideItsWidget(t *testing.T) {
	signed, result := sign(t, pdfs.FieldBesideWidget(), citizen(t), visible())
	if got := verify(t, signed, trusted()); result.Field != "apart" || len(got.Signatures) != 1 || !got.Passed() {
		t.Errorf("field %q: %+v", result.Field, got.Signatures)
	}
	if out, err := judge(t, signed, "qpdf", "--check"); err != nil {
		t.Errorf("qpdf: %v\n%s", err, out)
	}
	if out, _ := judge(t, signed, "pdfsig", "-nocert"); !strings.Contains(out, "Signature Field Name: apart") {
		t.Errorf("poppler:\n%s", out)
	}
}

// TestMarkShowsOnItsPageAlone: pages may share a list of annotations (ISO 32000-2 7.7.3.3
// says nothing against it), and a mark for one of them must not show on the other.
func TestMarkShowsOnItsPageAlone(t *testing.T) {
	for _, s := range pdfs.Unusual() {
		if !strings.Contains(s.Name, "in one list") {
			continue
		}
		before := s.Data
		for _, earlier := range []bool{false, true} {
			if earlier {
				before, _ = sign(t, s.Data, citizen(t), pades.Options{})
			}
			signed, result := sign(t, before, citizen(t), visible(pades.Place{Page: 2, Corner: pades.TopLeft}))
			doc, err := pdf.Open(t.Context(), bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			form, err := doc.Form()
			if err != nil {
				t.Fatal(err)
			}
			var widget pdf.Ref
			for _, f := range form.Fields {
				if f.Name == result.Field {
					widget = f.Ref
				}
			}
			var on []int
			if err := doc.WalkPages(func(p pdf.Page) bool {
				list, err := doc.Value(p.Dict, "Annots")
				if err != nil {
					t.Error(err)
				}
				for _, item := range list.Items() {
					if ref, _ := item.Ref(); ref == widget {
						on = append(on, p.Number)
					}
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
			if len(on) != 1 || on[0] != 2 {
				t.Errorf("signed before %v: the mark is on pages %v", earlier, on)
			}
			for _, got := range verify(t, signed, trusted()).Signatures {
				if got.Indication != signing.TotalPassed {
					t.Errorf("field %q: %s %v", got.Field, got.Indication, got.Findings)
				}
			}
		}
		return
	}
	t.Error("no document has two pages with one list")
}
