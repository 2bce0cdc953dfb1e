package clave

import (
	"errors"
	"strings"
)

// errIdentifier says nothing about the value, which is personal data.
var errIdentifier = errors.New("identifier is not a Spanish tax number")

const (
	dniLetters    = "TRWAGMYFPDXBNJZSQVHLCKE" // number mod 23
	cifFirst      = "ABCDEFGHJKLMNPQRSUVW"
	cifControls   = "JABCDEFGHI" // control digit as a letter
	cifDigitOnly  = "ABEH"
	cifLetterOnly = "KNPQRSW"
	nifLength     = 9
	maxNIF        = 32 // with blanks, dots and hyphens, in bytes
)

// parseNIF reads the tax number of a natural person: DNI, NIE or special NIF. It
// comes out in nine characters.
func parseNIF(s string) (string, error) {
	s, err := tidy(s)
	if err != nil {
		return "", err
	}
	// Leading zeros of a DNI are often left out.
	if s != "" && isDigit(s[0]) && len(s) < nifLength {
		s = strings.Repeat("0", nifLength-len(s)) + s
	}
	if len(s) != nifLength {
		return "", errIdentifier
	}
	number := s[:8]
	switch s[0] {
	case 'X', 'Y', 'Z':
		number = string('0'+s[0]-'X') + s[1:8]
	case 'K', 'L', 'M':
		// How the letter comes about is not published.
		if digits(s[1:8]) && s[8] >= 'A' && s[8] <= 'Z' {
			return s, nil
		}
		return "", errIdentifier
	}
	if !digits(number) || s[8] != checkLetter(number) {
		return "", errIdentifier
	}
	return s, nil
}

// checkLetter is the letter of a DNI.
func checkLetter(number string) byte {
	rest := 0
	for i := range len(number) {
		rest = (rest*10 + int(number[i]-'0')) % len(dniLetters)
	}
	return dniLetters[rest]
}

// parseCIF reads the tax number of a legal person.
func parseCIF(s string) (string, error) {
	s, err := tidy(s)
	if err != nil {
		return "", err
	}
	if len(s) != nifLength || !strings.Contains(cifFirst, s[:1]) || !digits(s[1:8]) {
		return "", errIdentifier
	}
	sum := 0
	for i := range 7 {
		digit := int(s[i+1] - '0')
		if i%2 == 0 {
			digit = digit*2/10 + digit*2%10
		}
		sum += digit
	}
	control := (10 - sum%10) % 10
	asDigit, asLetter := s[8] == byte('0'+control), s[8] == cifControls[control]
	switch {
	case strings.Contains(cifDigitOnly, s[:1]) && asDigit,
		strings.Contains(cifLetterOnly, s[:1]) && asLetter,
		!strings.Contains(cifDigitOnly+cifLetterOnly, s[:1]) && (asDigit || asLetter):
		return s, nil
	}
	return "", errIdentifier
}

// tidy takes blanks, dots and hyphens out and writes capitals.
func tidy(s string) (string, error) {
	if len(s) > maxNIF {
		return "", errIdentifier
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ' || c == '.' || c == '-':
		case c >= 'a' && c <= 'z':
			b.WriteByte(c - ('a' - 'A'))
		case c >= 'A' && c <= 'Z', isDigit(c):
			b.WriteByte(c)
		default:
			return "", errIdentifier
		}
	}
	return b.String(), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// parsePersonIdentifier splits "<origin>/<destination>/<identifier>" (eIDAS
// attribute profile 2.2.3). The destination is Spain.
func parsePersonIdentifier(s string) (origin, identifier string, err error) {
	parts := strings.Split(s, "/")
	if len(s) > maxPersonIdentifier || len(parts) != 3 || !isCountry(parts[0]) || parts[1] != "ES" || parts[2] == "" {
		return "", "", errPersonIdentifier
	}
	for i := range len(parts[2]) {
		if parts[2][i] <= ' ' || parts[2][i] > '~' {
			return "", "", errPersonIdentifier
		}
	}
	return parts[0], parts[2], nil
}

var errPersonIdentifier = errors.New("person identifier is malformed or for another country")

// maxPersonIdentifier is from the eIDAS attribute profile, in characters.
const maxPersonIdentifier = 256

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}
