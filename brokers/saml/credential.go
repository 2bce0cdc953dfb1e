package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Credential signs what we send.
type Credential struct {
	// Signer holds an RSA key of 2048 bits or more, or an ECDSA key on P-256,
	// P-384 or P-521. It may be in an HSM.
	Signer crypto.Signer
	// Certificate has the public half and goes into KeyInfo.
	Certificate *x509.Certificate
	// KeyNameOnly writes only the KeyName into KeyInfo, as DigiD 4.x and the
	// routing service want it.
	KeyNameOnly bool
	// CertificateOnly writes no KeyName, as Cl@ve and eIDAS nodes do.
	CertificateOnly bool
	// Hash is of signature and digests: SHA-256, SHA-384 or SHA-512. Zero is
	// SHA-256, or what fits the elliptic curve.
	Hash crypto.Hash
	// PSS signs with RSASSA-PSS instead of PKCS #1 v1.5.
	PSS bool
}

// method chooses the signature method by the key.
func (c Credential) method() (signatureMethod, error) {
	if c.Signer == nil || c.Certificate == nil {
		return signatureMethod{}, errors.New("signing credential without key or certificate")
	}
	hash := crypto.SHA256
	kind := rsaPKCS1
	switch key := c.Signer.Public().(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits {
			return signatureMethod{}, fmt.Errorf("signing key of %d bits is too short", bits)
		}
		if c.PSS {
			kind = rsaPSS
		}
	case *ecdsa.PublicKey:
		kind = ecdsaRaw
		switch bits := key.Curve.Params().BitSize; {
		case bits > 384:
			hash = crypto.SHA512
		case bits > 256:
			hash = crypto.SHA384
		}
		if c.PSS {
			return signatureMethod{}, errors.New("RSA-PSS with a key that is not RSA")
		}
	default:
		return signatureMethod{}, errors.New("signing key is neither RSA nor ECDSA")
	}
	if c.Hash != 0 {
		hash = c.Hash
	}
	for _, m := range signatureMethods() {
		if m.scheme == kind && m.hash == hash && !m.legacy {
			return m, nil
		}
	}
	return signatureMethod{}, errors.New("no signature method for this key")
}

// Check says whether the credential can sign, without signing.
func (c Credential) Check() error {
	if _, err := c.method(); err != nil {
		return err
	}
	public, ok := c.Signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(c.Certificate.PublicKey) {
		return errors.New("certificate is not of the signing key")
	}
	return nil
}

func (c Credential) sign(random io.Reader, m signatureMethod, message []byte) ([]byte, error) {
	var options crypto.SignerOpts = m.hash
	if m.scheme == rsaPSS {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.hash}
	}
	value, err := c.Signer.Sign(random, sum(m.hash, message), options)
	if err != nil {
		return nil, fmt.Errorf("signing a SAML message: %w", err)
	}
	if key, ok := c.Signer.Public().(*ecdsa.PublicKey); ok {
		return rawECDSA(key, value)
	}
	return value, nil
}

// digest chooses the digest method; method has refused other hashes.
func (c Credential) digest() (crypto.Hash, string) {
	switch c.Hash {
	case crypto.SHA384:
		return crypto.SHA384, "http://www.w3.org/2001/04/xmldsig-more#sha384"
	case crypto.SHA512:
		return crypto.SHA512, "http://www.w3.org/2001/04/xmlenc#sha512"
	}
	return crypto.SHA256, "http://www.w3.org/2001/04/xmlenc#sha256"
}

// keyName is how DigiD 4.x names a key: the SHA-256 of its certificate.
func keyName(c *x509.Certificate) string {
	digest := sha256.Sum256(c.Raw)
	return hex.EncodeToString(digest[:])
}

// envelop signs message and puts the signature at a position among its children.
// The schemas want it right after Issuer in messages and first in metadata.
func (c Credential) envelop(random io.Reader, message *etree.Element, position int) error {
	m, err := c.method()
	if err != nil {
		return err
	}
	covered, err := exclusive(message)
	if err != nil {
		return err
	}
	signature := etree.NewElement("ds:Signature")
	signature.CreateAttr("xmlns:ds", signatureNS)
	info := signature.CreateElement("ds:SignedInfo")
	info.CreateElement("ds:CanonicalizationMethod").CreateAttr("Algorithm", c14nExclusive)
	info.CreateElement("ds:SignatureMethod").CreateAttr("Algorithm", m.uri)
	reference := info.CreateElement("ds:Reference")
	reference.CreateAttr("URI", "#"+message.SelectAttrValue("ID", ""))
	transforms := reference.CreateElement("ds:Transforms")
	transforms.CreateElement("ds:Transform").CreateAttr("Algorithm", transformEnv)
	transforms.CreateElement("ds:Transform").CreateAttr("Algorithm", c14nExclusive)
	hash, uri := c.digest()
	reference.CreateElement("ds:DigestMethod").CreateAttr("Algorithm", uri)
	reference.CreateElement("ds:DigestValue").SetText(base64.StdEncoding.EncodeToString(sum(hash, covered)))

	standalone := info.Copy()
	standalone.CreateAttr("xmlns:ds", signatureNS)
	signed, err := exclusive(standalone)
	if err != nil {
		return err
	}
	value, err := c.sign(random, m, signed)
	if err != nil {
		return err
	}
	signature.CreateElement("ds:SignatureValue").SetText(base64.StdEncoding.EncodeToString(value))
	c.keyInfo(signature)
	message.InsertChildAt(position, signature)
	return nil
}

func (c Credential) keyInfo(parent *etree.Element) {
	info := parent.CreateElement("ds:KeyInfo")
	if !c.CertificateOnly {
		info.CreateElement("ds:KeyName").SetText(keyName(c.Certificate))
	}
	if !c.KeyNameOnly {
		info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").
			SetText(base64.StdEncoding.EncodeToString(c.Certificate.Raw))
	}
}

// exclusive canonicalizes a copy of a tree that declares its own namespaces.
func exclusive(e *etree.Element) ([]byte, error) {
	return dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(e.Copy())
}

func serialize(e *etree.Element) ([]byte, error) {
	document := etree.NewDocument()
	document.SetRoot(e)
	return document.WriteToBytes()
}
