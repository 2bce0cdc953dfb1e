package pin

import "errors"

// ErrFormat is a PIN that breaks its Rule. Which part is broken is not said.
var ErrFormat = errors.New("PIN has the wrong length or characters")

// Class is the set of characters that a PIN may be made of.
type Class string

// The classes. Anything outside ASCII is refused by the two of cards: digits of other
// scripts look right on a screen and use up a try on the card.
const (
	// Digits is 0 to 9.
	Digits Class = "digits"
	// Printable is ASCII from the exclamation mark to the tilde.
	Printable Class = "printable"
	// Text is anything without control characters, blanks included: the
	// password of a file, where a wrong entry uses up no try.
	Text Class = "text"
)

// Rule is what a card demands of a PIN before it looks at the value. Checking it
// first keeps an obvious slip of the finger from costing a try.
type Rule struct {
	// Min and Max bound the length in characters, both inclusive.
	Min, Max int
	Class    Class
}

// Check tells whether p may be sent to the card: nil, ErrFormat or ErrWiped.
func (r Rule) Check(p *PIN) error {
	return p.Use(func(secret []byte) error {
		if len(secret) < r.Min || len(secret) > r.Max {
			return ErrFormat
		}
		for _, c := range secret {
			if !r.Class.contains(c) {
				return ErrFormat
			}
		}
		return nil
	})
}

// contains is false for every character of an unknown class.
func (c Class) contains(b byte) bool {
	switch c {
	case Digits:
		return b >= '0' && b <= '9'
	case Printable:
		return b >= '!' && b <= '~'
	case Text:
		return b >= ' ' && b != 0x7f
	default:
		return false
	}
}
