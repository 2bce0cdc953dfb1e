package fetch

import "time"

// Ceilings on answers in bytes.
const (
	MaxOCSP        = 64 << 10
	MaxTimeStamp   = 64 << 10
	MaxCRL         = 32 << 20
	MaxCertificate = 256 << 10 // a certs-only message with several certificates
)

const (
	connectTimeout = 3 * time.Second
	totalTimeout   = 10 * time.Second
	maxRedirects   = 2
	maxURL         = 2048
	maxHeader      = 16 << 10
)
