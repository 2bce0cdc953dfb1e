package c14n_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

const dsig = "http://www.w3.org/2000/09/xmldsig#"

// nodeSet is a node-set in the language of XPath and as a Filter.
type nodeSet struct {
	xpath  string
	filter c14n.Filter
	// holes says that elements are left out whose attributes stay, or
	// namespaces of elements that stay. There libxml2 departs from the
	// standards: in the exclusive form it writes namespaces that are not in
	// the set and takes those of an omitted element's attributes for written;
	// in the inclusive ones it writes xmlns="" for an omitted element.
	holes bool
}

// nodeSets are filters of every kind: of elements whose content stays, of
// subtrees, of namespaces, of attributes, of text.
func nodeSets() []nodeSet {
	name := func(n c14n.Node) string {
		switch n.Kind {
		case c14n.ElementNode:
			return string(n.Element.Name.Qualified)
		case c14n.AttributeNode:
			return string(n.Attribute.Name.Qualified)
		case c14n.NamespaceNode:
			return string(n.Namespace.Prefix)
		case c14n.InstructionNode:
			return string(n.Target)
		}
		return ""
	}
	local := func(n c14n.Node) string {
		_, local, found := strings.Cut(name(n), ":")
		if !found {
			return name(n)
		}
		return local
	}
	var dropped []bool // by depth: an element e1 is on the way
	return []nodeSet{
		{`not(self::text())`, func(n c14n.Node) bool { return n.Kind != c14n.TextNode }, false},
		{`name() != "xml:lang" and name() != "xml:foo"`, func(n c14n.Node) bool {
			return name(n) != "xml:lang" && name(n) != "xml:foo"
		}, false},
		{`not(ancestor-or-self::node()[local-name() = "e1"])`, func(n c14n.Node) bool {
			if n.Kind == c14n.ElementNode {
				dropped = append(dropped, false)[:n.Depth-1]
				dropped = append(dropped, local(n) == "e1" || n.Depth > 1 && dropped[n.Depth-2])
			}
			return local(n) != "e1" && (n.Depth == 0 || !dropped[n.Depth-1])
		}, false},
		{`local-name() != "e1" and local-name() != "a"`, func(n c14n.Node) bool { return local(n) != "e1" && local(n) != "a" }, true},
		{`name() != "n1" and name() != "p"`, func(n c14n.Node) bool { return name(n) != "n1" && name(n) != "p" }, true},
		{`count(ancestor-or-self::node()) mod 3 != 1`, func(n c14n.Node) bool {
			count := n.Depth + 1 // the root node
			if n.Kind != c14n.ElementNode {
				count++
			}
			return count%3 != 1
		}, true},
	}
}

// part is a ds:Reference for xmlsec1 and the same as an Output.
type part struct {
	reference string
	output    c14n.Output
}

func parts(ids []string, undeclared bool) []part {
	var all []part
	transform := func(m c14n.Method, prefixes ...string) string {
		list := ""
		if prefixes != nil {
			list = fmt.Sprintf(`<InclusiveNamespaces xmlns="%s" PrefixList="%s"/>`, c14n.Exclusive10, strings.Join(prefixes, " "))
		}
		return fmt.Sprintf(`<Transform Algorithm="%s">%s</Transform>`, m, list)
	}
	add := func(uri, transforms string, o c14n.Output) {
		all = append(all, part{`<Reference URI="` + uri + `"><Transforms>` + transforms + `</Transforms><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue/></Reference>`, o})
	}
	enveloped := `<Transform Algorithm="` + dsig + `enveloped-signature"/>`
	signature := c14n.ByName(dsig, "Signature")
	list := []string{"n1", "#default", "p"}
	for _, m := range c14n.Methods() {
		whole, element := "", "#%s"
		if m.Comments() {
			whole, element = "#xpointer(/)", "#xpointer(id('%s'))"
		}
		add(whole, enveloped+transform(m), c14n.Output{Method: m, Omit: signature})
		for _, id := range ids {
			add(fmt.Sprintf(element, id), transform(m), c14n.Output{Method: m, Select: c14n.ByID(id)})
			if m.Exclusive() {
				add(fmt.Sprintf(element, id), transform(m, list...), c14n.Output{Method: m, Prefixes: list, Select: c14n.ByID(id)})
			}
		}
		for _, s := range nodeSets() {
			if s.holes && (undeclared || m.Exclusive()) {
				continue
			}
			xpath := `<Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><XPath>` + strings.ReplaceAll(s.xpath, `"`, `&quot;`) + `</XPath></Transform>`
			add(whole, enveloped+xpath+transform(m), c14n.Output{Method: m, Omit: signature, Filter: s.filter})
		}
	}
	return all
}

