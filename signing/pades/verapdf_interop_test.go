//go:build interop

package pades_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/fixtures/verapdf"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// TestInteropVeraPDF: a document that conforms to PDF/A or PDF/UA still does when it is
// signed, visibly or not, with a picture that has alpha, and when it is signed once
// more, hidden or visibly. Only who has the structure left alone gives PDF/UA up, by the
// widget that is no part of it (ISO 14289-1 7.18.4).
func TestInteropVeraPDF(t *testing.T) {
	data, err := os.ReadFile("../appearance/testdata/picture-alone.png")
	if err != nil {
		t.Fatal(err)
	}
	picture, err := appearance.ParsePicture(data)
	if err != nil {
		t.Fatal(err)
	}
	shown := visible()
	shown.Visible.Mark.Picture = picture
	three := visible(pades.Place{Page: 1, Corner: pades.TopLeft}, pades.Place{Page: 1, Corner: pades.TopRight}, pades.Place{Page: 1, Corner: pades.BottomLeft})
	alone := visible()
	alone.Visible.LeaveStructure = true
	const leftAlone = "second, beside the structure"
	dir, cred := t.TempDir(), citizen(t)
	var claims []verapdf.Claim
	for _, claim := range []string{"1b", "1a", "2b", "2a", "3b", "3a"} {
		source := pdfs.Archival(claim, 0)
		hidden, _ := sign(t, source, cred, pades.Options{Reason: "Õige"})
		visibly, _ := sign(t, source, cred, shown)
		thrice, _ := sign(t, source, cred, three)
		second, _ := sign(t, hidden, cred, pades.Options{Reason: "Õige"})
		after, _ := sign(t, hidden, cred, shown)
		more, _ := sign(t, visibly, cred, visible(pades.Place{Page: 1, Corner: pades.TopLeft}))
		beside, _ := sign(t, hidden, cred, alone)
		for name, file := range map[string][]byte{
			"source": source, "hidden": hidden, "visible": visibly, "three marks": thrice,
			"second, hidden": second, "second, visible": after, "both visible": more, leftAlone: beside,
		} {
			path := filepath.Join(dir, claim+" "+name+".pdf")
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			claims = append(claims, verapdf.Claim{Flavour: claim, Path: path})
			// What PDF/UA wants of stamps is unknown to PDF 1.4, and so to PDF/A-1.
			if claim[1] == 'a' && path != filepath.Join(dir, "1a three marks.pdf") {
				claims = append(claims, verapdf.Claim{Flavour: "ua1", Path: path})
			}
		}
	}
	for _, part := range []int{1, 2} {
		claims = append(claims, markedTwice(t, part, dir)...)
	}
	for i, v := range verapdf.Judge(t, claims...) {
		if name := filepath.Base(claims[i].Path); v.Flavour == "ua1" && strings.HasSuffix(name, leftAlone+".pdf") {
			if v.Conforms || !strings.HasPrefix(v.Broken, "broken: 7.18.4 ") || strings.Contains(v.Broken, ";") {
				t.Errorf("%s: what is told of it is no longer so: %q", name, v.Broken)
			}
			continue
		}
		if !v.Conforms || v.Flavour == verapdf.Claimed {
			t.Errorf("%s as %s: %s", filepath.Base(claims[i].Path), v.Flavour, v.Broken)
		}
	}
	t.Logf("veraPDF judged %d claims", len(claims))
}

// markedTwice writes documents of several pages that claim PDF/UA, with marks on one or
// all pages, and with one and two more signatures, on pages that had no annotation and
// on such that had.
func markedTwice(t *testing.T, part int, dir string) []verapdf.Claim {
	cred := citizen(t)
	source := pdfs.Tagged(part, 3)
	once, _ := sign(t, source, cred, visible())
	all, _ := sign(t, source, cred, visible(pades.Place{Page: pades.AllPages, Corner: pades.TopRight}))
	hidden, _ := sign(t, all, cred, pades.Options{})
	onNew, _ := sign(t, once, cred, visible(pades.Place{Page: 1, Corner: pades.TopLeft}))
	onOld, _ := sign(t, all, cred, visible(pades.Place{Page: 2, Corner: pades.TopLeft}))
	third, _ := sign(t, onOld, cred, visible(pades.Place{Page: 3, Corner: pades.BottomLeft}))
	var claims []verapdf.Claim
	for name, file := range map[string][]byte{
		"source": source, "one page": once, "all pages": all, "then hidden": hidden,
		"then a page without": onNew, "then a page with": onOld, "then a third": third,
	} {
		path := filepath.Join(dir, fmt.Sprintf("ua%d %s.pdf", part, name))
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		claims = append(claims, verapdf.Claim{Flavour: verapdf.Claimed, Path: path})
	}
	return claims
}
