// Command xsdgrammar turns the schema of an invoice format into the grammar that
// package facturae reads. It knows what the three FacturaE schemas use of XML
// Schema: named and local types, sequence, choice, occurrence, any, extension
// without additions, and the facets of simple types.
//
//	xsdgrammar Facturaev3_2_2.xsd > grammar/3.2.2.txt
//
// The schemas are published at facturae.gob.es.
package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
)

// node is an element of a schema.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
}

func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *node) child(name string) *node {
	for i := range n.Children {
		if n.Children[i].XMLName.Local == name {
			return &n.Children[i]
		}
	}
	return nil
}

type writer struct{ lines []string }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: xsdgrammar SCHEMA")
		os.Exit(2)
	}
	if err := convert(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func convert(name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var schema node
	if err := xml.Unmarshal(raw, &schema); err != nil {
		return err
	}
	w := new(writer)
	fmt.Printf("version %s\nnamespace %s\n", schema.attr("version"), schema.attr("targetNamespace"))
	for i := range schema.Children {
		c := &schema.Children[i]
		switch c.XMLName.Local {
		case "element":
			fmt.Printf("root %s\n", c.attr("name"))
			w.complex(c.attr("name"), c.child("complexType"))
		case "complexType":
			w.complex(c.attr("name"), c)
		case "simpleType":
			w.simple(c.attr("name"), c)
		}
	}
	for _, line := range w.lines {
		fmt.Println(line)
	}
	return nil
}

// complex writes a complex type and, before it, its local types.
func (w *writer) complex(name string, n *node) {
	model := ""
	if content := n.child("complexContent"); content != nil {
		fmt.Fprintf(os.Stderr, "%s extends %s without additions\n", name, content.child("extension").attr("base"))
		w.lines = append(w.lines, "same "+name+" "+content.child("extension").attr("base"))
		return
	}
	for i := range n.Children {
		if part := w.particle(name, &n.Children[i]); part != "" {
			model = part
		}
	}
	w.lines = append(w.lines, "complex "+name+" = "+model)
}

// particle writes a part of a content model.
func (w *writer) particle(owner string, n *node) string {
	body := ""
	switch n.XMLName.Local {
	case "element":
		if ref := n.attr("ref"); ref != "" {
			body = "@" + ref[strings.IndexByte(ref, ':')+1:]
			break
		}
		kind := n.attr("type")
		if c := n.child("complexType"); c != nil {
			kind = owner + "." + n.attr("name")
			w.complex(kind, c)
		}
		if s := n.child("simpleType"); s != nil {
			kind = owner + "." + n.attr("name")
			w.simple(kind, s)
		}
		body = n.attr("name") + ":" + kind
	case "any":
		body = "any"
	case "sequence", "choice":
		var parts []string
		for i := range n.Children {
			if p := w.particle(owner, &n.Children[i]); p != "" {
				parts = append(parts, p)
			}
		}
		separator := ", "
		if n.XMLName.Local == "choice" {
			separator = " | "
		}
		body = "(" + strings.Join(parts, separator) + ")"
	default:
		return ""
	}
	return body + occurrence(n)
}

func occurrence(n *node) string {
	least, most := n.attr("minOccurs"), n.attr("maxOccurs")
	switch {
	case least == "0" && most == "unbounded":
		return "*"
	case most == "unbounded":
		return "+"
	case least == "0":
		return "?"
	}
	return ""
}

// simple writes a simple type with its facets; a facet a line.
func (w *writer) simple(name string, n *node) {
	r := n.child("restriction")
	w.lines = append(w.lines, "simple "+name+" "+r.attr("base"))
	var words []string
	for i := range r.Children {
		f := &r.Children[i]
		switch f.XMLName.Local {
		case "enumeration":
			words = append(words, f.attr("value"))
		case "pattern", "length", "minLength", "maxLength":
			w.lines = append(w.lines, " "+f.XMLName.Local+" "+f.attr("value"))
		}
	}
	for _, word := range words {
		w.lines = append(w.lines, " value "+word)
	}
}
