package nationalid

import "time"

const personalCodeLength = 11

// PersonalCode is what an Estonian personal code (isikukood) says.
type PersonalCode struct {
	// Code has eleven digits.
	Code string
	// Birthdate is midnight UTC.
	Birthdate time.Time
	Female    bool
}

// ParsePersonalCode reads an isikukood: G YYMMDD SSS C, where G gives century and
// sex and C is the check digit.
func ParsePersonalCode(code string) (PersonalCode, error) {
	if len(code) != personalCodeLength || !digits(code) {
		return PersonalCode{}, ErrIdentifier
	}
	kind := int(code[0] - '0')
	if kind < 1 || kind > 8 || personalCodeCheck(code) != int(code[10]-'0') {
		return PersonalCode{}, ErrIdentifier
	}
	number := func(from, to int) (n int) {
		for _, c := range code[from:to] {
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := 1800+(kind-1)/2*100+number(1, 3), number(3, 5), number(5, 7)
	born := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if born.Month() != time.Month(month) || born.Day() != day {
		return PersonalCode{}, ErrIdentifier
	}
	return PersonalCode{Code: code, Birthdate: born, Female: kind%2 == 0}, nil
}

// personalCodeCheck is the check digit: two rows of weights, the second for a
// remainder of ten in the first.
func personalCodeCheck(code string) int {
	for _, start := range []int{1, 3} {
		sum, weight := 0, start
		for i := range personalCodeLength - 1 {
			sum += int(code[i]-'0') * weight
			if weight++; weight > 9 {
				weight = 1
			}
		}
		if rest := sum % 11; rest < 10 {
			return rest
		}
	}
	return 0
}
