package pades

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Bits of /Ff in a certificate seed value dictionary (table 238).
const (
	certSubject   = 1 << 0
	certIssuer    = 1 << 1
	certOID       = 1 << 2
	certSubjectDN = 1 << 3
	certKeyUsage  = 1 << 5
)

// certificate compares the signer's certificate with the constraints of the
// field. /URL says where to get a fitting one and is never asked.
func (s *seed) certificate() error {
	dict, err := s.value("Cert")
	if err != nil || dict.IsNull() {
		return err
	}
	if err := unambiguous(dict, "the certificate constraints of the field"); err != nil {
		return err
	}
	value, err := s.l.doc.Value(dict, "Ff")
	if err != nil {
		return err
	}
	flags, _ := value.Int()
	for _, constraint := range []struct {
		bit  int64
		what string
		met  func(pdf.Object) (bool, error)
	}{
		{certSubject, "certain certificates", s.subject},
		{certIssuer, "certificates of certain issuers", s.issuer},
		{certOID, "certificates under certain policies", s.policies},
		{certSubjectDN, "certain holders", s.subjectDN},
		{certKeyUsage, "another key usage", s.keyUsage},
	} {
		if flags&constraint.bit == 0 {
			continue
		}
		met, err := constraint.met(dict)
		if err != nil {
			return err
		}
		if !met {
			return refuse(RefusedSeedValue, "use another certificate, or sign another field",
				"the field accepts only %s, and yours is none of them", constraint.what)
		}
	}
	return nil
}

// encodings reads an array of byte strings.
func (s *seed) encodings(dict pdf.Object, key string) ([][]byte, error) {
	v, err := s.l.doc.Value(dict, key)
	var list [][]byte
	for _, item := range v.Items() {
		if item, err = s.l.doc.Resolve(item); err != nil {
			return nil, err
		}
		if b, ok := item.Bytes(); ok {
			list = append(list, b)
		}
	}
	return list, err
}

// An absent list constrains nothing.
func (s *seed) subject(dict pdf.Object) (bool, error) {
	list, err := s.encodings(dict, "Subject")
	own := s.l.template.Certificate.Raw
	return len(list) == 0 || slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, own) }), err
}

// issuer wants one of the listed certificates in the chain of the signer.
func (s *seed) issuer(dict pdf.Object) (bool, error) {
	list, err := s.encodings(dict, "Issuer")
	if err != nil || len(list) == 0 {
		return len(list) == 0, err
	}
	chain := append([]*x509.Certificate{s.l.template.Certificate}, s.l.template.Chain...)
	for _, raw := range list {
		issuer, err := x509.ParseCertificate(raw)
		if err != nil {
			continue // nobody can be issued by what is no certificate
		}
		for _, c := range chain {
			if c.Equal(issuer) || c.CheckSignatureFrom(issuer) == nil {
				return true, nil
			}
		}
	}
	return false, nil
}

// policies wants one of the listed certificate policies; the object identifiers
// stand as text or in DER.
func (s *seed) policies(dict pdf.Object) (bool, error) {
	list, err := s.encodings(dict, "OID")
	if err != nil || len(list) == 0 {
		return len(list) == 0, err
	}
	for _, b := range list {
		wanted := string(b)
		var oid asn1.ObjectIdentifier
		if rest, err := asn1.Unmarshal(b, &oid); err == nil && len(rest) == 0 {
			wanted = oid.String()
		}
		for _, policy := range s.l.template.Certificate.Policies {
			if policy.String() == wanted {
				return true, nil
			}
		}
	}
	return false, nil
}

// subjectDN wants the holder to have all attributes of one of the listed names.
func (s *seed) subjectDN(dict pdf.Object) (bool, error) {
	v, err := s.l.doc.Value(dict, "SubjectDN")
	if err != nil || len(v.Items()) == 0 {
		return v.IsNull() || len(v.Items()) == 0, err
	}
	for _, item := range v.Items() {
		if item, err = s.l.doc.Resolve(item); err != nil {
			return false, err
		}
		met := item.Kind() == pdf.Dictionary
		for key, value := range item.Entries() {
			if value, err = s.l.doc.Resolve(value); err != nil {
				return false, err
			}
			met = met && slices.Contains(s.attributes(key), value.Text())
		}
		if met {
			return true, nil
		}
	}
	return false, nil
}

// attributes returns the values of a subject attribute, which table 238 names by
// its short name (RFC 4519) or its object identifier.
func (s *seed) attributes(key string) []string {
	oid := key
	for short, long := range map[string]string{
		"c": "2.5.4.6", "cn": "2.5.4.3", "o": "2.5.4.10", "ou": "2.5.4.11", "l": "2.5.4.7", "st": "2.5.4.8",
		"sn": "2.5.4.4", "givenname": "2.5.4.42", "title": "2.5.4.12", "serialnumber": "2.5.4.5",
		"email": "1.2.840.113549.1.9.1", "e": "1.2.840.113549.1.9.1",
	} {
		if strings.EqualFold(key, short) {
			oid = long
		}
	}
	var values []string
	for _, a := range s.l.template.Certificate.Subject.Names {
		if a.Type.String() == oid {
			values = append(values, fmt.Sprint(a.Value))
		}
	}
	return values
}

// keyUsage compares strings such as "1XXXXXX0X": the bits in the order of
// RFC 5280 4.2.1.3, X for either; missing ones are X.
func (s *seed) keyUsage(dict pdf.Object) (bool, error) {
	list, err := s.encodings(dict, "KeyUsage")
	if err != nil || len(list) == 0 {
		return len(list) == 0, err
	}
	own := s.l.template.Certificate.KeyUsage
	for _, pattern := range list {
		met := true
		for bit, c := range pattern {
			has := bit < 9 && own&(1<<bit) != 0
			met = met && (c == 'X' || c == 'x' || c == '1' && has || c == '0' && !has)
		}
		if met {
			return true, nil
		}
	}
	return false, nil
}
