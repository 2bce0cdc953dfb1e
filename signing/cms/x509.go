package cms

import (
	"crypto/rsa"
	"crypto/x509"
	encodingasn1 "encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/brainpool"
)

// ParseCertificate reads a certificate as crypto/x509 does, and beside that keys on the
// Brainpool curves of German and Austrian authorities and RSA keys for PSS alone
// (RFC 4055 1.2; the key is an *rsa.PublicKey). It takes one fault that cards in use
// have: an RSA modulus whose first octet of zero is missing, so that it reads as
// negative (Estonian cards of 2011 to 2014). The certificate keeps its bytes, so that
// its signature and digest are those of its issuer.
func ParseCertificate(raw []byte) (*x509.Certificate, error) {
	c, err := brainpool.ParseCertificate(raw)
	if err == nil {
		if key, isPSS := pssKey(c); isPSS && key != nil {
			c.PublicKeyAlgorithm, c.PublicKey = x509.RSA, key
		}
		return c, nil
	}
	patched, tbs, spki, ok := patchModulus(raw)
	if !ok {
		return nil, err
	}
	if c, failure := x509.ParseCertificate(patched); failure == nil {
		c.Raw, c.RawTBSCertificate, c.RawSubjectPublicKeyInfo = raw, tbs, spki
		return c, nil
	}
	return nil, err
}

// pssKey reports whether a certificate's key is for PSS alone, and returns it unless it
// is malformed. The standard parser does not know such keys.
func pssKey(c *x509.Certificate) (key *rsa.PublicKey, isPSS bool) {
	in := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	var body, algorithm cryptobyte.String
	var id encodingasn1.ObjectIdentifier
	var bits []byte
	if !in.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&id) ||
		id.String() != string(oidPSS) || !body.ReadASN1BitStringAsBytes(&bits) {
		return nil, false
	}
	key, err := x509.ParsePKCS1PublicKey(bits)
	if err != nil {
		return nil, true
	}
	return key, true
}

// keyAllows refuses the older padding under a key that is for PSS alone (RFC 4055 1.2).
func keyAllows(c *x509.Certificate, a Algorithm) error {
	if a.Scheme != RSAPKCS1v15 {
		return nil
	}
	if _, isPSS := pssKey(c); isPSS {
		return fmt.Errorf("%s under a key for PSS alone: %w", a, ErrSignature)
	}
	return nil
}

// patchModulus puts the missing octet into the modulus of an RSA key.
func patchModulus(raw []byte) (patched, tbs, spki []byte, ok bool) {
	in := cryptobyte.String(raw)
	var certificate, whole, body, before, key cryptobyte.String
	if !in.ReadASN1(&certificate, asn1.SEQUENCE) || !in.Empty() || !certificate.ReadASN1Element(&whole, asn1.SEQUENCE) {
		return nil, nil, nil, false
	}
	tbs = whole
	inner := whole
	if !inner.ReadASN1(&body, asn1.SEQUENCE) {
		return nil, nil, nil, false
	}
	begin := body
	// version, serial number, algorithm, issuer, validity, subject
	if !body.SkipOptionalASN1(explicit(0)) || !body.SkipASN1(asn1.INTEGER) {
		return nil, nil, nil, false
	}
	for range 4 {
		if !body.SkipASN1(asn1.SEQUENCE) {
			return nil, nil, nil, false
		}
	}
	before = begin[:len(begin)-len(body)]
	if !body.ReadASN1Element(&key, asn1.SEQUENCE) {
		return nil, nil, nil, false
	}
	fixed, ok := patchKey(key)
	if !ok {
		return nil, nil, nil, false
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(before)
			b.AddBytes(fixed)
			b.AddBytes(body)
		})
		b.AddBytes(certificate)
	})
	patched, err := b.Bytes()
	return patched, tbs, key, err == nil
}

func patchKey(key cryptobyte.String) ([]byte, bool) {
	var body, algorithm, numbers, modulus cryptobyte.String
	var bits []byte
	if !key.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !body.ReadASN1BitStringAsBytes(&bits) {
		return nil, false
	}
	in := cryptobyte.String(bits)
	if !in.ReadASN1(&numbers, asn1.SEQUENCE) || !numbers.ReadASN1(&modulus, asn1.INTEGER) || len(modulus) == 0 || modulus[0] < 0x80 {
		return nil, false
	}
	var inner, b cryptobyte.Builder
	inner.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddBytes(modulus)
		})
		b.AddBytes(numbers)
	})
	octets, err := inner.Bytes()
	if err != nil {
		return nil, false
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(algorithm)
		b.AddASN1BitString(octets)
	})
	fixed, err := b.Bytes()
	return fixed, err == nil
}
