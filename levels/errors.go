package levels

import "errors"

// ErrUnknownLevel is a word or URI that names no level of the canonical scale.
var ErrUnknownLevel = errors.New("unknown level of assurance")

// ErrUnknownScheme is a scheme or vocabulary that the mapping does not have.
var ErrUnknownScheme = errors.New("unknown scheme")

// ErrNoClass is a level that a scheme or vocabulary cannot express.
var ErrNoClass = errors.New("no class expresses this level")

// UnknownClassError is an upstream value that the mapping does not list. A login
// with such a value fails: unknown does not mean low.
type UnknownClassError struct {
	Scheme string
	// Value is what the upstream sent, verbatim and therefore untrusted.
	Value string
}

func (e *UnknownClassError) Error() string {
	return "scheme " + e.Scheme + " has no class " + quote(e.Value)
}
