package cwa14890

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"
)

// Trust says which chips are genuine. Both fields are required.
type Trust struct {
	// Root is the component authority at the top of the chain: of the DNIe
	// (KeySet.Root), or of a laboratory.
	Root *rsa.PublicKey
	// Now tells the time for the validity of the certificates.
	Now func() time.Time
}

// Chip is the public key of a chip whose chain was verified. There is no other
// way to make one.
type Chip struct {
	key *modulus
}

// VerifyChip checks the chain root, intermediate (file 6020), chip (file 601F),
// both as DER without trailing bytes, and gives the chip's key, RSA-1024 with
// exponent 65537. Signatures are RSA with SHA-1 or SHA-256 (PKCS #1 v1.5).
//
// Whatever is not a yes is ErrUntrusted: a wrong signature, names that do not
// chain, an authority that is none, an expired certificate, an unknown key type,
// algorithm or critical extension. A Trust without root or clock is ErrOptions.
func (t Trust) VerifyChip(intermediate, chip []byte) (*Chip, error) {
	if t.Root == nil || t.Root.N == nil || t.Now == nil {
		return nil, fmt.Errorf("%w: root and clock", ErrOptions)
	}
	if bits := t.Root.N.BitLen(); bits < minRootBits || bits > maxRootBits {
		return nil, fmt.Errorf("%w: root of %d bits", ErrOptions, bits)
	}
	now := t.Now()
	authority, err := parseX509(intermediate, now)
	if err != nil {
		return nil, fmt.Errorf("%w: intermediate certificate: %w", ErrUntrusted, err)
	}
	if !authority.BasicConstraintsValid || !authority.IsCA {
		return nil, fmt.Errorf("%w: intermediate certificate is not that of an authority", ErrUntrusted)
	}
	if err := checkSignature(authority, t.Root); err != nil {
		return nil, fmt.Errorf("%w: intermediate certificate: %w", ErrUntrusted, err)
	}
	leaf, err := parseX509(chip, now)
	if err != nil {
		return nil, fmt.Errorf("%w: chip certificate: %w", ErrUntrusted, err)
	}
	if !bytes.Equal(leaf.RawIssuer, authority.RawSubject) {
		return nil, fmt.Errorf("%w: chip certificate is of another issuer", ErrUntrusted)
	}
	issuer, ok := authority.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: intermediate key is no RSA key", ErrUntrusted)
	}
	if err := checkSignature(leaf, issuer); err != nil {
		return nil, fmt.Errorf("%w: chip certificate: %w", ErrUntrusted, err)
	}
	public, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: chip key is no RSA key", ErrUntrusted)
	}
	key, err := modulusOf(public)
	if err != nil {
		return nil, fmt.Errorf("%w: chip: %w", ErrUntrusted, err)
	}
	return &Chip{key: key}, nil
}

func parseX509(der []byte, now time.Time) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("more than %d bytes", maxCertificate)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("malformed: %w", err)
	}
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return nil, fmt.Errorf("outside of its validity")
	}
	if len(c.UnhandledCriticalExtensions) > 0 {
		return nil, fmt.Errorf("unknown critical extension")
	}
	return c, nil
}

// checkSignature does what x509.CheckSignatureFrom refuses to do: SHA-1, which
// the component certificates of the first cards use.
func checkSignature(c *x509.Certificate, issuer *rsa.PublicKey) error {
	var hash crypto.Hash
	switch c.SignatureAlgorithm {
	case x509.SHA1WithRSA:
		hash = crypto.SHA1
	case x509.SHA256WithRSA:
		hash = crypto.SHA256
	default:
		return fmt.Errorf("signature algorithm %v", c.SignatureAlgorithm)
	}
	if bits := issuer.N.BitLen(); bits < minRootBits || bits > maxRootBits {
		return fmt.Errorf("issuer key of %d bits", bits)
	}
	h := hash.New()
	_, _ = h.Write(c.RawTBSCertificate) // never fails
	return rsa.VerifyPKCS1v15(issuer, hash, h.Sum(nil), c.Signature)
}
