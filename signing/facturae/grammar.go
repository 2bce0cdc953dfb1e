package facturae

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:embed grammar/*.txt
var grammars embed.FS

// grammar is the schema of one version.
type grammar struct {
	version, namespace, root string
	complex                  map[string]*automaton
	simple                   map[string]*simpleType
}

// automaton is a content model (Glushkov): a position for each name in it. Models
// of XML Schema are deterministic, so that a name leads to one position.
type automaton struct {
	positions []position
	first     []int
	follow    [][]int
	last      []bool
	empty     bool
}

// position is a place in a content model where an element may stand.
type position struct {
	name, kind string
	signature  bool // ds:Signature
	any        bool // an element of another namespace
}

// next finds the position that a name leads to; from -1 is the start.
func (a *automaton) next(from int, name, space string) int {
	list := a.first
	if from >= 0 {
		list = a.follow[from]
	}
	for _, i := range list {
		p := &a.positions[i]
		switch {
		case p.signature:
			if name == "Signature" && space == signatureNamespace {
				return i
			}
		case p.any:
			if space != "" {
				return i
			}
		case p.name == name && space == "":
			return i
		}
	}
	return -1
}

// expected lists what may stand at a place.
func (a *automaton) expected(from int) string {
	list := a.first
	if from >= 0 {
		list = a.follow[from]
	}
	var names []string
	for _, i := range list {
		if p := &a.positions[i]; p.name != "" {
			names = append(names, p.name)
		}
	}
	if len(names) == 0 {
		return "nothing more"
	}
	return strings.Join(names, " or ")
}

func (a *automaton) ends(at int) bool { return at < 0 && a.empty || at >= 0 && a.last[at] }

// simpleType is a type of values.
type simpleType struct {
	base           string
	values         []string
	patterns       []*regexp.Regexp
	length         int // characters, -1 for any
	least, most    int
	patternSources []string
}

// readGrammar reads a grammar; it is part of the program, so that what is wrong
// with it is a mistake of ours.
func readGrammar(text string) (*grammar, error) {
	g := &grammar{complex: make(map[string]*automaton), simple: make(map[string]*simpleType)}
	var open *simpleType
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "":
			if err := open.facet(rest); err != nil {
				return nil, err
			}
		case "version":
			g.version = rest
		case "namespace":
			g.namespace = rest
		case "root":
			g.root = rest
		case "simple":
			name, base, _ := strings.Cut(rest, " ")
			open = &simpleType{base: base, length: -1, most: -1}
			g.simple[name] = open
		case "complex":
			name, model, _ := strings.Cut(rest, " = ")
			a, err := compile(model)
			if err != nil {
				return nil, fmt.Errorf("grammar, %s: %w", name, err)
			}
			g.complex[name] = a
		case "same":
			name, other, _ := strings.Cut(rest, " ")
			g.complex[name] = &automaton{positions: []position{{kind: other}}}
		default:
			return nil, fmt.Errorf("grammar: %q", line)
		}
	}
	for name, a := range g.complex {
		if len(a.first) == 0 && len(a.positions) == 1 && a.follow == nil {
			g.complex[name] = g.complex[a.positions[0].kind]
		}
	}
	return g, nil
}

func (s *simpleType) facet(text string) error {
	name, value, _ := strings.Cut(text, " ")
	switch name {
	case "value":
		s.values = append(s.values, value)
	case "pattern":
		re, err := regexp.Compile(`^(?:` + value + `)$`)
		if err != nil {
			return fmt.Errorf("grammar: %w", err)
		}
		s.patterns = append(s.patterns, re)
		s.patternSources = append(s.patternSources, value)
	case "length", "minLength", "maxLength":
		n := 0
		if _, err := fmt.Sscanf(value, "%d", &n); err != nil {
			return fmt.Errorf("grammar: %w", err)
		}
		switch name {
		case "length":
			s.length = n
		case "minLength":
			s.least = n
		default:
			s.most = n
		}
	default:
		return fmt.Errorf("grammar: facet %q", text)
	}
	return nil
}

// check tells what is wrong with a value; empty is nothing. The value itself is
// not repeated: it may be personal.
func (s *simpleType) check(value string) string {
	if s.base != "xs:string" {
		value = strings.Trim(value, " \t\r\n")
		if problem := checkBase(s.base, value); problem != "" {
			return problem
		}
	}
	n := utf8.RuneCountInString(value)
	switch {
	case len(s.values) > 0 && !slices.Contains(s.values, value):
		return "not one of the listed values"
	case s.length >= 0 && n != s.length:
		return fmt.Sprintf("not of %d characters", s.length)
	case n < s.least:
		return fmt.Sprintf("fewer than %d characters", s.least)
	case s.most >= 0 && n > s.most:
		return fmt.Sprintf("more than %d characters", s.most)
	case len(s.patterns) > 0 && !slices.ContainsFunc(s.patterns, func(re *regexp.Regexp) bool { return re.MatchString(value) }):
		return "not of the form " + strings.Join(s.patternSources, " or ")
	}
	return ""
}

// versions reads the grammars once.
func versions() ([]*grammar, error) { return readOnce() }

//nolint:gochecknoglobals // read-only after its first use: the grammars that are part of the program
var readOnce = sync.OnceValues(func() ([]*grammar, error) {
	var all []*grammar
	for _, version := range []string{"3.2", "3.2.1", "3.2.2"} {
		text, err := grammars.ReadFile("grammar/" + version + ".txt")
		if err != nil {
			return nil, err
		}
		g, err := readGrammar(string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
})
