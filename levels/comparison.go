package levels

import (
	"fmt"
	"slices"
)

// Comparison says how a level must relate to the levels asked for. The words
// are those of SAML 2.0 core, 3.3.2.2.1.
type Comparison string

// The four comparisons.
const (
	Exact   Comparison = "exact"
	Minimum Comparison = "minimum"
	Better  Comparison = "better"
	Maximum Comparison = "maximum"
)

// ParseComparison reads a comparison word.
func ParseComparison(word string) (Comparison, error) {
	switch c := Comparison(word); c {
	case Exact, Minimum, Better, Maximum:
		return c, nil
	}
	return "", fmt.Errorf("unknown comparison %s", quote(word))
}

// Satisfies reports whether the actual level answers a request. Minimum asks
// for at least one listed level, Exact for equality with one, Better for more
// than every one, Maximum for no more than any one. None is the absence of a
// login and satisfies nothing; an empty request is satisfied by nothing, as
// SAML demands at least one entry.
func Satisfies(comparison Comparison, actual Level, requested []Level) bool {
	if actual <= None || len(requested) == 0 {
		return false
	}
	switch comparison {
	case Exact:
		return slices.Contains(requested, actual)
	case Minimum:
		return actual >= slices.Min(requested)
	case Better:
		return actual > slices.Max(requested)
	case Maximum:
		return actual <= slices.Min(requested)
	}
	return false
}
