//go:build interop

package pades_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// reading is what a reader sees of a file.
type reading struct {
	Pages      int
	First      string // reference of the first page
	Signatures int
	// Objects have the form of "qpdf --json", under "obj:3 0 R".
	Objects map[string]any
}

// TestInteropReadersSeeTheSame (P-58): of files that we signed once and twice, qpdf,
// pyHanko and poppler see as many pages and signatures as we do, and qpdf and pyHanko
// the same objects of the first page, compared by a hash over all that can be reached
// from it; poppler, which prints no objects, sees the same text. The last file shows
// that the comparison can fail: its table names one version of the page and a search
// for objects finds another.
func TestInteropReadersSeeTheSame(t *testing.T) {
	dir, cred := t.TempDir(), citizen(t)
	var names, paths []string
	var files [][]byte
	add := func(name string, file []byte) {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".pdf")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		names, paths, files = append(names, name), append(paths, path), append(files, file)
	}
	samples := append(pdfs.Samples(), pdfs.Sample{Name: "linearized", Data: qpdf(t, pdfs.Form(), "--linearize")},
		pdfs.Sample{Name: "tagged", Data: pdfs.Tagged(1, 3)}, pdfs.Sample{Name: "field beside its widget", Data: pdfs.FieldBesideWidget()})
	for _, s := range append(samples, pdfs.Unusual()...) {
		once, _ := sign(t, s.Data, cred, pades.Options{})
		twice, _ := sign(t, once, cred, visible())
		add(s.Name, once)
		add(s.Name+" twice", twice)
	}
	byPyHanko := pyHankoReads(t, paths)
	askPyHanko(t, pythonWithPyHanko(t), paths, func(path string, v pyHankoVerdict) {
		for _, s := range v.Signatures {
			// What becomes of tagged files is told by TestInteropSecondMarkAndOthers. Of
			// annotations without numbers pyHanko compares none, and so allows no more of them.
			harmless := s.Modification != "OTHER" || strings.HasSuffix(path, "tagged-twice.pdf") || strings.HasSuffix(path, "inside-the-page-twice.pdf")
			if s.Error != "" || !s.Intact || !s.Valid || !harmless {
				t.Errorf("pyHanko: %s: %+v", filepath.Base(path), s)
			}
		}
		if last := len(v.Signatures) - 1; v.Error != "" || last < 0 || v.Signatures[last].Coverage != "ENTIRE_FILE" {
			t.Errorf("pyHanko: %s: %+v", filepath.Base(path), v)
		}
	})
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			ours := weRead(t, files[i])
			for reader, theirs := range map[string]reading{"qpdf": qpdfReads(t, paths[i]), "pyHanko": byPyHanko[i]} {
				if reader == "qpdf" {
					theirs.Signatures = ours.Signatures // it does not count them
				}
				if theirs.Pages != ours.Pages || theirs.First != ours.First || theirs.Signatures != ours.Signatures {
					t.Errorf("%s sees %d pages, the first is %s, and %d signatures; we %d, %s and %d",
						reader, theirs.Pages, theirs.First, theirs.Signatures, ours.Pages, ours.First, ours.Signatures)
				}
				if why := differences(ours, theirs); why != "" {
					t.Errorf("%s: %s", reader, why)
				}
			}
			out, err := run(t.Context(), "pdfsig", "-nocert", paths[i])
			n := strings.Count(out, "Signature #") - strings.Count(out, "The signature form field is not signed.")
			if strings.HasPrefix(name, "field beside its widget") {
				n++ // see TestFieldBesideItsWidget
			}
			if n != ours.Signatures {
				t.Errorf("poppler sees %d signatures (%v), we %d", n, err, ours.Signatures)
			}
			out, _ = run(t.Context(), "pdfinfo", paths[i])
			if n := regexp.MustCompile(`(?m)^Pages: +(\d+)$`).FindStringSubmatch(out); n == nil || n[1] != fmt.Sprint(ours.Pages) {
				t.Errorf("poppler sees %q pages, we %d", n, ours.Pages)
			}
		})
	}
	t.Run("a difference is seen", func(t *testing.T) {
		file := pdfs.Classic()
		other := bytes.Replace(file, []byte("A page of"), []byte("No page of"[:9]), 1)
		a, b := weRead(t, file), weRead(t, other)
		if differences(a, b) == "" {
			t.Error("two pages have the same hash")
		}
		turned := qpdfReadsBytes(t, bytes.Replace(file, []byte("/MediaBox [0 0 595 842]"), []byte("/MediaBox [0 0 595 843]"), 1))
		if differences(a, turned) == "" {
			t.Error("two media boxes have the same hash")
		}
	})
}

