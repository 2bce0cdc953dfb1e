package cms

// Ceilings of what Parse accepts. Sizes are in bytes.
const (
	maxMessage = 2 << 20
	// maxSets bounds what follows the content of a message that Open reads.
	maxSets = 16 << 20
	// maxParts bounds the pieces of content that has an indefinite length.
	maxParts = 1 << 20
	// maxDepth bounds nested indefinite lengths (threats 5.3).
	maxDepth        = 32
	maxCertificate  = 64 << 10
	maxCertificates = 128
	maxRevocations  = 128
	maxSigners      = 32
	maxAlgorithms   = 16
	maxAttributes   = 64
	maxValues       = 64
	maxOID          = 64
	maxOIDArcs      = 32
	// maxReferences bounds the certificates named by one signing-certificate
	// attribute.
	maxReferences = 32
)
