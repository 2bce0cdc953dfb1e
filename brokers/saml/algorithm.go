package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // G505: artifact source IDs and recorded messages; never accepted in a login
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
)

// scheme is how a signature value is made.
type scheme int

const (
	rsaPKCS1 scheme = iota
	rsaPSS
	ecdsaRaw
)

type signatureMethod struct {
	uri    string
	scheme scheme
	hash   crypto.Hash
	legacy bool
}

// signatureMethods is the allow-list: RFC 9231 sections 2.3.2 to 2.3.10.
// HMAC, DSA, MD5 and the parametrised RSA-PSS are not on it.
func signatureMethods() []signatureMethod {
	return []signatureMethod{
		{uri: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", scheme: rsaPKCS1, hash: crypto.SHA256},
		{uri: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", scheme: rsaPKCS1, hash: crypto.SHA384},
		{uri: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", scheme: rsaPKCS1, hash: crypto.SHA512},
		{uri: "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", scheme: rsaPSS, hash: crypto.SHA256},
		{uri: "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1", scheme: rsaPSS, hash: crypto.SHA384},
		{uri: "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1", scheme: rsaPSS, hash: crypto.SHA512},
		{uri: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", scheme: ecdsaRaw, hash: crypto.SHA256},
		{uri: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", scheme: ecdsaRaw, hash: crypto.SHA384},
		{uri: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", scheme: ecdsaRaw, hash: crypto.SHA512},
		{uri: "http://www.w3.org/2000/09/xmldsig#rsa-sha1", scheme: rsaPKCS1, hash: crypto.SHA1, legacy: true},
	}
}

func findSignatureMethod(uri string, lenient Leniency) (signatureMethod, bool) {
	for _, m := range signatureMethods() {
		if m.uri == uri {
			return m, !m.legacy || lenient.SHA1
		}
	}
	return signatureMethod{}, false
}

// digestMethod is the allow-list of digests (RFC 9231 section 2.1, XML
// Encryption 5.7).
func digestMethod(uri string, lenient Leniency) (crypto.Hash, bool) {
	switch uri {
	case "http://www.w3.org/2001/04/xmlenc#sha256":
		return crypto.SHA256, true
	case "http://www.w3.org/2001/04/xmldsig-more#sha384":
		return crypto.SHA384, true
	case "http://www.w3.org/2001/04/xmlenc#sha512":
		return crypto.SHA512, true
	case "http://www.w3.org/2000/09/xmldsig#sha1":
		return crypto.SHA1, lenient.SHA1
	}
	return 0, false
}

// usable says whether a trusted certificate's key can be tried with a method.
func (m signatureMethod) usable(c *x509.Certificate, lenient Leniency) bool {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		least := minRSABits
		if lenient.ShortKeys {
			least = legacyRSABits
		}
		bits := key.N.BitLen()
		return m.scheme != ecdsaRaw && bits >= least && bits <= maxRSABits
	case *ecdsa.PublicKey:
		return m.scheme == ecdsaRaw && key.Params().BitSize >= minCurveBits
	}
	return false
}

// verify checks a signature value over message with a usable key.
func (m signatureMethod) verify(public crypto.PublicKey, message, value []byte) bool {
	digest := sum(m.hash, message)
	switch key := public.(type) {
	case *rsa.PublicKey:
		if m.scheme == rsaPSS {
			// RFC 9231 2.3.10: salt as long as the digest.
			o := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.hash}
			return rsa.VerifyPSS(key, m.hash, digest, value, o) == nil
		}
		return rsa.VerifyPKCS1v15(key, m.hash, digest, value) == nil
	case *ecdsa.PublicKey:
		// RFC 9231 2.3.6: r and s as octet strings of the order's length, joined.
		// Which of s and n - s is written is free there, and signers (OpenSSL, Java,
		// cards) write either, so both verify (threat X-67).
		size := (key.Params().N.BitLen() + 7) / 8
		if len(value) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(value[:size]), new(big.Int).SetBytes(value[size:])
		return ecdsa.Verify(key, digest, r, s)
	}
	return false
}

func sum(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// rawECDSA turns the DER value of a crypto.Signer into r and s joined.
func rawECDSA(key *ecdsa.PublicKey, der []byte) ([]byte, error) {
	var value struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &value); err != nil || len(rest) != 0 {
		return nil, errSigner
	}
	size := (key.Params().N.BitLen() + 7) / 8
	if value.R.Sign() < 0 || value.S.Sign() < 0 || value.R.BitLen() > 8*size || value.S.BitLen() > 8*size {
		return nil, errSigner
	}
	raw := make([]byte, 2*size)
	value.R.FillBytes(raw[:size])
	value.S.FillBytes(raw[size:])
	return raw, nil
}
