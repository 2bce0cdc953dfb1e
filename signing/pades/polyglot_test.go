package pades_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// TestPolyglots (P-59): a file that is a page, an archive or a picture to other
// programs is not signed and passes for nothing. The header may stand anywhere in the
// first 1024 bytes (ISO 32000-1 Annex H); behind that there is no PDF.
func TestPolyglots(t *testing.T) {
	cred := citizen(t)
	plain := pdfs.Classic()
	signed, _ := sign(t, plain, cred, pades.Options{})
	for kind, begin := range map[string]string{
		"blank": " ",
		"HTML":  "<html><body>I owe you 1000</body></html>\n<!--",
		"ZIP":   "PK\x03\x04\x14\x00\x00\x00\x00\x00",
		"JPEG":  "\xff\xd8\xff\xe0\x00\x10JFIF\x00",
	} {
		for _, offset := range []int{len(begin), 500, 1024 - len("%PDF-1.7")} {
			t.Run(fmt.Sprintf("%s, header at %d", kind, offset), func(t *testing.T) {
				before := append([]byte(begin), bytes.Repeat([]byte{' '}, offset-len(begin))...)
				refusal(t, append(slices.Clone(before), plain...), cred, pades.Options{}, pades.RefusedPrefixData)
				refusal(t, append(slices.Clone(before), signed...), cred, pades.Options{}, pades.RefusedPrefixData)
				suspect(t, append(slices.Clone(before), signed...), pades.Unclear, "prefix_data")
			})
		}
		if kind != "blank" { // white space behind the end says nothing to anybody
			t.Run(kind+" behind the end", func(t *testing.T) {
				suspect(t, append(slices.Clone(signed), begin...), pades.WholeRevision, "trailing_data")
			})
		}
		t.Run(kind+", header too late", func(t *testing.T) {
			late := append([]byte(begin), bytes.Repeat([]byte{' '}, 1024-len(begin))...)
			late = append(late, signed...)
			if _, err := pades.Verify(t.Context(), bytes.NewReader(late), int64(len(late)), trusted()); !errors.Is(err, pdf.ErrNotPDF) {
				t.Errorf("verifying: %v", err)
			}
			_, err := pades.Sign(context.Background(), bytes.NewReader(late), int64(len(late)), &bytes.Buffer{}, cred, pades.Options{SigningTime: signedAt})
			if !errors.Is(err, pdf.ErrNotPDF) {
				t.Errorf("signing: %v", err)
			}
		})
	}
}

// suspect verifies a file whose only signature has failed and covers no more than that,
// with a warning.
func suspect(t *testing.T, file []byte, coverage pades.Coverage, warning string) {
	t.Helper()
	report := verify(t, file, trusted())
	if len(report.Signatures) != 1 || report.Passed() {
		t.Fatalf("%+v", report)
	}
	if s := report.Signatures[0]; s.Coverage != coverage || s.Indication != pades.TotalFailed || s.SubIndication != pades.FormatFailure {
		t.Errorf("%s, %s, %s", s.Coverage, s.Indication, s.SubIndication)
	}
	if !slices.ContainsFunc(report.Warnings, func(f pades.Finding) bool { return f.Code == warning }) {
		t.Errorf("warnings %+v", report.Warnings)
	}
}
