package clave

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/saml"
)

// maxName bounds a name, in bytes.
const maxName = 512

// statements are the attributes of a verified assertion.
type statements []saml.Attribute

// attributeName is the full name of an attribute that is called by its friendly
// name in this package.
func attributeName(friendly string) string {
	switch friendly {
	case "PersonIdentifier", "DateOfBirth":
		return naturalPersonNS + "/" + friendly
	case "FirstName":
		return naturalPersonNS + "/CurrentGivenName"
	case "FamilyName":
		return naturalPersonNS + "/CurrentFamilyName"
	}
	return claveNames + friendly
}

// find looks an attribute up by its name. Kits go by friendly names, so one whose
// name is no URI is found by that.
func (s statements) find(friendly string) (saml.Attribute, bool) {
	name := attributeName(friendly)
	for _, a := range s {
		if a.Name == name {
			return a, true
		}
	}
	for _, a := range s {
		if !strings.Contains(a.Name, ":") && (a.FriendlyName == friendly || a.Name == friendly) {
			return a, true
		}
	}
	return saml.Attribute{}, false
}

// one returns the only value of an attribute that has to be there.
func (s statements) one(friendly string) (string, error) {
	value, err := s.optional(friendly)
	if err == nil && value == "" {
		err = fmt.Errorf("attribute %s is missing", friendly)
	}
	return value, err
}

// optional returns the only value of an attribute, or "".
func (s statements) optional(friendly string) (string, error) {
	a, found := s.find(friendly)
	switch {
	case !found || len(a.Values) == 0:
		return "", nil
	case len(a.Values) > 1:
		return "", fmt.Errorf("attribute %s has several values", friendly)
	}
	return strings.Trim(a.Values[0], " \t\r\n"), nil
}

// name returns a name of a person, "" if it is not there.
func (s statements) name(friendly string) (string, error) {
	value, err := s.optional(friendly)
	if err != nil {
		return "", err
	}
	if len(value) > maxName || !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError
	}) {
		return "", fmt.Errorf("attribute %s is no name", friendly)
	}
	return value, nil
}

// subject reads who logged in.
func (s statements) subject() (*brokers.Subject, error) {
	fail := func(reason string, err error) error { return rejected(reason, brokers.CategoryProtocol, err) }
	person := &brokers.Subject{}
	for friendly, field := range map[string]*string{
		"FirstName": &person.GivenName, "FamilyName": &person.FamilyName, "FirstSurname": &person.FirstSurname,
	} {
		var err error
		if *field, err = s.name(friendly); err != nil {
			return nil, fail(reasonPerson, err)
		}
	}
	if person.GivenName == "" || person.FamilyName == "" {
		return nil, fail(reasonPerson, errors.New("attribute FirstName or FamilyName is missing"))
	}
	if rest, split := strings.CutPrefix(person.FamilyName, person.FirstSurname+" "); split && person.FirstSurname != "" {
		person.SecondSurname = rest
	}
	var err error
	if person.Birthdate, err = s.birthdate(); err != nil {
		return nil, fail(reasonPerson, err)
	}
	certificate, err := s.certificate()
	if err != nil {
		return nil, fail(reasonPerson, err)
	}
	identifier, err := s.one("PersonIdentifier")
	if err != nil {
		return nil, fail(reasonPerson, err)
	}
	if err := identify(person, identifier, certificate); err != nil {
		return nil, fail(reasonSubject, err)
	}
	return person, nil
}

// identify sets the key. With the certificate of a representative the person is
// the representative, and the organisation is what is represented: nobody logs
// in as an organisation.
func identify(person *brokers.Subject, identifier string, c *certificate) error {
	if c != nil && c.representative() {
		nif, err := nationalid.ParseNIF(c.responsible)
		if err != nil {
			return err
		}
		cif, err := nationalid.ParseCIF(c.holder)
		if err != nil {
			return err
		}
		if !names(identifier, nif) && !names(identifier, cif) {
			return errors.New("certificate is of somebody else")
		}
		person.Key, person.Country = "es-nif:"+nif, "ES"
		person.Represents = &brokers.Represented{Key: "es-nif:" + cif, Legal: true, Name: c.organisation}
		return nil
	}
	if c != nil && !c.natural() {
		return errors.New("certificate is of no natural person")
	}
	origin, value, err := parsePersonIdentifier(identifier)
	if err != nil {
		return err
	}
	if origin != "ES" {
		// The other country's identifier for Spain, as a whole: it differs by
		// destination and is no number of a register.
		person.Key, person.Country = "eidas:"+identifier, origin
		return nil
	}
	nif, err := nationalid.ParseNIF(value)
	if err != nil {
		return err
	}
	if c != nil && c.responsible != "" {
		if other, err := nationalid.ParseNIF(c.responsible); err != nil || other != nif {
			return errors.New("certificate is of somebody else")
		}
	}
	person.Key, person.Country = "es-nif:"+nif, "ES"
	return nil
}

// names says whether a PersonIdentifier, with or without its prefix, is a number.
func names(identifier, number string) bool {
	value, err := nationalid.Tidy(strings.TrimPrefix(identifier, "ES/ES/"))
	return err == nil && value == number
}

// birthdate is there for citizens of other countries only.
func (s statements) birthdate() (string, error) {
	value, err := s.optional("DateOfBirth")
	if err != nil || value == "" {
		return "", err
	}
	if _, err := time.Parse(time.DateOnly, value); err != nil {
		return "", errors.New("DateOfBirth is no date")
	}
	return value, nil
}
