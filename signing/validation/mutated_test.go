package validation_test

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// mutate damages a document: bits, stretches that are lost, doubled or moved.
func mutate(r *rand.Rand, document []byte) []byte {
	d := slices.Clone(document)
	for range 1 + r.IntN(3) {
		if len(d) == 0 {
			return d
		}
		at := r.IntN(len(d))
		end := min(len(d), at+1+r.IntN(64))
		switch r.IntN(6) {
		case 0, 1:
			d[at] ^= 1 << r.IntN(8)
		case 2:
			d[at] = byte(r.IntN(256))
		case 3:
			d = slices.Delete(d, at, end)
		case 4:
			d = slices.Insert(d, at, slices.Clone(d[at:end])...)
		case 5:
			d = d[:at]
		}
	}
	return d
}

// mutations is how many damaged documents are made of each: EIDBRIDGE_MUTATIONS, or
// a few.
func mutations(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("EIDBRIDGE_MUTATIONS"))
	if err != nil {
		return 300
	}
	return n
}

// slowest is how long a verdict on a small document may take.
const slowest = 20 * time.Second

// TestMutatedDocumentsDoNotPass: whatever is damaged, there is a verdict or an error
// soon, and no signature passes over other bytes than were signed.
func TestMutatedDocumentsDoNotPass(t *testing.T) {
	l := newLab(t)
	for _, level := range []signing.Baseline{"", signing.BaselineLTA} {
		realm := l.newRealm(t, situation{level: level, name: "mutated"})
		for _, form := range forms() {
			t.Run(string(level)+form, func(t *testing.T) {
				realm.set(time.Now())
				whole := l.signed(t, realm, form)
				want := signedBytes(form, whole)
				if want == nil {
					t.Fatal("nothing is signed")
				}
				o := signing.VerifyOptions{Roots: realm.anchors(), Time: time.Now(), WithoutRevocation: true}
				if report, err := verify(form, whole, nil, o); err != nil || !report.Passed() {
					t.Fatalf("%s", words(report, err))
				}
				r := rand.New(rand.NewPCG(1, uint64(len(form))))
				passed := 0
				for i := range mutations(t) {
					damaged := mutate(r, whole)
					begin := time.Now()
					report, err := verify(form, damaged, nil, o)
					if took := time.Since(begin); took > slowest {
						t.Errorf("%d: %s", i, took)
					}
					if err != nil || !report.Passed() {
						continue
					}
					passed++
					if got := signedBytes(form, damaged); !bytes.Equal(got, want) {
						t.Errorf("%d: passed over %.300q", i, got)
					}
				}
				t.Logf("%d of %d passed over what was signed", passed, mutations(t))
			})
		}
	}
}

// signedBytes is what a signature of these tests is about, read apart from the code
// that judges: nil where it is not to be had.
func signedBytes(form string, document []byte) []byte {
	switch form {
	case ".pdf":
		// All but the value between the brackets of the last-but-one revision's
		// /Contents; the first signature ends its revision.
		before, rest, _ := bytes.Cut(document, []byte("/Contents <"))
		_, after, _ := bytes.Cut(rest, []byte(">"))
		return append(bytes.Clone(before), after[:min(len(after), endOfRevision(after, 0))]...)
	case ".xml":
		var b bytes.Buffer
		err := c14n.Write(bytes.NewReader(document), xmltext.Options{}, c14n.Output{
			Method: c14n.Inclusive10, To: &b,
			Omit: func(t *xmltext.Token) bool { return t.Name.Is(xmldsig.Namespace, "Signature") },
		})
		if err != nil {
			return nil
		}
		return b.Bytes()
	case ".p7m":
		if bytes.Contains(document, []byte(letter)) {
			return []byte(letter)
		}
		return nil
	}
	z, err := zip.NewReader(bytes.NewReader(document), int64(len(document)))
	if err != nil {
		return nil
	}
	var b bytes.Buffer
	for _, f := range z.File {
		if f.Name == "mimetype" || strings.HasPrefix(f.Name, "META-INF/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil
		}
		if _, err := io.Copy(&b, r); err != nil {
			return nil
		}
		b.WriteString("|")
	}
	return b.Bytes()
}

// TestMutatedCorpus damages the documents of others: without anchors none of them
// passes, and none of them stops or holds up the program.
func TestMutatedCorpus(t *testing.T) {
	folder := corpus.Folder(t)
	var files []string
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			switch filepath.Base(filepath.Dir(path)) {
			case "pades", "xades", "cades", "asic", "malformed":
				files = append(files, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		form := ".asice"
		switch dir := filepath.Base(filepath.Dir(path)); {
		case dir == "pades", strings.HasSuffix(path, ".pdf"):
			form = ".pdf"
		case dir == "xades", strings.HasSuffix(path, ".xml"):
			form = ".xml"
		case dir == "cades":
			form = ".p7m"
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(2, uint64(len(whole))))
		for i := range max(1, mutations(t)/60) {
			begin := time.Now()
			report, err := verify(form, mutate(r, whole), nil, signing.VerifyOptions{})
			if took := time.Since(begin); took > slowest {
				t.Errorf("%s %d: %s", path, i, took)
			}
			if err == nil && report.Passed() {
				t.Errorf("%s %d passes without an anchor", path, i)
			}
		}
	}
}
