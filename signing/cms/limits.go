package cms

// Ceilings of what Parse accepts. Sizes are in bytes.
const (
	maxMessage      = 2 << 20
	maxCertificate  = 64 << 10
	maxCertificates = 32
	maxRevocations  = 64
	maxSigners      = 8
	maxAlgorithms   = 16
	maxAttributes   = 64
	maxValues       = 64
	maxOID          = 64
	maxOIDArcs      = 32
	// maxReferences bounds the certificates named by one signing-certificate
	// attribute.
	maxReferences = 32
)
