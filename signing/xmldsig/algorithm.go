package xmldsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
)

// Namespace is that of XML Signature.
const Namespace = "http://www.w3.org/2000/09/xmldsig#"

// moreNamespace has the parameters of RSASSA-PSS, RFC 6931 section 2.3.9.
const moreNamespace = "http://www.w3.org/2007/05/xmldsig-more#"

// Types of references.
const (
	TypeObject   = Namespace + "Object"
	TypeManifest = Namespace + "Manifest"
)

// digestURIs pairs digests with their identifiers (RFC 6931 section 2.1).
func digestURIs() []struct {
	hash crypto.Hash
	uri  string
} {
	return []struct {
		hash crypto.Hash
		uri  string
	}{
		{crypto.SHA256, "http://www.w3.org/2001/04/xmlenc#sha256"},
		{crypto.SHA512, "http://www.w3.org/2001/04/xmlenc#sha512"},
		{crypto.SHA384, "http://www.w3.org/2001/04/xmldsig-more#sha384"},
		{crypto.SHA224, "http://www.w3.org/2001/04/xmldsig-more#sha224"},
		{crypto.SHA1, Namespace + "sha1"},
		{crypto.SHA3_224, moreNamespace + "sha3-224"},
		{crypto.SHA3_256, moreNamespace + "sha3-256"},
		{crypto.SHA3_384, moreNamespace + "sha3-384"},
		{crypto.SHA3_512, moreNamespace + "sha3-512"},
	}
}

// ParseDigest returns the digest of an identifier, or ErrAlgorithm.
func ParseDigest(uri string) (crypto.Hash, error) {
	for _, d := range digestURIs() {
		if d.uri == uri {
			return d.hash, nil
		}
	}
	return 0, unaccepted("digest %s", quoted(uri))
}

// DigestURI returns the identifier of a digest, "" for one that has none here.
func DigestURI(h crypto.Hash) string {
	for _, d := range digestURIs() {
		if d.hash == h {
			return d.uri
		}
	}
	return ""
}

// signatureURIs lists the signature algorithms (RFC 6931 section 2.3).
func signatureURIs() []struct {
	uri    string
	scheme cms.Scheme
	hash   crypto.Hash
} {
	const more = "http://www.w3.org/2001/04/xmldsig-more#"
	return []struct {
		uri    string
		scheme cms.Scheme
		hash   crypto.Hash
	}{
		{more + "rsa-sha256", cms.RSAPKCS1v15, crypto.SHA256},
		{more + "rsa-sha384", cms.RSAPKCS1v15, crypto.SHA384},
		{more + "rsa-sha512", cms.RSAPKCS1v15, crypto.SHA512},
		{more + "rsa-sha224", cms.RSAPKCS1v15, crypto.SHA224},
		{Namespace + "rsa-sha1", cms.RSAPKCS1v15, crypto.SHA1},
		{moreNamespace + "sha256-rsa-MGF1", cms.RSAPSS, crypto.SHA256},
		{moreNamespace + "sha384-rsa-MGF1", cms.RSAPSS, crypto.SHA384},
		{moreNamespace + "sha512-rsa-MGF1", cms.RSAPSS, crypto.SHA512},
		{moreNamespace + "sha224-rsa-MGF1", cms.RSAPSS, crypto.SHA224},
		{moreNamespace + "sha1-rsa-MGF1", cms.RSAPSS, crypto.SHA1},
		{moreNamespace + "sha3-256-rsa-MGF1", cms.RSAPSS, crypto.SHA3_256},
		{moreNamespace + "sha3-384-rsa-MGF1", cms.RSAPSS, crypto.SHA3_384},
		{moreNamespace + "sha3-512-rsa-MGF1", cms.RSAPSS, crypto.SHA3_512},
		{more + "ecdsa-sha256", cms.ECDSA, crypto.SHA256},
		{more + "ecdsa-sha384", cms.ECDSA, crypto.SHA384},
		{more + "ecdsa-sha512", cms.ECDSA, crypto.SHA512},
		{more + "ecdsa-sha224", cms.ECDSA, crypto.SHA224},
		{more + "ecdsa-sha1", cms.ECDSA, crypto.SHA1},
		{moreNamespace + "sha3-224-rsa-MGF1", cms.RSAPSS, crypto.SHA3_224},
		{"http://www.w3.org/2021/04/xmldsig-more#ecdsa-sha3-224", cms.ECDSA, crypto.SHA3_224},
		{"http://www.w3.org/2021/04/xmldsig-more#ecdsa-sha3-256", cms.ECDSA, crypto.SHA3_256},
		{"http://www.w3.org/2021/04/xmldsig-more#ecdsa-sha3-384", cms.ECDSA, crypto.SHA3_384},
		{"http://www.w3.org/2021/04/xmldsig-more#ecdsa-sha3-512", cms.ECDSA, crypto.SHA3_512},
		{"http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519", cms.Ed25519, 0},
	}
}

// SignatureURI returns the identifier of a signature algorithm, "" for one that
// has none here.
func SignatureURI(a cms.Algorithm) string {
	for _, s := range signatureURIs() {
		if s.scheme == a.Scheme && s.hash == a.Digest {
			return s.uri
		}
	}
	return ""
}

const pssURI = moreNamespace + "rsa-pss"

