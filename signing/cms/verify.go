package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Verified is what Verify established about one signer.
type Verified struct {
	// Raw is the signing certificate, Certificate its parsed form. The latter is
	// nil when crypto/x509 cannot read it.
	Raw         []byte
	Certificate *x509.Certificate
	Algorithm   Algorithm
	Digest      crypto.Hash
	// Bound tells that a signing-certificate attribute names the certificate by
	// its hash; without it only the signer identifier does.
	Bound bool
	// Misnamed tells that issuer and serial number beside the hash are not those of
	// the certificate (EN 319 102-1 5.2.3.4: the hash alone decides which it is).
	Misnamed bool
	// SignedAttributes tells whether there were any. Without them the value signs
	// the content itself, and whoever signed may have meant something else.
	SignedAttributes bool
	// Protected tells that cms-algorithm-protection is there and agrees.
	Protected bool
	// SigningTime is the signing-time attribute, zero without it.
	SigningTime time.Time
	// Sorted tells whether the signed attributes were a DER SET OF.
	Sorted bool
}

// Digest returns the digest that Verify expects for the content of a signer.
func (si *SignerInfo) Digest() (crypto.Hash, error) { return si.DigestAlgorithm.Digest() }

// Verify checks one signer against the digest of the content, made by
// si.Digest. Certificates of the message and extra ones are searched for the
// signer's. The errors are ErrFormat, ErrNoCertificate, ErrBinding, ErrDigest,
// ErrSignature and ErrAlgorithm; with the last five the result holds what is
// known so far.
func (d *SignedData) Verify(si *SignerInfo, digest []byte, extra ...[]byte) (*Verified, error) {
	return d.verify(si, digest, d.ContentType, extra)
}

// VerifyCounter checks a countersignature against the digest of the signature
// value that it countersigns (RFC 5652 11.4), as Verify does.
func (d *SignedData) VerifyCounter(si *SignerInfo, digest []byte, extra ...[]byte) (*Verified, error) {
	return d.verify(si, digest, "", extra)
}

// verify demands signed attributes with the content type, which a countersignature
// has not.
func (d *SignedData) verify(si *SignerInfo, digest []byte, contentType OID, extra [][]byte) (*Verified, error) {
	v := &Verified{SignedAttributes: si.SignedAttributes != nil}
	var err error
	if v.Digest, err = si.Digest(); err != nil {
		d.identify(v, si, extra)
		return v, err
	}
	if err := si.checkAttributes(contentType); err != nil {
		return v, err
	}
	v.Sorted = si.sorted()
	if v.SigningTime, err = si.signingTime(); err != nil {
		return v, err
	}
	if v.Algorithm, err = si.SignatureAlgorithm.signatureAlgorithm(v.Digest); err != nil {
		d.identify(v, si, extra)
		return v, err
	}
	if v.Protected, err = si.protected(); err != nil {
		return v, err
	}
	var mismatch error
	if si.SignedAttributes != nil {
		stated, err := si.MessageDigest()
		if err != nil {
			return v, err
		}
		if !bytes.Equal(stated, digest) {
			mismatch = ErrDigest
		}
	}
	v.Raw, v.Bound, v.Misnamed, err = d.findSigner(si, extra)
	if v.Raw != nil {
		if c, err := ParseCertificate(v.Raw); err == nil {
			v.Certificate = c
		}
	}
	if err != nil || mismatch != nil {
		return v, errors.Join(err, mismatch)
	}
	if v.Certificate == nil {
		return v, fmt.Errorf("signing certificate cannot be read: %w", ErrAlgorithm)
	}
	if err := keyAllows(v.Certificate, v.Algorithm); err != nil {
		return v, err
	}
	if si.SignedAttributes == nil {
		return v, verifyDigest(v.Certificate.PublicKey, v.Algorithm, digest, nil, si.Signature)
	}
	err = verifyValue(v.Certificate.PublicKey, v.Algorithm, si.signedBytes(), si.Signature)
	if errors.Is(err, ErrSignature) && !v.Sorted {
		// Some signers sign the DER and send another order.
		err = verifyValue(v.Certificate.PublicKey, v.Algorithm, si.sortedBytes(), si.Signature)
	}
	return v, err
}

// identify names the certificate of a signature that cannot be verified, if it is
// clear which that is. Bound stays false: what binds them was not verified either.
func (d *SignedData) identify(v *Verified, si *SignerInfo, extra [][]byte) {
	raw, _, _, err := d.findSigner(si, extra)
	if err != nil {
		return
	}
	v.Raw = raw
	if c, err := ParseCertificate(raw); err == nil {
		v.Certificate = c
	}
}

// signedBytes returns what the value signs: the attributes as received, with
// the universal SET tag (RFC 5652 5.4).
func (si *SignerInfo) signedBytes() []byte {
	b := bytes.Clone(si.signed)
	b[0] = byte(asn1.SET)
	return b
}

