package clave

import (
	"errors"
	"strings"
)

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
