package pades_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// TestSignRebuildsBrokenFiles signs what can be put together without guessing,
// file to file, and leaves a document that everybody can read.
func TestSignRebuildsBrokenFiles(t *testing.T) {
	for _, s := range pdfs.Broken() {
		t.Run(s.Name, func(t *testing.T) {
			in, out := filepath.Join(t.TempDir(), "in.pdf"), filepath.Join(t.TempDir(), "out.pdf")
			if err := os.WriteFile(in, s.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := pades.SignFile(t.Context(), in, out, citizen(t), pades.Options{SigningTime: signedAt}); err != nil {
				t.Fatal(err)
			}
			signed, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(signed, s.Data) {
				t.Error("the source was changed")
			}
			if report := verify(t, signed, trusted()); !report.Passed() || report.Signatures[0].Coverage != pades.WholeFile {
				t.Errorf("%+v", report)
			}
			if text, err := judge(t, signed, "qpdf", "--check"); err != nil {
				t.Errorf("qpdf: %v\n%s", err, text)
			}
			if text, _ := judge(t, signed, "pdfsig", "-nocert"); !strings.Contains(text, "Signature is Valid") || !strings.Contains(text, "Total document signed") {
				t.Errorf("pdfsig:\n%s", text)
			}
		})
	}
}

// TestSignDoesNotGuess (P-04, P-14, P-67): a broken file that is signed, or that
// holds an object twice, stays as it is.
func TestSignDoesNotGuess(t *testing.T) {
	for _, s := range pdfs.BrokenAmbiguous() {
		t.Run(s.Name, func(t *testing.T) {
			refusal(t, s.Data, citizen(t), pades.Options{}, pades.RefusedAmbiguous)
		})
	}
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	cut := signed[:bytes.LastIndex(signed, []byte("startxref"))]
	t.Run("signed", func(t *testing.T) {
		refusal(t, cut, citizen(t), pades.Options{}, pades.RefusedAmbiguous)
	})
	report := verify(t, cut, trusted())
	if len(report.Signatures) != 1 || report.Signatures[0].Indication != pades.TotalFailed || report.Signatures[0].SubIndication != pades.FormatFailure {
		t.Errorf("a broken signed file: %+v", report.Signatures)
	}
}
