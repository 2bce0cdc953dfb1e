package facturae

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

const signatureNamespace = "http://www.w3.org/2000/09/xmldsig#"

// Errors a caller decides on.
var (
	// ErrSchema: an XML document that is no invoice of a known version. Every
	// *SchemaError matches it.
	ErrSchema = errors.New("not an invoice of FacturaE 3.2, 3.2.1 or 3.2.2")
	// ErrSigned: the invoice carries a signature already. The format has no
	// co-signatures.
	ErrSigned = errors.New("the invoice is signed already")
)

// SchemaError says where an invoice departs from its schema.
type SchemaError struct {
	// Path leads from the document element to what is wrong, Offset is where that
	// stands, bytes.
	Path    string
	Offset  int64
	Problem string
}

// Error names path and problem.
func (e *SchemaError) Error() string { return fmt.Sprintf("%s: %s", e.Path, e.Problem) }

// Is makes errors.Is(err, ErrSchema) true.
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// Invoice is what Check found.
type Invoice struct {
	// Version is "3.2", "3.2.1" or "3.2.2".
	Version string
	// Issuer is who signs, by InvoiceIssuerType: "EM", "RE" or "TE".
	Issuer string
	// Signed tells that the invoice carries a signature.
	Signed bool
}

// Check reads an invoice to its end and compares it with the schema of its
// version. A departure is a *SchemaError, a document that is not XML an
// *xmltext.Error.
func Check(src io.Reader, limits xmltext.Limits) (*Invoice, error) {
	all, err := versions()
	if err != nil {
		return nil, err
	}
	c, reader := &checker{versions: all}, xmltext.NewReader(src, xmltext.Options{Limits: limits})
	for {
		t, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return &c.invoice, nil
		}
		if err != nil {
			return nil, err
		}
		if err := c.token(t); err != nil {
			return nil, err
		}
	}
}

// checker follows an invoice through its grammar.
type checker struct {
	versions []*grammar
	grammar  *grammar
	invoice  Invoice
	open     []level
	skipping int // depth of an element whose content is not ours
	text     []byte
	// sound are values that were found good, each behind the name of its type: units,
	// rates and codes are the same in most lines of an invoice.
	sound map[string]bool
	key   []byte
}

// maxSound bounds what is remembered, in values of 64 bytes at most.
const (
	maxSound      = 4096
	maxSoundValue = 64
)

// level is an open element.
type level struct {
	name  string
	model *automaton // nil for a simple type
	kind  string
	at    int // position in the model, -1 at its start
}

func (c *checker) wrong(t *xmltext.Token, format string, args ...any) error {
	var path []string
	for _, l := range c.open {
		path = append(path, l.name)
	}
	return &SchemaError{Path: "/" + strings.Join(path, "/"), Offset: t.Start, Problem: fmt.Sprintf(format, args...)}
}

func (c *checker) token(t *xmltext.Token) error {
	if c.skipping > 0 {
		if t.Kind == xmltext.EndElement && t.Depth == c.skipping {
			c.skipping = 0
		}
		return nil
	}
	switch t.Kind {
	case xmltext.StartElement:
		return c.start(t)
	case xmltext.EndElement:
		return c.end(t)
	case xmltext.Text, xmltext.CDATA:
		return c.characters(t)
	}
	return nil
}

func (c *checker) start(t *xmltext.Token) error {
	local, space := string(t.Name.Local()), string(t.Name.Space)
	if len(c.open) == 0 {
		return c.root(t, local, space)
	}
	parent := &c.open[len(c.open)-1]
	if parent.model == nil {
		return c.wrong(t, "holds the element %.60q instead of a value", local)
	}
	next := parent.model.next(parent.at, local, space)
	if next < 0 {
		return c.wrong(t, "the element %.60q stands where %s is expected", local, parent.model.expected(parent.at))
	}
	parent.at = next
	p := &parent.model.positions[next]
	if p.signature || p.any {
		c.invoice.Signed = c.invoice.Signed || p.signature
		c.skipping = t.Depth
		return nil
	}
	c.open = append(c.open, level{name: p.name, model: c.grammar.complex[p.kind], kind: p.kind, at: -1})
	if err := c.attributes(t); err != nil {
		return err
	}
	c.text = c.text[:0]
	return nil
}

