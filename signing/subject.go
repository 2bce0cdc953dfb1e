package signing

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
)

// NewSigner summarises a certificate; identifiers leaves the subject serialNumber
// unmasked.
func NewSigner(c *x509.Certificate, identifiers bool) *Signer {
	sum := sha256.Sum256(c.Raw)
	s := &Signer{
		Certificate:  c,
		SHA256:       hex.EncodeToString(sum[:]),
		CommonName:   c.Subject.CommonName,
		GivenName:    attributeValue(c.Subject, "2.5.4.42"),
		Surname:      attributeValue(c.Subject, "2.5.4.4"),
		Pseudonym:    attributeValue(c.Subject, "2.5.4.65"),
		SerialNumber: attributeValue(c.Subject, "2.5.4.5"),
		Organization: strings.Join(c.Subject.Organization, ", "),
		Country:      strings.Join(c.Subject.Country, ", "),
		Issuer:       c.Issuer.String(),
		NotBefore:    c.NotBefore,
		NotAfter:     c.NotAfter,
		KeyUsage:     keyUsageWords(c.KeyUsage),
		QCStatements: qcStatements(c),
	}
	number := s.SerialNumber
	if !identifiers {
		s.SerialNumber = mask(number)
		s.CommonName = maskIn(s.CommonName, number)
	}
	s.Subject = subjectText(s)
	return s
}

// subjectText is the subject in reading order, with the identifier as the
// report shows it.
func subjectText(s *Signer) string {
	var parts []string
	for _, p := range []struct{ key, value string }{
		{"CN", s.CommonName},
		{"SN", s.Surname},
		{"G", s.GivenName},
		{"pseudonym", s.Pseudonym},
		{"serialNumber", s.SerialNumber},
		{"O", s.Organization},
		{"C", s.Country},
	} {
		if p.value != "" {
			parts = append(parts, p.key+"="+p.value)
		}
	}
	return strings.Join(parts, ", ")
}

func attributeValue(name pkix.Name, oid string) string {
	for _, a := range name.Names {
		if text, ok := a.Value.(string); ok && a.Type.String() == oid {
			return text
		}
	}
	return ""
}

// mask hides a personal identifier but for its scheme and last two characters:
// "PNOEE-38001085718" becomes "PNOEE-*********18".
func mask(number string) string {
	prefix, body, found := strings.Cut(number, "-")
	if !found {
		prefix, body = "", number
	} else {
		prefix += "-"
	}
	runes := []rune(body)
	if len(runes) <= 4 {
		return prefix + strings.Repeat("*", len(runes))
	}
	return prefix + strings.Repeat("*", len(runes)-2) + string(runes[len(runes)-2:])
}

// maskIn hides the identifier where a common name repeats it, as Estonian and
// Spanish certificates do.
func maskIn(text, number string) string {
	if _, body, found := strings.Cut(number, "-"); found {
		number = body
	}
	if number == "" {
		return text
	}
	return strings.ReplaceAll(text, number, mask(number))
}

func keyUsageWords(usage x509.KeyUsage) []string {
	words := []string{}
	for _, u := range []struct {
		bit  x509.KeyUsage
		word string
	}{
		{x509.KeyUsageDigitalSignature, "digitalSignature"},
		{x509.KeyUsageContentCommitment, "nonRepudiation"},
		{x509.KeyUsageKeyEncipherment, "keyEncipherment"},
		{x509.KeyUsageDataEncipherment, "dataEncipherment"},
		{x509.KeyUsageKeyAgreement, "keyAgreement"},
		{x509.KeyUsageCertSign, "keyCertSign"},
		{x509.KeyUsageCRLSign, "cRLSign"},
	} {
		if usage&u.bit != 0 {
			words = append(words, u.word)
		}
	}
	return words
}

// qcWord names a QcStatement (EN 319 412-5).
func qcWord(oid string) string {
	switch oid {
	case "0.4.0.1862.1.1":
		return "QcCompliance"
	case "0.4.0.1862.1.2":
		return "QcLimitValue"
	case "0.4.0.1862.1.3":
		return "QcRetentionPeriod"
	case "0.4.0.1862.1.4":
		return "QcSSCD"
	case "0.4.0.1862.1.5":
		return "QcPDS"
	case "0.4.0.1862.1.6":
		return "QcType"
	case "0.4.0.1862.1.7":
		return "QcCClegislation"
	case "0.4.0.1862.1.6.1":
		return "eSign"
	case "0.4.0.1862.1.6.2":
		return "eSeal"
	case "0.4.0.1862.1.6.3":
		return "web"
	default:
		return oid
	}
}

// qcStatements lists the statements of the certificate as words; malformed ones
// end the list.
func qcStatements(c *x509.Certificate) []string {
	words := []string{}
	for _, extension := range c.Extensions {
		if extension.Id.String() != "1.3.6.1.5.5.7.1.3" {
			continue
		}
		in := cryptobyte.String(extension.Value)
		var list cryptobyte.String
		if !in.ReadASN1(&list, asn1.SEQUENCE) {
			return words
		}
		for !list.Empty() && len(words) < 32 {
			var statement cryptobyte.String
			var oid cms.OID
			if !list.ReadASN1(&statement, asn1.SEQUENCE) || !cms.ReadOID(&statement, &oid) {
				return words
			}
			word := qcWord(string(oid))
			if word != "QcType" {
				words = append(words, word)
				continue
			}
			var types cryptobyte.String
			if !statement.ReadASN1(&types, asn1.SEQUENCE) {
				return words
			}
			for !types.Empty() {
				if !cms.ReadOID(&types, &oid) {
					return words
				}
				words = append(words, word+" "+qcWord(string(oid)))
			}
		}
	}
	return words
}