// compareWithXmlsec has xmlsec1 fill the digests of a signature with many
// references into generated documents, and compares each with ours.
func compareWithXmlsec(t *testing.T, documents int) {
	t.Helper()
	program := needs.Program(t, "xmlsec1", "xmlsec1")
	folder := t.TempDir()
	key := filepath.Join(folder, "key")
	if err := os.WriteFile(key, []byte("not a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	digests := regexp.MustCompile(`<DigestValue>([^<]*)</DigestValue>`)
	undeclared := regexp.MustCompile(`xmlns\s*=\s*(""|'')`)
	equal := 0
	for seed := range documents {
		g := generator{Rand: rand.New(rand.NewPCG(uint64(seed), 8)), left: 40, withIDs: true}
		g.b.WriteString("<?xml version='1.0'?><!-- c --><?p?><root xml:base='http://r.example/s/' xml:lang='nl' xmlns='urn:root' xmlns:n1='urn:a' xml:id='root'>")
		g.element(1, map[string]string{"": "urn:root", "n1": "urn:a"})
		body := g.b.String()
		all := parts(g.ids, undeclared.MatchString(body))
		body += `<Signature xmlns="` + dsig + `"><SignedInfo><CanonicalizationMethod Algorithm="` + string(c14n.Inclusive10) + `"/>` +
			`<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"/>`
		outputs := make([]c14n.Output, len(all))
		sums := make([]hash.Hash, len(all))
		for i, p := range all {
			body += p.reference
			sums[i] = sha256.New()
			outputs[i] = p.output
			outputs[i].To = sums[i]
		}
		body += `</SignedInfo><SignatureValue/><KeyInfo><KeyName/></KeyInfo></Signature> </root><!-- d -->`
		source, signed := filepath.Join(folder, "in.xml"), filepath.Join(folder, "out.xml")
		if err := os.WriteFile(source, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, "--sign", "--hmackey", key, "--output", signed, source).CombinedOutput(); err != nil {
			t.Fatalf("document %d: xmlsec1: %v\n%.2000s", seed, err, out)
		}
		filled, err := os.ReadFile(signed)
		if err != nil {
			t.Fatal(err)
		}
		if err := c14n.Write(strings.NewReader(body), xmltext.Options{}, outputs...); err != nil {
			t.Fatalf("document %d: %v\n%s", seed, err, body)
		}
		for i, m := range digests.FindAllSubmatch(filled, -1) {
			if string(m[1]) == base64.StdEncoding.EncodeToString(sums[i].Sum(nil)) {
				equal++
				continue
			}
			var octets bytes.Buffer
			outputs[i].To = &octets
			_ = c14n.Write(strings.NewReader(body), xmltext.Options{}, outputs[i])
			t.Fatalf("document %d, %s\nsource %.3000q\nours %.3000q", seed, all[i].reference, body, octets.String())
		}
	}
	t.Logf("%d references equal", equal)
}

func TestWriteEqualsXmlsecOnPartsOfGeneratedDocuments(t *testing.T) {
	compareWithXmlsec(t, 5)
}
