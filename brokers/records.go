package brokers

import (
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
	AMR     []string `json:"amr,omitempty"`
	Subject Subject  `json:"subject"`
}

// Subject is the person as the upstream described them. Schemes deliver partial
// data, which stays partial: an empty field was not delivered.
type Subject struct {
	// Key is "<scheme>:<identifier>", such as "nl-bsn:900029365". Two keys name
	// the same person only if they are equal.
	Key        string `json:"key"`
	GivenName  string `json:"givenName,omitempty"`
	FamilyName string `json:"familyName,omitempty"`
	// Birthdate is an ISO 8601 date.
	Birthdate string `json:"birthdate,omitempty"`
	// Country is the issuing country of the identity, ISO 3166-1 alpha-2.
	Country string `json:"country"`
}
