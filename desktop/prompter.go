package desktop

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop/origins"
)

// Prompter asks the person, in a window or terminal of the agent's own, never on
// a page. The service calls it for one question at a time. Every method returns
// when ctx ends, having taken its question away. A no is ErrDeclined, silence is
// ErrTimeout, and ErrNoPrompt means that nobody could be asked.
type Prompter interface {
	// PIN shows the whole of a request and takes the PIN in the same place. The
	// caller wipes the PIN.
	PIN(ctx context.Context, c Consent) (*pin.PIN, error)
	// LastTry wants an explicit yes before the last try of a PIN is spent.
	LastTry(ctx context.Context, c Consent) error
	// Pairing shows who wants to be known to the agent and a code to compare.
	Pairing(ctx context.Context, p PairingQuestion) error
}

// Consent is what a person has to know before a signature: who asks, for what,
// as whom, with which weight. Strings are raw; a Prompter escapes and cuts them.
type Consent struct {
	Door Door
	// Origin is vouched for by the browser; zero is this computer.
	Origin   origins.Origin
	Document Description
	// Purpose and Reference are the asker's own words.
	Purpose, Reference string
	Holder             Holder
	// Card is the card's family, Reader the slot's name.
	Card, Reader string
	// PIN is the ID of the PIN: "PIN2".
	PIN string
	// TriesLeft is -1 when the card does not tell.
	TriesLeft int
	// MinLength and MaxLength bound the PIN in characters; 0 is not known.
	MinLength, MaxLength int
	// Locale is a BCP 47 tag, empty for the desktop's language.
	Locale string
	// Timeout is how long the question may stand.
	Timeout time.Duration
}

// PairingQuestion is a page that wants to be able to hand in requests.
type PairingQuestion struct {
	Origin origins.Origin
	// Name is what the page calls itself.
	Name   string
	Scopes []origins.Scope
	// Code is shown by the page and by the prompt.
	Code    string
	Locale  string
	Timeout time.Duration
}
