package iso7816

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// CheckDigest tells whether a digest is of its hash's full length. The error is
// cardreader.ErrDigest.
func CheckDigest(hash crypto.Hash, digest []byte) error {
	if len(digest) == 0 || len(digest) != hash.Size() {
		return fmt.Errorf("%w: %d bytes for %v", cardreader.ErrDigest, len(digest), hash)
	}
	return nil
}

// Fit brings a digest to the length of an ECDSA group's order, in bytes. ECDSA
// uses the leftmost bits of a longer hash and the number that a shorter one is
// (FIPS 186-5 6.4.1), so zeros in front and a cut at the end change no value for
// an order of whole bytes.
func Fit(digest []byte, size int) []byte {
	if len(digest) >= size {
		return digest[:size]
	}
	fitted := make([]byte, size)
	copy(fitted[size-len(digest):], digest)
	return fitted
}

// SignatureDER turns r and s of size bytes each into an ECDSA-Sig-Value (RFC 3279
// 2.2.3).
func SignatureDER(raw []byte, size int) ([]byte, error) {
	if len(raw) != 2*size {
		return nil, fmt.Errorf("%w: signature of %d bytes", apdu.ErrProtocol, len(raw))
	}
	r, s := new(big.Int).SetBytes(raw[:size]), new(big.Int).SetBytes(raw[size:])
	if r.Sign() == 0 || s.Sign() == 0 {
		return nil, fmt.Errorf("%w: signature with a zero", apdu.ErrProtocol)
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.Bytes()
}

// DigestInfo is the structure that PKCS #1 v1.5 signs (RFC 8017 9.2), for SHA-256,
// SHA-384 and SHA-512. The error is cardreader.ErrDigest.
func DigestInfo(hash crypto.Hash, digest []byte) ([]byte, error) {
	if err := CheckDigest(hash, digest); err != nil {
		return nil, err
	}
	last := map[crypto.Hash]int{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[hash]
	if last == 0 {
		return nil, fmt.Errorf("%w: hash %v", cardreader.ErrDigest, hash)
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, last})
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(digest)
	})
	return b.Bytes()
}

// ParseCertificate reads the one DER certificate that a file holds. Its error is
// ErrContent without the parser's words, which may quote the holder's name.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: not a certificate", ErrContent)
	}
	return certificate, nil
}

// telling is how much of a public key tells it from all others, in bytes.
const telling = 160

// KeyPart is the end of the certificate's public key, short enough for one READ
// BINARY, and where in the certificate it stands: what Recognize of a driver
// compares.
func KeyPart(c *x509.Certificate) (part []byte, offset int) {
	key := c.RawSubjectPublicKeyInfo
	begin := bytes.Index(c.Raw, key)
	if begin < 0 {
		return nil, 0
	}
	skip := max(0, len(key)-telling)
	return key[skip:], begin + skip
}
