package xmltext_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// read gives all tokens in words, text in one piece, and how reading ended.
func read(src io.Reader, o xmltext.Options) (words []string, err error) {
	r := xmltext.NewReader(src, o)
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			words = append(words, fmt.Sprintf("text %q", text.String()))
			text.Reset()
		}
	}
	for {
		t, err := r.Next()
		if err != nil {
			flush()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return words, err
		}
		if t.Kind == xmltext.Text || t.Kind == xmltext.CDATA {
			text.Write(t.Data)
			continue
		}
		flush()
		words = append(words, word(t))
	}
}

func word(t *xmltext.Token) string {
	switch t.Kind {
	case xmltext.StartElement:
		w := fmt.Sprintf("<{%s}%s", t.Name.Space, t.Name.Qualified)
		for _, n := range t.Namespaces {
			w += fmt.Sprintf(" %s:=%s", n.Prefix, n.URI)
		}
		for _, a := range t.Attributes {
			w += fmt.Sprintf(" {%s}%s=%q", a.Name.Space, a.Name.Local(), a.Value)
		}
		return w + ">"
	case xmltext.EndElement:
		return fmt.Sprintf("</{%s}%s>", t.Name.Space, t.Name.Qualified)
	case xmltext.Comment:
		return fmt.Sprintf("comment %q", t.Data)
	case xmltext.ProcessingInstruction:
		return fmt.Sprintf("pi %s %q", t.Target, t.Data)
	}
	return t.Kind.String()
}

