package cms

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// OID is an object identifier in dotted decimal form.
type OID string

// Content types and attributes (RFC 5652 11, RFC 5035, RFC 6211, EN 319 122-1).
const (
	OIDData                        OID = "1.2.840.113549.1.7.1"
	OIDSignedData                  OID = "1.2.840.113549.1.7.2"
	OIDTSTInfo                     OID = "1.2.840.113549.1.9.16.1.4"
	OIDContentType                 OID = "1.2.840.113549.1.9.3"
	OIDMessageDigest               OID = "1.2.840.113549.1.9.4"
	OIDSigningTime                 OID = "1.2.840.113549.1.9.5"
	OIDSigningCertificate          OID = "1.2.840.113549.1.9.16.2.12"
	OIDSigningCertificateV2        OID = "1.2.840.113549.1.9.16.2.47"
	OIDCommitmentType              OID = "1.2.840.113549.1.9.16.2.16"
	OIDSignaturePolicy             OID = "1.2.840.113549.1.9.16.2.15"
	OIDSignatureTimeStamp          OID = "1.2.840.113549.1.9.16.2.14"
	OIDCounterSignature            OID = "1.2.840.113549.1.9.6"
	OIDSignerLocation              OID = "1.2.840.113549.1.9.16.2.17"
	OIDContentHints                OID = "1.2.840.113549.1.9.16.2.4"
	OIDContentTimeStamp            OID = "1.2.840.113549.1.9.16.2.20"
	OIDCertificateRefs             OID = "1.2.840.113549.1.9.16.2.21"
	OIDRevocationRefs              OID = "1.2.840.113549.1.9.16.2.22"
	OIDCertificateValues           OID = "1.2.840.113549.1.9.16.2.23"
	OIDRevocationValues            OID = "1.2.840.113549.1.9.16.2.24"
	OIDArchiveTimeStampV2          OID = "1.2.840.113549.1.9.16.2.48"
	OIDMimeType                    OID = "0.4.0.1733.2.1"
	OIDArchiveTimeStampV3          OID = "0.4.0.1733.2.4"
	OIDATSHashIndex                OID = "0.4.0.1733.2.5"
	OIDSignerAttributesV2          OID = "0.4.0.19122.1.1"
	OIDATSHashIndexV2              OID = "0.4.0.19122.1.4"
	OIDATSHashIndexV3              OID = "0.4.0.19122.1.5"
	OIDAlgorithmProtection         OID = "1.2.840.113549.1.9.52"
	OIDAdobeRevocationInfoArchival OID = "1.2.840.113583.1.1.8"
)

// Digest and signature algorithms (RFC 5754, RFC 4055, RFC 5758, NIST CSOR,
// RFC 8419).
const (
	oidSHA1           OID = "1.3.14.3.2.26"
	oidSHA224         OID = "2.16.840.1.101.3.4.2.4"
	oidSHA256         OID = "2.16.840.1.101.3.4.2.1"
	oidSHA384         OID = "2.16.840.1.101.3.4.2.2"
	oidSHA512         OID = "2.16.840.1.101.3.4.2.3"
	oidSHA3224        OID = "2.16.840.1.101.3.4.2.7"
	oidSHA3256        OID = "2.16.840.1.101.3.4.2.8"
	oidSHA3384        OID = "2.16.840.1.101.3.4.2.9"
	oidSHA3512        OID = "2.16.840.1.101.3.4.2.10"
	oidRSA            OID = "1.2.840.113549.1.1.1"
	oidSHA1WithRSA    OID = "1.2.840.113549.1.1.5"
	oidMGF1           OID = "1.2.840.113549.1.1.8"
	oidPSS            OID = "1.2.840.113549.1.1.10"
	oidSHA256WithRSA  OID = "1.2.840.113549.1.1.11"
	oidSHA384WithRSA  OID = "1.2.840.113549.1.1.12"
	oidSHA512WithRSA  OID = "1.2.840.113549.1.1.13"
	oidSHA224WithRSA  OID = "1.2.840.113549.1.1.14"
	oidECPublicKey    OID = "1.2.840.10045.2.1"
	oidSHA1WithECDSA  OID = "1.2.840.10045.4.1"
	oidSHA224ECDSA    OID = "1.2.840.10045.4.3.1"
	oidSHA256ECDSA    OID = "1.2.840.10045.4.3.2"
	oidSHA384ECDSA    OID = "1.2.840.10045.4.3.3"
	oidSHA512ECDSA    OID = "1.2.840.10045.4.3.4"
	oidSHA3224ECDSA   OID = "2.16.840.1.101.3.4.3.9"
	oidSHA3256ECDSA   OID = "2.16.840.1.101.3.4.3.10"
	oidSHA3384ECDSA   OID = "2.16.840.1.101.3.4.3.11"
	oidSHA3512ECDSA   OID = "2.16.840.1.101.3.4.3.12"
	oidSHA3224WithRSA OID = "2.16.840.1.101.3.4.3.13"
	oidSHA3256WithRSA OID = "2.16.840.1.101.3.4.3.14"
	oidSHA3384WithRSA OID = "2.16.840.1.101.3.4.3.15"
	oidSHA3512WithRSA OID = "2.16.840.1.101.3.4.3.16"
	oidEd25519        OID = "1.3.101.112"
)

