package c14n_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
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
	folder := corpusFolder(t)
	index, err := os.ReadFile(filepath.Join(folder, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(index)), "\n")
	column := make(map[string]int)
	for i, name := range strings.Split(lines[0], "\t") {
		column[name] = i
	}
	octets := regexp.MustCompile(`octets of the result = (\S+)`)
	rows := 0
	for _, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		if cells[column["format"]] != "c14n" {
			continue
		}
		rows++
		t.Run(cells[column["file"]], func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(folder, cells[column["file"]]))
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(folder, "c14n", octets.FindStringSubmatch(cells[column["note"]])[1]))
			if err != nil {
				t.Fatal(err)
			}
			got, err := canonical(source, described(t, cells[column["what it is"]]))
			if err != nil || string(got) != string(want) {
				t.Errorf("%v\ngot  %q\nwant %q", err, got, want)
			}
		})
	}
	t.Logf("%d rows", rows)
}
