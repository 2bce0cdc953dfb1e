package cades_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cades"
)

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

// TestCorpus judges messages of other producers: every row must have the expected
// verdicts, and the levels that it names.
func TestCorpus(t *testing.T) {
	folder := corpusFolder(t)
	index, err := os.ReadFile(filepath.Join(folder, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, line := range strings.Split(strings.TrimSpace(string(index)), "\n")[1:] {
		cells := strings.Split(line, "\t")
		file, format, trust, want, sub, note := cells[0], cells[1], cells[6], cells[7], cells[8], cells[10]
		if format != "cades" {
			continue
		}
		rows++
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, file))
			if err != nil {
				t.Fatal(err)
			}
			var o signing.VerifyOptions
			if name, pinned := strings.CutPrefix(trust, "pin "); pinned {
				o.WithoutRevocation = true
				o.Roots = append(o.Roots, readCertificate(t, filepath.Join(folder, format, strings.Fields(name)[0])))
			}
			report, err := cades.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), nil, o)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			wants, subs := strings.Split(want, ";"), strings.Split(sub, ";")
			if len(wants) != len(report.Signatures) {
				t.Fatalf("%d signatures, want %d", len(report.Signatures), len(wants))
			}
			for i, s := range report.Signatures {
				wantSub := subs[min(i, len(subs)-1)]
				if string(s.Indication) != wants[i] || wantSub != "-" && string(s.SubIndication) != wantSub {
					t.Errorf("signature %d: %s/%s, want %s/%s: %v", i+1, s.Indication, s.SubIndication, wants[i], wantSub, s.Findings)
				}
				t.Logf("%s %s %s/%s %v", s.Format, s.Baseline, s.Indication, s.SubIndication, s.Findings)
				for _, st := range s.TimeStamps {
					t.Logf("  stamp %s %s %s/%s %v", st.Kind, st.Integrity, st.Indication, st.SubIndication, st.Findings)
				}
			}
			if _, level, ok := strings.Cut(note, "level=CAdES_BASELINE_"); ok {
				level, _, _ = strings.Cut(level, ";")
				if got := string(report.Signatures[0].Baseline); got != "B-"+level {
					t.Errorf("level %s, want B-%s", got, level)
				}
			}
		})
	}
	t.Logf("%d rows", rows)
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
