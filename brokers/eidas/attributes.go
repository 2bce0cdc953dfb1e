package eidas

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
)

const (
	// maxIdentifier is from the attribute profile, section 2.2.3.
	maxIdentifier = 256
	// maxText bounds other values, in bytes.
	maxText = 1024
	// maxAddress bounds an address before decoding, in bytes.
	maxAddress = 8 << 10
)

var errIdentifier = errors.New("identifier is malformed or for another country")

// statements are the attributes of a verified assertion.
type statements []saml.Attribute

// scripts is a value in its own script, and in Latin letters if that is another.
type scripts struct{ own, latin string }

// has says whether any attribute of a vocabulary is there.
func (s statements) has(ns string) bool {
	return slices.ContainsFunc(s, func(a saml.Attribute) bool {
		local, found := strings.CutPrefix(a.Name, ns+"/")
		return found && !strings.Contains(local, "/")
	})
}

// scripts reads an attribute that may come in two scripts: one value is Latin,
// the other is marked LatinScript="false" (attribute profile 2.4).
func (s statements) scripts(ns, local string) (scripts, error) {
	i := slices.IndexFunc(s, func(a saml.Attribute) bool { return a.Name == ns+"/"+local })
	if i < 0 || len(s[i].Values) == 0 {
		return scripts{}, nil
	}
	a := s[i]
	bad := func(what string) (scripts, error) { return scripts{}, fmt.Errorf("attribute %s: %s", local, what) }
	if len(a.Values) > 2 {
		return bad("several values")
	}
	var found scripts
	for j, value := range a.Values {
		value = strings.Trim(value, " \t\r\n")
		latin, known := true, true
		if a.Marks != nil {
			latin, known = latinScript(a.Marks[j])
		}
		switch {
		case !known:
			return bad("script")
		case value == "" || !plain(value):
			return bad("value")
		case latin && found.latin != "" || !latin && found.own != "":
			return bad("several values of one script")
		case latin:
			found.latin = value
		default:
			found.own = value
		}
	}
	if found.own == "" {
		found.own, found.latin = found.latin, ""
	}
	return found, nil
}

// latinScript reads the mark, which stands in the namespace of natural or of
// legal persons. Absent is Latin.
func latinScript(marks map[xml.Name]string) (latin, known bool) {
	latin = true
	for name, value := range marks {
		if name.Local != "LatinScript" {
			continue
		}
		switch value {
		case "true", "1":
		case "false", "0":
			latin = false
		default:
			return false, false
		}
	}
	return latin, true
}

// text reads an attribute of one value; "" if it is not there.
func (s statements) text(ns, local string) (string, error) {
	v, err := s.scripts(ns, local)
	if err == nil && v.latin != "" {
		err = fmt.Errorf("attribute %s: several values", local)
	}
	return v.own, err
}

// plain keeps out what looks like something else: control and format characters
// (threat X-23).
func plain(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError
	})
}

// naturalPerson is a minimum data set.
type naturalPerson struct {
	identifier    string
	given, family scripts
	birthdate     string
}

// person reads a minimum data set. The identifier is for our country.
func (u *Upstream) person(s statements, ns string) (*naturalPerson, error) {
	p := &naturalPerson{}
	var err error
	if p.identifier, err = s.text(ns, "PersonIdentifier"); err != nil {
		return nil, err
	}
	if p.given, err = s.scripts(ns, "CurrentGivenName"); err != nil {
		return nil, err
	}
	if p.family, err = s.scripts(ns, "CurrentFamilyName"); err != nil {
		return nil, err
	}
	if p.birthdate, err = s.text(ns, "DateOfBirth"); err != nil {
		return nil, err
	}
	if p.identifier == "" || p.given.own == "" || p.family.own == "" || p.birthdate == "" {
		return nil, errors.New("minimum data set is not complete")
	}
	if _, err := time.Parse(time.DateOnly, p.birthdate); err != nil {
		return nil, errors.New("DateOfBirth is no date")
	}
	return p, nil
}

// origin takes "<origin>/<destination>/<identifier>" apart.
func (u *Upstream) origin(identifier string) (string, error) {
	parts := strings.SplitN(identifier, "/", 3)
	if len(identifier) > maxIdentifier || len(parts) != 3 || !isCountry(parts[0]) || parts[1] != u.config.Country || parts[2] == "" ||
		strings.ContainsFunc(identifier, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errIdentifier
	}
	return parts[0], nil
}

