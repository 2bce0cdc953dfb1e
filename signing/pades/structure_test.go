package pades_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// signedTwice is a document that claims PDF/UA with two visible signatures, and the
// size of its first signed revision.
func signedTwice(t *testing.T, part int, o pades.Options) ([]byte, int) {
	t.Helper()
	cred := citizen(t)
	first, _ := sign(t, pdfs.Tagged(part, 3), cred, visible(pades.Place{Page: pades.AllPages, Corner: pades.TopRight}))
	second, _ := sign(t, first, cred, o)
	return second, len(first)
}

// findings lists the codes of what was found about the first signature.
func findings(t *testing.T, file []byte) string {
	t.Helper()
	var codes []string
	report := verify(t, file, trusted())
	if len(report.Signatures) == 0 {
		t.Fatal("no signature is seen")
	}
	for _, f := range report.Signatures[0].Findings {
		codes = append(codes, f.Code)
	}
	return fmt.Sprint(report.Signatures[0].Indication, " ", strings.Join(codes, " "))
}

// TestSecondMarkIsPartOfTheStructure: a visible mark on a signed document that claims
// PDF/UA gets an element, in the structure and in the parent tree, and the earlier
// signature is judged as before. Who would rather leave the structure alone can.
func TestSecondMarkIsPartOfTheStructure(t *testing.T) {
	for _, part := range []int{1, 2} {
		file, _ := signedTwice(t, part, visible(pades.Place{Page: 2, Corner: pades.TopLeft}))
		for _, s := range verify(t, file, trusted()).Signatures {
			if s.Indication != signing.TotalPassed {
				t.Errorf("PDF/UA-%d, field %q: %s %v", part, s.Field, s.Indication, s.Findings)
			}
		}
		doc, err := pdf.Open(t.Context(), bytes.NewReader(file), int64(len(file)), pdf.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		form, err := doc.Form()
		if err != nil || len(form.Fields) != 2 {
			t.Fatalf("%d fields, %v", len(form.Fields), err)
		}
		widget := form.Fields[1]
		key, _ := widget.Dict.Get("StructParent").Int()
		root, err := doc.Object(pdf.Ref{Number: 4})
		if err != nil {
			t.Fatal(err)
		}
		// Keys 0 to 2 are those of the pages, 3 to 5 those of the first three marks.
		if next, _ := root.Value.Get("ParentTreeNextKey").Int(); key != 6 || next != 7 {
			t.Errorf("PDF/UA-%d: key %d in the parent tree, the next is %d", part, key, next)
		}
		if want := fmt.Sprintf("/Obj %s /Pg", widget.Ref); bytes.Count(file, []byte(want)) != 1 {
			t.Errorf("PDF/UA-%d: no element says %q", part, want)
		}
		left, size := signedTwice(t, part, func() pades.Options {
			o := visible(pades.Place{Page: 2, Corner: pades.TopLeft})
			o.Visible.LeaveStructure = true
			return o
		}())
		if bytes.Contains(left[size:], []byte("StructElem")) {
			t.Errorf("PDF/UA-%d: the structure was not left alone", part)
		}
	}
}

// TestStructureMustOnlyGrow: of what happens to a structure after a signature, only
// elements of further signatures are harmless. Each row changes the revision of the
// second signature, in as many bytes; only the first signature is looked at.
func TestStructureMustOnlyGrow(t *testing.T) {
	file, size := signedTwice(t, 1, visible(pades.Place{Page: 2, Corner: pades.TopLeft}))
	if got := findings(t, file); got != "TOTAL_PASSED visible_signature_added" {
		t.Fatalf("unchanged: %s", got)
	}
	for name, change := range map[string][2]string{
		"an element that is no form":      {"/S /Form", "/S /Span"},
		"a text in place of the contents": {"/Alt ", "/E   "},
		"an element elsewhere":            {"/P 5 0 R", "/P 4 0 R"},
		"about no annotation":             {"/Type /OBJR /Obj", "/Type /OBJR /Abc"},
		"about no object":                 {"/Type /OBJR", "/Type /OBJX"},
		"a key that was there":            {"/Nums [6 ", "/Nums [2 "},
		"a list without an end":           {"/Nums [6 ", "/Nums [  "},
		"another order":                   {"[22 0 R 25 0 R", "[25 0 R 22 0 R"},
		"one kid less":                    {"[22 0 R 25 0 R", "[       25 0 R"},
		"another parent tree":             {"/Kids [8 0 R", "/Kids [6 0 R"},
		"an entry of the root":            {"/ParentTreeNextKey", "/RoleMapTreeNextKe"},
	} {
		t.Run(name, func(t *testing.T) {
			if bytes.Count(file[size:], []byte(change[0])) != 1 || len(change[0]) != len(change[1]) {
				t.Fatalf("%q is there %d times", change[0], bytes.Count(file[size:], []byte(change[0])))
			}
			changed := append(bytes.Clone(file[:size]), bytes.Replace(file[size:], []byte(change[0]), []byte(change[1]), 1)...)
			if got := findings(t, changed); !strings.HasPrefix(got, "INDETERMINATE") || !strings.Contains(got, "changes_unclassified") {
				t.Errorf("judged %s", got)
			}
		})
	}
	for name, objects := range map[string]map[int]string{
		"contents read otherwise":     {22: "<< /S /P /P 5 0 R /Pg 20 0 R /K 0 /ActualText (I owe nothing) >>"},
		"an element about the first":  {6: "[22 0 R 25 0 R 28 0 R 90 0 R]", 90: "<< /Type /StructElem /S /Form /P 5 0 R /K << /Type /OBJR /Obj 30 0 R >> >>"},
		"structure, widget and array": {6: "[22 0 R 25 0 R 28 0 R 30 0 R]"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := pdfs.Revise(file[:size], objects, 1)
			if got := findings(t, changed); !strings.Contains(got, "changes_unclassified") {
				t.Errorf("judged %s", got)
			}
		})
	}
}
