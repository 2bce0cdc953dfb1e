package provider

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// personClaim is a claim about the person, with the scope that gives it.
type personClaim struct {
	name, scope string
	// value is the claim, or nil if the upstream did not deliver it.
	value func(s *brokers.Subject, now time.Time) any
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
	return []personClaim{
		{"given_name", "name", plain(func(s *brokers.Subject) string { return s.GivenName })},
		{"family_name", "name", plain(func(s *brokers.Subject) string { return s.FamilyName })},
		{"name", "name", plain(func(s *brokers.Subject) string { return strings.TrimSpace(s.GivenName + " " + s.FamilyName) })},
		{"birthdate", "birthdate", plain(func(s *brokers.Subject) string { return s.Birthdate })},
		{"age_over_16", "age_over_16", func(s *brokers.Subject, now time.Time) any { return overAge(s, 16, now) }},
		{"age_over_18", "age_over_18", func(s *brokers.Subject, now time.Time) any { return overAge(s, 18, now) }},
		{"age_in_years", "age", func(s *brokers.Subject, now time.Time) any {
			if age, ok := age(s, now); ok {
				return age
			}
			return nil
		}},
		{"national_id", "national_id", func(s *brokers.Subject, _ time.Time) any {
			scheme, value := splitKey(s.Key)
			return nationalID{scheme, value, s.Country}
		}},
	}
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

// claimScope is the scope that gives a claim, or empty for one we do not have.
func claimScope(name string) string {
	for _, c := range personClaims() {
		if c.name == name {
			return c.scope
		}
	}
	return ""
}

// scopeClaims lists the claims of a scope.
func scopeClaims(scope string) (names []string, known bool) {
	for _, c := range personClaims() {
		if c.scope == scope {
			names = append(names, c.name)
		}
	}
	return names, len(names) > 0
}

func allScopes() []string {
	scopes := []string{"openid", offlineAccess}
	for _, c := range personClaims() {
		if !slices.Contains(scopes, c.scope) {
			scopes = append(scopes, c.scope)
		}
	}
	return scopes
}

func allClaims() []string {
	names := []string{"iss", "sub", "aud", "exp", "iat", "jti", "nonce", "auth_time", "acr", "amr", "at_hash", "sid", "event_id"}
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
func released(c *Client, s *brokers.Subject, scopes []string, single map[string][]string, now time.Time) map[string]any {
	out := map[string]any{}
	for _, claim := range personClaims() {
		values, asked := single[claim.name]
		if !asked && !slices.Contains(scopes, claim.scope) || !slices.Contains(c.Scopes, claim.scope) {
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
	return p.derive(c.Sector, scheme, identifier)
}

// sessionID derives the sid that one client sees. No sector is empty, so these
// inputs never meet those of pairwise.
func (p *Provider) sessionID(c *Client, sessionID string) string {
	if sessionID == "" {
		return ""
	}
	return p.derive("", c.ID, sessionID)
}

func (p *Provider) derive(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(keyed(p.cfg.PairwiseSecret, parts...))
}

// keyed is the HMAC-SHA-256 of the parts, none of which contains a zero byte.
func keyed(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(parts, "\x00")))
	return mac.Sum(nil)
}
