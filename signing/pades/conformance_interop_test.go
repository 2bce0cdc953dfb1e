//go:build interop

package pades_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/verapdf"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// TestInteropConformanceIsKept has veraPDF judge documents of PDF/A and PDF/UA before
// and after: a hidden signature and a visible one keep conforming what conformed.
// The documents are those of EIDBRIDGE_PDFS with "pass" in their names, which is how
// the veraPDF corpus names what conforms; 200 at most, spread over all.
func TestInteropConformanceIsKept(t *testing.T) {
	documents := slices.DeleteFunc(foreignDocuments(t), func(f *foreign) bool { return !strings.Contains(filepath.Base(f.path), "pass") })
	if len(documents) == 0 {
		t.Skip("no documents that conform to PDF/A or PDF/UA among EIDBRIDGE_PDFS")
	}
	const most = 200
	if step := (len(documents) + most - 1) / most; step > 1 {
		documents = slices.Collect(func(yield func(*foreign) bool) {
			for i := 0; i < len(documents) && yield(documents[i]); i += step {
			}
		})
	}
	cred := citizen(t)
	dir := t.TempDir()
	var paths []string
	source := make(map[string]string)
	for i, f := range documents {
		data, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, f.path)
		for kind, o := range map[string]pades.Options{
			"hidden":  {},
			"visible": {Visible: &pades.Visible{Mark: appearance.Mark{Text: "Signed {time}", Border: true}}},
		} {
			o.SigningTime = signedAt
			var out bytes.Buffer
			if _, err := pades.Sign(t.Context(), bytes.NewReader(data), int64(len(data)), &out, cred, o); err != nil {
				t.Errorf("%s: %v", f.path, err)
				continue
			}
			name := filepath.Join(dir, fmt.Sprintf("%03d-%s.pdf", i, kind))
			if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, name)
			source[name] = f.path
		}
	}
	var claims []verapdf.Claim
	for _, path := range paths {
		claims = append(claims, verapdf.Claim{Flavour: verapdf.Claimed, Path: path})
	}
	verdicts := make(map[string]verapdf.Verdict)
	for i, v := range verapdf.Judge(t, claims...) {
		verdicts[paths[i]] = v
	}
	kept := make(map[string]int)
	for name, path := range source {
		before, after := verdicts[path], verdicts[name]
		if !before.Conforms {
			continue
		}
		if after.Flavour != before.Flavour || !after.Conforms {
			t.Errorf("%s (%s): %s became %s %s", filepath.Base(path), filepath.Base(name), before.Flavour, after.Flavour, after.Broken)
			continue
		}
		kept[after.Flavour]++
	}
	for _, flavour := range slices.Sorted(maps.Keys(kept)) {
		t.Logf("%-3s kept by %d signatures", flavour, kept[flavour])
	}
}
