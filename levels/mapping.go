package levels

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

//go:embed mapping.json
var mappingJSON []byte

// Mapping is the table from the values of upstream schemes to levels, and from
// levels to the words of other vocabularies. It is read-only and may be used by
// several goroutines.
type Mapping struct {
	version      string
	schemes      map[string][]Row
	vocabularies map[string][]Word
}

// Row maps one value of a scheme.
type Row struct {
	// Rule names the row in receipts: "digid.substantieel".
	Rule string `json:"rule"`
	// Value is the upstream's word, compared byte by byte, or without regard to
	// ASCII case if Fold is set.
	Value string `json:"value"`
	Fold  bool   `json:"fold,omitempty"`
	// Level is what the value is worth.
	Level Level `json:"level"`
	// Claimed is what the value says of itself where that is not believed.
	Claimed Level `json:"claimed,omitempty"`
	// Notified and OfficialJournal: see Assessment.
	Notified        bool   `json:"notified"`
	OfficialJournal string `json:"officialJournal,omitempty"`
	// AMR holds what is certain from the value alone.
	AMR []string `json:"amr,omitempty"`
	// Source is the document or decision behind the row.
	Source string `json:"source"`
}

// Word is one word of a vocabulary for a level.
type Word struct {
	Value string `json:"value"`
	Level Level  `json:"level"`
}

// document is the form of the data file.
type document struct {
	Version string `json:"version"`
	Schemes []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Rows []Row  `json:"rows"`
	} `json:"schemes"`
	Vocabularies []struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Source string `json:"source"`
		Words  []Word `json:"words"`
	} `json:"vocabularies"`
}

// Default is the mapping that is built in.
func Default() *Mapping {
	m, err := Load(mappingJSON)
	if err != nil {
		panic("levels: built-in mapping: " + err.Error()) // a test loads it
	}
	return m
}

// Load reads a mapping file. It refuses unknown members, empty or repeated
// names, values that two rows claim, and rows without a source.
func Load(data []byte) (*Mapping, error) {
	if len(data) > maxMappingFile {
		return nil, fmt.Errorf("mapping file is larger than %d bytes", maxMappingFile)
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("reading mapping file: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("mapping file goes on after its end")
	}
	if d.Version == "" {
		return nil, errors.New("mapping file has no version")
	}
	m := &Mapping{version: d.Version, schemes: map[string][]Row{}, vocabularies: map[string][]Word{}}
	rules := map[string]bool{}
	for _, s := range d.Schemes {
		if s.ID == "" || m.schemes[s.ID] != nil {
			return nil, fmt.Errorf("scheme %s is unnamed or listed twice", quote(s.ID))
		}
		for i, r := range s.Rows {
			if err := r.check(s.Rows[:i]); err != nil {
				return nil, fmt.Errorf("scheme %s: %w", s.ID, err)
			}
			if rules[r.Rule] {
				return nil, fmt.Errorf("scheme %s: rule %s is listed twice", s.ID, quote(r.Rule))
			}
			rules[r.Rule] = true
		}
		m.schemes[s.ID] = s.Rows
	}
	for _, v := range d.Vocabularies {
		if v.ID == "" || m.vocabularies[v.ID] != nil || v.Source == "" {
			return nil, fmt.Errorf("vocabulary %s is unnamed, listed twice or without source", quote(v.ID))
		}
		for i, w := range v.Words {
			same := func(other Word) bool { return other.Value == w.Value }
			if w.Value == "" || slices.ContainsFunc(v.Words[:i], same) {
				return nil, fmt.Errorf("vocabulary %s: word %s is empty or listed twice", v.ID, quote(w.Value))
			}
		}
		m.vocabularies[v.ID] = v.Words
	}
	return m, nil
}

// With returns a mapping with one scheme more: the classes of an upstream that an
// operator describes. Nothing in it is notified, because an operator cannot
// notify.
func (m *Mapping) With(scheme string, rows []Row) (*Mapping, error) {
	if scheme == "" || m.schemes[scheme] != nil || len(rows) == 0 {
		return nil, fmt.Errorf("scheme %s is unnamed, without classes or listed twice", quote(scheme))
	}
	for i, r := range rows {
		if err := r.check(rows[:i]); err != nil {
			return nil, fmt.Errorf("scheme %s: %w", scheme, err)
		}
		if r.Notified {
			return nil, fmt.Errorf("scheme %s: row %s claims to be notified", scheme, quote(r.Rule))
		}
	}
	more := &Mapping{version: m.version, schemes: maps.Clone(m.schemes), vocabularies: m.vocabularies}
	more.schemes[scheme] = slices.Clone(rows)
	return more, nil
}

func (r Row) check(earlier []Row) error {
	switch {
	case r.Rule == "" || r.Value == "" || r.Source == "":
		return fmt.Errorf("row %s lacks rule, value or source", quote(r.Rule))
	case r.Notified && r.Level < Low:
		return fmt.Errorf("row %s: only low and above can be notified", quote(r.Rule))
	case r.Claimed != None && r.Level > r.Claimed:
		return fmt.Errorf("row %s is worth more than it claims", quote(r.Rule))
	}
	for _, other := range earlier {
		if other.matches(r.Value) || r.matches(other.Value) {
			return fmt.Errorf("value %s is listed twice", quote(r.Value))
		}
	}
	return nil
}

func (r Row) matches(value string) bool {
	if r.Fold {
		return foldASCII(r.Value) == foldASCII(value)
	}
	return r.Value == value
}

// foldASCII lowers A to Z only: Unicode folding would let look-alike letters
// (the Kelvin sign, the long s) pass for others.
func foldASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + ('a' - 'A')
		}
		return c
	}, s)
}

