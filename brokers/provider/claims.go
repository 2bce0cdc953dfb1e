package provider

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// personClaim is a claim about the person, with the scopes that give it.
type personClaim struct {
	name   string
	scopes []string
	// value is the claim, or nil if the upstream did not deliver it.
	value func(s *brokers.Subject, now time.Time) any
}

// allowed reports whether one of the scopes is among those.
func (c *personClaim) allowed(scopes []string) bool {
	return slices.ContainsFunc(c.scopes, func(s string) bool { return slices.Contains(scopes, s) })
}

// nationalID is the value of the national_id claim.
type nationalID struct {
	Scheme  string `json:"scheme"`
	Value   string `json:"value"`
	Country string `json:"country,omitempty"`
}

// personClaims lists all claims that this provider can give about a person. A
// client sees one only if its registration has the scope and the request asks.
func personClaims() []personClaim {
	optional := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	plain := func(field func(*brokers.Subject) string) func(*brokers.Subject, time.Time) any {
		return func(s *brokers.Subject, _ time.Time) any { return optional(field(s)) }
	}
	particular := func(field func(*brokers.Particulars) string) func(*brokers.Subject, time.Time) any {
		return func(s *brokers.Subject, _ time.Time) any {
			if s.Particulars == nil {
				return nil
			}
			return optional(field(s.Particulars))
		}
	}
	return append(accountClaims(), []personClaim{
		{"given_name", []string{"name", "profile"}, plain(func(s *brokers.Subject) string { return s.GivenName })},
		{"family_name", []string{"name", "profile"}, plain(func(s *brokers.Subject) string { return s.FamilyName })},
		{"name", []string{"name", "profile"}, plain(func(s *brokers.Subject) string { return strings.TrimSpace(s.GivenName + " " + s.FamilyName) })},
		{"birthdate", []string{"birthdate", "profile"}, plain(func(s *brokers.Subject) string { return s.Birthdate })},
		{"gender", []string{"profile"}, particular(func(p *brokers.Particulars) string { return strings.ToLower(p.Gender) })},
		{"email", []string{"email"}, particular(func(p *brokers.Particulars) string { return p.EmailAddress })},
		{"phone_number", []string{"phone"}, particular(func(p *brokers.Particulars) string { return p.PhoneNumber })},
		{"address", []string{"address"}, func(s *brokers.Subject, _ time.Time) any { return address(s.Particulars) }},
		{"age_over_16", []string{"age_over_16"}, func(s *brokers.Subject, now time.Time) any { return overAge(s, 16, now) }},
		{"age_over_18", []string{"age_over_18"}, func(s *brokers.Subject, now time.Time) any { return overAge(s, 18, now) }},
		{"age_in_years", []string{"age"}, func(s *brokers.Subject, now time.Time) any {
			if age, ok := age(s, now); ok {
				return age
			}
			return nil
		}},
		{"national_id", []string{"national_id"}, func(s *brokers.Subject, _ time.Time) any {
			scheme, value := splitKey(s.Key)
			return nationalID{scheme, value, s.Country}
		}},
	}...)
}

// accountClaims are those that belong to an account.
func accountClaims() []personClaim {
	of := func(name, scope string, field func(*brokers.Account) any) personClaim {
		return personClaim{name, []string{scope}, func(s *brokers.Subject, _ time.Time) any {
			if s.Account == nil {
				return nil
			}
			if v := field(s.Account); v != "" && v != int64(0) {
				return v
			}
			return nil
		}}
	}
	return []personClaim{
		of("middle_name", "profile", func(a *brokers.Account) any { return a.MiddleName }),
		of("nickname", "profile", func(a *brokers.Account) any { return a.Nickname }),
		of("preferred_username", "profile", func(a *brokers.Account) any { return a.PreferredUsername }),
		of("profile", "profile", func(a *brokers.Account) any { return a.Profile }),
		of("picture", "profile", func(a *brokers.Account) any { return a.Picture }),
		of("website", "profile", func(a *brokers.Account) any { return a.Website }),
		of("zoneinfo", "profile", func(a *brokers.Account) any { return a.Zoneinfo }),
		of("locale", "profile", func(a *brokers.Account) any { return a.Locale }),
		of("updated_at", "profile", func(a *brokers.Account) any { return a.UpdatedAt }),
		of("email_verified", "email", func(a *brokers.Account) any { return a.EmailVerified }),
		of("phone_number_verified", "phone", func(a *brokers.Account) any { return a.PhoneNumberVerified }),
	}
}

