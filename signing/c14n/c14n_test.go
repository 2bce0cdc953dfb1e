package c14n_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/beevik/etree"
	goxmldsig "github.com/russellhaering/goxmldsig"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

func TestWriteWritesDocuments(t *testing.T) {
	for _, c := range []struct {
		name   string
		method c14n.Method
		source string
		want   string
	}{
		// Canonical XML 1.0 section 2.3.
		{"no declaration, no mark, space outside gone", c14n.Inclusive10, "\ufeff<?xml version='1.0'?>\n\n<a/>\n", "<a></a>"},
		{"instructions outside", c14n.Inclusive10, "<?p?><?q  r ?><!-- c --><a/><?s?>", "<?p?>\n<?q r ?>\n<a></a>\n<?s?>"},
		{"comments outside", c14n.Inclusive10WithComments, "<!--b--><a/> <!--c-->", "<!--b-->\n<a></a>\n<!--c-->"},
		{"comments inside", c14n.Inclusive10WithComments, "<a>x<!-- c -->y</a>", "<a>x<!-- c -->y</a>"},
		{"comments gone", c14n.Inclusive10, "<a>x<!-- c -->y</a>", "<a>xy</a>"},
		{"line ends and CDATA", c14n.Inclusive10, "<a>\r\n\r<![CDATA[<&>\r\n]]>&#13;</a>", "<a>\n\n&lt;&amp;&gt;\n&#xD;</a>"},
		{"escapes in text", c14n.Inclusive10, "<a>\"'>&lt;&amp;&#9;</a>", "<a>\"'&gt;&lt;&amp;\t</a>"},
		{"escapes in values", c14n.Inclusive10, "<a b='\"&apos;>&lt;&amp;&#9;&#10;&#13;\t\r\n'/>", `<a b="&quot;'>&lt;&amp;&#x9;&#xA;&#xD;  "></a>`},
		{
			"attributes by namespace name, then local name", c14n.Inclusive10, "<a z='1' q:b='2' xml:lang='en' p:c='3' xmlns:p='urn:2' xmlns:q='urn:1'/>",
			`<a xmlns:p="urn:2" xmlns:q="urn:1" z="1" xml:lang="en" q:b="2" p:c="3"></a>`,
		},
		{"declarations by prefix, the default first", c14n.Inclusive10, "<p:a xmlns:p='urn:2' xmlns:b='urn:1' xmlns='urn:3' c=''/>", `<p:a xmlns="urn:3" xmlns:b="urn:1" xmlns:p="urn:2" c=""></p:a>`},
		{
			"declarations already in effect", c14n.Inclusive10, "<a xmlns='urn:1'><b xmlns='urn:1'/><c xmlns='urn:2'><d xmlns='urn:1'/></c></a>",
			`<a xmlns="urn:1"><b></b><c xmlns="urn:2"><d xmlns="urn:1"></d></c></a>`,
		},
		{"a default namespace that ends", c14n.Inclusive10, "<a xmlns=''><b xmlns='urn:1'><c xmlns=''/></b></a>", `<a><b xmlns="urn:1"><c xmlns=""></c></b></a>`},
		{"prefix xml is never declared", c14n.Inclusive10, "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:id='x'/>", `<a xml:id="x"></a>`},
		{"prefix xml is not declared inside either", c14n.Inclusive10, "<a><b xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:id='x'/></a>", `<a><b xml:id="x"></b></a>`},
		{"characters beyond the first plane", c14n.Inclusive11, "<a b='&#x1F600;'>\U0001F600é&#233;</a>", "<a b=\"\U0001F600\">\U0001F600éé</a>"},
		// Exclusive XML Canonicalization section 3.
		{
			"exclusive: what is used, where it is used", c14n.Exclusive10, "<a xmlns:p='urn:1' xmlns:q='urn:2'><p:b q:c=''><p:d/></p:b><p:e/></a>",
			`<a><p:b xmlns:p="urn:1" xmlns:q="urn:2" q:c=""><p:d></p:d></p:b><p:e xmlns:p="urn:1"></p:e></a>`,
		},
		{"exclusive: no default namespace to end", c14n.Exclusive10, "<p:a xmlns:p='urn:1' xmlns='urn:2'><b xmlns=''/></p:a>", `<p:a xmlns:p="urn:1"><b></b></p:a>`},
		{
			"exclusive: a default namespace to end", c14n.Exclusive10, "<a xmlns='urn:2'><p:b xmlns:p='urn:1' xmlns=''><c/></p:b></a>",
			`<a xmlns="urn:2"><p:b xmlns:p="urn:1"><c xmlns=""></c></p:b></a>`,
		},
		{"exclusive with comments", c14n.Exclusive10WithComments, "<a><!--c--></a>", "<a><!--c--></a>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := canonical([]byte(c.source), c14n.Output{Method: c.method})
			if err != nil || string(got) != c.want {
				t.Errorf("%v\ngot  %q\nwant %q", err, got, c.want)
			}
		})
	}
}