// sortedBytes returns the attributes as a DER SET OF.
func (si *SignerInfo) sortedBytes() []byte {
	in := cryptobyte.String(si.signed)
	var set cryptobyte.String
	var all [][]byte
	for ok := in.ReadASN1(&set, explicit(0)); ok && !set.Empty(); {
		var e cryptobyte.String
		if !set.ReadASN1Element(&e, asn1.SEQUENCE) {
			break
		}
		all = append(all, e)
	}
	b := builder(all...)
	addSet(b, asn1.SET, all)
	return b.BytesOrPanic()
}

func (si *SignerInfo) sorted() bool {
	s := cryptobyte.String(si.signed)
	var set cryptobyte.String
	if si.signed == nil || !s.ReadASN1(&set, explicit(0)) {
		return true
	}
	var last cryptobyte.String
	for !set.Empty() {
		var e cryptobyte.String
		if !set.ReadASN1Element(&e, asn1.SEQUENCE) || bytes.Compare(last, e) > 0 {
			return false
		}
		last = e
	}
	return true
}

// single returns the value of an attribute that may occur once with one value,
// nil when it is absent.
func (si *SignerInfo) single(oid OID) ([]byte, error) {
	var value []byte
	for _, a := range si.SignedAttributes {
		if a.Type != oid {
			continue
		}
		if value != nil || len(a.Values) != 1 {
			return nil, formatError("attribute " + string(oid) + " is not there exactly once")
		}
		value = a.Values[0]
	}
	return value, nil
}

// Attribute returns the values of a signed attribute.
func (si *SignerInfo) Attribute(oid OID) [][]byte { return find(si.SignedAttributes, oid) }

// UnsignedAttribute returns the values of an unsigned attribute.
func (si *SignerInfo) UnsignedAttribute(oid OID) [][]byte { return find(si.UnsignedAttributes, oid) }

func find(attributes []Attribute, oid OID) [][]byte {
	var all [][]byte
	for _, a := range attributes {
		if a.Type == oid {
			all = append(all, a.Values...)
		}
	}
	return all
}

// checkAttributes demands what RFC 5652 5.3 and 11 demand of signed attributes.
func (si *SignerInfo) checkAttributes(contentType OID) error {
	if si.SignedAttributes == nil {
		if contentType != OIDData && contentType != "" {
			return formatError("content of this type needs signed attributes")
		}
		return nil
	}
	seen := make(map[OID]bool)
	for _, a := range si.SignedAttributes {
		if seen[a.Type] {
			return formatError("signed attribute " + string(a.Type) + " is repeated")
		}
		seen[a.Type] = true
		if len(a.Values) == 0 {
			return formatError("signed attribute " + string(a.Type) + " has no value")
		}
	}
	raw, err := si.single(OIDContentType)
	if err != nil || contentType == "" {
		return err
	}
	s := cryptobyte.String(raw)
	var oid OID
	if raw == nil || !ReadOID(&s, &oid) || !s.Empty() {
		return formatError("signed attributes without content-type")
	}
	if oid != contentType {
		return formatError("content-type is not that of the content")
	}
	return nil
}

// MessageDigest returns the message-digest attribute.
func (si *SignerInfo) MessageDigest() ([]byte, error) {
	raw, err := si.single(OIDMessageDigest)
	if err != nil {
		return nil, err
	}
	s := cryptobyte.String(raw)
	var value cryptobyte.String
	if raw == nil || !s.ReadASN1(&value, asn1.OCTET_STRING) || !s.Empty() {
		return nil, formatError("signed attributes without message-digest")
	}
	return value, nil
}

func (si *SignerInfo) signingTime() (time.Time, error) {
	raw, err := si.single(OIDSigningTime)
	if raw == nil || err != nil {
		return time.Time{}, err
	}
	s := cryptobyte.String(raw)
	var at time.Time
	if s.PeekASN1Tag(asn1.UTCTime) {
		if s.ReadASN1UTCTime(&at) && s.Empty() {
			return at, nil
		}
	} else if s.ReadASN1GeneralizedTime(&at) && s.Empty() {
		return at, nil
	}
	return time.Time{}, formatError("signing-time")
}

// protected compares cms-algorithm-protection with the fields it repeats
// (RFC 6211 section 3).
func (si *SignerInfo) protected() (bool, error) {
	raw, err := si.single(OIDAlgorithmProtection)
	if raw == nil || err != nil {
		return false, err
	}
	in := cryptobyte.String(raw)
	var seq, rest cryptobyte.String
	var has bool
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() {
		return false, formatError("cms-algorithm-protection")
	}
	digest, ok := readAlgorithm(&seq)
	if !ok || !seq.ReadOptionalASN1(&rest, &has, explicit(1)) || !has || !seq.Empty() {
		return false, formatError("cms-algorithm-protection")
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(rest) })
	wrapped := cryptobyte.String(b.BytesOrPanic())
	signature, ok := readAlgorithm(&wrapped)
	if !ok || !equalAlgorithms(digest, si.DigestAlgorithm) || !equalAlgorithms(signature, si.SignatureAlgorithm) {
		return false, formatError("cms-algorithm-protection contradicts the algorithms")
	}
	return true, nil
}

