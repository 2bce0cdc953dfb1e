package pades_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

func scan(t *testing.T, file []byte) *pades.Scan {
	t.Helper()
	s, err := pades.ScanDocument(t.Context(), bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func kinds(s *pades.Scan) []string {
	var out []string
	for _, f := range s.Findings {
		out = append(out, string(f.Kind))
	}
	return out
}

// TestScanNamesWhatADocumentDoes (P-53) has one document for each kind, and for
// each way to have it.
func TestScanNamesWhatADocumentDoes(t *testing.T) {
	named := make(map[string]bool)
	for _, s := range pdfs.Active() {
		t.Run(s.Name, func(t *testing.T) {
			named[s.Name] = true
			got := scan(t, s.Data)
			i := slices.Index(kinds(got), s.Name)
			if i < 0 {
				t.Fatalf("found %v", kinds(got))
			}
			f := got.Findings[i]
			if f.Count == 0 || f.Text == "" || f.Active != pades.Risk(s.Name).Active() || len(f.Objects)+len(f.Pages)+len(f.Names) == 0 && !slices.Contains([]string{"hidden_layer", "xfa", "own_appearance"}, s.Name) {
				t.Errorf("finding %+v", f)
			}
			if !got.Complete || got.Pages != 1 {
				t.Errorf("%d pages, complete %v", got.Pages, got.Complete)
			}
			// Active content is the only one there is: nothing is taken for more than
			// it is.
			for _, other := range got.Active() {
				if other.Kind != f.Kind && f.Kind != pades.RiskCalculation && s.Name != "script" {
					t.Errorf("also found %s", other.Kind)
				}
			}
		})
	}
	for _, r := range pades.Risks() {
		if !named[string(r)] {
			t.Errorf("no document has %s", r)
		}
	}
}

func TestScanFindsNothingInCalmDocuments(t *testing.T) {
	for _, s := range pdfs.Calm() {
		t.Run(s.Name, func(t *testing.T) {
			if got := scan(t, s.Data); len(got.Findings) != 0 || !got.Complete {
				t.Errorf("found %+v", got.Findings)
			}
		})
	}
	// What we write ourselves is no risk either.
	signed, _ := sign(t, pdfs.Contract(), citizen(t), pades.Options{})
	if got := scan(t, signed); len(got.Findings) != 0 {
		t.Errorf("found %+v in our own output", got.Findings)
	}
}

// TestScanFindsStockOfShadowAttacks builds what the published attacks lay in
// store (P-33 to P-37): an unused page tree, and text below a field.
func TestScanFindsStockOfShadowAttacks(t *testing.T) {
	file := pdfs.Revise(pdfs.Classic(), map[int]string{
		30: "<< /Type /Pages /Kids [31 0 R] /Count 1 >>", 31: "<< /Type /Page /Parent 30 0 R /MediaBox [0 0 9 9] >>",
	}, 1)
	if got := scan(t, file); !slices.Contains(kinds(got), "unused_object") {
		t.Errorf("found %v", kinds(got))
	}
}

func TestScanIsJSON(t *testing.T) {
	text, err := json.Marshal(scan(t, pdfs.Active()[0].Data))
	if err != nil || !strings.Contains(string(text), `"kind":"script","count":1,"active":true`) {
		t.Errorf("%s %v", text, err)
	}
	if text, err := json.Marshal(scan(t, pdfs.Classic())); err != nil || !strings.Contains(string(text), `"findings":[]`) {
		t.Errorf("%s %v", text, err)
	}
}

// TestScanEndsInTime brings hostile files to the scan (P-53, P-60 to P-74).
func TestScanEndsInTime(t *testing.T) {
	for _, s := range pdfs.Malformed() {
		t.Run(s.Name, func(t *testing.T) {
			begin := cpuSeconds()
			_, err := pades.ScanDocument(t.Context(), bytes.NewReader(s.Data), int64(len(s.Data)), nil)
			if err != nil && !typed(err) {
				t.Errorf("%v", err)
			}
			if took := cpuSeconds() - begin; took > 5 {
				t.Errorf("took %.1f s of the processor", took)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := pdfs.Classic()
	if _, err := pades.ScanDocument(ctx, bytes.NewReader(file), int64(len(file)), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOperationsAreBounded(t *testing.T) {
	var limit *pdf.LimitError
	if err := pdf.Operations(bytes.Repeat([]byte("1 "), 1000), pdf.Limits{}, func(string, []pdf.Object) bool { return true }); !errors.As(err, &limit) {
		t.Errorf("got %v", err)
	}
	if err := pdf.Operations([]byte("(open"), pdf.Limits{}, func(string, []pdf.Object) bool { return true }); err == nil {
		t.Error("an open string was read")
	}
}
