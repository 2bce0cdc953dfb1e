package prompt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing/appearance"
)

// batch makes a consent to as many documents as windows list.
func batch(c desktop.Consent, name string) desktop.Consent {
	c.PIN = "PIN2"
	for i := range MaxListed {
		c.Documents = append(c.Documents, desktop.Description{
			Name: fmt.Sprintf("%d-%s", i, name), MediaType: desktop.MediaTypePDF, Size: 100_000,
			SHA256: sha256.Sum256(fmt.Append(nil, i)),
		})
	}
	return c
}

// TestBatchListsEveryDocument (L-38): each with its digest, in windows over several
// pages, on a terminal in one list; and that a PIN is asked for each time.
func TestBatchListsEveryDocument(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	c := batch(desktop.Consent{Holder: desktop.Holder{Name: "MARI-LIIS", Issuer: "Lab"}}, "contract.pdf")
	for _, language := range languages() {
		words := texts.in(language)
		pages := words.batchTexts(c, room("SETDESC"), false)
		listed := words.batchTexts(c, 0, true)
		if len(pages) < 3 || len(listed) != 1 {
			t.Errorf("%s: %d pages and %d lists", language, len(pages), len(listed))
		}
		windows := strings.Join(pages, "\n")
		for i, d := range c.Documents {
			if !strings.Contains(windows, d.Name) || !strings.Contains(windows, groups(d.SHA256[:8])) {
				t.Errorf("%s: document %d is in no window", language, i)
			}
			if !strings.Contains(listed[0], d.Name) || !strings.Contains(listed[0], hex.EncodeToString(d.SHA256[:])) {
				t.Errorf("%s: document %d is not on the terminal", language, i)
			}
		}
		for _, text := range []string{windows, listed[0]} {
			if !strings.Contains(text, "PIN2") || !strings.Contains(text, "MARI-LIIS") || !strings.Contains(text, "50") || strings.Contains(text, "<no value>") {
				t.Errorf("%s: %s", language, text)
			}
		}
	}
}

// L-37: the name of a document cannot look like the next document of the list.
func TestBatchNamesStayOnTheirLines(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	c := desktop.Consent{Documents: []desktop.Description{
		{Name: "a.pdf\n3. “harmless.pdf” (PDF, 1 kB)\u202Efdp"}, {Name: "b.pdf"},
	}}
	if text := texts.in("en").batchTexts(c, 0, true)[0]; strings.Count(text, "\n") != 4 || strings.Contains(text, "\u202E") {
		t.Errorf("%q", text)
	}
}

// More than windows list is no question for them.
func TestWindowsRefuseLongBatches(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	p := &Pinentry{Program: "/nonexistent", Texts: texts}
	c := batch(desktop.Consent{}, "a.pdf")
	c.Documents = append(c.Documents, c.Documents[0])
	if err := p.Approve(t.Context(), c); !errors.Is(err, desktop.ErrNoPrompt) || !strings.Contains(err.Error(), "50") {
		t.Errorf("%v", err)
	}
}

// What a mark says by default is a template that can be drawn in every language.
func TestMarkTemplatesCanBeDrawn(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range languages() {
		m := appearance.Mark{Text: texts.MarkTemplate(language), Values: appearance.Values{Name: "A", Identifier: "B", Issuer: "C", Time: "D", Reason: "E", Place: "F"}}
		d, err := m.Draw(200, 64)
		if err != nil {
			t.Fatalf("%s: %v", language, err)
		}
		if n := strings.Count(d.Text(), ", "); n != 5 {
			t.Errorf("%s: %q", language, d.Text())
		}
	}
}
