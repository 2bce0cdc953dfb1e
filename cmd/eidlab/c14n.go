package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

type c14nCommand struct {
	Method   string            `required:"" help:"Algorithm identifier of the canonical form, such as http://www.w3.org/2001/10/xml-exc-c14n#." placeholder:"URI"`
	ID       string            `name:"id" xor:"part" help:"Only the element with this ID (attribute Id, ID, id, xml:id or one that the DOCTYPE declares)." placeholder:"ID"`
	Element  string            `xor:"part" help:"Only the first element of this name." placeholder:"{NAMESPACE}NAME"`
	Omit     string            `help:"Leave out the elements of this name." placeholder:"{NAMESPACE}NAME"`
	Prefixes []string          `name:"prefix-list" sep:" " help:"PrefixList of InclusiveNamespaces, for the exclusive form." placeholder:"PREFIXES"`
	Entity   map[string]string `help:"A file that holds the text of the external entity with this system identifier." placeholder:"SYSTEM=FILE"`
	File     string            `arg:"" help:"XML document; - is standard input. A DOCTYPE is read here, with its internal subset and nothing outside; signing refuses it."`
}

// Run prints the octets and nothing else, not even a line feed at the end.
func (c c14nCommand) Run(s streams) error {
	if _, err := c14n.ParseMethod(c.Method); err != nil {
		return fmt.Errorf("%w; there are:\n%s", err, methods())
	}
	o := c14n.Output{Method: c14n.Method(c.Method), Prefixes: c.Prefixes, To: s.out}
	switch {
	case c.ID != "":
		o.Select = c14n.ByID(c.ID)
	case c.Element != "":
		o.Select = first(named(c.Element))
	}
	if c.Omit != "" {
		o.Omit = named(c.Omit)
	}
	external := make(map[string][]byte)
	for system, file := range c.Entity {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		external[system] = text
	}
	source := s.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		source = f
	}
	if err := c.write(source, external, o); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}

func (c c14nCommand) write(source io.Reader, external map[string][]byte, o c14n.Output) error {
	const most = 1 << 40 // as much as the reader ever takes
	err := c14n.Write(source, xmltext.Options{
		Limits: xmltext.Limits{Size: most, Elements: most},
		Subset: &xmltext.Subset{External: external},
	}, o)
	switch {
	case errors.Is(err, c14n.ErrNotFound) && c.ID != "":
		return fmt.Errorf("%w: ID %q", err, c.ID)
	case errors.Is(err, c14n.ErrNotFound):
		return fmt.Errorf("%w: %s", err, c.Element)
	case errors.Is(err, c14n.ErrAmbiguous):
		return fmt.Errorf("%w: ID %q", err, c.ID)
	}
	return err
}

func methods() string {
	var lines []string
	for _, m := range c14n.Methods() {
		lines = append(lines, "  "+string(m))
	}
	return strings.Join(lines, "\n")
}

// named picks elements by {namespace}local, or local for those in none.
func named(name string) c14n.Selector {
	if space, local, ok := strings.Cut(strings.TrimPrefix(name, "{"), "}"); ok {
		return c14n.ByName(space, local)
	}
	return c14n.ByName("", name)
}

func first(of c14n.Selector) c14n.Selector {
	found := false
	return func(t *xmltext.Token) bool {
		is := !found && of(t)
		found = found || is
		return is
	}
}
