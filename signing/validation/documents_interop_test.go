//go:build interop

package validation_test

import (
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/dss"
)

// theirs puts what DSS found into the words of ours.
func theirs(v dss.Verdict) string {
	if v.Problem != "" {
		return "REFUSED"
	}
	if len(v.Signatures) == 0 {
		return "NO_SIGNATURE"
	}
	var all []string
	for _, s := range v.Signatures {
		text := s.Indication
		if s.SubIndication != "" {
			text += "/" + s.SubIndication
		}
		if _, level, ok := strings.Cut(s.Format, "_BASELINE_"); ok {
			text += " B-" + level
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// jobs asks DSS about documents, each with the trust of its realm.
func jobs(all []*generated) []dss.Job {
	var list []dss.Job
	for _, g := range all {
		if g.path == "" {
			continue
		}
		j := dss.Job{Online: true, Files: []dss.File{{Path: g.path}}}
		for _, a := range g.realm.anchors() {
			j.Anchors = append(j.Anchors, &x509.Certificate{Raw: a.Raw})
		}
		if g.content != "" {
			j.Files[0].Detached = []string{g.content}
		}
		list = append(list, j)
	}
	return list
}

// TestInteropSituations has DSS judge what TestSituations judges.
func TestInteropSituations(t *testing.T) {
	l := newLab(t)
	compare(t, l.situated(t, t.TempDir()))
}

// TestInteropAlteredDocuments has DSS judge what TestAlteredDocuments judges.
func TestInteropAlteredDocuments(t *testing.T) {
	l := newLab(t)
	compare(t, l.workshop(t, t.TempDir()))
}

// compare demands that DSS comes to the verdict that is given for it, and writes
// the table of differences to the file that EIDBRIDGE_DIFFERENCES names.
func compare(t *testing.T, all []*generated) {
	t.Helper()
	var table strings.Builder
	outcomes := dss.Judge(t, jobs(all)...)
	for _, g := range all {
		if g.path == "" {
			t.Errorf("%s: %s", g.name, g.ours)
			continue
		}
		verdict := outcomes[0].Files[0]
		outcomes = outcomes[1:]
		got, want := theirs(verdict), g.dss
		if want == "" {
			want = g.want
		}
		var problems []string
		for _, s := range verdict.Signatures {
			problems = append(problems, s.Errors...)
		}
		same := "same"
		if got != g.ours {
			same = "different"
		}
		table.WriteString(strings.Join([]string{g.name, same, g.ours, got, g.why, strings.Join(problems, " | ")}, "\t") + "\n")
		if got != want {
			t.Errorf("%s: DSS says %s, want %s: %q", g.name, got, want, problems)
		}
	}
	if name := os.Getenv("EIDBRIDGE_DIFFERENCES"); name != "" {
		if err := os.WriteFile(name, []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
