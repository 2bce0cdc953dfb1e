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

// Template describes a signature to be made: a detached SignedData with one
// signer.
type Template struct {
	Certificate *x509.Certificate
	// Chain holds further certificates to put into the message, in any order.
	Chain     []*x509.Certificate
	Algorithm Algorithm
	// SigningTime becomes the signing-time attribute, which CAdES baseline
	// demands and PAdES baseline forbids; zero leaves it out.
	SigningTime time.Time
	// Attributes are further signed attributes.
	Attributes []Attribute
	// Counter makes a countersignature, which has no content-type (RFC 5652 11.4).
	Counter bool
}

// SignedAttributes returns the DER of the signed attributes as a SET, whose
// digest the key signs. The digest is that of the content, by the algorithm of
// the template.
func (t *Template) SignedAttributes(digest []byte) ([]byte, error) {
	if len(digest) != t.Algorithm.Digest.Size() {
		return nil, fmt.Errorf("content digest of %d bytes: %w", len(digest), ErrAlgorithm)
	}
	attributes := [][]byte{
		attribute(OIDMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(digest) }),
		attribute(OIDSigningCertificateV2, t.addSigningCertificate),
		attribute(OIDAlgorithmProtection, t.addAlgorithmProtection),
	}
	if !t.Counter {
		attributes = append(attributes, attribute(OIDContentType, func(b *cryptobyte.Builder) { addOID(b, OIDData) }))
	}
	for _, a := range t.Attributes {
		attributes = append(attributes, attribute(a.Type, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(a.Values, nil)) }))
	}
	if !t.SigningTime.IsZero() {
		attributes = append(attributes, attribute(OIDSigningTime, func(b *cryptobyte.Builder) {
			addTime(b, t.SigningTime.UTC())
		}))
	}
	b := builder(attributes...)
	addSet(b, asn1.SET, attributes)
	return b.Bytes()
}

// builder has room for some values and what is around them, so that it need not grow.
func builder(values ...[]byte) *cryptobyte.Builder {
	room := 128 // bytes
	for _, v := range values {
		room += len(v)
	}
	return cryptobyte.NewBuilder(make([]byte, 0, room))
}

// attribute encodes an attribute with one value.
func attribute(oid OID, value func(*cryptobyte.Builder)) []byte {
	b := builder()
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1(asn1.SET, value)
	})
	return b.BytesOrPanic()
}

// addSet writes a SET OF in DER order (X.690 11.6).
func addSet(b *cryptobyte.Builder, tag asn1.Tag, elements [][]byte) {
	sorted := slices.Clone(elements)
	slices.SortFunc(sorted, bytes.Compare)
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		for _, e := range sorted {
			b.AddBytes(e)
		}
	})
}

// addSigningCertificate writes SigningCertificateV2 (RFC 5035 section 3) with
// issuerSerial. The digest of the certificate is SHA-256, the default, so
// hashAlgorithm is absent.
func (t *Template) addSigningCertificate(b *cryptobyte.Builder) {
	h := crypto.SHA256.New()
	h.Write(t.Certificate.Raw)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1OctetString(h.Sum(nil))
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(explicit(4), func(b *cryptobyte.Builder) { b.AddBytes(t.Certificate.RawIssuer) })
					})
					b.AddASN1BigInt(t.Certificate.SerialNumber)
				})
			})
		})
	})
}

// addAlgorithmProtection writes CMSAlgorithmProtection (RFC 6211 section 2).
func (t *Template) addAlgorithmProtection(b *cryptobyte.Builder) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addAlgorithm(b, t.digestIdentifier())
		addAlgorithmAs(b, explicit(1), t.Algorithm.identifier())
	})
}

func (t *Template) digestIdentifier() AlgorithmIdentifier {
	return AlgorithmIdentifier{Algorithm: DigestOID(t.Algorithm.Digest)}
}

// addTime writes a Time: UTCTime until 2049 (RFC 5652 11.3).
func addTime(b *cryptobyte.Builder, at time.Time) {
	if at.Year() >= 1950 && at.Year() < 2050 {
		b.AddASN1UTCTime(at)
		return
	}
	b.AddASN1GeneralizedTime(at)
}

// Assemble returns the DER of the ContentInfo around a signature value.
// signedAttributes is what SignedAttributes returned.
func (t *Template) Assemble(signedAttributes, signature []byte) ([]byte, error) {
	if len(signedAttributes) == 0 || signedAttributes[0] != byte(asn1.SET) {
		return nil, formatError("signed attributes are no SET")
	}
	certificates := [][]byte{t.Certificate.Raw}
	for _, c := range t.Chain {
		if !slices.ContainsFunc(certificates, func(raw []byte) bool { return bytes.Equal(raw, c.Raw) }) {
			certificates = append(certificates, c.Raw)
		}
	}
	if len(certificates) > maxCertificates {
		return nil, limitError("certificates")
	}
	attributes := bytes.Clone(signedAttributes)
	attributes[0] = byte(explicit(0))

	b := builder(append(certificates, t.Certificate.RawIssuer, attributes, signature)...)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, OIDSignedData)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, t.digestIdentifier()) })
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, OIDData) })
				addSet(b, explicit(0), certificates)
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { t.addSignerInfo(b, attributes, signature) })
			})
		})
	})
	return b.Bytes()
}

func (t *Template) addSignerInfo(b *cryptobyte.Builder, attributes, signature []byte) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(t.Certificate.RawIssuer)
			b.AddASN1BigInt(t.Certificate.SerialNumber)
		})
		addAlgorithm(b, t.digestIdentifier())
		b.AddBytes(attributes)
		addAlgorithm(b, t.Algorithm.identifier())
		b.AddASN1OctetString(signature)
	})
}

// Size returns the length in bytes of the assembled message: exact for RSA, the
// largest possible for ECDSA, whose values vary by a few bytes.
func (t *Template) Size() (int, error) {
	attributes, err := t.SignedAttributes(make([]byte, t.Algorithm.Digest.Size()))
	if err != nil {
		return 0, err
	}
	message, err := t.Assemble(attributes, make([]byte, SignatureSize(t.Certificate.PublicKey)))
	return len(message), err
}

// VerifySignature checks a bare signature value over signed attributes with the
// certificate of the template, before anything is built around it.
func (t *Template) VerifySignature(signedAttributes, signature []byte) error {
	return verifyValue(t.Certificate.PublicKey, t.Algorithm, signedAttributes, signature)
}
