package eidas

import (
	"slices"

	"github.com/beevik/etree"
)

// Names of the profile.
const (
	scheme         = "eidas" // in the mapping of levels
	notifiedPrefix = "http://eidas.europa.eu/LoA/"

	extensionsNS     = "http://eidas.europa.eu/saml-extensions"
	naturalNS        = "http://eidas.europa.eu/attributes/naturalperson"
	legalNS          = "http://eidas.europa.eu/attributes/legalperson"
	representativeNS = "/representative"
	formatURI        = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
	formatEntity     = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	consent          = "urn:oasis:names:tc:SAML:2.0:consent:unspecified"
)

// attributeKind is an attribute of the attribute profile 1.4, section 2.
type attributeKind struct {
	name, friendly string
	mandatory      bool
}

// naturalAttributes are those of a natural person; the minimum data set first
// (Implementing Regulation (EU) 2015/1501, annex 1).
func naturalAttributes() []attributeKind {
	return []attributeKind{
		{"PersonIdentifier", "PersonIdentifier", true},
		{"CurrentFamilyName", "FamilyName", true},
		{"CurrentGivenName", "FirstName", true},
		{"DateOfBirth", "DateOfBirth", true},
		{"BirthName", "BirthName", false},
		{"PlaceOfBirth", "PlaceOfBirth", false},
		{"CurrentAddress", "CurrentAddress", false},
		{"Gender", "Gender", false},
		{"Nationality", "Nationality", false},
		{"CountryOfBirth", "CountryOfBirth", false},
		{"TownOfBirth", "TownOfBirth", false},
		{"CountryOfResidence", "CountryOfResidence", false},
		{"PhoneNumber", "PhoneNumber", false},
		{"EmailAddress", "EmailAddress", false},
	}
}

// legalAttributes are those of a legal person.
func legalAttributes() []attributeKind {
	return []attributeKind{
		{"LegalPersonIdentifier", "LegalPersonIdentifier", true},
		{"LegalName", "LegalName", true},
		{"LegalPersonAddress", "LegalAddress", false},
		{"VATRegistrationNumber", "VATRegistrationNumber", false},
		{"TaxReference", "TaxReference", false},
		{"D-2012-17-EUIdentifier", "D-2012-17-EUIdentifier", false},
		{"LEI", "LEI", false},
		{"EORI", "EORI", false},
		{"SEED", "SEED", false},
		{"SIC", "SIC", false},
		{"LegalPhoneNumber", "LegalPhoneNumber", false},
		{"LegalEmailAddress", "LegalEmailAddress", false},
	}
}

func isOptional(name string) bool {
	return slices.ContainsFunc(naturalAttributes(), func(k attributeKind) bool { return k.name == name && !k.mandatory })
}

// serviceType is the SPType element.
func serviceType(private bool) *etree.Element {
	e := etree.NewElement("eidas:SPType")
	e.CreateAttr("xmlns:eidas", extensionsNS)
	if e.SetText("public"); private {
		e.SetText("private")
	}
	return e
}

// requestedAttributes asks for the minimum data set, for what the operator wants
// beside it, and for nothing else.
func (u *Upstream) requestedAttributes() *etree.Element {
	list := etree.NewElement("eidas:RequestedAttributes")
	list.CreateAttr("xmlns:eidas", extensionsNS)
	add := func(ns string, k attributeKind) {
		a := list.CreateElement("eidas:RequestedAttribute")
		a.CreateAttr("FriendlyName", k.friendly)
		a.CreateAttr("Name", ns+"/"+k.name)
		a.CreateAttr("NameFormat", formatURI)
		a.CreateAttr("isRequired", map[bool]string{true: "true", false: "false"}[k.mandatory])
	}
	for _, k := range naturalAttributes() {
		if k.mandatory || slices.Contains(u.config.Optional, k.name) {
			add(naturalNS, k)
		}
	}
	if u.config.Legal {
		for _, k := range legalAttributes() {
			if k.mandatory {
				add(legalNS, k)
			}
		}
	}
	return list
}
