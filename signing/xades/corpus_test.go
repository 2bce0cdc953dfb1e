package xades_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// TestCorpus judges signed documents of other producers.
func TestCorpus(t *testing.T) {
	t.Parallel()
	c := corpus.Open(t, func(r corpus.Row) bool {
		return r["format"] == "xades" || r["format"] == "malformed" && strings.HasSuffix(r["file"], ".xml")
	})
	for _, row := range c.Rows {
		t.Run(row["file"], func(t *testing.T) {
			data := c.Read(t, row)
			begin := time.Now()
			report, err := xades.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), xades.VerifyOptions{})
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
			if row.Refused() {
				var syntax *xmltext.Error
				if !errors.As(err, &syntax) && !errors.Is(err, xmldsig.ErrLimit) {
					t.Errorf("not refused with a typed error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			row.Check(t, report)
			if strings.HasPrefix(row["note"], "with aux/") {
				withAux(t, c, row, data)
			}
		})
	}
	t.Logf("%d rows", len(c.Rows))
}

// withAux judges a document with the file that the note of its row names.
func withAux(t *testing.T, c corpus.Corpus, r corpus.Row, data []byte) {
	t.Helper()
	name := strings.TrimSuffix(strings.TrimPrefix(strings.Fields(r["note"])[1], "aux/"), ":")
	content, err := os.ReadFile(filepath.Join(c.Folder, "xades", "aux", name))
	if err != nil {
		t.Fatal(err)
	}
	report, err := xades.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), xades.VerifyOptions{Resolver: files{name: string(content)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Signatures {
		if s.Integrity != signing.Intact || s.SubIndication != signing.NoCertificateChainFound {
			t.Errorf("with %s: %s, %s/%s %v", name, s.Integrity, s.Indication, s.SubIndication, s.Findings)
		}
	}
}
