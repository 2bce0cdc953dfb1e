package levels

import (
	"fmt"
	"strings"
)

// Level is a level of assurance on the canonical scale. The numeric gaps leave
// room for national half-steps. Comparing two levels with < is meaningful;
// comparing values of two vocabularies is not: translate first.
type Level int

// The canonical scale (Commission Implementing Regulation (EU) 2015/1502 for
// low, substantial and high).
const (
	None        Level = 0
	BelowLow    Level = 5
	Low         Level = 10
	Substantial Level = 20
	High        Level = 30
)

// URIs of the canonical levels. Only the upper three are expressed with the
// European URIs; the lower two have URNs of our own, so that nobody takes them
// for a level of the regulation.
const (
	eidasPrefix = "http://eidas.europa.eu/LoA/"
	uriNone     = "urn:broker:loa:none"
	uriBelowLow = "urn:broker:loa:basic"
)

// canonical is the scale in ascending order with the word and URI of each step.
func canonical() []step {
	return []step{
		{None, "none", uriNone},
		{BelowLow, "basic", uriBelowLow},
		{Low, "low", eidasPrefix + "low"},
		{Substantial, "substantial", eidasPrefix + "substantial"},
		{High, "high", eidasPrefix + "high"},
	}
}

type step struct {
	level Level
	word  string
	uri   string
}

// Scale returns the canonical levels in ascending order.
func Scale() []Level {
	steps := canonical()
	scale := make([]Level, len(steps))
	for i, s := range steps {
		scale[i] = s.level
	}
	return scale
}

// atMost is the highest canonical step that is not above l.
func atMost(l Level) step {
	steps := canonical()
	found := steps[0]
	for _, s := range steps {
		if s.level <= l {
			found = s
		}
	}
	return found
}

// URI names the level in an acr claim. A half-step is named by the highest
// canonical level below it, because a name must not promise more.
func (l Level) URI() string { return atMost(l).uri }

// String is the plain English word: none, basic, low, substantial or high. A
// half-step prints its number.
func (l Level) String() string {
	if s := atMost(l); s.level == l {
		return s.word
	}
	return fmt.Sprintf("level(%d)", int(l))
}

// MarshalText writes the plain word. Half-steps have none and are an error.
func (l Level) MarshalText() ([]byte, error) {
	if s := atMost(l); s.level == l {
		return []byte(s.word), nil
	}
	return nil, fmt.Errorf("level %d has no name", int(l))
}

// UnmarshalText reads what MarshalText writes.
func (l *Level) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}

// Parse reads a plain word of the canonical scale, exactly as String writes it.
func Parse(word string) (Level, error) {
	for _, s := range canonical() {
		if s.word == word {
			return s.level, nil
		}
	}
	return None, fmt.Errorf("%w: %s", ErrUnknownLevel, quote(word))
}

// ParseURI reads a level's URI, exactly as URI writes it. A URI that begins with
// the European prefix but is not one of its three is unknown like any other.
func ParseURI(uri string) (Level, error) {
	for _, s := range canonical() {
		if s.uri == uri {
			return s.level, nil
		}
	}
	return None, fmt.Errorf("%w: %s", ErrUnknownLevel, quote(uri))
}

// quote makes a foreign value fit for an error message: one line, bounded.
func quote(value string) string {
	const longest = 128 // bytes; the longest URI in use has 63
	if len(value) > longest {
		value = strings.ToValidUTF8(value[:longest], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}
