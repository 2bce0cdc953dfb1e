package desktop

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
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
	// Approve shows the whole of a request whose key takes no PIN, and wants an
	// explicit yes.
	Approve(ctx context.Context, c Consent) error
	// Secret takes one entry that is no consent to a request. The caller wipes
	// it.
	Secret(ctx context.Context, q SecretQuestion) (*pin.PIN, error)
	// Confirm wants an explicit yes.
	Confirm(ctx context.Context, q Confirmation) error
}

// ReaderPrompter is a Prompter that can point to the keys of a reader. With one
// that cannot, the PIN is taken from the Prompter even if the reader has keys.
type ReaderPrompter interface {
	// AtReader shows the whole of a request and where its PIN is typed, and
	// returns at once; done takes the question away.
	AtReader(ctx context.Context, c Consent) (done func(), err error)
	// ChangeAtReader tells that a PIN gets a new value at the reader, and where;
	// otherwise as AtReader. q is of kind SecretChecked.
	ChangeAtReader(ctx context.Context, q SecretQuestion) (done func(), err error)
}

// Secret is what an entry is.
type Secret string

// The entries.
const (
	// SecretPassword opens a key file.
	SecretPassword Secret = "password"
	// SecretDocument opens an encrypted document.
	SecretDocument Secret = "document"
	// SecretAccessNumber is printed on a contactless card.
	SecretAccessNumber Secret = "access-number"
	// SecretPersonalData is a PIN that shows personal data.
	SecretPersonalData Secret = "personal-data"
	// SecretChecked is the present value of a PIN, or the PUK, which the card
	// will check; SecretNew and SecretRepeated are the value to come.
	SecretChecked  Secret = "checked"
	SecretNew      Secret = "new"
	SecretRepeated Secret = "repeated"
)

// SecretQuestion is what a person has to know before an entry. Strings are raw.
type SecretQuestion struct {
	Kind Secret
	// Operation is why a PIN gets a new value, for the last three kinds.
	Operation cardreader.PINOperation
	// Name is the file's name or the reader's.
	Name string
	// Status is that of the PIN to be entered, with the rule for it. Target is
	// the PIN that gets a new value.
	Status cardreader.PINStatus
	Target string
	// Locale and Timeout as in Consent.
	Locale  string
	Timeout time.Duration
}

// Confirmed is what an explicit yes is wanted for.
type Confirmed string

// The things to confirm.
const (
	// ConfirmLastTry is the last try of a PIN or PUK in card management.
	ConfirmLastTry Confirmed = "last-try"
	// ConfirmPersonalData reads what is printed on a card.
	ConfirmPersonalData Confirmed = "personal-data"
	// ConfirmSave writes the report that was shown to a file.
	ConfirmSave Confirmed = "save"
)

// Confirmation is a question for a yes. Strings are raw.
type Confirmation struct {
	Kind Confirmed
	// Name is the reader's or the file's name, PIN that of the PIN or PUK.
	Name, PIN string
	// Final: after a wrong entry no code of the holder's opens the PIN again.
	Final   bool
	Locale  string
	Timeout time.Duration
}

// Consent is what a person has to know before a signature: who asks, for what,
// as whom, with which weight. Strings are raw; a Prompter escapes and cuts them.
type Consent struct {
	// Kind is what is agreed to; a login has no document.
	Kind Kind
	Door Door
	// Origin is vouched for by the browser; zero is this computer.
	Origin   origins.Origin
	Document Description
	// Documents, when there are several, are all that one yes is for; then there is
	// no PIN to enter. Document is the first of them.
	Documents []Description
	// At and Of tell which document of a batch that was agreed to Document is, from
	// 1; Of is 1 for a single one.
	At, Of int
	// Purpose and Reference are the asker's own words, and so is Mark: what the
	// signature will show on a page.
	Purpose, Reference, Mark string
	Holder                   Holder
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
