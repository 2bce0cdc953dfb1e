package cardreader

import (
	"context"
	"crypto/ecdh"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// The interfaces below are abilities that a Card may have, found by type
// assertion. Each method sends at most one command that can use up a try and
// never repeats it; a refused PIN is a *PINError that names the PIN or PUK the
// card refused.

// PINChanger is a Card that lets the holder choose another PIN.
type PINChanger interface {
	// ChangePIN replaces a PIN by CHANGE REFERENCE DATA (ISO/IEC 7816-4 11.6.7).
	// For a PIN with MustChange it is the activation of the card.
	ChangePIN(ctx context.Context, id string, old, replacement *pin.PIN) error
}

// PINChangeLimiter is a PINChanger that cannot change every PIN.
type PINChangeLimiter interface {
	// CanChangePIN returns ErrNotOffered for a PIN that stays as it is.
	CanChangePIN(id string) error
}

// PINUnblocker is a Card with a PUK.
type PINUnblocker interface {
	// PUK is the ID of the PUK that unblocks a PIN.
	PUK(id string) (puk string, err error)
	// UnblockPIN gives a PIN a new value and all its tries by RESET RETRY
	// COUNTER (ISO/IEC 7816-4 11.6.10). A refused PUK is a *PINError of the PUK.
	UnblockPIN(ctx context.Context, id string, puk, replacement *pin.PIN) error
}

// PersonalDataReader is a Card that holds what is printed on it.
type PersonalDataReader interface {
	// PersonalData reads it without a PIN.
	PersonalData(ctx context.Context) (*PersonalData, error)
}

// ProtectedPersonalDataReader is a Card that shows what is printed on it only
// after a PIN.
type ProtectedPersonalDataReader interface {
	// PersonalDataPIN is the ID of the PIN.
	PersonalDataPIN() string
	PersonalDataWithPIN(ctx context.Context, p *pin.PIN) (*PersonalData, error)
}

// PersonalData is what is printed on a card. Fields that the card does not hold
// are empty. It belongs neither into logs nor into errors.
type PersonalData struct {
	Surname    string `json:"surname,omitempty"`
	GivenNames string `json:"givenNames,omitempty"`
	// Sex is M or F as on the card.
	Sex string `json:"sex,omitempty"`
	// Citizenship is three letters as in ICAO 9303.
	Citizenship string `json:"citizenship,omitempty"`
	// Birthdate and Expiry are ISO 8601 dates; the card is valid to the end of
	// that day.
	Birthdate  string `json:"birthdate,omitempty"`
	Birthplace string `json:"birthplace,omitempty"`
	// PersonalCode is the national number of the person.
	PersonalCode   string `json:"personalCode,omitempty"`
	DocumentNumber string `json:"documentNumber,omitempty"`
	Expiry         string `json:"expiry,omitempty"`
}

// Expired tells whether the card's last day is before today in UTC. False for a
// card that does not tell.
func (d *PersonalData) Expired(now time.Time) bool {
	last, err := time.Parse(time.DateOnly, d.Expiry)
	return err == nil && now.UTC().Truncate(24*time.Hour).After(last)
}

// Agreer is a Card whose key can agree on a secret, which is how it decrypts.
type Agreer interface {
	// Agree verifies the PIN and computes ECDH with the credential's key (PSO
	// DECIPHER). The result is the shared X coordinate, as long as the curve's
	// field. A peer on another curve is ErrNoCredential.
	Agree(ctx context.Context, c Credential, p *pin.PIN, peer *ecdh.PublicKey) ([]byte, error)
}

// AccessNumberSource asks for the card access number that is printed on
// contactless cards. A driver that needs one has a field for it and is a Binder:
// like PINSource it is asked with no connection held.
type AccessNumberSource interface {
	// CAN returns the number; the caller wipes it. It is asked each time that a
	// card is looked for. A source that remembers numbers forgets one that a
	// card refused (a *PINError of "CAN"), so that it is not sent again.
	CAN(ctx context.Context, reader string) (*pin.PIN, error)
}

// PINOperation is what a holder does with a PIN besides using it.
type PINOperation string

// The operations.
const (
	PINChange   PINOperation = "change"
	PINUnblock  PINOperation = "unblock"
	PINActivate PINOperation = "activate" // change of a transport PIN
)

// PINChangeRequest is what two entries are asked for: the one that the card
// checks, and the new value.
type PINChangeRequest struct {
	Operation PINOperation
	Card      Info
	Reader    string
	// Checked is the PIN or PUK that the card will verify: the PIN itself for a
	// change, the PUK for unblocking.
	Checked PINStatus
	// Target is the PIN that gets a new value, with the rule for it.
	Target PINStatus
}

// PINChangeSource asks the holder for both values.
type PINChangeSource interface {
	// ChangePIN returns what was entered; the source has had the new value
	// entered twice. It is called without any card connection held, at most once
	// an operation, and never when Checked is blocked. With one try left
	// (r.Checked.TriesLeft == 1) it must get an explicit yes first. The caller
	// wipes both.
	ChangePIN(ctx context.Context, r PINChangeRequest) (checked, replacement *pin.PIN, err error)
}
