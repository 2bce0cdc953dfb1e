package nationalid

import "strings"

const bsnLength = 9

// ParseBSN reads a Dutch citizen service number, whose leading zeros may be
// missing, and returns its nine digits.
func ParseBSN(number string) (string, error) {
	if number == "" || len(number) > bsnLength {
		return "", ErrIdentifier
	}
	bsn := strings.Repeat("0", bsnLength-len(number)) + number
	if !IsBSN(bsn) {
		return "", ErrIdentifier
	}
	return bsn, nil
}

// IsBSN reports whether nine digits pass the eleven-test: weights 9 to 2, then
// -1.
func IsBSN(s string) bool {
	if len(s) != bsnLength {
		return false
	}
	sum, zeros := 0, true
	for i := range bsnLength {
		digit := int(s[i]) - '0'
		if digit < 0 || digit > 9 {
			return false
		}
		weight := bsnLength - i
		if i == bsnLength-1 {
			weight = -1
		}
		sum += digit * weight
		zeros = zeros && digit == 0
	}
	return sum%11 == 0 && !zeros
}