func TestWriteWritesSubtrees(t *testing.T) {
	const context = `<o:r xmlns:o="urn:o" xmlns:u="urn:u" xmlns="urn:d" xml:lang="en" xml:id="r" xml:base="http://h.example/x/y" xml:foo="f">` +
		`<m xml:base="../z/" xml:lang="et"><o:e Id="E" xml:base="w" o:a="1"><f xmlns="" xml:lang="es"/></o:e></m></o:r>`
	for _, c := range []struct {
		name   string
		output c14n.Output
		want   string
	}{
		{
			"inclusive 1.0 takes all namespaces and attributes of the XML namespace",
			c14n.Output{Method: c14n.Inclusive10},
			`<o:e xmlns="urn:d" xmlns:o="urn:o" xmlns:u="urn:u" Id="E" xml:base="w" xml:foo="f" xml:id="r" xml:lang="et" o:a="1"><f xmlns="" xml:lang="es"></f></o:e>`,
		},
		{
			"inclusive 1.1 joins xml:base and takes xml:lang",
			c14n.Output{Method: c14n.Inclusive11},
			`<o:e xmlns="urn:d" xmlns:o="urn:o" xmlns:u="urn:u" Id="E" xml:base="http://h.example/z/w" xml:lang="et" o:a="1"><f xmlns="" xml:lang="es"></f></o:e>`,
		},
		{
			"exclusive takes what it uses",
			c14n.Output{Method: c14n.Exclusive10},
			`<o:e xmlns:o="urn:o" Id="E" xml:base="w" o:a="1"><f xml:lang="es"></f></o:e>`,
		},
		{
			"exclusive with a PrefixList takes those too",
			c14n.Output{Method: c14n.Exclusive10, Prefixes: []string{"u", "none", "#default"}},
			`<o:e xmlns="urn:d" xmlns:o="urn:o" xmlns:u="urn:u" Id="E" xml:base="w" o:a="1"><f xmlns="" xml:lang="es"></f></o:e>`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.output.Select = c14n.ByID("E")
			got, err := canonical([]byte(context), c.output)
			if err != nil || string(got) != c.want {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, c.want)
			}
		})
	}
}

// A node-set like that of Canonical XML 1.1 section 3.8: an element between two
// that are kept is left out.
func TestWriteWritesWhatIsLeftOfAncestors(t *testing.T) {
	const source = `<r xmlns="urn:1" xmlns:p="urn:2" xml:base="some/where"><k xml:lang="nl"><gone xmlns="" xml:id="g" xml:base="in/" xml:space="preserve"><k Id="K" xml:base="there"/></gone></k></r>`
	filter := func(n c14n.Node) bool {
		return n.Kind != c14n.TextNode && (n.Element == nil || string(n.Element.Name.Local()) == "k")
	}
	for method, want := range map[c14n.Method]string{
		c14n.Inclusive10: `<k xmlns="urn:1" xmlns:p="urn:2" xml:base="some/where" xml:lang="nl"><k xmlns="" Id="K" xml:base="there" xml:id="g" xml:lang="nl" xml:space="preserve"></k></k>`,
		c14n.Inclusive11: `<k xmlns="urn:1" xmlns:p="urn:2" xml:base="some/where" xml:lang="nl"><k xmlns="" Id="K" xml:base="in/there" xml:space="preserve"></k></k>`,
		c14n.Exclusive10: `<k xmlns="urn:1" xml:lang="nl"><k xmlns="" Id="K" xml:base="there"></k></k>`,
	} {
		got, err := canonical([]byte(source), c14n.Output{Method: method, Filter: filter})
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", method, err, got, want)
		}
	}
}

