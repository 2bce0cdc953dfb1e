//go:build interop

package pades_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
	verdicts := veraPDF(t, paths)
	kept := make(map[string]int)
	for name, path := range source {
		before, after := verdicts[path], verdicts[name]
		if before[1] != "pass" {
			continue
		}
		if after[0] != before[0] || after[1] != "pass" {
			t.Errorf("%s (%s): %s became %s %s: %s", filepath.Base(path), filepath.Base(name), before[0], after[0], after[1], after[2])
			continue
		}
		kept[after[0]]++
	}
	for _, flavour := range slices.Sorted(maps.Keys(kept)) {
		t.Logf("%-3s kept by %d signatures", flavour, kept[flavour])
	}
}

// veraPDF returns flavour, verdict and broken rules of each path.
func veraPDF(t *testing.T, paths []string) map[string][3]string {
	t.Helper()
	pom, err := filepath.Abs(filepath.Join("testdata", "verapdf", "pom.xml"))
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "classpath")
	if out, err := exec.CommandContext(t.Context(), "mvn", "--quiet", "--batch-mode", "--file", pom, "dependency:build-classpath", "-Dmdep.outputFile="+list).CombinedOutput(); err != nil {
		t.Fatalf("mvn: %v\n%s", err, out)
	}
	classpath, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "java", "-cp", strings.TrimSpace(string(classpath)), filepath.Join("testdata", "verapdf", "Judge.java"))
	command.Stdin = strings.NewReader(strings.Join(paths, "\n") + "\n")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	verdicts := make(map[string][3]string)
	for line := range strings.SplitSeq(string(out), "\n") {
		if cells := strings.Split(line, "\t"); len(cells) == 4 {
			verdicts[cells[0]] = [3]string(cells[1:])
		}
	}
	if len(verdicts) != len(paths) {
		t.Fatalf("%d verdicts for %d documents", len(verdicts), len(paths))
	}
	return verdicts
}
