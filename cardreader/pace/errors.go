package pace

import "errors"

var (
	// ErrUnsupported: card and package have no PACE variant in common.
	ErrUnsupported = errors.New("card offers no supported PACE variant")
	// ErrCardAccess is an EF.CardAccess that is malformed.
	ErrCardAccess = errors.New("malformed EF.CardAccess")
	// ErrLastTry: the card announced that one wrong password more suspends it.
	// Nothing was tried. The person has to say yes (Options.AcceptLastTry).
	ErrLastTry = errors.New("one try is left for the password of the card")
	// ErrOptions is a call without something it needs.
	ErrOptions = errors.New("PACE options are incomplete")
)
