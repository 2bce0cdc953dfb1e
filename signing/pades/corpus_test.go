package pades_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// corpusRow is a line of the index of the shared corpus.
type corpusRow struct {
	file, format, trust, want, sub, note string
}

func (r corpusRow) accepts(i int, s pades.Signature) bool {
	wants, subs := strings.Split(r.want, ";"), strings.Split(r.sub, ";")
	want, sub := wants[min(i, len(wants)-1)], subs[min(i, len(subs)-1)]
	if want == "NOT_PASSED" {
		return s.Indication != pades.TotalPassed
	}
	found := false
	for _, w := range strings.Split(want, "|") {
		found = found || w == string(s.Indication)
	}
	if !found || sub == "-" {
		return found
	}
	for _, w := range strings.Split(sub, "|") {
		if w == string(s.SubIndication) {
			return true
		}
	}
	return false
}

func corpusFolder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("EIDBRIDGE_CORPUS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		t.Skip("the corpus of signed documents is not beside the checkout")
	}
	return folder
}

func readCorpus(t *testing.T, folder string) []corpusRow {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(folder, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(index)), "\n")
	column := make(map[string]int)
	for i, name := range strings.Split(lines[0], "\t") {
		column[name] = i
	}
	var rows []corpusRow
	for _, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		row := corpusRow{
			file: cells[column["file"]], format: cells[column["format"]], trust: cells[column["trust setting"]],
			want: cells[column["expected indication"]], sub: cells[column["expected sub-indication"]], note: cells[column["note"]],
		}
		if strings.HasSuffix(row.file, ".pdf") && (row.format == "pades" || row.format == "malformed") {
			rows = append(rows, row)
		}
	}
	return rows
}

// corpusOptions sets anchor and clock of a row that pins a certificate.
func corpusOptions(t *testing.T, folder string, row corpusRow) pades.VerifyOptions {
	t.Helper()
	var o pades.VerifyOptions
	if !strings.HasPrefix(row.trust, "pin ") {
		return o
	}
	name := strings.TrimSuffix(strings.Fields(row.trust)[1], ";")
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	root, err := x509.ParseCertificate(data)
	if err != nil {
		t.Fatal(err)
	}
	o.Roots, o.WithoutRevocation = []*x509.Certificate{root}, true
	if _, after, ok := strings.Cut(row.trust, "time "); ok {
		at, err := time.Parse(time.RFC3339, strings.TrimSuffix(strings.Fields(after)[0], ";"))
		if err != nil {
			t.Fatal(err)
		}
		o.Time = at
	}
	return o
}

// TestCorpus judges signed documents of other producers. It demands what must
// never go wrong, and counts how many verdicts are the expected ones.
func TestCorpus(t *testing.T) {
	folder := corpusFolder(t)
	matched := 0
	rows := readCorpus(t, folder)
	for _, row := range rows {
		t.Run(row.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, row.file))
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			report, err := pades.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), corpusOptions(t, folder, row))
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if err != nil {
				var format *pdf.FormatError
				var limit *pdf.LimitError
				if !errors.As(err, &format) && !errors.As(err, &limit) && !errors.Is(err, pdf.ErrEncrypted) {
					t.Errorf("untyped error: %v", err)
				}
				ok := strings.Contains(row.want, "REJECT") || strings.Contains(row.want, "NOT_PASSED") || strings.Contains(row.want, "TOTAL_FAILED")
				if !ok {
					t.Logf("MISS want %s/%s, got error %v", row.want, row.sub, err)
					if strings.Contains(row.note, "intact=yes") {
						t.Errorf("intact document refused: %v", err)
					}
					return
				}
				matched++
				return
			}
			if matches(t, row, report) {
				matched++
			}
		})
	}
	t.Logf("%d of %d rows have the expected verdict", matched, len(rows))
}

func matches(t *testing.T, row corpusRow, report *pades.Report) bool {
	t.Helper()
	if strings.Contains(row.want, "NO_SIGNATURE") {
		if len(report.Signatures) != 0 {
			t.Errorf("%d signatures in a file without any", len(report.Signatures))
		}
		return len(report.Signatures) == 0
	}
	if row.want == "REJECT" {
		t.Error("accepted")
		return false
	}
	if strings.Contains(row.want, "NOT_PASSED") && report.Passed() {
		t.Errorf("passed: %+v", report.Signatures)
	}
	all := len(report.Signatures) > 0 || row.want == "NOT_PASSED"
	for i, s := range report.Signatures {
		mayFail := strings.Contains(row.want, "TOTAL_FAILED") || strings.Contains(row.want, "NOT_PASSED")
		if strings.Contains(row.note, "intact=yes") && !mayFail && s.Indication == pades.TotalFailed {
			t.Errorf("intact signature failed: %+v", s)
		}
		if !row.accepts(i, s) {
			all = false
			t.Logf("MISS signature %d: want %s/%s, got %s/%s %v", i+1, row.want, row.sub, s.Indication, s.SubIndication, s.Findings)
		}
	}
	return all
}