func TestWriteLeavesOutWhatIsOmitted(t *testing.T) {
	const source = `<a>x<s:Signature xmlns:s="urn:s"><b/><s:Signature/>y</s:Signature>z<c/></a>`
	got, err := canonical([]byte(source), c14n.Output{Method: c14n.Inclusive10, Omit: c14n.ByName("urn:s", "Signature")})
	if want := "<a>xz<c></c></a>"; err != nil || string(got) != want {
		t.Errorf("%v: got %s, want %s", err, got, want)
	}
	got, err = canonical([]byte(source), c14n.Output{Method: c14n.Inclusive10, Omit: c14n.At(int64(strings.Index(source, "<s:Signature/>")))})
	if want := `<a>x<s:Signature xmlns:s="urn:s"><b></b>y</s:Signature>z<c></c></a>`; err != nil || string(got) != want {
		t.Errorf("%v: got %s, want %s", err, got, want)
	}
}

func TestWriteWritesSeveralOutputsInOnePass(t *testing.T) {
	const source = `<a xmlns:p="urn:p"><b Id="1"><c Id="2">x<!--y--></c></b><b Id="3"/></a>`
	var whole, outer, inner, last bytes.Buffer
	err := c14n.Write(strings.NewReader(source), xmltext.Options{},
		c14n.Output{Method: c14n.Inclusive10WithComments, To: &whole},
		c14n.Output{Method: c14n.Inclusive10, Select: c14n.ByID("1"), To: &outer},
		c14n.Output{Method: c14n.Exclusive10, Select: c14n.ByID("2"), To: &inner},
		c14n.Output{Method: c14n.Exclusive10, Select: c14n.ByID("3"), To: &last})
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[*bytes.Buffer]string{
		&whole: `<a xmlns:p="urn:p"><b Id="1"><c Id="2">x<!--y--></c></b><b Id="3"></b></a>`,
		&outer: `<b xmlns:p="urn:p" Id="1"><c Id="2">x</c></b>`,
		&inner: `<c Id="2">x</c>`,
		&last:  `<b Id="3"></b>`,
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name, source string
		output       c14n.Output
		want         error
	}{
		{"X-43: a method that is none", "<a/>", c14n.Output{Method: "http://www.w3.org/TR/1999/REC-xslt-19991116"}, c14n.ErrMethod},
		{"X-43: no method", "<a/>", c14n.Output{}, c14n.ErrMethod},
		{"X-44: a PrefixList where none belongs", "<a/>", c14n.Output{Method: c14n.Inclusive10, Prefixes: []string{"p"}}, c14n.ErrMethod},
		{"an id nobody has", "<a Id='x'/>", c14n.Output{Method: c14n.Inclusive10, Select: c14n.ByID("y")}, c14n.ErrNotFound},
		{"X-50: an id on two elements", "<a><b Id='x'/><b ID='x'/></a>", c14n.Output{Method: c14n.Inclusive10, Select: c14n.ByID("x")}, c14n.ErrAmbiguous},
		{"X-50: an id within the element that has it", "<a><b Id='x'><c id='x'/></b></a>", c14n.Output{Method: c14n.Inclusive10, Select: c14n.ByID("x")}, c14n.ErrAmbiguous},
		{"X-50: an id in what is omitted too", "<a><b Id='x'/><s xml:id='x'/></a>", c14n.Output{Method: c14n.Inclusive10, Select: c14n.ByID("x"), Omit: c14n.ByName("", "s")}, c14n.ErrAmbiguous},
		{"X-41: everything omitted", "<a><b/></a>", c14n.Output{Method: c14n.Inclusive10, Omit: c14n.ByName("", "a")}, c14n.ErrEmpty},
		{"X-41: everything filtered out", "<a>x</a>", c14n.Output{Method: c14n.Inclusive10, Filter: func(c14n.Node) bool { return false }}, c14n.ErrEmpty},
		{"a relative namespace name", "<a xmlns='x'/>", c14n.Output{Method: c14n.Inclusive10}, c14n.ErrRelativeNamespace},
		{"a relative namespace name of a prefix nobody uses", "<a xmlns:p='../x'/>", c14n.Output{Method: c14n.Exclusive10}, c14n.ErrRelativeNamespace},
		{"a relative namespace name inherited", "<a xmlns:p='/x'><b Id='x'/></a>", c14n.Output{Method: c14n.Inclusive10, Select: c14n.ByID("x")}, c14n.ErrRelativeNamespace},
		{"a malformed document", "<a></b>", c14n.Output{Method: c14n.Inclusive10}, xmltext.ErrSyntax},
		{"X-24: a DOCTYPE", "<!DOCTYPE a><a/>", c14n.Output{Method: c14n.Inclusive10}, xmltext.ErrDoctype},
		{"inherited attributes one byte over the limit", inheriting(1<<20 + 1), c14n.Output{Method: c14n.Inclusive10}, c14n.ErrLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.output.To = io.Discard
			if err := c14n.Write(strings.NewReader(c.source), xmltext.Options{}, c.output); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if _, err := canonical([]byte(inheriting(1<<20)), c14n.Output{Method: c14n.Inclusive10}); err != nil {
		t.Errorf("inherited attributes at the limit: %v", err)
	}
}

// inheriting is a document whose attributes of the XML namespace have that many
// bytes, names included.
func inheriting(size int) string {
	const name = len("xml:lang")
	half := size/2 - name
	return "<a xml:lang='" + strings.Repeat("x", half) + "'><b xml:lang='" + strings.Repeat("x", size-half-2*name) + "'/></a>"
}

func TestParseMethodKnowsTheSixForms(t *testing.T) {
	for _, m := range c14n.Methods() {
		if got, err := c14n.ParseMethod(string(m)); err != nil || got != m {
			t.Errorf("%s: %v", m, err)
		}
	}
	if _, err := c14n.ParseMethod("http://www.w3.org/2001/10/xml-exc-c14n"); !errors.Is(err, c14n.ErrMethod) {
		t.Errorf("got %v, want %v", err, c14n.ErrMethod)
	}
}

// what an exclusive form covers does not change with its parents, an
// inclusive one shows that they changed.
func TestWriteBindsContextAsTheFormSays(t *testing.T) {
	here := `<a xmlns:p="urn:p" xml:lang="en"><p:b Id="x"/></a>`
	there := `<c xmlns:p="urn:p" xmlns:q="urn:q" xml:lang="es"><p:b Id="x"/></c>`
	for _, m := range c14n.Methods() {
		one, err := canonical([]byte(here), c14n.Output{Method: m, Select: c14n.ByID("x")})
		if err != nil {
			t.Fatal(err)
		}
		two, err := canonical([]byte(there), c14n.Output{Method: m, Select: c14n.ByID("x")})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(one, two) != m.Exclusive() {
			t.Errorf("%s: %s and %s", m, one, two)
		}
	}
}

// failing is a writer that fails after some bytes.
type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteReturnsTheErrorOfTheWriter(t *testing.T) {
	source := "<a>" + strings.Repeat("<b>text</b>", 20000) + strings.Repeat("x", 5000) + "</a>"
	for _, left := range []int{0, 1, 50_000, 220_000} {
		err := c14n.Write(strings.NewReader(source), xmltext.Options{}, c14n.Output{Method: c14n.Inclusive10, To: &failing{left: left}})
		if !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: got %v, want %v", left, err, errFull)
		}
	}
}

func TestWriteEqualsGoxmldsigOnPlainDocuments(t *testing.T) {
	source := invoice(200 << 10)
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(source); err != nil {
		t.Fatal(err)
	}
	for method, theirs := range map[c14n.Method]goxmldsig.Canonicalizer{
		c14n.Inclusive10: goxmldsig.MakeC14N10RecCanonicalizer(),
		c14n.Inclusive11: goxmldsig.MakeC14N11Canonicalizer(),
		c14n.Exclusive10: goxmldsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(""),
	} {
		want, err := theirs.Canonicalize(doc.Root().Copy())
		if err != nil {
			t.Fatal(err)
		}
		got, err := canonical(source, c14n.Output{Method: method})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %d bytes, want %d", method, err, len(got), len(want))
		}
	}
}

// again is a part again and again, made as it is read.
type again struct {
	part string
	at   int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.part[a.at:])
	a.at = (a.at + n) % len(a.part)
	return n, nil
}

func TestWriteNeedsMemoryForDepthAlone(t *testing.T) {
	const part = "<a z='1' y='2' xmlns:p='urn:1'><p:b xml:lang='en'>text &amp; more<!-- c --></p:b></a>\r\n"
	const size = int64(len(part)) << 17
	allocations := testing.AllocsPerRun(1, func() {
		source := io.MultiReader(strings.NewReader("<root>"), io.LimitReader(&again{part: part}, size), strings.NewReader("<s/></root>"))
		var outputs []c14n.Output
		for _, m := range c14n.Methods() {
			outputs = append(outputs, c14n.Output{Method: m, Omit: c14n.ByName("", "s"), To: io.Discard})
		}
		if err := c14n.Write(source, limits(), outputs...); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 200 {
		t.Errorf("%v allocations for %d bytes", allocations, size)
	}
}
