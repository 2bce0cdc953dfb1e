package digid

import (
	"errors"
	"strings"
)

const (
	// sectorBSN is the sector code of the citizen service number. The other one,
	// s00000001, is the SOFI number of before 2007, which is refused.
	sectorBSN = "s00000000"
	bsnLength = 9
)

// errBSN says nothing about the value, which is personal data.
var errBSN = errors.New("identifier is not a sector-coded BSN")

// parseNameID reads "<sector>:<number>" and returns the BSN in nine digits.
func parseNameID(nameID string) (string, error) {
	sector, number, found := strings.Cut(nameID, ":")
	if !found || sector != sectorBSN || number == "" || len(number) > bsnLength {
		return "", errBSN
	}
	bsn := strings.Repeat("0", bsnLength-len(number)) + number
	if !isBSN(bsn) {
		return "", errBSN
	}
	return bsn, nil
}

// isBSN is the eleven-test: weights 9 to 2, then -1.
func isBSN(s string) bool {
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
