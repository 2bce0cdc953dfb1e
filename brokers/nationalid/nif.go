package nationalid

import "strings"

const (
	dniLetters    = "TRWAGMYFPDXBNJZSQVHLCKE" // number mod 23
	cifFirst      = "ABCDEFGHJKLMNPQRSUVW"
	cifControls   = "JABCDEFGHI" // control digit as a letter
	cifDigitOnly  = "ABEH"
	cifLetterOnly = "KNPQRSW"
	nifLength     = 9
	maxNIF        = 32 // with blanks, dots and hyphens, in bytes
)

// ParseNIF reads the tax number of a natural person: DNI, NIE or special NIF. It
// comes out in nine characters.
func ParseNIF(s string) (string, error) {
	s, err := Tidy(s)
	if err != nil {
		return "", err
	}
	// Leading zeros of a DNI are often left out.
	if s != "" && isDigit(s[0]) && len(s) < nifLength {
		s = strings.Repeat("0", nifLength-len(s)) + s
	}
	if len(s) != nifLength {
		return "", ErrIdentifier
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
		return "", ErrIdentifier
	}
	if !digits(number) || s[8] != checkLetter(number) {
		return "", ErrIdentifier
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

// ParseCIF reads the tax number of a legal person.
func ParseCIF(s string) (string, error) {
	s, err := Tidy(s)
	if err != nil {
		return "", err
	}
	if len(s) != nifLength || !strings.Contains(cifFirst, s[:1]) || !digits(s[1:8]) {
		return "", ErrIdentifier
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
	return "", ErrIdentifier
}

// Tidy takes blanks, dots and hyphens out and writes capitals.
func Tidy(s string) (string, error) {
	if len(s) > maxNIF {
		return "", ErrIdentifier
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
			return "", ErrIdentifier
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
