package dnie

import (
	"context"
	"encoding/asn1"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// PersonalData reads what the card shows without a PIN: the holder's name and
// number from the directory of certificates, and the document number. The rest of
// what is printed is in files that need the PIN.
func (c *card) PersonalData(ctx context.Context) (*cardreader.PersonalData, error) {
	data, err := c.personalData(ctx)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return data, nil
}

func (c *card) personalData(ctx context.Context) (*cardreader.PersonalData, error) {
	entries, err := c.listed(ctx)
	if err != nil {
		return nil, err
	}
	number, err := c.readIDESP(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if len(e.certificate.subject) == 0 {
			continue
		}
		data, err := parseSubject(e.certificate.subject)
		if err != nil {
			return nil, err
		}
		data.DocumentNumber = number
		return data, nil
	}
	return nil, fmt.Errorf("%w: no directory entry with a subject", iso7816.ErrContent)
}

// Attributes of the holder's name (X.520, RFC 4519).
func oidSurname() asn1.ObjectIdentifier      { return asn1.ObjectIdentifier{2, 5, 4, 4} }
func oidSerialNumber() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 4, 5} }
func oidGivenName() asn1.ObjectIdentifier    { return asn1.ObjectIdentifier{2, 5, 4, 42} }
func oidCommonName() asn1.ObjectIdentifier   { return asn1.ObjectIdentifier{2, 5, 4, 3} }

// maxAttributes bounds the parts of a name.
const maxAttributes = 32

// parseSubject reads a DER Name. The card's surname attribute holds the first
// surname alone; both stand before the comma of the common name: "SURNAMES, NAMES
// (PURPOSE)". The error is ErrContent and quotes nothing.
func parseSubject(der []byte) (*cardreader.PersonalData, error) {
	malformed := fmt.Errorf("%w: subject of a directory entry", iso7816.ErrContent)
	input := cryptobyte.String(der)
	var name cryptobyte.String
	if !input.ReadASN1(&name, cryptobyteasn1.SEQUENCE) || !input.Empty() {
		return nil, malformed
	}
	data := &cardreader.PersonalData{}
	common := ""
	for count := 0; !name.Empty(); count++ {
		var set, attribute cryptobyte.String
		var oid asn1.ObjectIdentifier
		if count == maxAttributes || !name.ReadASN1(&set, cryptobyteasn1.SET) ||
			!set.ReadASN1(&attribute, cryptobyteasn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) {
			return nil, malformed
		}
		into := map[string]*string{
			oidSurname().String(): &data.Surname, oidGivenName().String(): &data.GivenNames,
			oidSerialNumber().String(): &data.PersonalCode, oidCommonName().String(): &common,
		}[oid.String()]
		if into == nil {
			continue
		}
		var ok bool
		if *into, ok = text(attribute); !ok {
			return nil, malformed
		}
	}
	if surnames, _, found := strings.Cut(common, ", "); found && strings.HasPrefix(surnames, data.Surname) {
		data.Surname = surnames
	}
	return data, nil
}

// text reads one string of printable characters.
func text(attribute cryptobyte.String) (string, bool) {
	var value cryptobyte.String
	var tag cryptobyteasn1.Tag
	if !attribute.ReadAnyASN1(&value, &tag) || !attribute.Empty() || len(value) == 0 || len(value) > maxName {
		return "", false
	}
	switch tag {
	case cryptobyteasn1.UTF8String, cryptobyteasn1.PrintableString, cryptobyteasn1.IA5String:
	default:
		return "", false
	}
	s := string(value)
	if !utf8.ValidString(s) {
		return "", false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return "", false
		}
	}
	return s, true
}
