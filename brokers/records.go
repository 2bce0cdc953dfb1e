package brokers

import (
	"encoding/json"
	"time"

	"github.com/eidbridge/eidbridge/levels"
)

// AuthenticationEvent is one successful proof of identity by an upstream. It is
// made once and never changed.
type AuthenticationEvent struct {
	// ID is random and names the event in receipts and in the audit log.
	ID string `json:"id"`
	// Upstream and Method say how the citizen logged in.
	Upstream string `json:"upstream"`
	Method   string `json:"method"`
	// Issuer and AssertionID name the upstream's own statement.
	Issuer      string `json:"issuer"`
	AssertionID string `json:"assertionId"`
	// Assessment is how the level was reached; its Level is the result.
	Assessment levels.Assessment `json:"assessment"`
	// AuthTime is the upstream's time of authentication.
	AuthTime time.Time `json:"authTime"`
	// AMR holds the authentication methods that are certain (RFC 8176).
	AMR []string `json:"amr,omitempty"`
	// Subject is who logged in.
	Subject Subject `json:"subject"`
	// Departure is what the upstream needs to know of its own session when the
	// citizen logs out there; nobody else reads it.
	Departure json.RawMessage `json:"departure,omitempty"`
}

// Subject is the person as the upstream described them. Schemes deliver partial
// data, which stays partial: an empty field was not delivered.
type Subject struct {
	// Key is "<scheme>:<identifier>", such as "nl-bsn:900029365". Two keys name
	// the same person only if they are equal.
	Key        string `json:"key"`
	GivenName  string `json:"givenName,omitempty"`
	FamilyName string `json:"familyName,omitempty"`
	// GivenNameLatin and FamilyNameLatin are transliterations, where the scheme
	// delivered both scripts.
	GivenNameLatin  string `json:"givenNameLatin,omitempty"`
	FamilyNameLatin string `json:"familyNameLatin,omitempty"`
	// FirstSurname and SecondSurname are the parts of a Spanish FamilyName.
	FirstSurname  string `json:"firstSurname,omitempty"`
	SecondSurname string `json:"secondSurname,omitempty"`
	// Birthdate is an ISO 8601 date.
	Birthdate string `json:"birthdate,omitempty"`
	// Country is the issuing country of the identity, ISO 3166-1 alpha-2.
	Country string `json:"country"`
	// Account is what a provider of accounts tells beyond; nil for national schemes.
	Account *Account `json:"account,omitempty"`
	// Particulars are what a scheme can tell beyond the minimum; nil if it did not.
	Particulars *Particulars `json:"particulars,omitempty"`
	// Represents is the party for which the person acts; nil for oneself. The
	// person who logged in stays the subject. A relying party that does not know
	// of representation must not be given such a login.
	Represents *Represented `json:"represents,omitempty"`
}

// Account holds the standard claims of OpenID Connect Core 5.1 that belong to an
// account and not to a civil identity, as an OpenID Provider upstream delivered
// them.
type Account struct {
	MiddleName          string `json:"middleName,omitempty"`
	Nickname            string `json:"nickname,omitempty"`
	PreferredUsername   string `json:"preferredUsername,omitempty"`
	Profile             string `json:"profile,omitempty"`
	Picture             string `json:"picture,omitempty"`
	Website             string `json:"website,omitempty"`
	Zoneinfo            string `json:"zoneinfo,omitempty"`
	Locale              string `json:"locale,omitempty"`
	EmailVerified       bool   `json:"emailVerified,omitempty"`
	PhoneNumberVerified bool   `json:"phoneNumberVerified,omitempty"`
	// UpdatedAt is Unix time, in seconds; zero was not delivered.
	UpdatedAt int64 `json:"updatedAt,omitempty"`
}

// Particulars are optional attributes of a natural person, as delivered (eIDAS
// attribute profile 1.4, section 2.2).
type Particulars struct {
	BirthName          string `json:"birthName,omitempty"`
	PlaceOfBirth       string `json:"placeOfBirth,omitempty"`
	CountryOfBirth     string `json:"countryOfBirth,omitempty"`
	TownOfBirth        string `json:"townOfBirth,omitempty"`
	Gender             string `json:"gender,omitempty"`
	Nationality        string `json:"nationality,omitempty"`
	CountryOfResidence string `json:"countryOfResidence,omitempty"`
	PhoneNumber        string `json:"phoneNumber,omitempty"`
	EmailAddress       string `json:"emailAddress,omitempty"`
	// Address is an XML fragment in the vocabulary of the ISA core.
	Address string `json:"address,omitempty"`
}

// Represented is a party on whose behalf somebody acts.
type Represented struct {
	// Key is "<scheme>:<identifier>" as of a Subject.
	Key string `json:"key"`
	// Legal says that it is an organisation.
	Legal bool   `json:"legal"`
	Name  string `json:"name,omitempty"`
	// GivenName, FamilyName and Birthdate are of a person.
	GivenName  string `json:"givenName,omitempty"`
	FamilyName string `json:"familyName,omitempty"`
	Birthdate  string `json:"birthdate,omitempty"`
	// Kind is the scheme's own word for the mandate; optional.
	Kind string `json:"kind,omitempty"`
	// Identifiers are further registrations of an organisation by attribute name,
	// such as "LEI" or "VATRegistrationNumber".
	Identifiers map[string]string `json:"identifiers,omitempty"`
}
