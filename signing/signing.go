// Package signing holds the words that all signature formats share: what a
// signature is, who makes it, and what a result says.
//
// Every format works in the same three steps, so that a server can prepare and
// a remote card can sign: Prepare streams the document once and yields the
// digest to be signed with a plan; sign is the only step that needs a key;
// Complete embeds the value. Formats live in packages of their own (pades now;
// xades, cades, asic and facturae follow), on shared machinery (cms, pdf).
package signing

import (
	"crypto"
	"crypto/x509"
)

// Format is a signature format of the AdES family.
type Format string

// The formats.
const (
	// PAdES is EN 319 142-1.
	PAdES Format = "pades"
)

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
