//go:build interop

package validation_test

import (
	"crypto/x509"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/dss"
)

// TestInteropForeignDocuments has DSS judge what TestForeignDocuments judges, with and
// without the trust anchor.
func TestInteropForeignDocuments(t *testing.T) {
	l := newLab(t)
	w, all := l.foreign(t)
	dir, table := t.TempDir(), lines(t)
	bare, anchored := dss.Job{}, dss.Job{Online: true}
	for _, a := range w.r.anchors() {
		anchored.Anchors = append(anchored.Anchors, &x509.Certificate{Raw: a.Raw})
	}
	for i, want := range table {
		a := all[want.name]
		f := dss.File{Path: write(t, dir, i, a.form, a.document)}
		if a.content != nil {
			f.Detached = []string{write(t, dir, i, ".content", a.content)}
		}
		bare.Files = append(bare.Files, f)
	}
	anchored.Files = bare.Files
	l.online(w.r)
	outcomes := dss.Judge(t, bare, anchored)
	same := 0
	for i, want := range table {
		first, second := theirs(outcomes[0].Files[i]), theirs(outcomes[1].Files[i])
		if first != want.dssBare {
			t.Errorf("%s without anchors: DSS says %s, want %s: %+v", want.name, first, want.dssBare, outcomes[0].Files[i])
		}
		if second != want.dssAnchored {
			t.Errorf("%s: DSS says %s, want %s: %+v", want.name, second, want.dssAnchored, outcomes[1].Files[i])
		}
		if first == want.bare && second == want.anchored {
			same++
		}
	}
	t.Logf("%d documents, the same verdicts on %d", len(table), same)
}
