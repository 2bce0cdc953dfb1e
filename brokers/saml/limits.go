package saml

import "time"

// Limits are the budgets of the parser, checked before anything is allocated
// for the part that exceeds them.
type Limits struct {
	// Bytes of the document.
	Bytes int
	// Depth of nested elements.
	Depth int
	// Elements in the document.
	Elements int
	// Attributes of one element, namespace declarations included.
	Attributes int
	// Declarations of namespaces in the whole document. Canonicalization costs
	// declarations times elements.
	Declarations int
}

// MessageLimits are the budgets of a message from an identity provider.
func MessageLimits() Limits {
	return Limits{Bytes: 256 << 10, Depth: 64, Elements: 5000, Attributes: 64, Declarations: 100}
}

// MetadataLimits are the budgets of metadata, which may be an aggregate.
func MetadataLimits() Limits {
	return Limits{Bytes: 10 << 20, Depth: 64, Elements: 200_000, Attributes: 64, Declarations: 4000}
}

const (
	// maxNamespace is the length of a namespace name in bytes. Exclusive
	// canonicalization repeats a name at every element that uses it.
	maxNamespace = 256
	// maxRelayState is from SAML Bindings 3.4.3, in bytes.
	maxRelayState = 80
	// maxQuery is the length of a callback's query string in bytes.
	maxQuery = 16 << 10
	// maxStatusMessage is what is kept of a StatusMessage, in bytes.
	maxStatusMessage = 256
	// maxSOAPReply is the size of a back-channel answer in bytes: a message and
	// its envelope.
	maxSOAPReply = 256<<10 + 4<<10
	// maxLifetime bounds how long a bearer confirmation may last, and with it how
	// long an assertion identifier has to be remembered.
	maxLifetime = 24 * time.Hour
	// maxLogoutAge is how old a logout request may be, and how long its identifier
	// is remembered.
	maxLogoutAge = 10 * time.Minute
	// maxCertificates is how many trusted signing certificates one entity has.
	maxCertificates = 32
	// maxDecryptionKeys is how many of our keys are tried, maxEncryptedKeys how
	// many a message may bring: their product bounds the private-key operations.
	maxDecryptionKeys = 4
	maxEncryptedKeys  = 8
	// maxDerivationInfo is the length of one field of ConcatKDF in bytes.
	maxDerivationInfo = 1024
	// minRSABits follows SOG-IS and the DigiD cryptography rules.
	minRSABits = 2048
	// minCurveBits leaves P-224 out, which eIDAS and SOG-IS do not list.
	minCurveBits = 256
	// maxRSABits bounds the cost of one verification.
	maxRSABits = 8192
	// legacyRSABits is for judging recorded messages.
	legacyRSABits = 1024
)

// ofVerified are the budgets for parsing canonical bytes of a document that
// was within l. Exclusive canonicalization writes a declaration wherever a
// prefix is first used, so both sizes grow, but only by what elements and
// attributes allow.
func (l Limits) ofVerified() Limits {
	l.Bytes = 8*l.Bytes + l.Elements*maxNamespace
	l.Declarations = 4*l.Elements + l.Declarations
	l.Attributes *= 2
	return l
}