// equalAlgorithms takes absent and NULL parameters as equal.
func equalAlgorithms(a, b AlgorithmIdentifier) bool {
	null := func(p []byte) bool { return p == nil || bytes.Equal(p, derNull()) }
	return a.Algorithm == b.Algorithm && (null(a.Parameters) && null(b.Parameters) || bytes.Equal(a.Parameters, b.Parameters))
}

// findSigner returns the signing certificate (EN 319 102-1 5.2.3): the one whose
// hash the signing-certificate attribute states, which the signer identifier
// must name too; without the attribute, the only one that the identifier names.
func (d *SignedData) findSigner(si *SignerInfo, extra [][]byte) (raw []byte, bound, misnamed bool, err error) {
	references, err := si.references()
	if err != nil {
		// What cannot be read names no certificate.
		return nil, false, false, fmt.Errorf("%w: %w", ErrBinding, err)
	}
	var named [][]byte
	for _, c := range slices.Concat(d.Certificates, extra) {
		names, ok := readNames(c)
		if !ok || !si.names(names) || slices.ContainsFunc(named, func(o []byte) bool { return bytes.Equal(o, c) }) {
			continue
		}
		named = append(named, c)
	}
	if len(named) == 0 {
		return nil, false, false, ErrNoCertificate
	}
	if references == nil {
		if len(named) > 1 {
			return named[0], false, false, fmt.Errorf("%w: several certificates fit the signer identifier", ErrBinding)
		}
		return named[0], false, false, nil
	}
	first := references[0]
	for _, c := range named {
		if !first.matches(c) {
			continue
		}
		names, _ := readNames(c)
		misnamed = first.serial != nil && (first.serial.Cmp(names.serial) != 0 ||
			first.issuer != nil && !bytes.Equal(first.issuer, names.issuer))
		return c, true, misnamed, nil
	}
	return named[0], false, false, fmt.Errorf("%w: its hash differs", ErrBinding)
}

func (si *SignerInfo) names(n certificateNames) bool {
	if si.SubjectKeyID != nil {
		return bytes.Equal(n.keyID, si.SubjectKeyID)
	}
	return n.serial.Cmp(si.Serial) == 0 && bytes.Equal(n.issuer, si.Issuer)
}

// verifyValue checks a signature over a message.
func verifyValue(key crypto.PublicKey, a Algorithm, message, signature []byte) error {
	if !a.Digest.Available() {
		return fmt.Errorf("digest %s: %w", a.Digest, ErrAlgorithm)
	}
	h := a.Digest.New()
	h.Write(message)
	return verifyDigest(key, a, h.Sum(nil), message, signature)
}

// verifyDigest checks a signature over a digest; message is needed by Ed25519,
// which signs the message itself.
func verifyDigest(key crypto.PublicKey, a Algorithm, digest, message, signature []byte) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return verifyRSA(k, a, digest, signature)
	case *ecdsa.PublicKey:
		if a.Scheme == ECDSA {
			if ecdsa.VerifyASN1(k, digest, signature) {
				return nil
			}
			return ErrSignature
		}
	case ed25519.PublicKey:
		if a.Scheme == Ed25519 && message == nil {
			return fmt.Errorf("Ed25519 over a bare digest: %w", ErrAlgorithm)
		}
		if a.Scheme == Ed25519 {
			if ed25519.Verify(k, message, signature) {
				return nil
			}
			return ErrSignature
		}
	default:
		return fmt.Errorf("key type %T: %w", key, ErrAlgorithm)
	}
	return fmt.Errorf("%s under a key of another kind: %w", a, ErrSignature)
}

func verifyRSA(key *rsa.PublicKey, a Algorithm, digest, signature []byte) error {
	if n := key.N.BitLen(); n < 1024 || n > 8192 {
		return fmt.Errorf("RSA key of %d bits: %w", n, ErrAlgorithm)
	}
	var err error
	switch a.Scheme {
	case RSAPKCS1v15:
		err = rsa.VerifyPKCS1v15(key, a.Digest, digest, signature)
	case RSAPSS:
		salt := a.salt
		if salt == 0 {
			salt = rsa.PSSSaltLengthAuto
		}
		err = rsa.VerifyPSS(key, a.Digest, digest, signature, &rsa.PSSOptions{SaltLength: salt, Hash: a.Digest})
	default:
		return fmt.Errorf("%s under an RSA key: %w", a, ErrSignature)
	}
	if err != nil {
		return ErrSignature
	}
	return nil
}
