package c14n_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// canonical gives one output of a document whose internal subset is accepted.
func canonical(source []byte, o c14n.Output) ([]byte, error) {
	var out bytes.Buffer
	o.To = &out
	err := c14n.Write(bytes.NewReader(source), xmltext.Options{Subset: &xmltext.Subset{}}, o)
	return out.Bytes(), err
}

// compareWithXmllint canonicalizes generated documents and has xmllint do the
// same, all in one run for each method.
func compareWithXmllint(t *testing.T, documents int) {
	t.Helper()
	program := needs.Program(t, "xmllint", "libxml2-utils")
	folder := t.TempDir()
	names := make([]string, documents)
	sources := make([][]byte, documents)
	for i := range documents {
		names[i], sources[i] = fmt.Sprintf("%d.xml", i), generate(uint64(i))
		if err := os.WriteFile(filepath.Join(folder, names[i]), sources[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for option, method := range map[string]c14n.Method{
		"--c14n": c14n.Inclusive10WithComments, "--c14n11": c14n.Inclusive11WithComments, "--exc-c14n": c14n.Exclusive10WithComments,
	} {
		run := exec.Command(program, append([]string{"--nonet", option}, names...)...)
		run.Dir = folder
		var complaints bytes.Buffer
		run.Stderr = &complaints
		theirs, err := run.Output()
		if err != nil {
			t.Fatalf("xmllint %s: %v\n%s", option, err, complaints.String())
		}
		equal := 0
		for i, source := range sources {
			ours, err := canonical(source, c14n.Output{Method: method})
			if err != nil {
				t.Fatalf("document %d: %v\n%q", i, err, source)
			}
			rest, ok := bytes.CutPrefix(theirs, ours)
			if !ok {
				t.Fatalf("document %d with %s\nsource %q\nours   %q\ntheirs %q", i, option, source, ours, theirs[:min(len(theirs), len(ours)+200)])
			}
			theirs = rest
			equal++
		}
		if len(theirs) > 0 {
			t.Fatalf("xmllint %s wrote more: %q", option, theirs)
		}
		t.Logf("%s: %d documents equal", option, equal)
	}
}

func TestWriteEqualsXmllintOnGeneratedDocuments(t *testing.T) {
	compareWithXmllint(t, 300)
}
