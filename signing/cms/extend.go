package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// AddUnsigned adds an unsigned attribute with one value, a raw element. The
// other attributes keep their bytes; the set is put into DER order.
func (si *SignerInfo) AddUnsigned(oid OID, value []byte) error {
	added := attribute(oid, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	all := [][]byte{added}
	if si.unsigned != nil {
		in := cryptobyte.String(si.unsigned)
		var set cryptobyte.String
		if !in.ReadASN1(&set, explicit(1)) {
			return formatError("unsigned attributes")
		}
		for !set.Empty() {
			var element cryptobyte.String
			if !set.ReadASN1Element(&element, asn1.SEQUENCE) {
				return formatError("unsigned attributes")
			}
			all = append(all, element)
		}
	}
	if len(all) > maxAttributes {
		return limitError("attributes")
	}
	var b cryptobyte.Builder
	addSet(&b, explicit(1), all)
	raw, err := b.Bytes()
	if err != nil {
		return err
	}
	si.unsigned = raw
	si.UnsignedAttributes = append(slices.Clip(si.UnsignedAttributes), Attribute{Type: oid, Values: [][]byte{bytes.Clone(value)}})
	return nil
}

// VerifyValue checks a bare signature value over a message, as OCSP answers and
// CRLs carry it. The algorithm is a raw AlgorithmIdentifier. SHA-1 and shorter
// digests are refused with ErrAlgorithm.
func VerifyValue(key crypto.PublicKey, algorithm, message, value []byte) error {
	return verifyOther(key, algorithm, message, value, false)
}

// SHA1Trusted is the time until which signatures of authorities over SHA-1 are
// believed: certificates, OCSP answers and lists that are older were made when
// nobody could make two that collide. Signatures of persons end in 2012
// (TS 119 312).
func SHA1Trusted() time.Time { return time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC) }

// VerifyOldValue is VerifyValue for what was signed before SHA1Trusted.
func VerifyOldValue(key crypto.PublicKey, algorithm, message, value []byte) error {
	return verifyOther(key, algorithm, message, value, true)
}

// CheckCertificate tells whether an issuer signed a certificate, over SHA-1 only
// if that was before SHA1Trusted.
func CheckCertificate(c, issuer *x509.Certificate) error {
	return checkCertificate(c, issuer, c.NotBefore.Before(SHA1Trusted()))
}

// CheckOldCertificate is CheckCertificate over SHA-1 whenever that was. It tells
// whose a certificate claims to be, for a verdict that is none but a failure.
func CheckOldCertificate(c, issuer *x509.Certificate) error {
	return checkCertificate(c, issuer, true)
}

func checkCertificate(c, issuer *x509.Certificate, old bool) error {
	in := cryptobyte.String(c.Raw)
	var certificate, algorithm cryptobyte.String
	if !in.ReadASN1(&certificate, asn1.SEQUENCE) || !certificate.SkipASN1(asn1.SEQUENCE) || !certificate.ReadASN1Element(&algorithm, asn1.SEQUENCE) {
		return formatError("certificate")
	}
	return verifyOther(issuer.PublicKey, algorithm, c.RawTBSCertificate, c.Signature, old)
}

func verifyOther(key crypto.PublicKey, algorithm, message, value []byte, old bool) error {
	in := cryptobyte.String(algorithm)
	id, ok := readAlgorithm(&in)
	if !ok || !in.Empty() {
		return formatError("signature algorithm")
	}
	a, err := id.signatureAlgorithm(0)
	if err != nil {
		return err
	}
	if a.Scheme != Ed25519 && a.Digest == crypto.SHA1 && old {
		return verifyValue(key, a, message, value)
	}
	if a.Scheme != Ed25519 && (a.Digest == 0 || a.Digest == crypto.SHA1 || a.Digest == crypto.SHA224) {
		return fmt.Errorf("digest of a signature: %w", ErrAlgorithm)
	}
	if a.Scheme == Ed25519 {
		return verifyDigest(key, a, nil, message, value)
	}
	return verifyValue(key, a, message, value)
}

// ReadAlgorithm reads an AlgorithmIdentifier element.
func ReadAlgorithm(s *cryptobyte.String) (AlgorithmIdentifier, bool) { return readAlgorithm(s) }

// AddAlgorithm writes an AlgorithmIdentifier.
func AddAlgorithm(b *cryptobyte.Builder, a AlgorithmIdentifier) { addAlgorithm(b, a) }

// AddOID writes an object identifier element.
func AddOID(b *cryptobyte.Builder, oid OID) { addOID(b, oid) }
