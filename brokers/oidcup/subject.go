package oidcup

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
)

const maxName = 256

// subject says who it is. Partial data stays partial.
func (u *Upstream) subject(t *idToken) (*brokers.Subject, error) {
	bad := func() (*brokers.Subject, error) {
		return nil, reject("subject", brokers.CategoryProtocol, "subject of the ID token is no identifier of this upstream")
	}
	s := &brokers.Subject{Country: u.c.Country, GivenName: t.GivenName, FamilyName: t.FamilyName, Birthdate: t.Birthdate}
	switch u.c.Kind {
	case TARA:
		if !u.taraSubject(t, s) {
			return bad()
		}
	case FranceConnect:
		s.Key = franceConnectScheme + ":" + t.Subject
	case Generic:
		s.Key = u.c.SubjectScheme + ":" + t.Subject
	}
	if !printable(t.Subject) || !names(s) {
		return bad()
	}
	return s, nil
}

// taraSubject reads TARA's identifier: two letters of the country and what the
// country calls the person. Estonia's is checked; another country's is the one
// that it gives to Estonia.
func (u *Upstream) taraSubject(t *idToken, s *brokers.Subject) bool {
	if len(t.Subject) < 3 || !isCountry(t.Subject[:2]) || t.Profile == nil {
		return false
	}
	country, identifier := t.Subject[:2], t.Subject[2:]
	foreign := len(t.AMR) == 1 && t.AMR[0] == "eIDAS"
	s.Country = country
	switch {
	case !foreign:
		code, err := nationalid.ParsePersonalCode(identifier)
		if country != "EE" || err != nil {
			return false
		}
		s.Key = "ee-ik:" + code.Code
	case strings.Contains(identifier, "/"):
		return false
	default:
		s.Key = "eidas:" + country + "/EE/" + identifier
	}
	s.GivenName, s.FamilyName, s.Birthdate = t.Profile.GivenName, t.Profile.FamilyName, t.Profile.DateOfBirth
	if t.Latin != nil {
		s.GivenNameLatin, s.FamilyNameLatin = t.Latin.GivenName, t.Latin.FamilyName
	}
	return true
}

func isCountry(s string) bool { return s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' }

// printable accepts what an identifier is made of (OpenID Connect Core 2: ASCII).
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// names checks what will be shown.
func names(s *brokers.Subject) bool {
	for _, name := range []string{s.GivenName, s.FamilyName, s.GivenNameLatin, s.FamilyNameLatin} {
		odd := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }
		if len(name) > maxName || !utf8.ValidString(name) || strings.IndexFunc(name, odd) >= 0 {
			return false
		}
	}
	if s.Birthdate == "" {
		return true
	}
	_, err := time.Parse(time.DateOnly, s.Birthdate)
	return err == nil
}
