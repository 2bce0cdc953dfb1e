package cardreader

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Driver recognises a card family and opens its cards. Drivers are values in a
// list that the program hands to Cards; nothing registers itself.
type Driver interface {
	// Name is the family as its users call it: "EstEID 2018".
	Name() string
	// Matches tells from the answer to reset alone whether the card may be of
	// this family.
	Matches(atr []byte) bool
	// Open selects the card's application and returns the card. The card is
	// valid as long as t is.
	Open(ctx context.Context, t Transport) (Card, error)
}

// Binder is a Driver that needs to know more of a card than its commands tell:
// the reader it is in, the answer to reset, or a number that its holder has to
// type before anything can be read.
type Binder interface {
	// Bind returns the driver for the card that is in r. It is called with no
	// connection held and may ask the holder. What it returns serves this card
	// alone, matches no other answer to reset, and may remember what the card
	// proved; it is used as long as a Found lives.
	Bind(ctx context.Context, r Reader) (Driver, error)
}

// Card is an opened card of a known family.
type Card interface {
	// Info returns what is printed on the card or read without a PIN.
	Info(ctx context.Context) (Info, error)
	// Credentials reads the certificates. One that cannot be used is left out
	// and told in the error, beside the others.
	Credentials(ctx context.Context) ([]Credential, error)
	// PINs tells the state of every PIN and PUK without using up a try.
	PINs(ctx context.Context) ([]PINStatus, error)
	// Sign verifies the PIN and makes one signature: one VERIFY and one
	// signature command, never repeated by software. digest is the output of
	// hash, of its full length. ECDSA values are returned as DER
	// (ECDSA-Sig-Value, RFC 3279 2.2.3), RSA values as they are. A refused PIN
	// is a *PINError.
	Sign(ctx context.Context, c Credential, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error)
}

// ReadCredentials is Credentials for families that read a certificate for each of some
// keys. What read tells of as ErrCardProtocol is one that cannot be used: it is told in
// the error and does not hide the others. Any other error, as of a card that stopped
// answering, ends it and is returned alone.
func ReadCredentials[K any](keys []K, read func(K) ([]Credential, error)) ([]Credential, error) {
	var credentials []Credential
	var unusable []error
	for _, k := range keys {
		found, err := read(k)
		switch {
		case err == nil:
			credentials = append(credentials, found...)
		case errors.Is(err, ErrCardProtocol):
			unusable = append(unusable, err)
		default:
			return nil, err
		}
	}
	return credentials, errors.Join(unusable...)
}

// Selective is a Card that can read one credential or the state of one PIN
// without the others, which saves commands while signing. IDs are those of
// Credential and PINStatus; an unknown one is ErrNoCredential.
type Selective interface {
	Credential(ctx context.Context, id string) (Credential, error)
	PIN(ctx context.Context, id string) (PINStatus, error)
}

// UsageSelective is a Card that can read the credentials of one usage without
// the others.
type UsageSelective interface {
	CredentialsFor(ctx context.Context, u Usage) ([]Credential, error)
}

// Recognizer is a Card that can tell with fewer commands than reading all again
// whether it is the one that a credential was read from.
type Recognizer interface {
	// Recognize returns ErrCardChanged for another card. It compares enough that
	// two cards with different keys never pass for the same.
	Recognize(ctx context.Context, info Info, c Credential) error
}

// Info is what a card says of itself without a PIN.
type Info struct {
	// Family is the driver's name.
	Family string
	// DocumentNumber is what is printed on the card.
	DocumentNumber string
}

// Usage is what a key may be used for. Authentication keys never sign
// documents, and signature keys never answer a login challenge.
type Usage string

// The usages of a citizen's keys.
const (
	UsageAuthentication Usage = "authentication"
	UsageSignature      Usage = "signature"
)

// Credential is a certificate on a card together with the name of its key.
type Credential struct {
	// ID names the key within the card, stable over insertions.
	ID    string
	Usage Usage
	// PIN is the ID of the PIN that releases the key.
	PIN         string
	Certificate *x509.Certificate
	// Handle is the driver's own note about the key, opaque to everybody else.
	Handle any
	// PSS: the key is an RSA key that makes RSASSA-PSS values only, with a salt
	// as long as the hash.
	PSS bool
}

// PINStatus is the state of one PIN or PUK.
type PINStatus struct {
	// ID is stable for the family: "PIN1", "PIN2", "PUK".
	ID string `json:"id"`
	// TriesLeft counts the wrong entries that are still allowed; 0 is blocked,
	// -1 is not known.
	TriesLeft int `json:"triesLeft"`
	TriesMax  int `json:"triesMax"`
	// MinLength and MaxLength bound the entry in characters, all of Class.
	MinLength int       `json:"minLength"`
	MaxLength int       `json:"maxLength"`
	Class     pin.Class `json:"class"`
	// MustChange is a transport PIN: the card signs only after it was changed.
	MustChange bool `json:"mustChange,omitempty"`
}

// Rule is what an entry is checked against before the card is asked.
func (s PINStatus) Rule() pin.Rule {
	return pin.Rule{Min: s.MinLength, Max: s.MaxLength, Class: s.Class}
}
