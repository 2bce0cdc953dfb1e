package c14n_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// described reads method and node-set out of the description of a corpus row.
func described(t *testing.T, what string) c14n.Output {
	t.Helper()
	var o c14n.Output
	comments := strings.Contains(what, "with comments")
	switch {
	case strings.HasPrefix(what, "Exclusive C14N 1.0") && comments:
		o.Method = c14n.Exclusive10WithComments
	case strings.HasPrefix(what, "Exclusive C14N 1.0"):
		o.Method = c14n.Exclusive10
	case strings.HasPrefix(what, "C14N 1.1") && comments:
		o.Method = c14n.Inclusive11WithComments
	case strings.HasPrefix(what, "C14N 1.1"):
		o.Method = c14n.Inclusive11
	case strings.HasPrefix(what, "C14N 1.0") && comments:
		o.Method = c14n.Inclusive10WithComments
	case strings.HasPrefix(what, "C14N 1.0"):
		o.Method = c14n.Inclusive10
	default:
		t.Fatalf("no method in %q", what)
	}
	first := regexp.MustCompile(`subtree of the first \{(.*?)\}([\w.-]+)`).FindStringSubmatch(what)
	under := regexp.MustCompile(`\[ancestor-or-self::([\w.-]+)\]`).FindStringSubmatch(what)
	switch {
	case first != nil:
		found, name := false, c14n.ByName(first[1], first[2])
		o.Select = func(e *xmltext.Token) bool {
			is := !found && name(e)
			found = found || is
			return is
		}
	case under != nil:
		depth := 0 // of the element that is in the set, while inside it
		o.Filter = func(n c14n.Node) bool {
			if n.Kind == c14n.ElementNode && (depth == 0 || n.Depth <= depth) {
				depth = 0
				if n.Element.Name.Is("", under[1]) {
					depth = n.Depth
				}
			}
			return depth > 0 && n.Depth >= depth
		}
	case !strings.Contains(what, "whole document"):
		t.Fatalf("no node-set in %q", what)
	}
	return o
}

// TestWriteEqualsTheVectorsOfTheCorpus runs every row of format c14n.
func TestWriteEqualsTheVectorsOfTheCorpus(t *testing.T) {
	c := corpus.Open(t, corpus.Of("c14n"))
	octets := regexp.MustCompile(`octets of the result = (\S+)`)
	for _, row := range c.Rows {
		t.Run(row["file"], func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(c.Folder, "c14n", octets.FindStringSubmatch(row["note"])[1]))
			if err != nil {
				t.Fatal(err)
			}
			got, err := canonical(c.Read(t, row), described(t, row["what it is"]))
			if err != nil || string(got) != string(want) {
				t.Errorf("%v\ngot  %q\nwant %q", err, got, want)
			}
		})
	}
	t.Logf("%d rows", len(c.Rows))
}
