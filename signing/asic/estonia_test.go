package asic_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/trustlist"
)

// listed are options that trust the services of a trusted list for when they were
// granted.
func listed(t *testing.T, path string) signing.VerifyOptions {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := trustlist.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	types := append(trustlist.Anchors(), trustlist.Answers()...)
	return signing.VerifyOptions{
		Roots: list.Listed(trustlist.Anchors()...), Responders: list.Listed(trustlist.Answers()...),
		Relied: func(c *x509.Certificate, at time.Time) bool { return list.Relied(c, at, types...) },
	}
}

// estonia trusts the list of the Estonian test services, as SiVa's policy for
// qualified signatures does.
func estonia(t *testing.T, folder string) signing.VerifyOptions {
	t.Helper()
	return listed(t, filepath.Join(folder, "trust", "tl", "EE_T.xml"))
}

// TestCorpusTrustedLists judges one container by lists that grant or withdraw its
// services when it was signed, or when its certificate was issued.
func TestCorpusTrustedLists(t *testing.T) {
	lists := corpus.Open(t, corpus.Of("tl"))
	folder, rows := lists.Folder, lists.Rows
	data, err := os.ReadFile(filepath.Join(folder, "tl", "aux", "tsl.asice"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if want := row["expected indication"]; want == "QES_OK" || want == "NOT_QES" {
			t.Run(row["file"], func(t *testing.T) {
				report := verify(t, data, listed(t, filepath.Join(folder, row["file"])))
				if report.Passed() != (want == "QES_OK") {
					t.Errorf("%s: %+v", want, report.Signatures)
				}
			})
		}
	}
}

// TestCorpusTimeMark puts the missing file back into a container whose signature
// has a time-mark, an OCSP answer with the digest of the signature as its nonce, in
// place of a time-stamp; the certificate is one of those whose modulus reads as
// negative. Both prove that it was made in time (BDOC 2). Another value than the
// signed one is no time-mark.
func TestCorpusTimeMark(t *testing.T) {
	folder := corpus.Open(t, corpus.Of("asic")).Folder
	data, err := os.ReadFile(filepath.Join(folder, "asic", "KS-21_fileeemaldatud.4.asice"))
	if err != nil {
		t.Fatal(err)
	}
	whole := rewrite(t, data, same, input("test.txt", "123\n"))
	report := verify(t, whole, estonia(t, folder))
	s := report.Signatures[0]
	if !report.Passed() || s.Baseline != signing.BaselineLT || s.BestTime == nil || !s.BestTime.Equal(time.Date(2013, 10, 11, 12, 0, 22, 0, time.UTC)) {
		t.Errorf("%s/%s, level %s, proven %v: %v", s.Indication, s.SubIndication, s.Baseline, s.BestTime, s.Findings)
	}
	// Nobody's number stands in a finding.
	for _, f := range s.Findings {
		if strings.Contains(f.Text, "47101010033") {
			t.Errorf("%s", f.Text)
		}
	}
	without := estonia(t, folder)
	without.Responders = nil
	if report := verify(t, whole, without); report.Passed() || report.Signatures[0].BestTime != nil {
		t.Errorf("a responder that nobody trusts: %+v", report.Signatures[0])
	}
}
