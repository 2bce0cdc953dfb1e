package signing

import "strings"

// Claims are what a signer says beside the content. They prove nothing.
type Claims struct {
	// Policy is an explicit signature policy; nil for none.
	Policy *Policy
	// Commitments say what the signature means. XML writes the URI and CMS the
	// OID of each.
	Commitments []Commitment
	// Roles are claimed roles, such as "director".
	Roles []string
	// Place is where the signature was made.
	Place Place
}

// Policy names a signature policy (EN 319 122-1 5.2.9, EN 319 132-1 5.2.9).
type Policy struct {
	// OID is the identifier in dotted decimal form. URI is the identifier where it
	// is no OID, as XML allows.
	OID, URI string
	// DigestAlgorithm is a name such as "SHA-256", Digest that of the policy's
	// document; empty leaves the hash out where the format allows that.
	DigestAlgorithm string
	Digest          []byte
	// Document is the address of the document (qualifier SPURI); empty for none.
	Document string
}

// Commitment is a commitment type (EN 319 122-1 5.2.3, EN 319 132-1 5.2.3).
type Commitment string

// The commitment types of ETSI.
const (
	ProofOfOrigin   Commitment = "proof-of-origin"
	ProofOfReceipt  Commitment = "proof-of-receipt"
	ProofOfDelivery Commitment = "proof-of-delivery"
	ProofOfSender   Commitment = "proof-of-sender"
	ProofOfApproval Commitment = "proof-of-approval"
	ProofOfCreation Commitment = "proof-of-creation"
)

// commitments lists the types in the order of their last arcs.
func commitments() []Commitment {
	return []Commitment{ProofOfOrigin, ProofOfReceipt, ProofOfDelivery, ProofOfSender, ProofOfApproval, ProofOfCreation}
}

// urnOID precedes an OID that is written as a URI (RFC 3061).
const urnOID = "urn:oid:"

// OID returns the identifier for CMS: another than the types of ETSI stands for
// itself, in dotted decimal form or as a URN.
func (c Commitment) OID() string {
	for i, known := range commitments() {
		if c == known {
			return "1.2.840.113549.1.9.16.6." + string(rune('1'+i))
		}
	}
	return strings.TrimPrefix(string(c), urnOID)
}

// URI returns the identifier for XML: another than the types of ETSI stands for
// itself, an OID as a URN.
func (c Commitment) URI() string {
	names := []string{"ProofOfOrigin", "ProofOfReceipt", "ProofOfDelivery", "ProofOfSender", "ProofOfApproval", "ProofOfCreation"}
	for i, known := range commitments() {
		if c == known {
			return "http://uri.etsi.org/01903/v1.2.2#" + names[i]
		}
	}
	if c != "" && strings.Trim(string(c), "0123456789.") == "" {
		return urnOID + string(c)
	}
	return string(c)
}

// ParseCommitment names a type by its OID or URI; others stand for themselves.
func ParseCommitment(identifier string) Commitment {
	for _, known := range commitments() {
		if identifier == known.OID() || identifier == known.URI() {
			return known
		}
	}
	return Commitment(identifier)
}

// Place is where a signature was made; empty parts are left out.
type Place struct {
	Street, Locality, Region, PostalCode, Country string
}

// Packaging says where signature and data stand.
type Packaging string

// The packagings.
const (
	// Enveloped: the signature stands inside the document (XML).
	Enveloped Packaging = "enveloped"
	// Enveloping: the data stands inside the signature (XML, CMS).
	Enveloping Packaging = "enveloping"
	// Detached: they stand apart, each in a file of its own.
	Detached Packaging = "detached"
	// Internal: they stand side by side in one new document (XML).
	Internal Packaging = "internal"
)
