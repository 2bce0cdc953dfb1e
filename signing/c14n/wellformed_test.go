package c14n_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// damage changes a document in one place.
func damage(source []byte, seed uint64) []byte {
	g := rand.New(rand.NewPCG(seed, 10))
	out := bytes.Clone(source)
	at := g.IntN(len(out))
	pieces := []string{"<", ">", "&", "\"", "'", "]]>", "--", "=", " ", ":", "\x00", "\xff", "/", "&#1;", "&#xD;", "xmlns:n9='urn:x' ", "<?xml?>", "<!--", "<a>", "</a>", "é", "p:", "\r"}
	switch g.IntN(3) {
	case 0: // a byte becomes another
		out[at] = byte(g.IntN(256))
	case 1: // some bytes go
		out = append(out[:at], out[min(len(out), at+1+g.IntN(4)):]...)
	case 2: // something comes in
		out = append(out[:at:at], append([]byte(pieces[g.IntN(len(pieces))]), out[at:]...)...)
	}
	return out
}

// compareVerdicts has xmllint look for errors in damaged documents. What it
// complains of we have to refuse; what we accept it has to accept.
func compareVerdicts(t *testing.T, documents int) {
	t.Helper()
	program := needs.Program(t, "xmllint", "libxml2-utils")
	folder := t.TempDir()
	args := []string{"--nonet", "--noout"}
	sources := make([][]byte, documents)
	for i := range documents {
		sources[i] = damage(generate(uint64(i)), uint64(i))
		name := fmt.Sprintf("%d.xml", i)
		if err := os.WriteFile(filepath.Join(folder, name), sources[i], 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	run := exec.Command(program, args...)
	run.Dir = folder
	complaints, _ := run.CombinedOutput() // an exit status of 1 is what is expected
	refused := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^(\d+)\.xml:\d+: (?:parser|namespace) error.*$`).FindAllSubmatch(complaints, -1) {
		// Namespace names are compared as strings and never used as URIs.
		if !bytes.HasSuffix(m[0], []byte("is not a valid URI")) {
			refused[string(m[1])] = string(m[0])
		}
	}
	both, ours, neither := 0, 0, 0
	for i, source := range sources {
		_, err := drainTokens(source)
		theirs := refused[fmt.Sprint(i)]
		switch {
		case err == nil && theirs != "":
			t.Errorf("accepted, but xmllint says %s\n%q", theirs, source)
		case err != nil && theirs != "":
			both++
		case err != nil:
			ours++
			t.Logf("refused by us alone: %v", err)
		default:
			neither++
		}
	}
	t.Logf("refused by both %d, by us alone %d, by none %d", both, ours, neither)
	if both == 0 || neither == 0 {
		t.Error("the damage is all of one kind")
	}
}

func drainTokens(source []byte) (n int, err error) {
	r := xmltext.NewReader(bytes.NewReader(source), xmltext.Options{Subset: &xmltext.Subset{}})
	for {
		if _, err := r.Next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return n, err
		}
		n++
	}
}

func TestReaderRefusesWhatXmllintRefuses(t *testing.T) {
	compareVerdicts(t, 300)
}