// root finds the version by the namespace of the document element.
func (c *checker) root(t *xmltext.Token, local, space string) error {
	i := slices.IndexFunc(c.versions, func(g *grammar) bool { return g.root == local && g.namespace == space })
	if i < 0 {
		return c.wrong(t, "the document element is %.60q of namespace %.100q, which is no invoice of FacturaE 3.2, 3.2.1 or 3.2.2", local, space)
	}
	c.grammar = c.versions[i]
	c.invoice.Version = c.grammar.version
	c.open = append(c.open, level{name: local, model: c.grammar.complex[c.grammar.root], at: -1})
	return c.attributes(t)
}

// attributes refuses those the schema has not: it has none but those of schema
// instances.
func (c *checker) attributes(t *xmltext.Token) error {
	for i := range t.Attributes {
		if name := &t.Attributes[i].Name; string(name.Space) != "http://www.w3.org/2001/XMLSchema-instance" {
			return c.wrong(t, "has an attribute %.60q", name.Local())
		} else if local := string(name.Local()); local != "schemaLocation" && local != "noNamespaceSchemaLocation" {
			return c.wrong(t, "has an attribute xsi:%.60s", local)
		}
	}
	return nil
}

func (c *checker) characters(t *xmltext.Token) error {
	if len(c.open) == 0 {
		return nil
	}
	if c.open[len(c.open)-1].model == nil {
		if len(c.text)+len(t.Data) > 1<<20 {
			return c.wrong(t, "more than a megabyte of text")
		}
		c.text = append(c.text, t.Data...)
		return nil
	}
	if len(bytes.TrimLeft(t.Data, " \t\r\n")) > 0 {
		return c.wrong(t, "text where elements are expected")
	}
	return nil
}

func (c *checker) end(t *xmltext.Token) error {
	l := c.open[len(c.open)-1]
	if l.model != nil {
		if !l.model.ends(l.at) {
			return c.wrong(t, "ends where %s is expected", l.model.expected(l.at))
		}
	} else if problem := c.value(l); problem != "" {
		return c.wrong(t, "%s", problem)
	}
	c.open = c.open[:len(c.open)-1]
	return nil
}

// value checks the text of an element with a simple type.
func (c *checker) value(l level) string {
	defer func() { c.text = c.text[:0] }()
	if l.name == "InvoiceIssuerType" {
		c.invoice.Issuer = string(c.text)
	}
	c.key = append(append(append(c.key[:0], l.kind...), 0), c.text...)
	if c.sound[string(c.key)] {
		return ""
	}
	problem, text := "", string(c.text)
	if s := c.grammar.simple[l.kind]; s != nil {
		problem = s.check(text)
	} else {
		problem = checkBase(l.kind, strings.Trim(text, " \t\r\n"))
	}
	if problem == "" && len(text) <= maxSoundValue {
		if c.sound == nil || len(c.sound) == maxSound {
			c.sound = make(map[string]bool)
		}
		c.sound[string(c.key)] = true
	}
	return problem
}

// checkBase checks a value of a type of XML Schema, without the white space
// around it.
func checkBase(kind, value string) string {
	ok := true
	switch kind {
	case "xs:string":
	case "xs:double":
		ok = double.MatchString(value)
	case "xs:long":
		ok = long.MatchString(value)
	case "xs:date":
		ok = isDate(value)
	default:
		return "is of an unknown type " + kind
	}
	if !ok {
		return "not a value of type " + strings.TrimPrefix(kind, "xs:")
	}
	return ""
}

// The lexical forms of numbers, XML Schema part 2 sections 3.2.5 and 3.3.20.
var (
	double = regexp.MustCompile(`^(?:[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-?INF|NaN)$`)
	long   = regexp.MustCompile(`^[+-]?[0-9]{1,19}$`)
)

// isDate knows the lexical form of xs:date, years of four digits.
func isDate(value string) bool {
	day, zone := value, ""
	if len(value) > len(time.DateOnly) {
		day, zone = value[:len(time.DateOnly)], value[len(time.DateOnly):]
	}
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return false
	}
	if zone == "" || zone == "Z" {
		return true
	}
	_, err := time.Parse("-07:00", zone)
	return err == nil
}