var errOID = errors.New("malformed object identifier")

// appendContent appends the content octets (X.690 8.19).
func (o OID) appendContent(dst []byte) ([]byte, error) {
	arcs := make([]uint64, 0, maxOIDArcs+1) // the first octets hold two
	for part := range strings.SplitSeq(string(o), ".") {
		n, err := strconv.ParseUint(part, 10, 63)
		if err != nil || len(arcs) == cap(arcs) {
			return nil, errOID
		}
		arcs = append(arcs, n)
	}
	if len(arcs) < 2 || arcs[0] > 2 || arcs[0] < 2 && arcs[1] > 39 || arcs[1] > 1<<62 {
		return nil, errOID
	}
	arcs[1] += arcs[0] * 40
	for _, arc := range arcs[1:] {
		var buf [10]byte
		i := len(buf) - 1
		buf[i] = byte(arc & 0x7F)
		for arc >>= 7; arc > 0; arc >>= 7 {
			i--
			buf[i] = byte(arc&0x7F) | 0x80
		}
		dst = append(dst, buf[i:]...)
	}
	return dst, nil
}

// parseOID reads content octets.
func parseOID(content []byte) (OID, error) {
	if len(content) == 0 || len(content) > maxOID {
		return "", errOID
	}
	text := make([]byte, 0, 4*maxOID)
	var arc uint64
	arcs, begin := 0, true
	for i, c := range content {
		if begin && c == 0x80 || arc > 1<<55 || arcs == maxOIDArcs {
			return "", errOID
		}
		begin = false
		arc = arc<<7 | uint64(c&0x7F)
		if c&0x80 != 0 {
			if i == len(content)-1 {
				return "", errOID
			}
			continue
		}
		if arcs == 0 {
			first := min(arc/40, 2)
			text = strconv.AppendUint(text, first, 10)
			arc -= first * 40
		}
		text = append(text, '.')
		text = strconv.AppendUint(text, arc, 10)
		arcs++
		arc, begin = 0, true
	}
	return OID(text), nil
}

// ReadOID reads an object identifier element.
func ReadOID(s *cryptobyte.String, out *OID) bool {
	var content cryptobyte.String
	if !s.ReadASN1(&content, asn1.OBJECT_IDENTIFIER) {
		return false
	}
	oid, err := parseOID(content)
	*out = oid
	return err == nil
}

func addOID(b *cryptobyte.Builder, oid OID) {
	content, err := oid.appendContent(make([]byte, 0, maxOID))
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddBytes(appendHeader(make([]byte, 0, 8), asn1.OBJECT_IDENTIFIER, int64(len(content))))
	b.AddBytes(content)
}
