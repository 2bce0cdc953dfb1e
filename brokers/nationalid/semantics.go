package nationalid

import (
	"strings"
	"time"
)

// maxSerialNumber is the bound of the attribute serialNumber (X.520), bytes.
const maxSerialNumber = 64

// Identity is what a certificate's subject says of who it is about.
type Identity struct {
	// Key is the canonical subject key.
	Key string
	// Country that gave the identifier, ISO 3166-1 alpha-2.
	Country string
	// Birthdate is an ISO 8601 date where the identifier contains it, else empty.
	Birthdate string
}

// ParseSerialNumber reads the serialNumber of a natural person's certificate: a
// semantics identifier (ETSI EN 319 412-1 5.1.3, "PNOEE-60001019906") or, in
// certificates of the Spanish DNIe, a bare NIF. Identifiers of schemes that are
// known here are checked and get the scheme's key; others keep kind and country
// in theirs: "lv-pno:…".
func ParseSerialNumber(serial, issuingCountry string) (Identity, error) {
	if len(serial) > maxSerialNumber {
		return Identity{}, ErrIdentifier
	}
	kind, value, ok := strings.Cut(serial, "-")
	if !ok || len(kind) != 5 {
		if issuingCountry != "ES" {
			return Identity{}, ErrIdentifier
		}
		return spanish(serial)
	}
	kind, country := kind[:3], kind[3:]
	switch {
	case !isCountry(country) || !printable(value):
		return Identity{}, ErrIdentifier
	case country == "EE" && kind == "PNO":
		code, err := ParsePersonalCode(value)
		if err != nil {
			return Identity{}, err
		}
		return Identity{Key: "ee-ik:" + code.Code, Country: "EE", Birthdate: code.Birthdate.Format(time.DateOnly)}, nil
	case country == "ES" && (kind == "IDC" || kind == "PNO" || kind == "TIN"):
		return spanish(value)
	case kind == "PNO", kind == "IDC", kind == "PAS", kind == "TIN":
		return Identity{Key: strings.ToLower(country+"-"+kind) + ":" + value, Country: country}, nil
	}
	return Identity{}, ErrIdentifier
}

func spanish(value string) (Identity, error) {
	nif, err := ParseNIF(value)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Key: "es-nif:" + nif, Country: "ES"}, nil
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
