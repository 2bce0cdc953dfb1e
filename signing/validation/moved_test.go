package validation_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// stretches are the elements of a document, as offsets.
func stretches(t testing.TB, document string) [][2]int64 {
	t.Helper()
	r := xmltext.NewReader(strings.NewReader(document), xmltext.Options{})
	var all [][2]int64
	var open []int
	for {
		token, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token.Kind {
		case xmltext.StartElement:
			open = append(open, len(all))
			all = append(all, [2]int64{token.Start, token.End})
		case xmltext.EndElement:
			all[open[len(open)-1]][1] = token.End
			open = open[:len(open)-1]
		}
	}
}

// moves loses, doubles and moves every element of a document; the moved one goes to
// the front and to the end of every fifth other element.
func moves(t testing.TB, document string) []string {
	t.Helper()
	var all []string
	elements := stretches(t, document)
	for i, e := range elements[1:] {
		text, without := document[e[0]:e[1]], document[:e[0]]+document[e[1]:]
		all = append(all, without, document[:e[1]]+text+document[e[1]:])
		for j, other := range elements {
			if (i+j)%5 != 0 || other[0] >= e[0] && other[1] <= e[1] {
				continue
			}
			at := other[0]
			if other[0] > e[0] {
				at -= e[1] - e[0]
			}
			all = append(all, without[:at]+text+without[at:])
		}
	}
	return all
}

// TestMovedElementsDoNotPass: whatever element of a signed document is lost, doubled or
// moved, a signature passes only where it is about what was signed (threats X-01 to
// ), and says so.
func TestMovedElementsDoNotPass(t *testing.T) {
	l := newLab(t)
	w := &workshop{t: t, l: l, r: l.newRealm(t, situation{name: "moved"}), dir: t.TempDir()}
	object := w.newForm(oneObject())
	object.objects = `<ds:Object Id="o">Good morning.</ds:Object>`
	manifest := w.newForm(reference(`Id="r1" Type="`+dsig+`Manifest" URI="#m"`, transform(exclusive)))
	manifest.objects = `<ds:Object><ds:Manifest Id="m">` + reference(`URI="#o"`, transform(exclusive)) + `</ds:Manifest></ds:Object>` + object.objects
	for name, row := range map[string]struct{ document, part string }{
		"whole":    {w.sealed(inLetter(w.newForm(wholeLetter()).text())), ""},
		"part":     {w.sealed(inLetter(w.newForm(onePart()).text())), `<part Id="part">Good morning.</part>`},
		"object":   {w.sealed(object.text()), object.objects},
		"manifest": {w.sealed(manifest.text()), object.objects},
	} {
		t.Run(name, func(t *testing.T) {
			o := signing.VerifyOptions{Roots: w.r.anchors(), Time: time.Now(), WithoutRevocation: true}
			want := signedBytes(".xml", []byte(row.document))
			passed := 0
			for i, moved := range append(moves(t, row.document), row.document) {
				report, err := verify(".xml", []byte(moved), nil, o)
				if err != nil || !report.Passed() {
					continue
				}
				passed++
				for _, s := range report.Signatures {
					about := slices.ContainsFunc(s.Data, func(d signing.SignedData) bool {
						if row.part == "" {
							return d.Whole() && bytes.Equal(signedBytes(".xml", []byte(moved)), want)
						}
						return d.Integrity == signing.Intact && moved[d.Start:d.End] == row.part
					})
					if !about {
						t.Errorf("%d: passed over %+v in %s", i, s.Data, moved)
					}
				}
			}
			if passed == 0 {
				t.Error("the document itself does not pass")
			}
		})
	}
}

// TestMovedFilesDoNotPass: whatever file of a container is lost, renamed to another or
// gets the content of another, a signature passes only over files that are as they were
// signed (threats ).
func TestMovedFilesDoNotPass(t *testing.T) {
	l := newLab(t)
	w := &workshop{t: t, l: l, r: l.newRealm(t, situation{name: "moved"}), dir: t.TempDir()}
	o := signing.VerifyOptions{Roots: w.r.anchors(), Time: time.Now(), WithoutRevocation: true}
	for _, form := range []string{".asice", ".sce", ".scs"} {
		whole := w.unzip([]byte(w.level("", form)))
		content := make(map[string]string)
		for _, e := range whole {
			content[e.name] = string(e.data)
		}
		all := [][]entry{whole}
		for i := range whole {
			all = append(all, slices.Delete(slices.Clone(whole), i, i+1))
			for j := range whole {
				if i == j {
					continue
				}
				swapped, copied, renamed := slices.Clone(whole), slices.Clone(whole), slices.Delete(slices.Clone(whole), j, j+1)
				swapped[i].data, swapped[j].data = whole[j].data, whole[i].data
				copied[i].data = whole[j].data
				for k := range renamed {
					if renamed[k].name == whole[i].name {
						renamed[k].name = whole[j].name
					}
				}
				all = append(all, swapped, copied, renamed, append(slices.Clone(whole), entry{"META-INF/x" + whole[i].name, whole[j].data, false}))
			}
		}
		passed := 0
		for i, files := range all {
			report, err := verify(form, w.zip(files), nil, o)
			if err != nil || !report.Passed() {
				continue
			}
			passed++
			now := make(map[string]string)
			for _, e := range files {
				now[e.name] = string(e.data)
			}
			for _, s := range report.Signatures {
				if len(s.Signed) == 0 {
					t.Errorf("%s %d: passed over nothing", form, i)
				}
				for _, name := range s.Signed {
					if now[name] != content[name] {
						t.Errorf("%s %d: passed over another %s", form, i, name)
					}
				}
			}
		}
		if passed == 0 {
			t.Errorf("%s does not pass as it is", form)
		}
	}
}
