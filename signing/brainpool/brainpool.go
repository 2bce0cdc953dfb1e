// Package brainpool has the curves of RFC 5639 that identity cards,
// certification authorities and eIDAS nodes use (brainpoolP256r1, P384r1, P512r1),
// which the standard library lacks, and reads certificates whose key is on one of
// them. It is a leaf, so that whoever judges signatures can use it.
//
// It is for verification alone: it works on public values in a time that depends
// on them. It leaves out private keys, the twisted curves, and the shorter ones.
package brainpool

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrCurve is a certificate whose key is on none of the curves, or a point that
// is not on its curve.
var ErrCurve = errors.New("no point on a known Brainpool curve")

// curve names one of the curves: y² = x³ + ax + b over a prime field with a
// generator of prime order, cofactor 1. It is an elliptic.Curve, which crypto/ecdsa
// verifies with. Two values of one curve are equal, as ecdsa.PublicKey.Equal wants.
type curve struct{ number int }

// Curve returns the curve with an object identifier, nil for an unknown one.
func Curve(id asn1.ObjectIdentifier) elliptic.Curve {
	if c, ok := named(id); ok {
		return c
	}
	return nil
}

func named(id asn1.ObjectIdentifier) (curve, bool) {
	i := slices.IndexFunc(curves(), func(d data) bool { return id.Equal(d.id) })
	return curve{i}, i >= 0
}

// data are the constants of RFC 5639 section 3 in hexadecimal.
type data struct {
	name                  string
	id                    asn1.ObjectIdentifier
	bits                  int
	p, a, b, x, y, orders string
}

func curves() []data {
	arc := func(last int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, last} }
	return []data{
		{
			name: "brainpoolP256r1", id: arc(7), bits: 256,
			p:      "A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377",
			a:      "7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9",
			b:      "26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6",
			x:      "8BD2AEB9CB7E57CB2C4B482FFC81B7AFB9DE27E1E3BD23C23A4453BD9ACE3262",
			y:      "547EF835C3DAC4FD97F8461A14611DC9C27745132DED8E545C1D54C72F046997",
			orders: "A9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7",
		},
		{
			name: "brainpoolP384r1", id: arc(11), bits: 384,
			p:      "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B412B1DA197FB71123ACD3A729901D1A71874700133107EC53",
			a:      "7BC382C63D8C150C3C72080ACE05AFA0C2BEA28E4FB22787139165EFBA91F90F8AA5814A503AD4EB04A8C7DD22CE2826",
			b:      "04A8C7DD22CE28268B39B55416F0447C2FB77DE107DCD2A62E880EA53EEB62D57CB4390295DBC9943AB78696FA504C11",
			x:      "1D1C64F068CF45FFA2A63A81B7C13F6B8847A3E77EF14FE3DB7FCAFE0CBD10E8E826E03436D646AAEF87B2E247D4AF1E",
			y:      "8ABE1D7520F9C2A45CB1EB8E95CFD55262B70B29FEEC5864E19C054FF99129280E4646217791811142820341263C5315",
			orders: "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B31F166E6CAC0425A7CF3AB6AF6B7FC3103B883202E9046565",
		},
		{
			name: "brainpoolP512r1", id: arc(13), bits: 512,
			p:      "AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA703308717D4D9B009BC66842AECDA12AE6A380E62881FF2F2D82C68528AA6056583A48F3",
			a:      "7830A3318B603B89E2327145AC234CC594CBDD8D3DF91610A83441CAEA9863BC2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A72BF2C7B9E7C1AC4D77FC94CA",
			b:      "3DF91610A83441CAEA9863BC2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A72BF2C7B9E7C1AC4D77FC94CADC083E67984050B75EBAE5DD2809BD638016F723",
			x:      "81AEE4BDD82ED9645A21322E9C4C6A9385ED9F70B5D916C1B43B62EEF4D0098EFF3B1F78E2D0D48D50D1687B93B97D5F7C6D5047406A5E688B352209BCB9F822",
			y:      "7DDE385D566332ECC0EABFA9CF7822FDF209F70024A57B1AA000C55B881F8111B2DCDE494A5F485E5BCA4BD88A2763AED1CA2B2FA8F0540678CD1E0F3AD80892",
			orders: "AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA70330870553E5C414CA92619418661197FAC10471DB1D381085DDADDB58796829CA90069",
		},
	}
}

// field is a curve in numbers.
type field struct {
	*elliptic.CurveParams
	a *big.Int
}

func (c curve) field() field {
	d := curves()[c.number]
	number := func(text string) *big.Int {
		n, _ := new(big.Int).SetString(text, 16)
		return n
	}
	return field{a: number(d.a), CurveParams: &elliptic.CurveParams{
		Name: d.name, BitSize: d.bits, P: number(d.p), N: number(d.orders), B: number(d.b), Gx: number(d.x), Gy: number(d.y),
	}}
}

// Params are the constants without a, which CurveParams takes for -3: its own
// arithmetic is of no use here.
func (c curve) Params() *elliptic.CurveParams { return c.field().CurveParams }

func (c curve) IsOnCurve(x, y *big.Int) bool {
	f := c.field()
	if x.Sign() < 0 || y.Sign() < 0 || x.Cmp(f.P) >= 0 || y.Cmp(f.P) >= 0 {
		return false
	}
	right := f.product(x, x)
	right = f.product(right.Add(right, f.a), x)
	right.Add(right, f.B).Mod(right, f.P)
	return f.product(y, y).Cmp(right) == 0
}

