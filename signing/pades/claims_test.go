package pades_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// What a document claims of ISO 19005 stays true.
func TestMarkObeysTheClaimOfTheDocument(t *testing.T) {
	for _, row := range []struct {
		claim  string
		intent int
		want   []string
		not    []string
	}{
		{"1b", 3, []string{"/CIDSet"}, []string{"/SMask", "/Cal"}},
		{"1b", 0, []string{"/CIDSet", "/ColorSpace << /G [/CalGray"}, []string{"/SMask", "/DeviceGray", "/DeviceRGB"}},
		{"2b", 4, nil, []string{"/SMask", "/CIDSet", "/DeviceRGB"}},
		{"3b", 0, []string{"/CalGray"}, []string{"/SMask", "/CIDSet", "/DeviceGray"}},
	} {
		file := pdfs.Archival(row.claim, row.intent)
		signed, _ := sign(t, file, citizen(t), visible())
		tail := added(t, file, signed)
		for _, want := range row.want {
			if !strings.Contains(tail, want) {
				t.Errorf("%s with %d: no %s", row.claim, row.intent, want)
			}
		}
		for _, not := range row.not {
			if strings.Contains(tail, not) {
				t.Errorf("%s with %d: %s", row.claim, row.intent, not)
			}
		}
		hidden, _ := sign(t, file, citizen(t), pades.Options{})
		if !strings.Contains(added(t, file, hidden), "/AP << /N ") {
			t.Errorf("%s: a hidden field without appearance", row.claim)
		}
	}
}

// In a tagged document the annotations of a signature are elements of the structure,
// have names, and are visited in its order (ISO 14289-1 7.18).
func TestSignatureJoinsTheStructure(t *testing.T) {
	file := pdfs.Archival("2a", 3)
	for _, row := range []struct {
		name     string
		o        pades.Options
		elements int
	}{
		{"hidden", pades.Options{}, 1},
		{"visible", visible(), 1},
		{"three marks", visible(pades.Place{Page: 1, Corner: pades.TopLeft}, pades.Place{Page: 1, Corner: pades.TopRight}, pades.Place{Page: 1, Corner: pades.BottomLeft}), 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			signed, _ := sign(t, file, citizen(t), row.o)
			doc, err := pdf.Open(context.Background(), bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			value := func(o pdf.Object, key string) pdf.Object {
				v, err := doc.Value(o, key)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			_, catalog, err := doc.Root()
			if err != nil {
				t.Fatal(err)
			}
			root := value(catalog, "StructTreeRoot")
			numbers := value(value(root, "ParentTree"), "Nums").Items()
			if len(numbers) != 2*(1+row.elements) {
				t.Fatalf("parent tree %s", value(root, "ParentTree").Raw())
			}
			if next, _ := root.Get("ParentTreeNextKey").Int(); next != int64(1+row.elements) {
				t.Errorf("next key %d", next)
			}
			document := value(root, "K")
			if kids := document.Get("K").Items(); len(kids) != 1+row.elements {
				t.Errorf("kids of the document: %s", document.Raw())
			}
			kinds := ""
			for i := 2; i < len(numbers); i += 2 {
				key, _ := numbers[i].Int()
				element, err := doc.Resolve(numbers[i+1])
				if err != nil {
					t.Fatal(err)
				}
				kinds += element.Get("S").Name() + " "
				annotation := value(element.Get("K"), "Obj")
				if back, ok := annotation.Get("StructParent").Int(); !ok || back != key {
					t.Errorf("annotation %s has no way back to %d", annotation.Raw(), key)
				}
				if element.Get("Alt").Text() == "" {
					t.Error("an element without a description")
				}
			}
			if want := "Form " + strings.Repeat("Annot ", row.elements-1); kinds != want {
				t.Errorf("elements %q, want %q", kinds, want)
			}
			page, err := doc.FirstPage()
			if err != nil {
				t.Fatal(err)
			}
			if page.Dict.Get("Tabs").Name() != "S" {
				t.Error("the page does not follow the structure")
			}
			form, err := doc.Form()
			if err != nil {
				t.Fatal(err)
			}
			if form.Fields[0].Dict.Get("TU").Text() == "" {
				t.Error("the field has no name for people")
			}
			if out, err := judge(t, signed, "qpdf", "--check"); err != nil {
				t.Errorf("qpdf: %v\n%s", err, out)
			}
			// The structure of a signed document is not touched again.
			twice, _ := sign(t, signed, citizen(t), pades.Options{})
			if got := verify(t, twice, trusted()).Signatures[0]; got.Indication != pades.TotalPassed || got.ChangesAfter != pades.ChangesFormFill {
				t.Errorf("after a further signature: %+v", got)
			}
		})
	}
}