// subject reads who logged in, and for whom. With the data set of a
// representative the representative is the person who acts (attribute profile
// 2.8); with that of a legal person, the natural person acts for it.
func (u *Upstream) subject(s statements) (*brokers.Subject, error) {
	attributes := func(err error) error { return rejected(reasonPerson, brokers.CategoryProtocol, err) }
	representative, legal := naturalNS+representativeNS, s.has(legalNS)
	if s.has(legalNS + representativeNS) {
		return nil, rejected(reasonActing, brokers.CategoryDenied, errors.New("an organisation represents"))
	}
	acting := naturalNS
	if s.has(representative) {
		if !u.config.Representatives {
			return nil, rejected(reasonActing, brokers.CategoryDenied, errors.New("a representative acts"))
		}
		acting = representative
	}
	if legal && !u.config.Legal && !u.config.Representatives {
		return nil, rejected(reasonActing, brokers.CategoryDenied, errors.New("a legal person was not asked for"))
	}
	p, err := u.person(s, acting)
	if err != nil {
		return nil, attributes(err)
	}
	subject := &brokers.Subject{
		Key: "eidas:" + p.identifier, GivenName: p.given.own, GivenNameLatin: p.given.latin,
		FamilyName: p.family.own, FamilyNameLatin: p.family.latin, Birthdate: p.birthdate,
	}
	if subject.Country, err = u.origin(p.identifier); err != nil {
		return nil, rejected(reasonSubject, brokers.CategoryProtocol, err)
	}
	if subject.Particulars, err = s.particulars(acting); err != nil {
		return nil, attributes(err)
	}
	switch {
	case legal:
		subject.Represents, err = u.legalPerson(s)
	case acting == representative:
		subject.Represents, err = u.representedPerson(s)
	}
	return subject, err
}

func (u *Upstream) representedPerson(s statements) (*brokers.Represented, error) {
	p, err := u.person(s, naturalNS)
	if err != nil {
		return nil, rejected(reasonPerson, brokers.CategoryProtocol, err)
	}
	if _, err := u.origin(p.identifier); err != nil {
		return nil, rejected(reasonSubject, brokers.CategoryProtocol, err)
	}
	return &brokers.Represented{Key: "eidas:" + p.identifier, GivenName: p.given.own, FamilyName: p.family.own, Birthdate: p.birthdate}, nil
}

func (u *Upstream) legalPerson(s statements) (*brokers.Represented, error) {
	r := &brokers.Represented{Legal: true}
	for _, k := range legalAttributes() {
		v, err := s.scripts(legalNS, k.name)
		if err != nil {
			return nil, rejected(reasonPerson, brokers.CategoryProtocol, err)
		}
		switch {
		case k.mandatory && v.own == "":
			return nil, rejected(reasonPerson, brokers.CategoryProtocol, errors.New("minimum data set of the legal person is not complete"))
		case k.name == "LegalPersonIdentifier":
			if _, err := u.origin(v.own); err != nil {
				return nil, rejected(reasonSubject, brokers.CategoryProtocol, err)
			}
			r.Key = "eidas-legal:" + v.own
		case k.name == "LegalName":
			r.Name = v.own
		case v.own != "" && k.name != "LegalPersonAddress":
			if r.Identifiers == nil {
				r.Identifiers = map[string]string{}
			}
			r.Identifiers[k.name] = v.own
		}
	}
	return r, nil
}

// particulars reads the optional attributes; nil if there are none.
func (s statements) particulars(ns string) (*brokers.Particulars, error) {
	p := brokers.Particulars{}
	for local, field := range map[string]*string{
		"BirthName": &p.BirthName, "PlaceOfBirth": &p.PlaceOfBirth, "CountryOfBirth": &p.CountryOfBirth,
		"TownOfBirth": &p.TownOfBirth, "Nationality": &p.Nationality, "CountryOfResidence": &p.CountryOfResidence,
		"PhoneNumber": &p.PhoneNumber, "EmailAddress": &p.EmailAddress, "Gender": &p.Gender,
	} {
		v, err := s.scripts(ns, local)
		if err != nil {
			return nil, err
		}
		*field = v.own
	}
	if p.Gender != "" && p.Gender != "Male" && p.Gender != "Female" && p.Gender != "Unspecified" {
		return nil, errors.New("attribute Gender: value")
	}
	var err error
	if p.Address, err = s.address(ns); err != nil {
		return nil, err
	}
	if p == (brokers.Particulars{}) {
		return nil, nil
	}
	return &p, nil
}

// address decodes a CurrentAddress, which is XML in Base64. It is not looked into.
func (s statements) address(ns string) (string, error) {
	i := slices.IndexFunc(s, func(a saml.Attribute) bool { return a.Name == ns+"/CurrentAddress" })
	if i < 0 || len(s[i].Values) == 0 {
		return "", nil
	}
	if len(s[i].Values) > 1 || len(s[i].Values[0]) > maxAddress {
		return "", errors.New("attribute CurrentAddress: value")
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s[i].Values[0]), ""))
	if err != nil || !utf8.Valid(decoded) {
		return "", errors.New("attribute CurrentAddress: value")
	}
	return string(decoded), nil
}
