package c14n_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"
)

// generator makes random well-formed documents that have everything canonical
// forms differ in.
type generator struct {
	*rand.Rand
	b        strings.Builder
	prefixes []string // in scope
	ids      []string // xml:id values given so far
	withIDs  bool
	left     int // elements that may still be made
}

func (g *generator) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

func (g *generator) space() string {
	return g.pick(" ", " ", " ", "\n", "\t ", "\r\n  ", " \r")
}

// uri is a namespace name. None has characters that need an escape, which
// libxml2 forgets in namespace declarations, or that are not ASCII, which it
// refuses.
func (g *generator) uri() string {
	return g.pick("urn:a", "urn:b", "http://c.example/x", "http://d.example/?q=1", "urn:x'y", "urn:&#97;")
}

func (g *generator) text() string {
	return g.pick("text", "a &lt; b &amp;&amp; c", "x>y", "]", "]]", "]] >", "line\r\nline\rline\n", "\t", "\r", "&#13;&#xA;",
		"ünïcödé €", "\U0001F600", "&#x1F600;&#233;", "&quot;&apos;\"'", "]]&gt;", " ", "\n\n", "e\u0301", "\u0085\u2028")
}

func (g *generator) value() string {
	v := ""
	for range g.IntN(4) {
		v += g.pick("v", "a b", "  ", "\t", "\n", "\r\n", "&#9;&#10;&#13;", "&lt;&amp;&gt;", ">", "é", "€", "&quot;", "&apos;", "x\u00a0y", "&#32;")
	}
	if g.one(2) {
		return `"` + v + g.pick("", "'") + `"`
	}
	return `'` + v + g.pick("", `"`) + `'`
}

func (g *generator) local() string {
	return g.pick("a", "b", "item", "e1", "e2", "Ähre", "x-y.z", "_u")
}

func (g *generator) name(attribute bool) string {
	if len(g.prefixes) == 0 || g.one(3) {
		return g.local()
	}
	p := g.prefixes[g.IntN(len(g.prefixes))]
	if p == "" {
		return g.local()
	}
	if attribute && g.one(6) {
		return "xml:" + g.pick("lang", "space", "foo")
	}
	return p + ":" + g.local()
}

// declarations of one element, with the prefixes then in scope.
func (g *generator) declarations() (text []string, uris map[string]string) {
	uris = map[string]string{}
	if g.one(3) {
		for range g.IntN(4) {
			p := g.pick("", "n1", "n2", "p", "q", "long-prefix", "Z", "é")
			if _, twice := uris[p]; twice {
				continue
			}
			uri := g.uri()
			name := "xmlns:" + p
			if p == "" {
				name = "xmlns"
				if g.one(3) {
					uri = ""
				}
			}
			uris[p] = uri
			if quote := g.pick(`"`, `'`); strings.Contains(uri, "'") || quote == `"` {
				text = append(text, name+`="`+uri+`"`)
			} else {
				text = append(text, name+" = '"+uri+"'")
			}
			g.prefixes = append(g.prefixes, p)
		}
	}
	return text, uris
}

func (g *generator) element(depth int, scope map[string]string) {
	g.left--
	outer := g.prefixes
	g.prefixes = g.prefixes[:len(g.prefixes):len(g.prefixes)]
	parts, declared := g.declarations()
	uris := scope
	if len(declared) > 0 {
		uris = map[string]string{}
		for p, u := range scope {
			uris[p] = u
		}
		for p, u := range declared {
			uris[p] = u
		}
	}
	expanded := map[string]bool{}
	for range g.IntN(5) {
		n := g.name(true)
		key := n
		if p, l, ok := strings.Cut(n, ":"); ok {
			key = strings.Replace(uris[p], "&#97;", "a", 1) + "|" + l
		}
		if expanded[key] {
			continue
		}
		expanded[key] = true
		value := g.value()
		switch n {
		case "xml:space":
			value = `"preserve"`
		case "xml:lang":
			value = `"` + g.pick("en", "es", "et") + `"`
		}
		parts = append(parts, n+g.pick("=", "=", " =", "= ")+value)
	}
	if g.withIDs && g.one(3) {
		id := fmt.Sprintf("id-%d", len(g.ids))
		g.ids = append(g.ids, id)
		parts = append(parts, `xml:id="`+id+`"`)
	}
	if g.withIDs && g.one(6) {
		parts = append(parts, `xml:base="`+g.pick("b/", "http://h.example/d/e", "c", "../u", "d/f/g")+`"`)
	}
	g.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	name := g.name(false)
	g.b.WriteString("<" + name)
	for _, p := range parts {
		g.b.WriteString(g.space() + p)
	}
	if g.one(4) {
		g.b.WriteString(g.pick("", " ", "\n") + "/>")
	} else {
		g.b.WriteString(g.pick("", " ", "\r\n") + ">")
		g.content(depth, uris)
		g.b.WriteString("</" + name + g.pick("", " ", "\t") + ">")
	}
	g.prefixes = outer
}

