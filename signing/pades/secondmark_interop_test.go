//go:build interop

package pades_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/dss"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// TestInteropSecondMarkAndOthers pins down what others think of the earlier signature
// when a second visible mark becomes part of the structure of a PDF/UA document, and
// when it is left out of it. It is what our documentation says; a newer version of
// either may think better of it.
func TestInteropSecondMarkAndOthers(t *testing.T) {
	const undefined = "The document contains undefined object modifications after the signature revision!"
	cred, dir := citizen(t), t.TempDir()
	first, _ := sign(t, pdfs.Tagged(1, 3), cred, visible(pades.Place{Page: 1, Corner: pades.TopRight}))
	rows := []struct {
		name    string
		page    int
		aside   bool
		warns   bool // DSS does
		pyHanko string
	}{
		{"a page with annotations", 1, false, false, "OTHER"},
		// Such a page gets /Tabs, which DSS does not know as harmless.
		{"a page without", 2, false, true, "OTHER"},
		{"aside", 1, true, false, "FORM_FILLING"},
	}
	var files []dss.File
	var paths []string
	for _, row := range rows {
		o := visible(pades.Place{Page: row.page, Corner: pades.TopLeft})
		o.Visible.LeaveStructure = row.aside
		second, _ := sign(t, first, cred, o)
		path := filepath.Join(dir, row.name+".pdf")
		if err := os.WriteFile(path, second, 0o600); err != nil {
			t.Fatal(err)
		}
		if s := verify(t, second, trusted()).Signatures[0]; s.Indication != signing.TotalPassed || s.ChangesAfter != pades.ChangesFormFill {
			t.Errorf("%s: own reading %s, %s", row.name, s.Indication, s.ChangesAfter)
		}
		files, paths = append(files, dss.File{Path: path}), append(paths, path)
	}
	judged := make(map[string]string)
	askPyHanko(t, pythonWithPyHanko(t), paths, func(path string, v pyHankoVerdict) {
		if len(v.Signatures) == 2 && v.Signatures[0].Intact && v.Signatures[0].Valid {
			judged[path] = v.Signatures[0].Modification
		}
	})
	found := dss.Judge(t, dss.Job{Anchors: trusted().Roots, Files: files})[0].Files
	for i, row := range rows {
		if got := judged[paths[i]]; got != row.pyHanko {
			t.Errorf("%s: pyHanko says %q, want %q", row.name, got, row.pyHanko)
		}
		if len(found[i].Signatures) != 2 {
			t.Fatalf("%s: DSS sees %d signatures: %s", row.name, len(found[i].Signatures), found[i].Problem)
		}
		s := found[i].Signatures[0]
		if slices.Contains(s.Warnings, undefined) != row.warns || s.Indication == "TOTAL_FAILED" || strings.Contains(fmt.Sprint(s.Errors), "modif") {
			t.Errorf("%s: DSS says %s %q, warnings %q", row.name, s.Indication, s.Errors, s.Warnings)
		}
	}
}
