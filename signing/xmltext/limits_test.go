package xmltext_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

func utf16Bytes(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
		out = append(out, byte(u>>8), byte(u))
	}
	return out
}

func TestNextKeepsItsLimits(t *testing.T) {
	declarations := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " xmlns:p%d='u:%d'", i, i)
		}
		return b.String()
	}
	attributes := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " a%d=''", i)
		}
		return b.String()
	}
	nested := func(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }
	for _, c := range []struct {
		name   string
		limits xmltext.Limits
		source func(n int) string // a document that reaches n
		most   int
	}{
		{"size", xmltext.Limits{Size: 100}, func(n int) string { return "<a>" + strings.Repeat("x", n-7) + "</a>" }, 100},
		{"size of white space at the end", xmltext.Limits{Size: 100}, func(n int) string { return "<a/>" + strings.Repeat(" ", n-4) }, 100},
		{"elements", xmltext.Limits{Elements: 10}, func(n int) string { return "<a>" + strings.Repeat("<b/>", n-1) + "</a>" }, 10},
		{"depth", xmltext.Limits{}, nested, 256},
		{"attributes", xmltext.Limits{}, func(n int) string { return "<a" + attributes(n) + "/>" }, 256},
		{"declarations of one element", xmltext.Limits{Attributes: 1024}, func(n int) string { return "<a" + declarations(n) + "/>" }, 1000},
		{"declarations in scope", xmltext.Limits{Namespaces: 20}, func(n int) string {
			return "<a" + declarations(10) + "><b" + declarations(10) + "/><b" + declarations(n-10) + "/></a>"
		}, 20},
		{"name", xmltext.Limits{}, func(n int) string { return "<" + strings.Repeat("n", n) + "/>" }, 1024},
		{"name of an attribute", xmltext.Limits{}, func(n int) string { return "<a " + strings.Repeat("n", n) + "=''/>" }, 1024},
		{"name of a namespace", xmltext.Limits{}, func(n int) string { return "<a xmlns='" + strings.Repeat("n", n) + "'/>" }, 1024},
		{"target", xmltext.Limits{}, func(n int) string { return "<?" + strings.Repeat("n", n) + "?><a/>" }, 1024},
		{"tag", xmltext.Limits{}, func(n int) string { return "<a b='" + strings.Repeat("x", n-9) + "'/>" }, 1 << 20},
		{"end-tag", xmltext.Limits{}, func(n int) string { return "<a></a" + strings.Repeat(" ", n-4) + ">" }, 1 << 20},
		{"comment", xmltext.Limits{}, func(n int) string { return "<!--" + strings.Repeat("x", n-7) + "--><a/>" }, 1 << 20},
		{"processing instruction", xmltext.Limits{}, func(n int) string { return "<?p " + strings.Repeat("x", n-6) + "?><a/>" }, 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := xmltext.Options{Limits: c.limits}
			if _, err := read(strings.NewReader(c.source(c.most)), o); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			if _, err := read(strings.NewReader(c.source(c.most+1)), o); !errors.Is(err, xmltext.ErrLimit) {
				t.Errorf("one over: got %v, want %v", err, xmltext.ErrLimit)
			}
		})
	}
}

// endless is a document whose markup or text never ends; it counts what is
// taken.
type endless struct {
	head  string
	taken int64
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	if e.taken == 0 {
		copy(p, e.head)
	}
	e.taken += int64(len(p))
	return len(p), nil
}

func TestNextStopsTakingInputAtALimit(t *testing.T) {
	for _, c := range []struct {
		head string
		most int64
	}{
		{"<a b='", 4 << 20},
		{"<!--", 4 << 20},
		{"<?p ", 4 << 20},
		{"<", 4 << 20},
		{"<a xmlns='", 4 << 20},
		{"<a>&", 4 << 20},
		{"<a>", 33 << 20},
		{"<a><![CDATA[", 33 << 20},
	} {
		source := &endless{head: c.head}
		_, err := drain(xmltext.NewReader(source, xmltext.Options{}))
		if !errors.Is(err, xmltext.ErrLimit) {
			t.Errorf("%s: got %v, want %v", c.head, err, xmltext.ErrLimit)
		}
		if source.taken > c.most {
			t.Errorf("%s: %d bytes taken", c.head, source.taken)
		}
	}
}

// drain reads to the end and gives the end of the last token.
func drain(r *xmltext.Reader) (end int64, err error) {
	for {
		t, err := r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return end, err
		}
		end = t.End
	}
}

// repeated is a part again and again, made as it is read.
type repeated struct {
	part string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.part[r.at:])
	r.at = (r.at + n) % len(r.part)
	return n, nil
}

func TestNextNeedsMemoryForDepthAlone(t *testing.T) {
	const part = "<a x='1' xmlns:p='u:1'><p:b>text &amp; more</p:b><!-- c --></a>\r\n"
	const size = int64(len(part)) << 18
	measured := testing.AllocsPerRun(1, func() {
		src := io.MultiReader(strings.NewReader("<root>"), io.LimitReader(&repeated{part: part}, size), strings.NewReader("</root>"))
		r := xmltext.NewReader(src, xmltext.Options{Limits: xmltext.Limits{Size: 2 * size, Elements: size}})
		if _, err := drain(r); err != nil {
			t.Fatal(err)
		}
	})
	if measured > 100 {
		t.Errorf("%v allocations for %d bytes", measured, size)
	}
}

// X-32 and the row on quadratic canonicalization: many attributes and many
// declarations cost time that grows with the document.
func TestNextTakesLinearTimeForManyNames(t *testing.T) {
	var declared, used strings.Builder
	for i := range 900 {
		fmt.Fprintf(&declared, " xmlns:p%d='u:%d'", i, i)
	}
	for i := range 250 {
		fmt.Fprintf(&used, " p%d:a='' a%d=''", i, i)
	}
	source := "<r" + declared.String() + ">" + strings.Repeat("<x"+used.String()+"/>", 2000) + "</r>"
	o := xmltext.Options{Limits: xmltext.Limits{Attributes: 1000}}
	if _, err := drain(xmltext.NewReader(strings.NewReader(source), o)); err != nil {
		t.Fatal(err)
	}
}
