package desktop_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// TestActiveDocuments (P-53, P-14): nobody gets a signature under a document that acts
// by itself, unless the administrator allows it, and then the person is told and the
// journal notes it. A document with a second version inside is signed for nobody.
func TestActiveDocuments(t *testing.T) {
	for _, row := range []struct {
		name    string
		page    bool
		allowed bool
		data    []byte
		code    desktop.Code
		active  []string
	}{
		{"calm, of a page", true, false, pdfs.Classic(), "", nil},
		{"fields to fill in, of a page", true, false, pdfs.Form(), "", nil},
		{"script, of a page", true, false, pdfs.Active()[0].Data, desktop.CodeDocumentUnsafe, nil},
		{"script, of a page, allowed", true, true, pdfs.Active()[0].Data, "", []string{"script"}},
		{"script, of the person", false, false, pdfs.Active()[0].Data, desktop.CodeDocumentUnsafe, nil},
		{"script, of the person, allowed", false, true, pdfs.Active()[0].Data, "", []string{"script"}},
		{"second version, of a page", true, true, pdfs.Unlisted(5), desktop.CodeDocumentUnsafe, nil},
		{"second version, of the person", false, true, pdfs.Unlisted(5), desktop.CodeDocumentUnsafe, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.AllowActive = row.allowed
				r := request("a.pdf")
				if row.page {
					r = from(t, "https://portal.test")
				}
				r.Documents = []desktop.Document{desktop.PDFBytes("a.pdf", row.data)}
				s, _ := b.Do(t.Context(), r)
				if s.Code != row.code || (s.State == desktop.StateDone) != (row.code == "") {
					t.Fatalf("%s %q: %v", s.State, s.Code, s.Err)
				}
				e := b.journal.only(t)
				if row.code != "" {
					if len(b.prompter.consents) != 0 || e.Code != row.code {
						t.Errorf("%d questions, entry %+v", len(b.prompter.consents), e)
					}
					return
				}
				if !slices.Equal(e.Documents[0].Active, row.active) {
					t.Errorf("journal: %v, want %v", e.Documents[0].Active, row.active)
				}
				if shown := b.prompter.consents[0].Document; shown.Active() != (row.active != nil) || s.Signed[0].Scan == nil {
					t.Errorf("shown: %+v", shown)
				}
			})
		})
	}
}

// TestEveryActiveKindIsRefused (P-53): by default none of the ten kinds that act by
// themselves gets a signature, whoever asks, and nobody is asked about it; under the
// setting all of them do, after a question that names each finding, and the journal
// notes the kind. What does not act by itself is named in the question alone.
func TestEveryActiveKindIsRefused(t *testing.T) {
	refused := make(map[string]bool)
	for _, sample := range pdfs.Active() {
		if pades.Risk(sample.Name).Active() {
			refused[sample.Name] = true
		}
		for _, allowed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, allowed %v", sample.Name, allowed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t)
					b.AllowActive = allowed
					r := request("a.pdf")
					r.Documents = []desktop.Document{desktop.PDFBytes("a.pdf", sample.Data)}
					s, _ := b.Do(t.Context(), r)
					e := b.journal.only(t)
					switch active := pades.Risk(sample.Name).Active(); {
					case sample.Name == string(pades.RiskDuplicate): // signed for nobody
						if s.Code != desktop.CodeDocumentUnsafe {
							t.Errorf("%s %q: %v", s.State, s.Code, s.Err)
						}
					case active && !allowed:
						if s.Code != desktop.CodeDocumentUnsafe || len(b.prompter.consents) != 0 || e.Code != s.Code {
							t.Errorf("%s %q, %d questions, entry %+v", s.State, s.Code, len(b.prompter.consents), e)
						}
					default:
						if s.State != desktop.StateDone || len(b.prompter.consents) == 0 {
							t.Fatalf("%s %q: %v", s.State, s.Code, s.Err)
						}
						shown := b.prompter.consents[0].Document.Scan
						if !slices.ContainsFunc(shown.Findings, func(f pades.ScanFinding) bool { return string(f.Kind) == sample.Name }) {
							t.Errorf("shown: %+v", shown)
						}
						if slices.Contains(e.Documents[0].Active, sample.Name) != active {
							t.Errorf("journal: %v", e.Documents[0].Active)
						}
					}
				})
			})
		}
	}
	if len(refused) != 10 {
		t.Errorf("documents of the active kinds %v", refused)
	}
}
