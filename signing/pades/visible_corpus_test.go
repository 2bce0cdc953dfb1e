package pades_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// TestCorpusIsSignedVisibly signs every document of the corpus with a mark. What is not
// refused with a reason passes the check of the output, in which every earlier
// signature is judged as before, and the tools of others agree.
func TestCorpusIsSignedVisibly(t *testing.T) {
	folder := corpusFolder(t)
	cred := citizen(t)
	signed := 0
	for _, row := range readCorpus(t, folder) {
		in, out := filepath.Join(folder, row.file), filepath.Join(t.TempDir(), "signed.pdf")
		o := visible()
		o.SigningTime = signedAt
		_, err := pades.SignFile(t.Context(), in, out, cred, o)
		if err != nil {
			_, malformed := errors.AsType[*pdf.FormatError](err)
			if !malformed && !errors.Is(err, pades.ErrRefused) && !errors.Is(err, pdf.ErrEncrypted) {
				t.Errorf("%s: %v", row.file, err)
			}
			t.Logf("%s: %v", row.file, err)
			continue
		}
		signed++
		before, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		_, was := judge(t, before, "qpdf", "--check")
		if said, err := judge(t, after, "qpdf", "--check"); err != nil && was == nil {
			t.Errorf("%s: qpdf: %v\n%s", row.file, err, said)
		}
		if said, err := judge(t, after, "pdfsig", "-nocert"); !strings.Contains(said, "Signature is Valid") || !strings.Contains(said, "Total document signed") {
			t.Errorf("%s: pdfsig: %v\n%s", row.file, err, said)
		}
	}
	t.Logf("%d documents were signed visibly", signed)
	if signed == 0 {
		t.Error("nothing was signed")
	}
}