// Version is the version of the mapping, which receipts carry.
func (m *Mapping) Version() string { return m.version }

// Schemes lists the names of the schemes, sorted.
func (m *Mapping) Schemes() []string { return sortedKeys(m.schemes) }

// Vocabularies lists the names of the vocabularies, sorted.
func (m *Mapping) Vocabularies() []string { return sortedKeys(m.vocabularies) }

// Rows returns a copy of a scheme's rows, or nil.
func (m *Mapping) Rows(scheme string) []Row { return slices.Clone(m.schemes[scheme]) }

// Words returns a copy of a vocabulary's words, or nil.
func (m *Mapping) Words(vocabulary string) []Word { return slices.Clone(m.vocabularies[vocabulary]) }

func sortedKeys[V any](table map[string]V) []string {
	keys := make([]string, 0, len(table))
	for k := range table {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Assess maps what an upstream asserted and applies the ceilings. A value that
// the scheme does not list is an *UnknownClassError. The result may be None,
// which no requirement accepts.
func (m *Mapping) Assess(scheme, upstreamValue string, ceilings ...Ceiling) (Assessment, error) {
	rows, ok := m.schemes[scheme]
	if !ok {
		return Assessment{}, fmt.Errorf("%w: %s", ErrUnknownScheme, quote(scheme))
	}
	for _, r := range rows {
		if r.matches(upstreamValue) {
			return Assessment{
				Level: r.Level, Asserted: r.Level,
				Scheme: scheme, Value: upstreamValue, Rule: r.Rule,
				Notified: r.Notified, OfficialJournal: r.OfficialJournal,
				AMR: r.AMR, PolicyVersion: m.version,
			}.Lower(ceilings...), nil
		}
	}
	return Assessment{}, &UnknownClassError{Scheme: scheme, Value: upstreamValue}
}

// Class returns the smallest class of a scheme that is not below least, to be
// asked of the upstream, with the rule of its row. If there is none, the error
// is ErrNoClass.
func (m *Mapping) Class(scheme string, least Level) (value, rule string, err error) {
	rows, ok := m.schemes[scheme]
	if !ok {
		return "", "", fmt.Errorf("%w: %s", ErrUnknownScheme, quote(scheme))
	}
	var best *Row
	for i, r := range rows {
		if r.Level > None && r.Level >= least && (best == nil || r.Level < best.Level) {
			best = &rows[i]
		}
	}
	if best == nil {
		return "", "", fmt.Errorf("%w: scheme %s, level %s", ErrNoClass, scheme, least)
	}
	return best.Value, best.Rule, nil
}

// Translate says a level in a vocabulary: the word for the highest level that
// is not above l. If the vocabulary has none, the error is ErrNoClass. Of two
// words for the same level the first listed is used.
func (m *Mapping) Translate(l Level, vocabulary string) (string, error) {
	words, ok := m.vocabularies[vocabulary]
	if !ok {
		return "", fmt.Errorf("%w: vocabulary %s", ErrUnknownScheme, quote(vocabulary))
	}
	var best *Word
	for i, w := range words {
		if w.Level > None && w.Level <= l && (best == nil || w.Level > best.Level) {
			best = &words[i]
		}
	}
	if best == nil {
		return "", fmt.Errorf("%w: vocabulary %s, level %s", ErrNoClass, vocabulary, l)
	}
	return best.Value, nil
}

// Understand reads a word of a vocabulary, as a relying party uses it to ask
// for a level. A word that is not listed is an *UnknownClassError.
func (m *Mapping) Understand(vocabulary, value string) (Level, error) {
	words, ok := m.vocabularies[vocabulary]
	if !ok {
		return None, fmt.Errorf("%w: vocabulary %s", ErrUnknownScheme, quote(vocabulary))
	}
	for _, w := range words {
		if w.Value == value {
			return w.Level, nil
		}
	}
	return None, &UnknownClassError{Scheme: vocabulary, Value: value}
}
