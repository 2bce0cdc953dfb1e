//go:build interop

package pades_test

import (
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
// more. One thing is beyond us: a visible mark on a document that is signed already has
// no place in its structure (ISO 14289-1 7.18.4), because validators take any change of
// the structure for a change of what was signed, and earlier signatures count more.
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
	const secondVisible = "second, visible"
	dir, cred := t.TempDir(), citizen(t)
	var claims []verapdf.Claim
	for _, claim := range []string{"1b", "1a", "2b", "2a", "3b", "3a"} {
		source := pdfs.Archival(claim, 0)
		hidden, _ := sign(t, source, cred, pades.Options{Reason: "Õige"})
		visibly, _ := sign(t, source, cred, shown)
		thrice, _ := sign(t, source, cred, three)
		second, _ := sign(t, hidden, cred, pades.Options{Reason: "Õige"})
		after, _ := sign(t, hidden, cred, shown)
		for name, file := range map[string][]byte{
			"source": source, "hidden": hidden, "visible": visibly, "three marks": thrice,
			"second, hidden": second, secondVisible: after,
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
	for i, v := range verapdf.Judge(t, claims...) {
		if name := filepath.Base(claims[i].Path); v.Flavour == "ua1" && strings.HasSuffix(name, secondVisible+".pdf") {
			if v.Conforms || !strings.HasPrefix(v.Broken, "broken: 7.18.4 ") || strings.Contains(v.Broken, ";") {
				t.Errorf("%s: what is told of it is no longer so: %q", name, v.Broken)
			}
			continue
		}
		if !v.Conforms {
			t.Errorf("%s as %s: %s", filepath.Base(claims[i].Path), v.Flavour, v.Broken)
		}
	}
	t.Logf("veraPDF judged %d claims", len(claims))
}