// address is the text of an address (OpenID Connect Core 5.1.1), of which schemes
// deliver an XML fragment.
func address(p *brokers.Particulars) any {
	if p == nil || p.Address == "" {
		return nil
	}
	var lines []string
	dec := xml.NewDecoder(strings.NewReader(p.Address)) // tokens only, of a text that the upstream has bounded
	for {
		token, err := dec.Token()
		if err != nil { // the end, or a fragment that cannot be read further
			break
		}
		if text, ok := token.(xml.CharData); ok {
			if line := strings.TrimSpace(string(text)); line != "" {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return map[string]any{"formatted": strings.Join(lines, "\n")}
}

// age is how old a person is, counted by the calendar in UTC. A partial date of
// birth gives none. Who was born on 29 February grows older on 1 March.
func age(s *brokers.Subject, now time.Time) (years int, known bool) {
	born, err := time.Parse(time.DateOnly, s.Birthdate)
	if err != nil || born.After(now) {
		return 0, false
	}
	now = now.UTC()
	years = now.Year() - born.Year()
	if now.Month() < born.Month() || now.Month() == born.Month() && now.Day() < born.Day() {
		years--
	}
	return years, true
}

func overAge(s *brokers.Subject, limit int, now time.Time) any {
	if years, known := age(s, now); known {
		return years >= limit
	}
	return nil
}

// splitKey takes a subject key apart: "nl-bsn:900029365".
func splitKey(key string) (scheme, identifier string) {
	scheme, identifier, _ = strings.Cut(key, ":")
	return scheme, identifier
}

// isPersonClaim reports whether we have a claim about persons of this name.
func isPersonClaim(name string) bool {
	return slices.ContainsFunc(personClaims(), func(c personClaim) bool { return c.name == name })
}

// isScope reports whether a scope gives claims.
func isScope(scope string) bool { return gives(personClaims(), scope) }

func gives(claims []personClaim, scope string) bool {
	return slices.ContainsFunc(claims, func(c personClaim) bool { return slices.Contains(c.scopes, scope) })
}

func allScopes() []string {
	scopes := []string{"openid", offlineAccess}
	for _, c := range personClaims() {
		for _, scope := range c.scopes {
			if !slices.Contains(scopes, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	return scopes
}

func allClaims() []string {
	names := []string{"iss", "sub", "aud", "exp", "iat", "jti", "nonce", "auth_time", "acr", "amr", "at_hash", "sid", "event_id", "represents"}
	return append(names, personClaimNames()...)
}

func personClaimNames() []string {
	var names []string
	for _, c := range personClaims() {
		names = append(names, c.name)
	}
	return names
}

// released gathers the claims about the person for one place. Single claims come
// from the request, whole groups from scopes, and nothing beyond the client's
// registration. A claim whose value is not among the requested ones is left out.
func (p *Provider) released(c *Client, s *brokers.Subject, scopes []string, single map[string][]string, now time.Time) map[string]any {
	out := map[string]any{}
	if len(scopes) == 0 && len(single) == 0 { // most ID tokens
		return out
	}
	for _, claim := range p.claims {
		values, asked := single[claim.name]
		if !asked && !claim.allowed(scopes) || !claim.allowed(c.Scopes) {
			continue
		}
		if v := claim.value(s, now); v != nil && acceptable(v, values) {
			out[claim.name] = v
		}
	}
	return out
}

// acceptable compares a claim with the wanted values, which are compact JSON.
func acceptable(value any, wanted []string) bool {
	if len(wanted) == 0 {
		return true
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if enc.Encode(value) != nil {
		return false
	}
	return slices.Contains(wanted, strings.TrimSuffix(text.String(), "\n"))
}

// pairwise derives the subject identifier of a person at a client (OpenID
// Connect Core 8.1): equal within a sector, unrelated across sectors. The keyed
// hash keeps a nine-digit number from being guessed.
func (p *Provider) pairwise(c *Client, s *brokers.Subject) string {
	scheme, identifier := splitKey(s.Key)
	return p.derive(c, c.Sector, scheme, identifier)
}

// sessionID derives the sid that one client sees. No sector is empty, so these
// inputs never meet those of pairwise.
func (p *Provider) sessionID(c *Client, sessionID string) string {
	if sessionID == "" {
		return ""
	}
	return p.derive(c, "", c.ID, sessionID)
}

// derive makes an identifier that one client sees, by the version of the secret
// that the client keeps.
func (p *Provider) derive(c *Client, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(keyed(p.cfg.pairwiseSecrets()[c.PairwiseVersion-1], parts...))
}

// keyed is the HMAC-SHA-256 of the parts, none of which contains a zero byte.
func keyed(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(parts, "\x00")))
	return mac.Sum(nil)
}
