package asic_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
)

// corpusRow is a row of the index of the shared corpus.
type corpusRow map[string]string

func readCorpus(t *testing.T, formats ...string) (folder string, rows []corpusRow) {
	t.Helper()
	folder = os.Getenv("EIDBRIDGE_CORPUS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	index, err := os.ReadFile(filepath.Join(folder, "index.tsv"))
	if err != nil {
		t.Skip("the corpus of signed documents is not beside the checkout")
	}
	lines := strings.Split(strings.TrimSpace(string(index)), "\n")
	head := strings.Split(lines[0], "\t")
	for _, line := range lines[1:] {
		row := make(corpusRow)
		for i, cell := range strings.Split(line, "\t") {
			row[head[i]] = cell
		}
		if slices.Contains(formats, row["format"]) {
			rows = append(rows, row)
		}
	}
	return folder, rows
}

// TestCorpus judges containers of other producers: every row must have the
// expected verdicts, and the levels that it names.
func TestCorpus(t *testing.T) {
	folder, rows := readCorpus(t, "asic")
	for _, row := range rows {
		t.Run(row["file"], func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, row["file"]))
			if err != nil {
				t.Fatal(err)
			}
			var o signing.VerifyOptions
			if strings.HasPrefix(row["trust setting"], "EE test TL") {
				o = estonia(t, folder)
			}
			begin := time.Now()
			report, err := asic.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), o)
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("took %s", took)
			}
			if row["expected indication"] == "REJECT" {
				if !errors.Is(err, archive.ErrName) && !errors.Is(err, asic.ErrFormat) {
					t.Errorf("not refused with a typed error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.Roots != nil {
				report.Require(signing.BaselineLT) // as the policy of the Estonian rows does
			}
			row.check(t, report)
		})
	}
	t.Logf("%d rows", len(rows))
}

func (r corpusRow) check(t *testing.T, report *signing.Report) {
	t.Helper()
	if want, err := strconv.Atoi(r["expected signature count"]); err == nil && want != len(report.Signatures) {
		t.Errorf("%d signatures, want %d", len(report.Signatures), want)
	}
	for i, s := range report.Signatures {
		wanted := strings.Split(r.part("expected indication", i), "|")
		if slices.Contains(wanted, "NOT_PASSED") {
			wanted = []string{string(signing.TotalFailed), string(signing.Indeterminate)}
		}
		sub := strings.Split(r.part("expected sub-indication", i), "|")
		if !slices.Contains(wanted, string(s.Indication)) || sub[0] != "-" && !slices.Contains(sub, string(s.SubIndication)) {
			t.Errorf("signature %d: %s/%s, want %v/%v: %v", i+1, s.Indication, s.SubIndication, wanted, sub, s.Findings)
		}
		if strings.Contains(r["note"], "intact=yes") && s.Integrity != signing.Intact {
			t.Errorf("signature %d is %s: %v", i+1, s.Integrity, s.Findings)
		}
		for _, format := range []string{"XAdES_BASELINE_", "CAdES_BASELINE_"} {
			if _, level, ok := strings.Cut(r["note"], "level="+format); ok {
				level, _, _ = strings.Cut(level, ";")
				if s.SubIndication == signing.NoSigningCertificateFound {
					continue // its level is not looked at
				}
				if string(s.Baseline) != "B-"+level {
					t.Errorf("level %s, want B-%s: %v", s.Baseline, level, s.Findings)
				}
			}
		}
	}
}

// part is the answer for one signature; one answer stands for all.
func (r corpusRow) part(column string, i int) string {
	parts := strings.Split(r[column], ";")
	return parts[min(i, len(parts)-1)]
}
