package pkcs12

// Bounds of a file. Both counts of iterations are far above what programs write
// (OpenSSL 2,048, Windows 2,000, recommendations up to 1,300,000).
const (
	maxFile = 1 << 20 // bytes
	// maxIterations bounds one key derivation, maxWork the sum over the file.
	maxIterations = 2_000_000
	maxWork       = 5_000_000
	maxSafes      = 16
	maxBags       = 64
	maxSalt       = 1024 // bytes
	// maxDepth bounds the nesting of BER.
	maxDepth = 32
)
