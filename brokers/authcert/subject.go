package authcert

import (
	"encoding/asn1"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
)

// maxUsages bounds the entries of an extension, maxName the names, in bytes.
const (
	maxUsages = 32
	maxName   = 256
)

// Attribute types (X.520) and qualified certificate statements (EN 319 412-5).
const (
	oidSurname      = "2.5.4.4"
	oidSerialNumber = "2.5.4.5"
	oidGivenName    = "2.5.4.42"
	oidStatements   = "1.3.6.1.5.5.7.1.3"
	oidCompliance   = "0.4.0.1862.1.1"
	oidSSCD         = "0.4.0.1862.1.4"
)

// readUsages reads an extended key usage extension (RFC 5280 4.2.1.12).
func readUsages(value []byte) ([]string, error) {
	input := cryptobyte.String(value)
	var list cryptobyte.String
	if !input.ReadASN1(&list, casn1.SEQUENCE) || !input.Empty() {
		return nil, errors.New("extended key usage cannot be read")
	}
	var usages []string
	for !list.Empty() {
		var id asn1.ObjectIdentifier
		if !list.ReadASN1ObjectIdentifier(&id) || len(usages) == maxUsages {
			return nil, errors.New("extended key usage cannot be read")
		}
		usages = append(usages, id.String())
	}
	return usages, nil
}

// read fills in who the holder is. Every attribute may be there once only.
func (h *Holder) read() error {
	bad := func(text string) error {
		return refuse(ReasonSubject, brokers.CategoryCard, errors.New(text))
	}
	found := map[string]string{}
	for _, attribute := range h.Certificate.Subject.Names {
		id := attribute.Type.String()
		if id != oidSurname && id != oidSerialNumber && id != oidGivenName {
			continue
		}
		value, ok := attribute.Value.(string)
		if _, twice := found[id]; twice || !ok || !plain(value) {
			return bad("subject has an attribute twice or one that is no plain text")
		}
		found[id] = value
	}
	country := ""
	if issuer := h.Certificate.Issuer.Country; len(issuer) == 1 {
		country = issuer[0]
	}
	identity, err := nationalid.ParseSerialNumber(found[oidSerialNumber], country)
	if err != nil {
		return bad("serialNumber of the subject is no identifier of a person")
	}
	h.Identity, h.GivenName, h.FamilyName = identity, found[oidGivenName], found[oidSurname]
	for _, extension := range h.Certificate.Extensions {
		if extension.Id.String() == oidStatements {
			h.statements(extension.Value)
		}
	}
	return nil
}

// statements notes the two that matter. What cannot be read states nothing.
func (h *Holder) statements(value []byte) {
	input := cryptobyte.String(value)
	var list cryptobyte.String
	if !input.ReadASN1(&list, casn1.SEQUENCE) {
		return
	}
	for !list.Empty() {
		var statement cryptobyte.String
		var id asn1.ObjectIdentifier
		if !list.ReadASN1(&statement, casn1.SEQUENCE) || !statement.ReadASN1ObjectIdentifier(&id) {
			return
		}
		switch id.String() {
		case oidCompliance:
			h.Qualified = true
		case oidSSCD:
			h.Secure = true
		}
	}
}

// plain accepts names of people.
func plain(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	}) < 0
}
