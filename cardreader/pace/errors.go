package pace

import (
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
)

var (
	// ErrUnsupported: card and package have no PACE variant in common. It is a
	// cardreader.ErrCardUnsupported.
	ErrUnsupported = fmt.Errorf("%w: no PACE variant in common", cardreader.ErrCardUnsupported)
	// ErrCardAccess is an EF.CardAccess that is malformed. It is a
	// cardreader.ErrCardProtocol.
	ErrCardAccess = fmt.Errorf("%w: malformed EF.CardAccess", cardreader.ErrCardProtocol)
	// ErrLastTry: the card announced that one wrong password more suspends it.
	// Nothing was tried. The person has to say yes (Options.AcceptLastTry).
	ErrLastTry = errors.New("one try is left for the password of the card")
	// ErrOptions is a call without something it needs.
	ErrOptions = errors.New("PACE options are incomplete")
)
