package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1" // #nosec G505 -- read only: old signatures are recognised and called weak
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// AlgorithmIdentifier names an algorithm; Parameters is the raw element, nil
// when absent.
type AlgorithmIdentifier struct {
	Algorithm  OID
	Parameters []byte
}

// Scheme is a family of signature algorithms.
type Scheme string

// The schemes.
const (
	RSAPKCS1v15 Scheme = "RSA"
	RSAPSS      Scheme = "RSA-PSS"
	ECDSA       Scheme = "ECDSA"
	Ed25519     Scheme = "Ed25519" // verified, not made
)

// Algorithm is a signature scheme with its digest.
type Algorithm struct {
	Scheme Scheme
	Digest crypto.Hash
	// salt is the length of the PSS salt in bytes; on the writing side that of the
	// digest.
	salt int
}

// String returns a name such as "ECDSA with SHA-384".
func (a Algorithm) String() string {
	if a.Scheme == Ed25519 {
		return string(Ed25519)
	}
	return fmt.Sprintf("%s with %s", a.Scheme, a.Digest)
}

// SignerOpts returns the options that make a crypto.Signer use the algorithm.
func (a Algorithm) SignerOpts() crypto.SignerOpts {
	if a.Scheme == RSAPSS {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.Digest}
	}
	return a.Digest
}

// AlgorithmFor chooses an algorithm for a key. A zero digest takes SHA-384 for
// P-384, SHA-512 for P-521 and SHA-256 for the rest. RSA keys have 2048 to 8192
// bits; others are refused with ErrAlgorithm.
func AlgorithmFor(key crypto.PublicKey, digest crypto.Hash, pss bool) (Algorithm, error) {
	a := Algorithm{Digest: crypto.SHA256}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 8192 {
			return a, fmt.Errorf("RSA key of %d bits: %w", n, ErrAlgorithm)
		}
		a.Scheme = RSAPKCS1v15
		if pss {
			a.Scheme = RSAPSS
		}
	case *ecdsa.PublicKey:
		a.Scheme = ECDSA
		switch k.Curve {
		case elliptic.P256():
		case elliptic.P384():
			a.Digest = crypto.SHA384
		case elliptic.P521():
			a.Digest = crypto.SHA512
		default:
			return a, fmt.Errorf("elliptic curve: %w", ErrAlgorithm)
		}
	default:
		return a, fmt.Errorf("key type %T: %w", key, ErrAlgorithm)
	}
	if digest != 0 {
		a.Digest = digest
	}
	switch a.Digest {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return a, fmt.Errorf("digest %s: %w", a.Digest, ErrAlgorithm)
	}
	if a.Scheme == RSAPSS {
		a.salt = a.Digest.Size()
	}
	return a, nil
}

// SignatureSize returns the largest size in bytes that a signature by the key
// can have. Only ECDSA values in DER vary.
func SignatureSize(key crypto.PublicKey) int {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.Size()
	case *ecdsa.PublicKey:
		integer := 2 + 1 + (k.Curve.Params().BitSize+7)/8
		if 2*integer > 127 {
			return 3 + 2*integer
		}
		return 2 + 2*integer
	default:
		return 0
	}
}

// digestOIDs pairs digests with their identifiers, in a list because it is read
// both ways.
func digestOIDs() []struct {
	hash crypto.Hash
	oid  OID
} {
	return []struct {
		hash crypto.Hash
		oid  OID
	}{
		{crypto.SHA256, oidSHA256},
		{crypto.SHA384, oidSHA384},
		{crypto.SHA512, oidSHA512},
		{crypto.SHA1, oidSHA1},
		{crypto.SHA224, oidSHA224},
		{crypto.SHA3_224, oidSHA3224},
		{crypto.SHA3_256, oidSHA3256},
		{crypto.SHA3_384, oidSHA3384},
		{crypto.SHA3_512, oidSHA3512},
	}
}

