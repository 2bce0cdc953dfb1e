package digid

import (
	"errors"
	"strings"

	"github.com/eidbridge/eidbridge/brokers/nationalid"
)

// sectorBSN is the sector code of the citizen service number. The other one,
// s00000001, is the SOFI number of before 2007, which is refused.
const sectorBSN = "s00000000"

// errBSN says nothing about the value, which is personal data.
var errBSN = errors.New("identifier is not a sector-coded BSN")

// parseNameID reads "<sector>:<number>" and returns the BSN in nine digits.
func parseNameID(nameID string) (string, error) {
	sector, number, found := strings.Cut(nameID, ":")
	if !found || sector != sectorBSN {
		return "", errBSN
	}
	bsn, err := nationalid.ParseBSN(number)
	if err != nil {
		return "", errBSN
	}
	return bsn, nil
}
