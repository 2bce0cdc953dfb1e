//go:build interop

package pades_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/dss"
)

// TestInteropStrangeSignatures has DSS judge documents against which something
// speaks, with nobody trusted. It answers as we do, but for changes of what is shown:
// its default policy no more than warns of those, and we fail them (threats P-01,
// P-32, P-36).
func TestInteropStrangeSignatures(t *testing.T) {
	dir := t.TempDir()
	var files []dss.File
	var wants []string
	add := func(file []byte, want string) {
		path := filepath.Join(dir, strconv.Itoa(len(files))+".pdf")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		files, wants = append(files, dss.File{Path: path}), append(wants, want)
	}
	var names []string
	for _, o := range objections(t) {
		names = append(names, o.name)
		add(o.file, noChain)
	}
	for _, d := range damages(t) {
		names = append(names, d.name)
		want := failedFormat
		if d.warned {
			want = noChain
		}
		add(d.file, want)
	}
	for i, verdict := range dss.Judge(t, dss.Job{Files: files})[0].Files {
		if verdict.Problem != "" || len(verdict.Signatures) != 1 {
			t.Errorf("%s: %s, %d signatures", names[i], verdict.Problem, len(verdict.Signatures))
			continue
		}
		s := verdict.Signatures[0]
		if got := s.Indication + "/" + s.SubIndication; got != wants[i] {
			t.Errorf("%s: DSS says %s, want %s: %q", names[i], got, wants[i], s.Errors)
		}
	}
}
