package cades_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cades"
)

// TestCorpus judges messages of other producers: every row must have the expected
// verdicts, and the levels that it names.
func TestCorpus(t *testing.T) {
	c := corpus.Open(t, corpus.Of("cades"))
	for _, row := range c.Rows {
		t.Run(row["file"], func(t *testing.T) {
			data := c.Read(t, row)
			var o signing.VerifyOptions
			if name, pinned := strings.CutPrefix(row["trust setting"], "pin "); pinned {
				o.WithoutRevocation = true
				o.Roots = append(o.Roots, readCertificate(t, filepath.Join(c.Folder, row["format"], strings.Fields(name)[0])))
			}
			report, err := cades.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), nil, o)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			row.Check(t, report)
		})
	}
	t.Logf("%d rows", len(c.Rows))
}

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	c, err := x509.ParseCertificate(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
