package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

// parser builds a tree out of a token stream and refuses everything that
// readers of XML disagree about: document types, processing instructions,
// comments, undeclared or relative namespaces, doubled attributes, text around
// the root, names outside ASCII.
type parser struct {
	limits   Limits
	comments bool     // read past comments (metadata, recorded messages)
	foreign  bool     // allow attributes of other namespaces (metadata, recorded messages)
	allowed  []string // namespaces of attributes that are allowed in any case
	newlines bool     // allow line ends in attribute values (metadata)

	root     *element
	current  *element
	depth    int
	elements int
	declared int
	scope    []declaration
	ids      map[string]struct{}
}

func (e *Expectation) parser(l Limits) *parser {
	return &parser{limits: l, comments: e.Lenient.Comments, foreign: e.Lenient.ForeignAttributes, allowed: e.Vocabularies}
}

// parseInside parses a document that was inside another one, where the
// namespaces of scope hold.
func (p *parser) parseInside(data []byte, scope []declaration) (*element, error) {
	for _, d := range scope {
		if d.prefix != "xml" {
			p.scope = append(p.scope, d)
		}
	}
	root, err := p.parse(data)
	if err != nil {
		return nil, err
	}
	for _, d := range scope {
		if !slices.ContainsFunc(root.declarations, func(own declaration) bool { return own.prefix == d.prefix }) {
			root.declarations = append(root.declarations, d)
		}
	}
	return root, nil
}

func parseMetadataXML(data []byte, l Limits) (*element, error) {
	p := parser{limits: l, comments: true, foreign: true, newlines: true}
	return p.parse(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
}

func (p *parser) parse(data []byte) (*element, error) {
	if len(data) > p.limits.Bytes {
		return nil, reject(ReasonTooLarge, "document of more than %d bytes", p.limits.Bytes)
	}
	p.ids = make(map[string]struct{})
	p.scope = append(p.scope, declaration{prefix: "xml", ns: xmlNS})
	d := xml.NewDecoder(bytes.NewReader(data))
	for first := true; ; first = false {
		at := d.InputOffset()
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// The decoder's text may quote the document.
			return nil, reject(ReasonXML, "not well-formed near byte %d", d.InputOffset())
		}
		if err := p.token(token, first && at == 0); err != nil {
			return nil, err
		}
	}
	if p.root == nil || p.current != nil {
		return nil, reject(ReasonXML, "document ends early")
	}
	return p.root, nil
}

func (p *parser) token(token xml.Token, first bool) error {
	switch t := token.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		return p.end(t)
	case xml.CharData:
		return p.text(string(t))
	case xml.Comment:
		if !p.comments || p.within(signatureNS, "SignedInfo") || p.within(signatureNS, "SignatureValue") {
			return reject(ReasonXML, "comment")
		}
		if p.current != nil {
			p.current.children = append(p.current.children, node{text: string(t), comment: true})
		}
		return nil
	case xml.ProcInst:
		if !first || t.Target != "xml" {
			return reject(ReasonXML, "processing instruction")
		}
		return checkDeclaration(string(t.Inst))
	case xml.Directive:
		return reject(ReasonXML, "document type declaration")
	}
	return reject(ReasonXML, "unknown token")
}

// checkDeclaration takes what the decoder let through of an XML declaration;
// the decoder itself refuses versions other than 1.0 and foreign encodings.
func checkDeclaration(inst string) error {
	if !strings.Contains(inst, "version") {
		return reject(ReasonXML, "XML declaration without version")
	}
	return nil
}

func (p *parser) within(ns, local string) bool {
	for e := p.current; e != nil; e = e.parent {
		if e.is(ns, local) {
			return true
		}
	}
	return false
}

func (p *parser) start(t xml.StartElement) error {
	switch {
	case p.current == nil && p.root != nil:
		return reject(ReasonXML, "second root element")
	case p.depth >= p.limits.Depth:
		return reject(ReasonTooLarge, "more than %d levels", p.limits.Depth)
	case p.elements >= p.limits.Elements:
		return reject(ReasonTooLarge, "more than %d elements", p.limits.Elements)
	case len(t.Attr) > p.limits.Attributes:
		return reject(ReasonTooLarge, "more than %d attributes", p.limits.Attributes)
	case !isName(t.Name.Local) || t.Name.Space != "" && !isName(t.Name.Space):
		return reject(ReasonXML, "element name")
	}
	e := &element{prefix: t.Name.Space, local: t.Name.Local, parent: p.current}
	if err := p.declare(e, t.Attr); err != nil {
		return err
	}
	var ok bool
	if e.ns, ok = p.lookup(e.prefix); !ok && e.prefix != "" {
		return reject(ReasonXML, "undeclared prefix")
	}
	if err := p.attributes(e, t.Attr); err != nil {
		return err
	}
	if p.current == nil {
		p.root = e
	} else {
		p.current.children = append(p.current.children, node{element: e})
	}
	p.current = e
	p.depth++
	p.elements++
	return nil
}