// DigestOID returns the identifier of a digest, "" for an unknown one.
func DigestOID(h crypto.Hash) OID {
	for _, d := range digestOIDs() {
		if d.hash == h {
			return d.oid
		}
	}
	return ""
}

// Digest returns the digest an identifier names. Parameters of those known here
// must be absent or NULL (RFC 5754 section 2); others may have some, as SHAKE256 has
// under Ed448 (RFC 8702 section 3.1).
func (a AlgorithmIdentifier) Digest() (crypto.Hash, error) {
	for _, d := range digestOIDs() {
		if d.oid != a.Algorithm {
			continue
		}
		if a.Parameters != nil && !bytes.Equal(a.Parameters, derNull()) {
			return 0, fmt.Errorf("parameters of digest %s: %w", a.Algorithm, ErrFormat)
		}
		return d.hash, nil
	}
	return 0, fmt.Errorf("digest %s: %w", a.Algorithm, ErrAlgorithm)
}

func derNull() []byte { return []byte{5, 0} }

// signatureOID is an identifier that names scheme and digest together.
type signatureOID struct {
	oid    OID
	scheme Scheme
	hash   crypto.Hash
}

// signatureOIDs lists them, in an array because that needs no memory of its own.
func signatureOIDs() [18]signatureOID {
	return [...]signatureOID{
		{oidSHA256WithRSA, RSAPKCS1v15, crypto.SHA256},
		{oidSHA384WithRSA, RSAPKCS1v15, crypto.SHA384},
		{oidSHA512WithRSA, RSAPKCS1v15, crypto.SHA512},
		{oidSHA1WithRSA, RSAPKCS1v15, crypto.SHA1},
		{oidSHA224WithRSA, RSAPKCS1v15, crypto.SHA224},
		{oidSHA3224WithRSA, RSAPKCS1v15, crypto.SHA3_224},
		{oidSHA3256WithRSA, RSAPKCS1v15, crypto.SHA3_256},
		{oidSHA3384WithRSA, RSAPKCS1v15, crypto.SHA3_384},
		{oidSHA3512WithRSA, RSAPKCS1v15, crypto.SHA3_512},
		{oidSHA256ECDSA, ECDSA, crypto.SHA256},
		{oidSHA384ECDSA, ECDSA, crypto.SHA384},
		{oidSHA512ECDSA, ECDSA, crypto.SHA512},
		{oidSHA1WithECDSA, ECDSA, crypto.SHA1},
		{oidSHA224ECDSA, ECDSA, crypto.SHA224},
		{oidSHA3224ECDSA, ECDSA, crypto.SHA3_224},
		{oidSHA3256ECDSA, ECDSA, crypto.SHA3_256},
		{oidSHA3384ECDSA, ECDSA, crypto.SHA3_384},
		{oidSHA3512ECDSA, ECDSA, crypto.SHA3_512},
	}
}

// identifier returns what stands in SignerInfo.signatureAlgorithm.
func (a Algorithm) identifier() AlgorithmIdentifier {
	if a.Scheme == RSAPSS {
		return AlgorithmIdentifier{Algorithm: oidPSS, Parameters: a.pssParameters()}
	}
	for _, s := range signatureOIDs() {
		if s.scheme == a.Scheme && s.hash == a.Digest {
			id := AlgorithmIdentifier{Algorithm: s.oid}
			if a.Scheme == RSAPKCS1v15 {
				id.Parameters = derNull() // RFC 4055 section 5
			}
			return id
		}
	}
	return AlgorithmIdentifier{}
}

// pssParameters writes RSASSA-PSS-params (RFC 4055 section 3.1) with every
// field that is not SHA-1's default.
func (a Algorithm) pssParameters() []byte {
	var b cryptobyte.Builder
	hash := AlgorithmIdentifier{Algorithm: DigestOID(a.Digest), Parameters: derNull()}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { addAlgorithm(b, hash) })
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, oidMGF1)
				addAlgorithm(b, hash)
			})
		})
		b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(a.salt)) })
	})
	return b.BytesOrPanic()
}

