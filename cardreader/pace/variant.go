package pace

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Info is one PACE variant that a card offers (PACEInfo, ICAO Doc 9303-11 9.2).
type Info struct {
	// OID names mapping and cipher.
	OID asn1.ObjectIdentifier
	// Version is 2 in everything that is in use.
	Version int
	// Parameter is the number of the domain parameters, 0 when the card leaves
	// them open.
	Parameter int
}

// The variants with generic mapping over elliptic curves end in the cipher
// (id-PACE-ECDH-GM, 0.4.0.127.0.7.2.2.4.2, BSI TR-03110-3 A.1.1.1).
const (
	cipherAES128 = 2
	cipherAES192 = 3
	cipherAES256 = 4

	paceVersion = 2
)

func genericMapping() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4, 2}
}

// paceProtocols is the arc of all PACE variants, id-PACE.
func paceProtocols() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4}
}

// Numbers of standardised domain parameters (ICAO Doc 9303-11 9.5).
const (
	parameterP256            = 12
	parameterBrainpoolP256r1 = 13
	parameterBrainpoolP384r1 = 16
)

// DNIe is what every contactless DNIe speaks: AES-128 over brainpoolP256r1.
func DNIe() Info {
	return Info{OID: append(genericMapping(), cipherAES128), Version: paceVersion, Parameter: parameterBrainpoolP256r1}
}

// String is the OID with the parameter number.
func (i Info) String() string { return fmt.Sprintf("%v/%d", i.OID, i.Parameter) }

// Supported tells whether Establish knows the variant.
func (i Info) Supported() bool {
	_, err := i.curve()
	return err == nil && i.keySize() > 0
}

// keySize is the size of the AES keys in bytes, 0 when unknown.
func (i Info) keySize() int {
	prefix := genericMapping()
	if i.Version != paceVersion || len(i.OID) != len(prefix)+1 || !i.OID[:len(prefix)].Equal(prefix) {
		return 0
	}
	switch i.OID[len(prefix)] {
	case cipherAES128:
		return 16
	case cipherAES192:
		return 24
	case cipherAES256:
		return 32
	default:
		return 0
	}
}

func (i Info) curve() (*curve, error) {
	switch i.Parameter {
	case parameterP256:
		return dataP256().curve()
	case parameterBrainpoolP256r1:
		return dataBrainpoolP256r1().curve()
	case parameterBrainpoolP384r1:
		return dataBrainpoolP384r1().curve()
	default:
		return nil, fmt.Errorf("%w: domain parameters %d", ErrUnsupported, i.Parameter)
	}
}

// encodedOID is the content of the OID's DER form.
func (i Info) encodedOID() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(i.OID)
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return der[2:], nil // tag and a length of one byte
}

// ParseCardAccess reads EF.CardAccess (SecurityInfos, DER, nothing behind it) and
// gives its PACE variants, supported or not; entries of other protocols are
// passed over. The error is ErrCardAccess.
func ParseCardAccess(file []byte) ([]Info, error) {
	if len(file) > maxCardAccess {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrCardAccess, maxCardAccess)
	}
	input := cryptobyte.String(file)
	var entries cryptobyte.String
	if !input.ReadASN1(&entries, cbasn1.SET) || !input.Empty() {
		return nil, fmt.Errorf("%w: no SET alone", ErrCardAccess)
	}
	var infos []Info
	for count := 0; !entries.Empty(); count++ {
		if count == maxSecurityInfos {
			return nil, fmt.Errorf("%w: more than %d entries", ErrCardAccess, maxSecurityInfos)
		}
		var entry cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !entries.ReadASN1(&entry, cbasn1.SEQUENCE) || !entry.ReadASN1ObjectIdentifier(&oid) {
			return nil, fmt.Errorf("%w: entry %d", ErrCardAccess, count)
		}
		if !isVariant(oid) {
			continue
		}
		info, ok := parseInfo(oid, entry)
		if !ok {
			return nil, fmt.Errorf("%w: PACE entry %d", ErrCardAccess, count)
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// isVariant is true for PACEInfo: the arc, the mapping, the cipher. An OID with
// the mapping alone belongs to PACEDomainParameterInfo.
func isVariant(oid asn1.ObjectIdentifier) bool {
	arc := paceProtocols()
	return len(oid) == len(arc)+2 && oid[:len(arc)].Equal(arc)
}

func parseInfo(oid asn1.ObjectIdentifier, rest cryptobyte.String) (Info, bool) {
	info := Info{OID: oid}
	if !rest.ReadASN1Integer(&info.Version) {
		return Info{}, false
	}
	if !rest.Empty() && (!rest.ReadASN1Integer(&info.Parameter) || info.Parameter < 0) {
		return Info{}, false
	}
	return info, rest.Empty()
}

// Choose picks the supported variant with the longest key, of equal ones that on
// the larger curve, and of those the first. The error is ErrUnsupported.
func Choose(infos []Info) (Info, error) {
	var best Info
	bestRank := 0
	for _, info := range infos {
		c, err := info.curve()
		if err != nil || info.keySize() == 0 {
			continue
		}
		if rank := info.keySize()<<8 | c.size; rank > bestRank {
			best, bestRank = info, rank
		}
	}
	if bestRank == 0 {
		return Info{}, fmt.Errorf("%w among %d", ErrUnsupported, len(infos))
	}
	return best, nil
}
