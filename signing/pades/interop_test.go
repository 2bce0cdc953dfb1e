package pades_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// judge runs a program of a third party over a file.
func judge(t *testing.T, file []byte, program string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	name := filepath.Join(t.TempDir(), "signed.pdf")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, append(args, name)...).CombinedOutput()
	return string(out), err
}

// TestThirdPartiesAcceptEveryStructure has qpdf check the structure and poppler
// the signature of our output.
func TestThirdPartiesAcceptEveryStructure(t *testing.T) {
	cred := citizen(t)
	for _, s := range append(pdfs.Samples(), pdfs.Unusual()...) {
		t.Run(s.Name, func(t *testing.T) {
			signed, _ := sign(t, s.Data, cred, pades.Options{Reason: "Õiguste kinnitamine (lõplik)"})
			before, errBefore := judge(t, s.Data, "qpdf", "--check")
			after, errAfter := judge(t, signed, "qpdf", "--check")
			if errBefore == nil && errAfter != nil {
				t.Errorf("qpdf --check before: %v\n%s\nafter: %v\n%s", errBefore, before, errAfter, after)
			}
			out, err := judge(t, signed, "pdfsig", "-nocert")
			for _, want := range []string{"Signature is Valid", "Total document signed", "ETSI.CAdES.detached"} {
				if !strings.Contains(out, want) {
					t.Errorf("pdfsig does not say %q (%v):\n%s", want, err, out)
				}
			}
		})
	}
}
