package cwa14890

import "time"

// Bounds on what comes from a card or an operator.
const (
	// maxCertificate bounds a chip's X.509 certificate, in bytes. Those of the
	// DNIe are about 1 KiB.
	maxCertificate = 8 << 10
	// maxKeySets bounds a file of terminal keys, in bytes.
	maxKeySets = 64 << 10
	// minRootBits and maxRootBits bound the root of the chip's chain. The
	// DNIe's component root has 1024 bits.
	minRootBits, maxRootBits = 1024, 4096

	// privateKeyTimeout bounds a command that makes the chip use a private key.
	privateKeyTimeout = 30 * time.Second
)