func explicit(n uint8) asn1.Tag { return asn1.Tag(n).Constructed().ContextSpecific() }

// signatureAlgorithm reads SignerInfo.signatureAlgorithm; digest is that of
// SignerInfo.digestAlgorithm, for identifiers that name none.
func (a AlgorithmIdentifier) signatureAlgorithm(digest crypto.Hash) (Algorithm, error) {
	switch a.Algorithm {
	case oidPSS:
		return parsePSS(a.Parameters)
	case oidRSA:
		return Algorithm{Scheme: RSAPKCS1v15, Digest: digest}, nil
	case oidECPublicKey:
		// Some signers name the kind of their key, as rsaEncryption does for RSA; the
		// digest is then that of the content. RFC 5753 2.1.1 does not have it.
		return Algorithm{Scheme: ECDSA, Digest: digest}, nil
	case oidEd25519:
		return Algorithm{Scheme: Ed25519, Digest: digest}, nil
	}
	for _, s := range signatureOIDs() {
		if s.oid == a.Algorithm {
			return Algorithm{Scheme: s.scheme, Digest: s.hash}, nil
		}
	}
	return Algorithm{}, fmt.Errorf("signature algorithm %s: %w", a.Algorithm, ErrAlgorithm)
}

func parsePSS(raw []byte) (Algorithm, error) {
	wrong := func() (Algorithm, error) {
		return Algorithm{}, fmt.Errorf("parameters of RSASSA-PSS: %w", ErrFormat)
	}
	a := Algorithm{Scheme: RSAPSS, Digest: crypto.SHA1, salt: 20}
	in := cryptobyte.String(raw)
	var seq, field cryptobyte.String
	var has bool
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() || !seq.ReadOptionalASN1(&field, &has, explicit(0)) {
		return wrong()
	}
	if has {
		id, ok := readAlgorithm(&field)
		if !ok || !field.Empty() {
			return wrong()
		}
		h, err := id.Digest()
		if err != nil {
			return Algorithm{}, err
		}
		a.Digest = h
	}
	mask := crypto.SHA1
	if !seq.ReadOptionalASN1(&field, &has, explicit(1)) {
		return wrong()
	}
	if has {
		id, ok := readAlgorithm(&field)
		if !ok || !field.Empty() || id.Algorithm != oidMGF1 {
			return wrong()
		}
		inner := cryptobyte.String(id.Parameters)
		hash, ok := readAlgorithm(&inner)
		if !ok || !inner.Empty() {
			return wrong()
		}
		h, err := hash.Digest()
		if err != nil {
			return Algorithm{}, err
		}
		mask = h
	}
	if mask != a.Digest {
		return Algorithm{}, fmt.Errorf("RSASSA-PSS with two digests: %w", ErrAlgorithm)
	}
	trailer := 1
	if !seq.ReadOptionalASN1Integer(&a.salt, explicit(2), 20) ||
		!seq.ReadOptionalASN1Integer(&trailer, explicit(3), 1) ||
		!seq.Empty() || trailer != 1 || a.salt < 0 || a.salt > 1024 {
		return wrong()
	}
	return a, nil
}

func readAlgorithm(s *cryptobyte.String) (AlgorithmIdentifier, bool) {
	var a AlgorithmIdentifier
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !ReadOID(&seq, &a.Algorithm) {
		return a, false
	}
	if !seq.Empty() {
		var raw cryptobyte.String
		var tag asn1.Tag
		if !seq.ReadAnyASN1Element(&raw, &tag) || !seq.Empty() {
			return a, false
		}
		a.Parameters = raw
	}
	return a, true
}

func addAlgorithm(b *cryptobyte.Builder, a AlgorithmIdentifier) { addAlgorithmAs(b, asn1.SEQUENCE, a) }

func addAlgorithmAs(b *cryptobyte.Builder, tag asn1.Tag, a AlgorithmIdentifier) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		addOID(b, a.Algorithm)
		b.AddBytes(a.Parameters)
	})
}