// Add adds points; infinity is (0, 0), which is on none of the curves.
func (c curve) Add(x1, y1, x2, y2 *big.Int) (*big.Int, *big.Int) {
	f := c.field()
	if x2.Sign() == 0 && y2.Sign() == 0 {
		return x1, y1
	}
	return f.affine(f.add(projective(x1, y1), x2, y2))
}

func (c curve) Double(x, y *big.Int) (*big.Int, *big.Int) {
	f := c.field()
	return f.affine(f.double(projective(x, y)))
}

func (c curve) ScalarMult(x, y *big.Int, k []byte) (*big.Int, *big.Int) {
	return c.field().multiply(x, y, k)
}

func (c curve) ScalarBaseMult(k []byte) (*big.Int, *big.Int) {
	f := c.field()
	return f.multiply(f.Gx, f.Gy, k)
}

// ParseCertificate reads a DER certificate as x509.ParseCertificate does, and one
// whose key is on a Brainpool curve as well: its PublicKey is an *ecdsa.PublicKey
// and all else as usual. What neither can read is ErrCurve with the parser's error.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	certificate, err := x509.ParseCertificate(der)
	if err == nil {
		return certificate, nil
	}
	other, otherErr := parse(bytes.Clone(der))
	if otherErr != nil {
		return nil, fmt.Errorf("%w: %w", otherErr, err)
	}
	return other, nil
}

func parse(der []byte) (*x509.Certificate, error) {
	f, err := find(der)
	if err != nil {
		return nil, err
	}
	key, err := publicKey(f.point, f.curve)
	if err != nil {
		return nil, err
	}
	// The standard parser refuses unknown curves but passes over unknown
	// algorithms, so it reads a copy in which the algorithm has another number.
	copied := bytes.Clone(der)
	copied[f.algorithm] ^= 0x40
	certificate, err := x509.ParseCertificate(copied)
	if err != nil {
		return nil, err
	}
	certificate.Raw, certificate.RawTBSCertificate, certificate.RawSubjectPublicKeyInfo = der, f.signed, f.key
	certificate.PublicKeyAlgorithm, certificate.PublicKey = x509.ECDSA, key
	return certificate, nil
}

// found are the parts of a certificate that the standard parser must not see
// (RFC 5280 4.1).
type found struct {
	signed []byte // TBSCertificate
	key    []byte // SubjectPublicKeyInfo
	point  []byte
	curve  asn1.ObjectIdentifier
	// algorithm is the offset of the last byte of the key's algorithm.
	algorithm int
}

// ecPublicKey is id-ecPublicKey (RFC 5480 2.1.1).
func ecPublicKey() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} }

func find(der []byte) (found, error) {
	var f found
	var certificate, signed, body, element, key, algorithm, bits cryptobyte.String
	malformed := fmt.Errorf("%w: not a certificate with a named curve", ErrCurve)
	input := cryptobyte.String(der)
	if !input.ReadASN1(&certificate, cryptobyteasn1.SEQUENCE) || !input.Empty() ||
		!certificate.ReadASN1Element(&signed, cryptobyteasn1.SEQUENCE) {
		return found{}, malformed
	}
	f.signed = signed
	if !signed.ReadASN1(&body, cryptobyteasn1.SEQUENCE) ||
		!body.SkipOptionalASN1(cryptobyteasn1.Tag(0).ContextSpecific().Constructed()) || !body.SkipASN1(cryptobyteasn1.INTEGER) {
		return found{}, malformed
	}
	for range 4 { // signature, issuer, validity, subject
		if !body.SkipASN1(cryptobyteasn1.SEQUENCE) {
			return found{}, malformed
		}
	}
	var identifier asn1.ObjectIdentifier
	if !body.ReadASN1Element(&element, cryptobyteasn1.SEQUENCE) {
		return found{}, malformed
	}
	f.key = element
	if !element.ReadASN1(&key, cryptobyteasn1.SEQUENCE) || !key.ReadASN1(&algorithm, cryptobyteasn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&identifier) || !identifier.Equal(ecPublicKey()) {
		return found{}, malformed
	}
	// All parts are ends of der or begin in it: capacities tell where.
	f.algorithm = cap(der) - cap(algorithm) - 1
	if !algorithm.ReadASN1ObjectIdentifier(&f.curve) || !algorithm.Empty() ||
		!key.ReadASN1(&bits, cryptobyteasn1.BIT_STRING) || !key.Empty() || len(bits) < 2 || bits[0] != 0 {
		return found{}, malformed
	}
	f.point = bits[1:]
	return f, nil
}

// publicKey reads 04 || X || Y and accepts only points on the curve.
func publicKey(point []byte, id asn1.ObjectIdentifier) (*ecdsa.PublicKey, error) {
	c, ok := named(id)
	if !ok {
		return nil, fmt.Errorf("%w: curve %v", ErrCurve, id)
	}
	size := (c.Params().BitSize + 7) / 8
	if len(point) != 1+2*size || point[0] != 0x04 {
		return nil, fmt.Errorf("%w: no uncompressed point", ErrCurve)
	}
	x, y := new(big.Int).SetBytes(point[1:1+size]), new(big.Int).SetBytes(point[1+size:])
	if !c.IsOnCurve(x, y) {
		return nil, ErrCurve
	}
	return &ecdsa.PublicKey{Curve: c, X: x, Y: y}, nil //nolint:staticcheck // SA1019: the other constructors know no further curves
}