func (g *generator) content(depth int, scope map[string]string) {
	for range g.IntN(7) {
		switch g.IntN(8) {
		case 0, 1, 2:
			if depth < 12 && g.left > 0 {
				g.element(depth+1, scope)
			}
		case 3, 4:
			g.b.WriteString(g.text())
		case 5:
			g.b.WriteString("<![CDATA[" + g.pick("", "<a>&amp;", "]", "]]", "x\r\ny\r", "é>", "]>") + "]]>")
		case 6:
			g.aside()
		case 7:
			g.b.WriteString(strings.Repeat(g.text(), g.IntN(30)))
		}
	}
}

// aside writes a comment or processing instruction.
func (g *generator) aside() {
	if g.one(2) {
		g.b.WriteString("<!--" + g.pick("", " c ", "a-b", "<x>&y;", "l\r\nm\rn", "é") + "-->")
		return
	}
	g.b.WriteString("<?" + g.pick("t", "target-1", "é") + g.pick("", " ", "  d ", "\r\nd\r\ne", " a='<&'", "\t??") + "?>")
}

// document makes a whole document that ends with a processing instruction
// <?end?>, and gives it with its encoding applied.
func (g *generator) document() []byte {
	encoding := "UTF-8"
	if !g.withIDs {
		encoding = g.pick("UTF-8", "UTF-8", "UTF-8", "", "", "UTF-8 BOM", "UTF-16")
	}
	switch encoding {
	case "":
	case "UTF-16":
		g.b.WriteString("<?xml version='1.0' encoding='UTF-16'?>")
	default:
		g.b.WriteString(g.pick(`<?xml version="1.0" encoding="UTF-8"?>`, `<?xml version='1.0' encoding="utf-8" standalone='yes' ?>`, `<?xml version="1.0"?>`) + g.pick("", "\r\n"))
	}
	for range g.IntN(3) {
		g.aside()
		g.b.WriteString(g.pick("", "\n", "\r\n "))
	}
	if !g.withIDs && g.one(5) {
		g.b.WriteString("<!DOCTYPE any [<!ATTLIST a set CDATA '" + g.pick("x", " a  b&#10;", "&lt;") + "' tok NMTOKENS #IMPLIED>\n" +
			"<!ATTLIST b xmlns:dflt CDATA #FIXED 'urn:dflt' item ID #IMPLIED>\n<!-- c --><?p d?><!ENTITY e 'en&#38;#116;ity'>]>\n")
	}
	g.element(1, map[string]string{})
	for range g.IntN(3) {
		g.b.WriteString(g.pick("", "\n", "\r"))
		g.aside()
	}
	g.b.WriteString("<?end?>\n")
	switch encoding {
	case "UTF-8 BOM":
		return []byte("\uFEFF" + g.b.String())
	case "UTF-16":
		big := g.one(2)
		var out []byte
		for _, u := range utf16.Encode([]rune("\uFEFF" + g.b.String())) {
			if big {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out
	}
	return []byte(g.b.String())
}

func generate(seed uint64) []byte {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 7)), left: 60}
	return g.document()
}
