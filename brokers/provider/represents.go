package provider

import (
	"encoding/json"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// represents is the party for which a person acts (OpenID NLGov profile, claim
// represents). The person stays the subject: a client that does not look here
// still treats the right one as logged in, and one that cannot look is not given
// such a login at all.
type represents struct {
	Issuer      string            `json:"iss"`
	Subject     string            `json:"sub"`
	SubjectType string            `json:"sub_id_type"`
	Legal       bool              `json:"legal_entity"`
	Name        string            `json:"name,omitempty"`
	GivenName   string            `json:"given_name,omitempty"`
	FamilyName  string            `json:"family_name,omitempty"`
	Birthdate   string            `json:"birthdate,omitempty"`
	Kind        string            `json:"mandate,omitempty"`
	Identifiers map[string]string `json:"identifiers,omitempty"`
}

// The kinds of identifiers (OpenID NLGov, sub_id_type).
const (
	idPseudonym = "urn:nl-eid-gdi:1.0:id:pseudonym"
	idPrefix    = "urn:nl-eid-gdi:1.0:id:"
)

// represents tells a client for whom a person acts, or nil for nobody. The number
// of the party is for clients that may have national numbers; others get a
// pseudonym of it, as they do of the person.
func (p *Provider) represents(c *Client, s *brokers.Subject) *represents {
	party := s.Represents
	if party == nil || !c.Representation {
		return nil
	}
	scheme, identifier := splitKey(party.Key)
	r := &represents{Issuer: p.cfg.Issuer, Legal: party.Legal, Kind: party.Kind}
	may := func(scope string) bool { return (&personClaim{scopes: []string{scope}}).allowed(c.Scopes) }
	if may("national_id") {
		r.Subject, r.SubjectType, r.Identifiers = identifier, identifierType(scheme), party.Identifiers
	} else {
		r.Subject, r.SubjectType = p.derive(c, c.Sector, scheme, identifier), idPseudonym
	}
	if may("name") || may("profile") {
		r.Name, r.GivenName, r.FamilyName = party.Name, party.GivenName, party.FamilyName
	}
	if may("birthdate") || may("profile") {
		r.Birthdate = party.Birthdate
	}
	return r
}

// identifierType names a scheme of identifiers; those without a Dutch name have
// one of ours.
func identifierType(scheme string) string {
	switch scheme {
	case "nl-bsn":
		return idPrefix + "BSN"
	case "nl-rsin":
		return idPrefix + "RSIN"
	case "nl-kvk":
		return idPrefix + "KvKnr"
	case "nl-pseudo":
		return idPseudonym
	}
	return "urn:broker:id:" + strings.ToLower(scheme)
}

// object is the claim as a JSON object, of which a request may select members.
func (r *represents) object() map[string]any {
	object := map[string]any{}
	data, err := json.Marshal(r)
	if err != nil || json.Unmarshal(data, &object) != nil {
		return nil
	}
	return object
}