// weRead reads with our reader.
func weRead(t *testing.T, file []byte) reading {
	t.Helper()
	doc, err := pdf.Open(t.Context(), bytes.NewReader(file), int64(len(file)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	r := reading{Objects: make(map[string]any)}
	if err := doc.WalkPages(func(p pdf.Page) bool {
		if r.Pages++; r.Pages == 1 {
			r.First = p.Ref.String()
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	for _, s := range verify(t, file, trusted()).Signatures {
		if s.Field != "" {
			r.Signatures++
		}
	}
	for ref := range doc.Refs() {
		object, err := doc.Object(ref)
		if err != nil {
			t.Fatal(err)
		}
		entry := map[string]any{"value": plainObject(object.Value)}
		if object.Stream() {
			data, err := io.ReadAll(doc.Data(object))
			if err != nil {
				t.Fatal(err)
			}
			entry = map[string]any{"stream": map[string]any{"dict": plainObject(object.Value), "data": base64.StdEncoding.EncodeToString(data)}}
		}
		r.Objects["obj:"+ref.String()] = entry
	}
	return r
}

// plainObject turns an object into the form of qpdf's JSON, with strings as bytes.
func plainObject(o pdf.Object) any {
	switch o.Kind() {
	case pdf.Dictionary:
		m := make(map[string]any)
		for key, value := range o.Entries() {
			m["/"+key] = plainObject(value)
		}
		return m
	case pdf.Array:
		list := []any{}
		for _, item := range o.Items() {
			list = append(list, plainObject(item))
		}
		return list
	case pdf.Name:
		return "/" + o.Name()
	case pdf.String:
		b, _ := o.Bytes()
		return "b:" + hex.EncodeToString(b)
	case pdf.Boolean:
		b, _ := o.Bool()
		return b
	}
	if ref, ok := o.Ref(); ok {
		return ref.String()
	}
	if f, ok := o.Float(); ok {
		return f
	}
	return nil
}

// qpdfReads asks qpdf.
func qpdfReads(t *testing.T, path string) reading {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "qpdf", "--json=2", "--json-key=qpdf", "--json-key=pages", "--json-stream-data=inline", "--decode-level=none", path).Output()
	var found struct {
		Pages []struct{ Object string }
		QPDF  []map[string]any
	}
	if unreadable := json.Unmarshal(out, &found); unreadable != nil || len(found.QPDF) != 2 || len(found.Pages) == 0 {
		t.Fatalf("qpdf: %v, %v", err, unreadable)
	}
	return reading{Pages: len(found.Pages), First: found.Pages[0].Object, Objects: found.QPDF[1]}
}

func qpdfReadsBytes(t *testing.T, file []byte) reading {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pdf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return qpdfReads(t, path)
}

// pyHankoReads asks pyHanko, once for all files.
func pyHankoReads(t *testing.T, paths []string) []reading {
	t.Helper()
	command := exec.CommandContext(t.Context(), pythonWithPyHanko(t), append([]string{"testdata/first_page.py"}, paths...)...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("pyHanko: %v", err)
	}
	var all []reading
	for line := range strings.Lines(string(out)) {
		var r reading
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if len(all) != len(paths) {
		t.Fatalf("pyHanko read %d of %d files", len(all), len(paths))
	}
	return all
}

// differences compares the hashes of the first pages and names what differs.
func differences(a, b reading) string {
	of, other := a.firstPage(), b.firstPage()
	if hashOf(of) == hashOf(other) {
		return ""
	}
	all := maps.Clone(of)
	maps.Copy(all, other)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if of[key] != other[key] {
			return fmt.Sprintf("%s is %.300q and %.300q", key, of[key], other[key])
		}
	}
	return "the hashes differ"
}

func hashOf(objects map[string]string) [sha256.Size]byte {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		fmt.Fprintf(h, "%s=%s\n", key, objects[key])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

var reference = regexp.MustCompile(`^\d+ \d+ R$`)

// firstPage is every object that the first page leads to, but not by way of its parents,
// in one spelling.
func (r reading) firstPage() map[string]string {
	found := make(map[string]string)
	queue := []string{r.First}
	for len(queue) > 0 {
		ref := queue[0]
		queue = queue[1:]
		if _, done := found[ref]; done {
			continue
		}
		var b strings.Builder
		spell(&b, r.Objects["obj:"+ref], func(to string) { queue = append(queue, to) })
		found[ref] = b.String()
	}
	return found
}

// spell writes a value in one way, whoever read it, and tells of references.
func spell(b *strings.Builder, v any, visit func(ref string)) {
	switch v := v.(type) {
	case map[string]any:
		b.WriteString("<<")
		for _, key := range slices.Sorted(maps.Keys(v)) {
			// A null entry is none; the length of a stream is that of its data.
			if v[key] == nil || key == "/Length" {
				continue
			}
			b.WriteString(key + " ")
			if key == "/Parent" {
				continue
			}
			spell(b, v[key], visit)
		}
		b.WriteString(">>")
	case []any:
		b.WriteString("[")
		for _, item := range v {
			spell(b, item, visit)
		}
		b.WriteString("]")
	case string:
		text, isText := strings.CutPrefix(v, "u:")
		raw, isBytes := strings.CutPrefix(v, "b:")
		switch {
		case reference.MatchString(v):
			visit(v)
			b.WriteString(v + " ")
		case isText:
			fmt.Fprintf(b, "(%x)", text)
		case isBytes:
			text, err := textOf(raw)
			if err != nil {
				text = raw
			}
			fmt.Fprintf(b, "(%x)", text)
		default:
			b.WriteString(v + " ")
		}
	case float64:
		fmt.Fprintf(b, "%.5f ", v)
	default:
		fmt.Fprintf(b, "%v ", v)
	}
}

// textOf reads hex digits as the text that qpdf gives for most strings.
func textOf(raw string) (string, error) {
	b, err := hex.DecodeString(raw)
	if err != nil {
		return "", err
	}
	text := make([]rune, 0, len(b))
	if wide, ok := bytes.CutPrefix(b, []byte{0xFE, 0xFF}); ok {
		units := make([]uint16, len(wide)/2)
		for i := range units {
			units[i] = uint16(wide[2*i])<<8 | uint16(wide[2*i+1])
		}
		return string(utf16.Decode(units)), nil
	}
	for _, c := range b {
		text = append(text, rune(c)) // PDFDocEncoding as far as the samples go
	}
	return string(text), nil
}
