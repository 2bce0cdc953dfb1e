package desktop

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Holder is a certificate in the words of a consent window.
type Holder struct {
	// Name is given name and surname.
	Name string
	// Number is the personal number with all but its last three characters
	// masked, such as "PNOEE-••••••••718"; empty when there is none.
	Number string
	// Initials are for the journal, such as "J. J.".
	Initials string
	// Issuer is the common name of the issuer, Country the subject's.
	Issuer, Country string
	NotAfter        time.Time
	// Qualified tells whether the certificate says of itself that signatures
	// made with its key are qualified ones. No trusted list is asked.
	Qualified bool
}

// Attribute types of X.520 and statements of EN 319 412-5 (4.2.1, 4.2.2, 4.2.3).
func oidSurname() asn1.ObjectIdentifier      { return asn1.ObjectIdentifier{2, 5, 4, 4} }
func oidGivenName() asn1.ObjectIdentifier    { return asn1.ObjectIdentifier{2, 5, 4, 42} }
func oidQCStatements() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3} }
func oidQCCompliance() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1} }
func oidQCSSCD() asn1.ObjectIdentifier       { return asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4} }
func oidQCType() asn1.ObjectIdentifier       { return asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6} }
func oidQCTypeESign() asn1.ObjectIdentifier  { return asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 1} }

// HolderOf reads a certificate.
func HolderOf(c *x509.Certificate) Holder {
	given, surname := attribute(c.Subject, oidGivenName()), attribute(c.Subject, oidSurname())
	h := Holder{
		Name:     strings.TrimSpace(given + " " + surname),
		Number:   maskNumber(c.Subject.SerialNumber),
		Initials: strings.TrimSpace(initial(given) + " " + initial(surname)),
		Issuer:   c.Issuer.CommonName,
		NotAfter: c.NotAfter.UTC(),
	}
	if h.Name == "" {
		// Estonian common names end with the personal code.
		h.Name = maskDigits(c.Subject.CommonName)
		h.Initials = initial(c.Subject.CommonName)
	}
	if len(c.Subject.Country) > 0 {
		h.Country = c.Subject.Country[0]
	}
	h.Qualified = c.KeyUsage&x509.KeyUsageContentCommitment != 0 && qualifiedForSigning(c)
	return h
}

func attribute(n pkix.Name, oid asn1.ObjectIdentifier) string {
	for _, a := range n.Names {
		if a.Type.Equal(oid) {
			s, _ := a.Value.(string)
			return s
		}
	}
	return ""
}

func initial(s string) string {
	for _, r := range s {
		return string(unicode.ToUpper(r)) + "."
	}
	return ""
}

// maskNumber keeps the prefix of EN 319 412-1 5.1.3 ("PNOEE-") and the last three
// characters.
func maskNumber(s string) string {
	prefix := ""
	if len(s) > 6 && s[5] == '-' {
		prefix, s = s[:6], s[6:]
	}
	runes := []rune(s)
	const shown = 3
	if len(runes) <= 2*shown {
		return prefix + strings.Repeat("•", len(runes))
	}
	return prefix + strings.Repeat("•", len(runes)-shown) + string(runes[len(runes)-shown:])
}

func maskDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '•'
		}
		return r
	}, s)
}

// qualifiedForSigning reads the QCStatements extension (RFC 3739 3.2.6): issued
// as qualified, key in a qualified device, and for signatures. A missing QcType
// means signatures (EN 319 412-5 4.2.3).
func qualifiedForSigning(c *x509.Certificate) bool {
	var compliance, device, typed, eSign bool
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidQCStatements()) {
			continue
		}
		input := cryptobyte.String(extension.Value)
		var statements cryptobyte.String
		if !input.ReadASN1(&statements, cryptobyte_asn1.SEQUENCE) {
			return false
		}
		for !statements.Empty() {
			var statement cryptobyte.String
			var oid asn1.ObjectIdentifier
			if !statements.ReadASN1(&statement, cryptobyte_asn1.SEQUENCE) || !statement.ReadASN1ObjectIdentifier(&oid) {
				return false
			}
			switch {
			case oid.Equal(oidQCCompliance()):
				compliance = true
			case oid.Equal(oidQCSSCD()):
				device = true
			case oid.Equal(oidQCType()):
				typed = true
				var types cryptobyte.String
				if !statement.ReadASN1(&types, cryptobyte_asn1.SEQUENCE) {
					return false
				}
				for !types.Empty() {
					var kind asn1.ObjectIdentifier
					if !types.ReadASN1ObjectIdentifier(&kind) {
						return false
					}
					eSign = eSign || kind.Equal(oidQCTypeESign())
				}
			}
		}
	}
	return compliance && device && (eSign || !typed)
}
