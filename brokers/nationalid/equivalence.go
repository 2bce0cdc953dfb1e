package nationalid

import (
	"fmt"
	"strings"
)

// Equivalence is an operator's word that the identifiers of one scheme are those
// of another. Nothing is equivalent by default: a country may give other
// identifiers abroad than at home, and only the country knows.
type Equivalence struct {
	// Foreign begins the keys that are meant: "eidas:ES/NL/".
	Foreign string
	// Scheme is the one whose identifiers they are: "es-nif", "ee-ik", "nl-bsn".
	Scheme string
}

// Check refuses a rule that could join different people.
func (e Equivalence) Check() error {
	scheme, rest, _ := strings.Cut(e.Foreign, ":")
	parts := strings.Split(rest, "/")
	if scheme != "eidas" || len(parts) != 3 || !isCountry(parts[0]) || !isCountry(parts[1]) || parts[2] != "" {
		return fmt.Errorf("equivalence %q is not of the form eidas:ES/NL/", e.Foreign)
	}
	if home, ok := home(e.Scheme); !ok || home != parts[0] {
		return fmt.Errorf("equivalence %q: %q is not a scheme of that country", e.Foreign, e.Scheme)
	}
	return nil
}

// home is the country of a scheme whose identifiers can be checked.
func home(scheme string) (country string, ok bool) {
	switch scheme {
	case "es-nif":
		return "ES", true
	case "nl-bsn":
		return "NL", true
	case "ee-ik":
		return "EE", true
	}
	return "", false
}

// Canonical returns the key under which a person is known: by the first rule
// that applies, or the key itself. A rule applies only if the identifier is a
// valid one of the home scheme.
func Canonical(key string, rules []Equivalence) string {
	for _, rule := range rules {
		value, ok := strings.CutPrefix(key, rule.Foreign)
		if !ok || rule.Check() != nil {
			continue
		}
		if own, err := parse(rule.Scheme, value); err == nil {
			return rule.Scheme + ":" + own
		}
	}
	return key
}

func parse(scheme, value string) (string, error) {
	switch scheme {
	case "es-nif":
		return ParseNIF(value)
	case "nl-bsn":
		return ParseBSN(value)
	case "ee-ik":
		code, err := ParsePersonalCode(value)
		return code.Code, err
	}
	return "", ErrIdentifier
}