// parseSignatureMethod reads ds:SignatureMethod. HMAC and DSA are not in the
// list, nor is a truncation of anything.
func parseSignatureMethod(e *Element) (cms.Algorithm, error) {
	uri, _ := e.Attr("", "Algorithm")
	if uri == pssURI {
		return parsePSS(e)
	}
	if len(e.Children) > 0 {
		return cms.Algorithm{}, unaccepted("parameters of signature algorithm %s", quoted(uri))
	}
	for _, s := range signatureURIs() {
		if s.uri == uri && s.scheme == cms.RSAPSS {
			return cms.PSS(s.hash, s.hash.Size()), nil
		}
		if s.uri == uri {
			return cms.Algorithm{Scheme: s.scheme, Digest: s.hash}, nil
		}
	}
	return cms.Algorithm{}, unaccepted("signature algorithm %s", quoted(uri))
}

// parsePSS reads RSAPSSParams (RFC 6931 section 2.3.9). What is absent is
// SHA-256, MGF1 with the same digest, a salt of its length.
func parsePSS(e *Element) (cms.Algorithm, error) {
	hash, mask, salt := crypto.SHA256, crypto.Hash(0), -1
	if len(e.Children) > 1 {
		return cms.Algorithm{}, malformed("ds:SignatureMethod")
	}
	for _, parameters := range e.Children {
		if !parameters.Is(moreNamespace, "RSAPSSParams") {
			return cms.Algorithm{}, malformed("ds:SignatureMethod holds %s", quoted(parameters.Local))
		}
		for _, p := range parameters.Children {
			var err error
			switch {
			case p.Is(Namespace, "DigestMethod"):
				hash, err = digestMethod(p)
			case p.Is(moreNamespace, "MaskGenerationFunction"):
				if a, ok := p.Attr("", "Algorithm"); ok && a != moreNamespace+"MGF1" {
					return cms.Algorithm{}, unaccepted("mask generation %s", quoted(a))
				}
				for _, inner := range p.Children {
					if mask, err = digestMethod(inner); err != nil {
						break
					}
				}
			case p.Is(moreNamespace, "SaltLength"):
				if salt, err = strconv.Atoi(strings.TrimSpace(p.Text)); err != nil || salt < 0 || salt > 512 {
					err = malformed("SaltLength")
				}
			case p.Is(moreNamespace, "TrailerField"):
				if strings.TrimSpace(p.Text) != "1" {
					err = unaccepted("trailer field of RSASSA-PSS")
				}
			default:
				err = malformed("RSAPSSParams holds %s", quoted(p.Local))
			}
			if err != nil {
				return cms.Algorithm{}, err
			}
		}
	}
	if mask != 0 && mask != hash {
		return cms.Algorithm{}, unaccepted("RSASSA-PSS with two digests")
	}
	if salt < 0 {
		salt = hash.Size()
	}
	return cms.PSS(hash, salt), nil
}

func digestMethod(e *Element) (crypto.Hash, error) {
	uri, ok := e.Attr("", "Algorithm")
	if !e.Is(Namespace, "DigestMethod") || !ok || len(e.Children) > 0 {
		return 0, malformed("ds:DigestMethod")
	}
	return ParseDigest(uri)
}

// RawECDSA turns the DER of an ECDSA value, as crypto.Signer makes it, into the
// r and s of XML Signature 1.1 section 6.4.3, each as long as the field.
func RawECDSA(curve elliptic.Curve, der []byte) ([]byte, error) {
	r, s, err := parseECDSA(der)
	if err != nil {
		return nil, err
	}
	if !inRange(curve.Params().N, r) || !inRange(curve.Params().N, s) {
		return nil, fmt.Errorf("%w: r or s out of range", ErrValue)
	}
	width := (curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*width)
	r.FillBytes(out[:width])
	s.FillBytes(out[width:])
	return out, nil
}

func parseECDSA(der []byte) (r, s *big.Int, err error) {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	r, s = new(big.Int), new(big.Int)
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(r) || !seq.ReadASN1Integer(s) || !seq.Empty() {
		return nil, nil, malformed("ECDSA value is no DER")
	}
	return r, s, nil
}

func inRange(order, n *big.Int) bool { return n.Sign() > 0 && n.Cmp(order) < 0 }

// field returns the length of r and s under a key in bytes, and the order below
// which they are; false for keys that have none.
func field(key crypto.PublicKey) (width int, order *big.Int, ok bool) {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return 0, nil, false
	}
	return (k.Curve.Params().BitSize + 7) / 8, k.Curve.Params().N, true
}

// maxCut is how many leading zeros of r and s may be missing, in bytes.
const maxCut = 3

// derECDSA turns r and s into DER. A value that is DER already is a deviation
// that some producers have, and so are halves that are only as long as the larger
// of r and s, as libraries that copy from integers write them (Apache Santuario;
// with P-521 that is every fourth value). Both are taken, and said: r and s are the
// same whatever zeros stand before them.
func derECDSA(width int, order *big.Int, value []byte) (der []byte, deviates string, err error) {
	if len(value) != 2*width {
		if r, s, err := parseECDSA(value); err == nil && inRange(order, r) && inRange(order, s) {
			return value, "the signature value is DER and not r and s", nil
		}
		if len(value)%2 != 0 || len(value) > 2*width || len(value) < 2*(width-maxCut) {
			return nil, "", fmt.Errorf("%w: %d bytes for r and s of %d", ErrValue, len(value), width)
		}
		width, deviates = len(value)/2, "r and s in the signature value lack leading zeros"
	}
	r, s := new(big.Int).SetBytes(value[:width]), new(big.Int).SetBytes(value[width:])
	if !inRange(order, r) || !inRange(order, s) {
		return nil, "", fmt.Errorf("%w: r or s out of range", ErrValue)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	der, err = b.Bytes()
	return der, deviates, err
}

// quoted shows a value of a document in a message, cut where it is long.
func quoted(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