func TestNextReadsDocuments(t *testing.T) {
	subset := &xmltext.Subset{External: map[string][]byte{"t.txt": []byte("far\r\nEnd")}}
	for _, c := range []struct {
		name, source string
		want         string
	}{
		{"an empty element", `<a/>`, `<{}a>|</{}a>`},
		{"white space wherever it may be", "\r\n <a\tb = '1' \r\n c\n=\"2\" ></a\n>\n", `space|<{}a {}b="1" {}c="2">|</{}a>|space`},
		{
			"namespaces, redeclared and undeclared", `<a xmlns="u:1" xmlns:p="u:2"><p:b xmlns="" p:x="1" x="2"><c/></p:b><d xmlns:p="u:3"><p:e/></d></a>`,
			`<{u:1}a :=u:1 p:=u:2>|<{u:2}p:b := {u:2}x="1" {}x="2">|<{}c>|</{}c>|</{u:2}p:b>|<{u:1}d p:=u:3>|<{u:3}p:e>|</{u:3}p:e>|</{u:1}d>|</{u:1}a>`,
		},
		{
			"prefix xml, declared or not", `<a xml:lang="en" xmlns:xml="http://www.w3.org/XML/1998/namespace"/>`,
			`<{}a xml:=http://www.w3.org/XML/1998/namespace {http://www.w3.org/XML/1998/namespace}lang="en">|</{}a>`,
		},
		{"line ends", "<a>1\r\n2\r3\n\r4<!--\r\n\r--><?p \r\n\r?></a>", `<{}a>|text "1\n2\n3\n\n4"|comment "\n\n"|pi p ""|</{}a>`},
		{"line ends in CDATA", "<a><![CDATA[\r\n\r]]><![CDATA[\r]]>\r</a>", `<{}a>|text "\n\n\n\n"|</{}a>`},
		{"references", "<a b='&lt;&#x41;&#66;&quot;'>&amp;&gt;&#xD;&#x1F600;&apos;</a>", `<{}a {}b="<AB\"">|text "&>\r😀'"|</{}a>`},
		{"attribute values", "<a b=\" \t\r\n\n&#9;&#10;&#13; \"/>", `<{}a {}b="    \t\n\r ">|</{}a>`},
		{"brackets", "<a>]]]&gt;]] ><![CDATA[]]]]><![CDATA[>&<]]>]</a>", `<{}a>|text "]]]>]] >]]>&<]"|</{}a>`},
		{"names beyond ASCII", "<é:ñ xmlns:é='u:1' ·x='1'/>", ""},
		{"more names beyond ASCII", "<é:ñ xmlns:é='u:1' x·='1'/>", `<{u:1}é:ñ é:=u:1 {}x·="1">|</{u:1}é:ñ>`},
		{"a declaration", "<?xml version='1.0' encoding=\"utf-8\" standalone = 'no' ?><a/>", `declaration|<{}a>|</{}a>`},
		{"comments and instructions outside", "<!----><?p  x ?><a/><?q?>", `comment ""|pi p "x "|<{}a>|</{}a>|pi q ""`},
		{
			"defaults and types of an internal subset", `<!DOCTYPE a PUBLIC "p" 's' [<!ELEMENT a (b|c)* ><!ATTLIST a d CDATA "x&#10;" i ID #IMPLIED
			f (u|v) 'u' xmlns:n CDATA #FIXED "u:1"><?p?><!-- - --><!NOTATION g SYSTEM 'h'> ]><a i="  1   2 "><b d='1'/></a>`,
			`doctype|<{}a n:=u:1 {}i="1 2" {}d="x\n" {}f="u">|<{}b {}d="1">|</{}b>|</{}a>`,
		},
		{"entities that are text", `<!DOCTYPE a [<!ENTITY e "x&#13;y"><!ENTITY e "no"><!ENTITY f SYSTEM "t.txt"><!ENTITY lt "&#38;#60;">
			<!ATTLIST a d CDATA "&e;">]><a>&e;&f;&lt;</a>`, `doctype|<{}a {}d="x y">|text "x\ryfar\nEnd<"|</{}a>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for way, src := range map[string]io.Reader{
				"at once":      strings.NewReader(c.source),
				"in bytes":     iotest.OneByteReader(strings.NewReader(c.source)),
				"end with err": iotest.DataErrReader(strings.NewReader(c.source)),
				"in UTF-16":    bytes.NewReader(utf16Bytes(strings.Replace(c.source, `"utf-8"`, `"utf-16"`, 1))),
			} {
				words, err := read(src, xmltext.Options{Subset: subset})
				if c.want == "" {
					if !errors.Is(err, xmltext.ErrSyntax) {
						t.Errorf("%s: got %v, want a syntax error", way, err)
					}
					continue
				}
				got := strings.Join(words, "|")
				if err != nil {
					t.Fatalf("%s: %v after %s", way, err, got)
				}
				if way == "in UTF-16" && !strings.HasPrefix(c.want, "declaration|") {
					got = strings.TrimPrefix(got, "declaration|") // the byte order mark
				}
				if got != c.want {
					t.Errorf("%s:\ngot  %s\nwant %s", way, got, c.want)
				}
			}
		})
	}
}

// The rows carry the identifiers of the threat catalogue where it has them.
func TestNextRefuses(t *testing.T) {
	for _, c := range []struct {
		name, source string
		want         error
		offset       int64
	}{
		{"nothing", "", xmltext.ErrSyntax, 0},
		{"white space only", " \n", xmltext.ErrSyntax, 2},
		{"X-24: a DOCTYPE", "<!DOCTYPE a><a/>", xmltext.ErrDoctype, 0},
		{"X-25: billion laughs", `<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><a>&b;</a>`, xmltext.ErrDoctype, 0},
		{"X-30: XML 1.1", "<?xml version='1.1'?><a/>", xmltext.ErrSyntax, 19},
		{"X-30: version 2.0", "<?xml version='2.0'?><a/>", xmltext.ErrSyntax, 19},
		{"X-30: no version", "<?xml encoding='UTF-8'?><a/>", xmltext.ErrSyntax, 5},
		{"X-30: standalone neither yes nor no", "<?xml version='1.0' standalone='maybe'?><a/>", xmltext.ErrSyntax, 38},
		{"X-30: encoding after standalone", "<?xml version='1.0' standalone='no' encoding='UTF-8'?><a/>", xmltext.ErrSyntax, 36},
		{"X-31: two colons", "<a xmlns:x='u:x'><x::y/></a>", xmltext.ErrSyntax, 20},
		{"X-31: three parts", "<a xmlns:x='u:x'><x:y:z/></a>", xmltext.ErrNamespace, 21},
		{"X-31: colon first", "<:y/>", xmltext.ErrSyntax, 1},
		{"X-31: attribute with colon first", "<a :b=''/>", xmltext.ErrSyntax, 3},
		{"X-31: attribute with colon last", "<a xmlns:b='u:b' b:=''/>", xmltext.ErrSyntax, 19},
		{"X-32: an attribute twice", "<a><b ID='1' ID='2'/></a>", xmltext.ErrSyntax, 3},
		{"X-32: an attribute twice among many", "<a b='' c='' d='' e='' f='' g='' h='' i='' j='' k='' c=''/>", xmltext.ErrSyntax, 0},
		{"X-32: an expanded name twice", "<a xmlns:p='u:1' xmlns:q='u:1' p:b='' q:b=''/>", xmltext.ErrNamespace, 0},
		{"X-34: text before the root", "x<a/>", xmltext.ErrSyntax, 0},
		{"X-34: text after the root", "<a/>x", xmltext.ErrSyntax, 4},
		{"X-34: a reference after the root", "<a/>&#32;", xmltext.ErrSyntax, 4},
		{"X-34: CDATA after the root", "<a/><![CDATA[]]>", xmltext.ErrSyntax, 4},
		{"X-34: a second root", "<a/><b/>", xmltext.ErrSyntax, 4},
		{"a root that does not end", "<a><b></b>", xmltext.ErrSyntax, 10},
		{"an end without start", "</a>", xmltext.ErrSyntax, 0},
		{"an end of another element", "<a><b></a></b>", xmltext.ErrSyntax, 6},
		{"an end whose name goes on", "<a></ab>", xmltext.ErrSyntax, 3},
		{"an end of the same name and another prefix", "<p:a xmlns:p='u:1' xmlns:q='u:1'></q:a>", xmltext.ErrSyntax, 33},
		{"a prefix not declared", "<p:a/>", xmltext.ErrNamespace, 1},
		{"a prefix out of scope", "<a><b xmlns:p='u:1'/><p:c/></a>", xmltext.ErrNamespace, 22},
		{"an attribute's prefix not declared", "<a p:b=''/>", xmltext.ErrNamespace, 0},
		{"a prefix undeclared", "<a xmlns:p=''/>", xmltext.ErrNamespace, 3},
		{"xmlns declared", "<a xmlns:xmlns='u:1'/>", xmltext.ErrNamespace, 3},
		{"xml bound to something else", "<a xmlns:xml='u:1'/>", xmltext.ErrNamespace, 3},
		{"the xml namespace with another prefix", "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", xmltext.ErrNamespace, 3},
		{"the xml namespace as default", "<a xmlns='http://www.w3.org/XML/1998/namespace'/>", xmltext.ErrNamespace, 3},
		{"the xmlns namespace", "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", xmltext.ErrNamespace, 3},
		{"an element named xmlns:a", "<xmlns:a/>", xmltext.ErrNamespace, 1},
		{"a prefix declared twice", "<a xmlns:p='u:1' xmlns:p='u:1'/>", xmltext.ErrSyntax, 17},
		{"no space between attributes", "<a b=''c=''/>", xmltext.ErrSyntax, 7},
		{"an attribute without value", "<a b/>", xmltext.ErrSyntax, 4},
		{"a value without quotes", "<a b=c/>", xmltext.ErrSyntax, 5},
		{"< in a value", "<a b='<'/>", xmltext.ErrSyntax, 6},
		{"a bare & in a value", "<a b='&'/>", xmltext.ErrSyntax, 7},
		{"a bare & in text", "<a>& </a>", xmltext.ErrSyntax, 4},
		{"an undeclared entity", "<a>&nbsp;</a>", xmltext.ErrSyntax, 3},
		{"an entity without semicolon", "<a>&amp </a>", xmltext.ErrSyntax, 3},
		{"a reference to NUL", "<a>&#0;</a>", xmltext.ErrSyntax, 3},
		{"a reference to a surrogate", "<a>&#xD800;</a>", xmltext.ErrSyntax, 3},
		{"a reference beyond Unicode", "<a>&#x110000;</a>", xmltext.ErrSyntax, 3},
		{"a reference that overflows", "<a>&#99999999999999999999;</a>", xmltext.ErrSyntax, 3},
		{"a reference without digits", "<a>&#;</a>", xmltext.ErrSyntax, 3},
		{"a reference in capitals", "<a>&#X41;</a>", xmltext.ErrSyntax, 3},
		{"]]> in text", "<a>]]></a>", xmltext.ErrSyntax, 3},
		{"X-23: NUL in text", "<a>x\x00</a>", xmltext.ErrSyntax, 4},
		{"a control character in a value", "<a b='\x01'/>", xmltext.ErrSyntax, 6},
		{"a control character in a comment", "<a><!--\x1f--></a>", xmltext.ErrSyntax, 7},
		{"U+FFFF", "<a>\uffff</a>", xmltext.ErrSyntax, 3},
		{"-- in a comment", "<a><!-- -- --></a>", xmltext.ErrSyntax, 8},
		{"a comment that ends in --->", "<a><!-- ---></a>", xmltext.ErrSyntax, 8},
		{"an XML declaration that is late", " <?xml version='1.0'?><a/>", xmltext.ErrSyntax, 1},
		{"a reserved target", "<a><?XmL x?></a>", xmltext.ErrSyntax, 3},
		{"a target with a colon", "<a><?p:q x?></a>", xmltext.ErrSyntax, 6},
		{"a CDATA section that does not end", "<a><![CDATA[x</a>", xmltext.ErrSyntax, 17},
		{"markup nobody knows", "<a><!x></a>", xmltext.ErrSyntax, 3},
		{"a name that begins with a digit", "<1/>", xmltext.ErrSyntax, 1},
		{"a space before the name", "< a/>", xmltext.ErrSyntax, 1},
		{"X-29: bytes that are not UTF-8", "<a>\xe9</a>", xmltext.ErrEncoding, 3},
		{"X-29: an overlong form", "<a>\xc0\xbc</a>", xmltext.ErrEncoding, 3},
		{"X-29: a surrogate in UTF-8", "<a>\xed\xa0\x80</a>", xmltext.ErrEncoding, 3},
		{"X-29: UTF-7", "<?xml version='1.0' encoding='UTF-7'?><a/>", xmltext.ErrEncoding, 0},
		{"X-29: an EBCDIC name", "<?xml version='1.0' encoding='IBM037'?><a/>", xmltext.ErrEncoding, 0},
		{"X-29: UTF-16 declared, ASCII sent", "<?xml version='1.0' encoding='UTF-16'?><a/>", xmltext.ErrEncoding, 0},
		{"X-29: a mark of UTF-8, ISO-8859-1 declared", "\xef\xbb\xbf<?xml version='1.0' encoding='ISO-8859-1'?><a/>", xmltext.ErrEncoding, 3},
		{"X-29: UTF-16 without mark", "<\x00a\x00/\x00>\x00", xmltext.ErrEncoding, 0},
		{"X-29: UTF-32", "\xff\xfe\x00\x00<\x00\x00\x00", xmltext.ErrEncoding, 0},
		{"X-29: half a surrogate pair", "\xfe\xff\x00<\x00a\x00>\xd8\x00\x00<", xmltext.ErrEncoding, 8},
		{"X-29: half a character of UTF-16", "\xfe\xff\x00<\x00a\x00/\x00>\x00", xmltext.ErrEncoding, 10},
		{"X-29: beyond US-ASCII", "<?xml version='1.0' encoding='US-ASCII'?><a>\xe9</a>", xmltext.ErrEncoding, 44},
	} {
		t.Run(c.name, func(t *testing.T) {
			for way, src := range map[string]io.Reader{
				"at once":  strings.NewReader(c.source),
				"in bytes": iotest.OneByteReader(strings.NewReader(c.source)),
			} {
				_, err := read(src, xmltext.Options{})
				var e *xmltext.Error
				if !errors.As(err, &e) || !errors.Is(err, c.want) || e.Offset != c.offset {
					t.Errorf("%s: got %v, want %v at byte %d", way, err, c.want, c.offset)
				}
			}
		})
	}
}

func TestNextRefusesInternalSubsets(t *testing.T) {
	big := strings.Repeat("x", 4<<10+1)
	for _, c := range []struct {
		name, subset, content string
		want                  error
	}{
		{"X-25: an entity of entities", `<!ENTITY a "ha"><!ENTITY b "&a;&a;">`, `&b;`, xmltext.ErrEntity},
		{"an entity with markup", `<!ENTITY a "<b/>">`, `&a;`, xmltext.ErrEntity},
		{"an entity with escaped markup", `<!ENTITY a "&#60;b/>">`, `&a;`, xmltext.ErrEntity},
		{"X-26: an external entity", `<!ENTITY a SYSTEM "file:///etc/passwd">`, `&a;`, xmltext.ErrEntity},
		{"X-26: a parameter entity", `<!ENTITY % a SYSTEM "http://example.org/">`, ``, xmltext.ErrEntity},
		{"X-26: a reference to one", `%a;`, ``, xmltext.ErrEntity},
		{"a parameter entity within an entity", `<!ENTITY a "%b;">`, ``, xmltext.ErrEntity},
		{"an unparsed entity", `<!NOTATION n SYSTEM "n"><!ENTITY a SYSTEM "x" NDATA n>`, `&a;`, xmltext.ErrSyntax},
		{"an external entity in a value", `<!ENTITY a SYSTEM "x">`, `<b c="&a;"/>`, xmltext.ErrSyntax},
		{"an entity that is declared nowhere", ``, `&a;`, xmltext.ErrSyntax},
		{"a default with an entity that comes later", `<!ATTLIST r b CDATA "&a;"><!ENTITY a "x">`, ``, xmltext.ErrSyntax},
		{"< in a default", `<!ATTLIST r b CDATA "<">`, ``, xmltext.ErrSyntax},
		{"an unknown type", `<!ATTLIST r b STRING #IMPLIED>`, ``, xmltext.ErrSyntax},
		{"a declaration nobody knows", `<!THING a>`, ``, xmltext.ErrSyntax},
		{"a conditional section", `<![INCLUDE[ ]]>`, ``, xmltext.ErrSyntax},
		{"an instruction without space", `<?p&?>`, ``, xmltext.ErrSyntax},
		{"an instruction with a colon", `<?p:q r?>`, ``, xmltext.ErrSyntax},
		{"-- in a comment", `<!-- -- -->`, ``, xmltext.ErrSyntax},
		{"a control character", "<!-- \x01 -->", ``, xmltext.ErrSyntax},
		{"one declaration too many", strings.Repeat("<?p?>", 1000), ``, xmltext.ErrLimit},
		{"X-25: an entity one byte too long", `<!ENTITY a "` + big + `">`, ``, xmltext.ErrLimit},
		{"a default one byte too long", `<!ATTLIST r b CDATA "` + big + `">`, ``, xmltext.ErrLimit},
		{"X-25: quadratic growth", `<!ENTITY a "` + big[1:] + `">`, strings.Repeat("&a;", 4097), xmltext.ErrLimit},
		{"growth by defaults", `<!ATTLIST b c CDATA "` + big[1:] + `">`, strings.Repeat("<b/>", 4096), xmltext.ErrLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := "<!DOCTYPE r [" + c.subset + "]><r>" + c.content + "</r>"
			_, err := read(strings.NewReader(source), xmltext.Options{Subset: &xmltext.Subset{}})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
