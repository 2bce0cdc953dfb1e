// Package signing holds the words that all signature formats share: what a
// signature is, who makes it, and what a result says.
//
// Every format works in the same three steps, so that a server can prepare and
// a remote card can sign: Prepare streams the document once and yields the
// digest to be signed with a plan; sign is the only step that needs a key;
// Complete embeds the value. Formats live in packages of their own (pades,
// xades, cades, asic, facturae), on shared machinery (cms, c14n, pdf); package
// validation judges paths, revocation and time-stamps for all of them.
package signing

import (
	"crypto"
	"crypto/x509"
	"slices"
	"time"
)

// Format is a signature format of the AdES family.
type Format string

// The formats. Containers name the signatures inside them beside.
const (
	PAdES    Format = "pades"    // EN 319 142-1
	XAdES    Format = "xades"    // EN 319 132-1
	CAdES    Format = "cades"    // EN 319 122-1
	ASiCE    Format = "asic-e"   // EN 319 162-1, any number of files
	ASiCS    Format = "asic-s"   // EN 319 162-1, one file
	FacturaE Format = "facturae" // Spanish invoice: XAdES under a policy of its own
)

// Title is the name of a format in print, empty for one that is none.
func (f Format) Title() string {
	switch f {
	case PAdES:
		return "PAdES"
	case XAdES:
		return "XAdES"
	case CAdES:
		return "CAdES"
	case ASiCE:
		return "ASiC-E"
	case ASiCS:
		return "ASiC-S"
	case FacturaE:
		return "FacturaE"
	default:
		return ""
	}
}

// Baseline is a baseline level of EN 319 122-1, 132-1 and 142-1. It has nothing
// to do with a level of assurance.
type Baseline string

// The baseline levels.
const (
	BaselineB   Baseline = "B-B"
	BaselineT   Baseline = "B-T"
	BaselineLT  Baseline = "B-LT"
	BaselineLTA Baseline = "B-LTA"
)

// Rank orders the levels from 1; 0 is no level.
func (b Baseline) Rank() int {
	return 1 + slices.Index([]Baseline{BaselineB, BaselineT, BaselineLT, BaselineLTA}, b)
}

// Credential is a key with the certificates that go into the signature. The
// signer may be a card, a file or a remote service; ECDSA signers return
// ASN.1 DER as crypto.Signer demands.
type Credential struct {
	Signer crypto.Signer
	// Certificate is the signing certificate; its public key is the signer's.
	Certificate *x509.Certificate
	// Chain holds the issuers that should travel with the signature, in any
	// order, without the signing certificate.
	Chain []*x509.Certificate
}

// Check refuses a credential that cannot make a good signature at a time: key and
// certificate that differ, a certificate outside its validity or not meant for
// signatures.
func (c *Credential) Check(at time.Time) error {
	if c.Certificate == nil {
		return Refuse(RefusedCertificate, "", "the credential has no certificate")
	}
	if c.Signer != nil {
		key, ok := c.Certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !key.Equal(c.Signer.Public()) {
			return Refuse(RefusedKey, "choose the certificate that belongs to the key", "key and certificate do not belong together")
		}
	}
	if at.Before(c.Certificate.NotBefore) {
		return Refuse(RefusedCertificate, "check the clock of the computer", "the certificate is not valid before %s", c.Certificate.NotBefore.Format(time.DateOnly))
	}
	if at.After(c.Certificate.NotAfter) {
		return Refuse(RefusedCertificate, "renew the certificate or the card", "the certificate expired on %s", c.Certificate.NotAfter.Format(time.DateOnly))
	}
	if usage := c.Certificate.KeyUsage; usage != 0 && usage&(x509.KeyUsageContentCommitment|x509.KeyUsageDigitalSignature) == 0 {
		return Refuse(RefusedCertificate, "choose the signature certificate", "the certificate is not meant for signatures")
	}
	return nil
}