// declare takes the namespace declarations of a start tag into scope.
func (p *parser) declare(e *element, attrs []xml.Attr) error {
	for _, a := range attrs {
		var d declaration
		switch {
		case a.Name.Space == "xmlns":
			d = declaration{prefix: a.Name.Local, ns: a.Value}
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			d = declaration{ns: a.Value}
		default:
			continue
		}
		if p.declared++; p.declared > p.limits.Declarations {
			return reject(ReasonTooLarge, "more than %d namespace declarations", p.limits.Declarations)
		}
		if err := checkNamespace(d); err != nil {
			return err
		}
		for _, have := range e.declarations {
			if have.prefix == d.prefix {
				return reject(ReasonXML, "namespace declared twice")
			}
		}
		e.declarations = append(e.declarations, d)
		p.scope = append(p.scope, d)
	}
	return nil
}

func checkNamespace(d declaration) error {
	switch {
	case d.prefix != "" && !isName(d.prefix):
		return reject(ReasonXML, "namespace prefix")
	case len(d.ns) > maxNamespace:
		return reject(ReasonTooLarge, "namespace name of more than %d bytes", maxNamespace)
	case d.prefix == "xml" && d.ns == xmlNS:
		return nil
	case d.prefix == "xml", d.prefix == "xmlns", d.ns == xmlNS, d.ns == xmlnsNS:
		return reject(ReasonXML, "reserved namespace")
	case !isAbsolute(d.ns):
		// Relative and empty names make some canonicalizers produce nothing
		// (CVE-2025-66475).
		return reject(ReasonXML, "namespace name is not absolute")
	}
	return nil
}

func (p *parser) attributes(e *element, attrs []xml.Attr) error {
	e.attributes = make([]attribute, 0, len(attrs)-len(e.declarations))
	for _, a := range attrs {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		if !isName(a.Name.Local) || a.Name.Space != "" && !isName(a.Name.Space) {
			return reject(ReasonXML, "attribute name")
		}
		if !p.newlines && strings.ContainsAny(a.Value, "\t\r\n") {
			// XML 1.0 3.3.3 turns a literal line end into a blank and leaves a
			// referenced one; the decoder does not tell them apart.
			return reject(ReasonXML, "line end in an attribute")
		}
		added := attribute{prefix: a.Name.Space, local: a.Name.Local, value: a.Value}
		if added.prefix != "" {
			var ok bool
			if added.ns, ok = p.lookup(added.prefix); !ok {
				return reject(ReasonXML, "undeclared prefix")
			}
			if !p.foreign && added.ns != xmlNS && added.ns != schemaNS && !slices.Contains(p.allowed, added.ns) {
				return reject(ReasonXML, "attribute of another namespace")
			}
		}
		// One local name twice, even in two namespaces, is read differently by
		// different readers (threat X-32).
		for i := range e.attributes {
			if e.attributes[i].local == added.local {
				return reject(ReasonXML, "attribute given twice")
			}
		}
		e.attributes = append(e.attributes, added)
		if err := p.identify(added); err != nil {
			return err
		}
	}
	return nil
}

// identify keeps every value that some reader could take for an identifier.
func (p *parser) identify(a attribute) error {
	switch a.local {
	case "ID", "Id", "id", "AssertionID", "ResponseID":
	default:
		return nil
	}
	if _, twice := p.ids[a.value]; twice {
		return reject(ReasonDuplicateID, "identifier used twice")
	}
	p.ids[a.value] = struct{}{}
	return nil
}

func (p *parser) lookup(prefix string) (string, bool) {
	for i := len(p.scope) - 1; i >= 0; i-- {
		if p.scope[i].prefix == prefix {
			return p.scope[i].ns, true
		}
	}
	return "", false
}

func (p *parser) end(t xml.EndElement) error {
	e := p.current
	if e == nil || e.prefix != t.Name.Space || e.local != t.Name.Local {
		return reject(ReasonXML, "end tag without start tag")
	}
	p.scope = p.scope[:len(p.scope)-len(e.declarations)]
	p.current = e.parent
	p.depth--
	return nil
}

func (p *parser) text(s string) error {
	if p.current == nil {
		if !isBlank(s) {
			return reject(ReasonXML, "text outside the root element")
		}
		return nil
	}
	p.current.children = append(p.current.children, node{text: s})
	return nil
}

// isName accepts the ASCII part of NCName (Namespaces in XML 1.0). No SAML
// vocabulary needs more.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// isAbsolute asks for a URI scheme (RFC 3986 section 3.1) and visible ASCII.
func isAbsolute(uri string) bool {
	scheme, rest, found := strings.Cut(uri, ":")
	if !found || rest == "" || !isName(strings.ReplaceAll(scheme, "+", "")) {
		return false
	}
	for i := range len(uri) {
		if uri[i] <= ' ' || uri[i] > '~' {
			return false
		}
	}
	return true
}

func isBlank(s string) bool {
	return strings.Trim(s, " \t\r\n") == ""
}
