//go:build interop

package facturae_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/xmls"
	"github.com/eidbridge/eidbridge/signing/facturae"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// schemas fetches the published schemas, which come with a Python package, into a
// folder of the test. They are not ours to keep.
func schemas(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("python3", "-m", "venv", filepath.Join(dir, "venv"))
	run(filepath.Join(dir, "venv", "bin", "python3"), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", dir, "odoo14-addon-l10n-es-facturae==14.0.2.7.1")
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		t.Fatalf("%v, %v", wheels, err)
	}
	archive, err := zip.OpenReader(wheels[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	for _, f := range archive.File {
		if !strings.HasSuffix(f.Name, ".xsd") {
			continue
		}
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f.Name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func schemaOf(dir, version string) string {
	return filepath.Join(dir, "Facturaev"+strings.ReplaceAll(version, ".", "_")+".xsd")
}

// TestInteropCheckAgreesWithXmllint has xmllint judge signed, unsigned and mutated
// invoices by the published schemas, and compares.
func TestInteropCheckAgreesWithXmllint(t *testing.T) {
	dir := schemas(t)
	cred, _ := spaniard(t)
	for _, version := range xmls.Versions() {
		t.Run(version, func(t *testing.T) {
			invoice := xmls.Invoice(version, 2)
			var signed bytes.Buffer
			if _, err := facturae.Sign(t.Context(), bytes.NewReader(invoice), int64(len(invoice)), &signed, cred, facturae.Options{}); err != nil {
				t.Fatal(err)
			}
			documents := [][]byte{invoice, signed.Bytes()}
			for i := range uint64(700) {
				documents = append(documents, mutate(i, version))
			}
			folder := t.TempDir()
			args := []string{"--noout", "--nonet", "--schema", schemaOf(dir, version)}
			for i, d := range documents {
				name := filepath.Join(folder, fmt.Sprintf("%d.xml", i))
				if err := os.WriteFile(name, d, 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, name)
			}
			out, _ := exec.Command("xmllint", args...).CombinedOutput() // it fails for those that are wrong
			accepted := 0
			for i, d := range documents {
				theirs := strings.Contains(string(out), fmt.Sprintf("%s%c%d.xml validates", folder, filepath.Separator, i))
				_, err := facturae.Check(bytes.NewReader(d), xmltext.Limits{})
				if theirs != (err == nil) {
					t.Errorf("document %d: xmllint says %v, we say %v\n%s", i, theirs, err, d)
				}
				if theirs {
					accepted++
				}
				if i < 2 && !theirs {
					t.Errorf("xmllint refuses our invoice %d", i)
				}
			}
			t.Logf("%d documents, %d of them valid", len(documents), accepted)
		})
	}
}
