package securemessaging

import (
	"errors"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// ErrClosed is a command given to a channel or session that has ended. Nothing
// was sent.
var ErrClosed = errors.New("secure channel is closed")

// ErrCommand is a command that cannot be protected: malformed, too long, already
// protected, or GET RESPONSE, which stays outside of any channel. Nothing was
// sent and the channel is as it was.
var ErrCommand = errors.New("command does not fit the secure channel")

// ErrKeys is a session made from keys, counter or MAC length of a wrong size.
var ErrKeys = errors.New("secure channel keys have the wrong size")

// LostError is an answer that ended the channel. Every kind of forgery gives the
// same error, so that a card learns nothing from it. It is a
// cardreader.ErrCardProtocol.
type LostError struct {
	// SW is the status word of an answer that came without any protection,
	// such as 6987, 6988 or 6982; 0 when protected data was wrong. It is not
	// authentic: good for a diagnosis, never for a success.
	SW apdu.StatusWord
}

func (e *LostError) Error() string {
	if e.SW == 0 {
		return "secure channel lost: answer is not authentic"
	}
	return "secure channel lost: unprotected answer " + e.SW.String()
}

// Unwrap gives cardreader.ErrCardProtocol.
func (e *LostError) Unwrap() error { return cardreader.ErrCardProtocol }
