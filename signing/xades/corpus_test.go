package xades_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// corpusRow is a row of index.tsv about an XML document.
type corpusRow map[string]string

func (r corpusRow) expected(column string, i int) []string {
	parts := strings.Split(r[column], ";")
	if len(parts) == 1 {
		i = 0
	}
	if i >= len(parts) {
		return nil
	}
	return strings.Split(parts[i], "|")
}

func readCorpus(t *testing.T) (folder string, rows []corpusRow) {
	t.Helper()
	folder = os.Getenv("EIDBRIDGE_CORPUS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	index, err := os.ReadFile(filepath.Join(folder, "index.tsv"))
	if err != nil {
		t.Skip("the corpus is not beside the checkout; EIDBRIDGE_CORPUS names another place")
	}
	lines := strings.Split(strings.TrimSpace(string(index)), "\n")
	head := strings.Split(lines[0], "\t")
	for _, line := range lines[1:] {
		row := make(corpusRow)
		for i, cell := range strings.Split(line, "\t") {
			row[head[i]] = cell
		}
		if row["format"] == "xades" || row["format"] == "malformed" && strings.HasSuffix(row["file"], ".xml") {
			rows = append(rows, row)
		}
	}
	return folder, rows
}

// TestCorpus judges signed documents of other producers.
func TestCorpus(t *testing.T) {
	t.Parallel()
	folder, rows := readCorpus(t)
	for _, row := range rows {
		t.Run(row["file"], func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, row["file"]))
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			report, err := xades.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), xades.VerifyOptions{})
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("took %s", took)
			}
			if row["expected indication"] == "REJECT" {
				var syntax *xmltext.Error
				if !errors.As(err, &syntax) && !errors.Is(err, xmldsig.ErrLimit) {
					t.Errorf("not refused with a typed error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			row.check(t, report)
			if strings.HasPrefix(row["note"], "with aux/") {
				row.withAux(t, folder, data)
			}
		})
	}
	t.Logf("%d rows", len(rows))
}

// check compares a report with what the row expects.
func (r corpusRow) check(t *testing.T, report *signing.Report) {
	t.Helper()
	if want, err := strconv.Atoi(r["expected signature count"]); err == nil && want != len(report.Signatures) {
		t.Errorf("%d signatures, want %d", len(report.Signatures), want)
	}
	for i, s := range report.Signatures {
		wanted := r.expected("expected indication", i)
		if slices.Contains(wanted, "NOT_PASSED") {
			wanted = []string{string(signing.TotalFailed), string(signing.Indeterminate)}
		}
		sub := r.expected("expected sub-indication", i)
		if !slices.Contains(wanted, string(s.Indication)) || sub[0] != "-" && !slices.Contains(sub, string(s.SubIndication)) {
			t.Errorf("signature %d: %s/%s, want %v/%v: %v", i+1, s.Indication, s.SubIndication, wanted, sub, s.Findings)
		}
		known := s.SubIndication != signing.NoSigningCertificateFound
		if strings.HasPrefix(r["note"], "intact=yes") && known && s.Integrity != signing.Intact {
			t.Errorf("signature %d is %s: %v", i+1, s.Integrity, s.Findings)
		}
	}
}

// withAux judges a document with the file that the note of its row names.
func (r corpusRow) withAux(t *testing.T, folder string, data []byte) {
	t.Helper()
	name := strings.TrimSuffix(strings.TrimPrefix(strings.Fields(r["note"])[1], "aux/"), ":")
	content, err := os.ReadFile(filepath.Join(folder, "xades", "aux", name))
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
