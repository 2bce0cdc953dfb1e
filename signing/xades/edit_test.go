package xades_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// edit changes a document at random: elements moved, copied, left out, wrapped or
// renamed, attributes, comments and declarations added, bytes changed.
func edit(doc string, r *rand.Rand) string {
	tags := regexp.MustCompile(`<[^!?/][^>]*>`).FindAllStringIndex(doc, -1)
	tag := func() (int, int) { t := tags[r.IntN(len(tags))]; return t[0], t[1] }
	element := func() (int, int) {
		from, open := tag()
		name, _, _ := strings.Cut(strings.Trim(doc[from+1:open-1], "/"), " ")
		if doc[open-2] == '/' {
			return from, open
		}
		end := strings.Index(doc[open:], "</"+name+">")
		if end < 0 {
			return from, open
		}
		return from, open + end + len(name) + 3
	}
	a, b := element()
	_, at := tag()
	switch r.IntN(10) {
	case 0:
		return doc[:a] + doc[b:]
	case 1:
		return doc[:a] + doc[a:b] + doc[a:]
	case 2:
		if at < a {
			return doc[:at] + doc[a:b] + doc[at:a] + doc[b:]
		}
		return doc[:at] + doc[a:b] + doc[at:]
	case 3:
		return doc[:a] + "<w>" + doc[a:b] + "</w>" + doc[b:]
	case 4:
		return doc[:at] + "<!-- x -->" + doc[at:]
	case 5:
		return doc[:at] + "<?x y?>" + doc[at:]
	case 6:
		return doc[:at] + "x" + doc[at:]
	case 7:
		from, to := tag()
		return doc[:to-1] + []string{` xmlns:x="urn:x"`, ` Id="body"`, ` xml:lang="x"`, ` x="y"`}[r.IntN(4)] + doc[to-1:] + doc[len(doc):] + doc[from:from]
	case 8:
		i := r.IntN(len(doc))
		return doc[:i] + string(doc[i]^byte(1<<r.IntN(7))) + doc[i+1:]
	default:
		return doc[:a] + strings.Replace(doc[a:b], "ds:", "dt:", 2) + doc[b:]
	}
}

// meaning is what a reader takes from a signed document: its content less the
// signature, and the signed properties.
func meaning(t testing.TB, doc string) string {
	t.Helper()
	var content, properties bytes.Buffer
	outputs := []c14n.Output{
		{Method: c14n.Exclusive10, Omit: c14n.ByName(xmldsig.Namespace, "Signature"), To: &content},
		{Method: c14n.Exclusive10, Select: c14n.ByName(xades.Namespace, "SignedProperties"), To: &properties},
	}
	if err := c14n.Write(strings.NewReader(doc), xmltext.Options{}, outputs...); err != nil {
		t.Fatal(err)
	}
	return content.String() + properties.String()
}

// TestAcceptedAfterEdit: a document that passes after an edit still means
// what was signed.
func TestAcceptedAfterEdit(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	whole := v.sign(t, letter, xades.Options{})
	want := meaning(t, whole)
	edits := 3000
	if testing.Short() {
		edits = 300
	}
	accepted := 0
	for seed := range uint64(edits) {
		r := rand.New(rand.NewPCG(seed, 115))
		doc := edit(whole, r)
		report, err := v.judge(doc)
		if err != nil || !report.Passed() {
			continue
		}
		accepted++
		if got := meaning(t, doc); got != want || len(report.Signatures) != 1 {
			t.Errorf("seed %d passes and means something else:\n%s", seed, doc)
		}
	}
	t.Logf("%d of %d edits leave the meaning", accepted, edits)
	if accepted == 0 {
		t.Error("no edit is neutral: the test does not reach the end of verification")
	}
}

// FuzzXAdESVerify has bytes judged as a document.
func FuzzXAdESVerify(f *testing.F) {
	v := newTarget(f)
	for _, o := range packagings() {
		f.Add([]byte(v.sign(f, letter, o)))
	}
	names, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "corpus", "xades", "*.xml"))
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil && len(data) < 20_000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		report, err := v.judge(string(data))
		if err != nil {
			return
		}
		for i, s := range report.Signatures {
			if s.Indication == "" {
				t.Errorf("signature %d has no verdict", i+1)
			}
			if s.Indication == signing.TotalPassed && (s.Integrity != signing.Intact || s.Signer == nil) {
				t.Errorf("signature %d passes without being intact", i+1)
			}
			for _, d := range s.Data {
				if d.Start < 0 || d.End < d.Start || d.End > int64(len(data)) {
					t.Errorf("signature %d covers %d to %d of %d", i+1, d.Start, d.End, len(data))
				}
			}
		}
	})
}
