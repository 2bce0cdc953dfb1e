package validation_test

import (
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
)

// Verdicts on documents that were made by hand. testdata/verdicts.tsv has a line for
// each: its name; our verdict without any trust anchor and offline, and with the
// anchor and authorities that can be asked; the same two of DSS; and why they differ,
// where they do. "=" is our verdict of the same setting. The first two columns are
// what TestForeignDocuments demands of us, the next two what
// TestInteropForeignDocuments demands of DSS.

// line is a line of the table.
type line struct{ name, bare, anchored, dssBare, dssAnchored, why string }

func lines(t testing.TB) []line {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "verdicts.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var all []line
	for i, text := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		c := strings.Split(text, "\t")
		if len(c) != 6 {
			t.Fatalf("line %d has %d columns", i+1, len(c))
		}
		l := line{c[0], c[1], c[2], c[3], c[4], c[5]}
		if i == 0 {
			continue // the heading
		}
		if l.dssBare == "=" {
			l.dssBare = l.bare
		}
		if l.dssAnchored == "=" {
			l.dssAnchored = l.anchored
		}
		if differ := l.dssBare != l.bare || l.dssAnchored != l.anchored; differ == (l.why == "") {
			t.Errorf("%s: reason %q", l.name, l.why)
		}
		all = append(all, l)
	}
	return all
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// foreign makes all documents, by their names in the table.
func (l *lab) foreign(t testing.TB) (*workshop, map[string]altered) {
	t.Helper()
	identified := func(c *x509.Certificate, _ time.Time) { c.SubjectKeyId = []byte("a key of the lab") }
	w := &workshop{t: t, l: l, r: l.newRealm(t, situation{name: "foreign", signer: identified}), dir: t.TempDir()}
	w.foreignXML()
	w.elsewhereSigned()
	w.foreignLevels()
	w.foreignCMS()
	w.foreignContainers()
	all := make(map[string]altered)
	for _, a := range w.all {
		name := a.name + a.form
		if _, twice := all[name]; twice {
			t.Fatalf("%s is there twice", name)
		}
		all[name] = a
	}
	return w, all
}

// judged is our verdict on a document.
func judged(a altered, o signing.VerifyOptions) string {
	var content signing.Content
	if a.content != nil {
		content = bytesContent(a.content)
	}
	report, err := verify(a.form, a.document, content, o)
	if err != nil {
		return "REFUSED"
	}
	return words(report, nil)
}

// TestForeignDocuments: wrapping, missing and changed data, identifiers, certificates,
// properties, levels, messages, containers.
func TestForeignDocuments(t *testing.T) {
	l := newLab(t)
	w, all := l.foreign(t)
	table := lines(t)
	for _, want := range table {
		a, ok := all[want.name]
		if !ok {
			t.Errorf("%s is not made", want.name)
			continue
		}
		if got := judged(a, signing.VerifyOptions{Time: time.Now()}); got != want.bare {
			t.Errorf("%s without anchors: %s, want %s", want.name, got, want.bare)
		}
		if got := judged(a, l.online(w.r)); got != want.anchored {
			t.Errorf("%s: %s, want %s", want.name, got, want.anchored)
		}
	}
	for name := range all {
		if !slices.ContainsFunc(table, func(l line) bool { return l.name == name }) {
			t.Errorf("%s is not in the table", name)
		}
	}
}
