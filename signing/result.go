package signing

import (
	"crypto/sha256"
	"time"
)

// Result describes a finished signature.
type Result struct {
	Format   Format   `json:"format"`
	Baseline Baseline `json:"baseline"`
	// Shortfall says why the level asked for was not reached; empty when it was.
	Shortfall string `json:"shortfall,omitempty"`
	// Field is the fully qualified name of the signed field of a PDF.
	Field string `json:"field,omitempty"`
	// NewField tells whether the field was made for this signature.
	NewField bool `json:"new_field,omitempty"`
	// DigestAlgorithm and SignatureAlgorithm are names such as "SHA-384" and
	// "ECDSA with SHA-384".
	DigestAlgorithm    string    `json:"digest_algorithm"`
	SignatureAlgorithm string    `json:"signature_algorithm"`
	SigningTime        time.Time `json:"signing_time"`
	// SourceSize and Size are the lengths of the document before and after.
	SourceSize int64 `json:"source_size"` // bytes
	Size       int64 `json:"size"`        // bytes
	// EarlierSignatures counts the signatures that were in the document before.
	EarlierSignatures int `json:"earlier_signatures"`
	// SourceSHA256 and SHA256 are of the document before and after, as they were read
	// and written; zero when they are not known.
	SourceSHA256 [sha256.Size]byte `json:"-"`
	SHA256       [sha256.Size]byte `json:"-"`
}

// Extension describes what Extend did.
type Extension struct {
	// Before and After are the lowest levels among the signatures.
	Before Baseline `json:"before"`
	After  Baseline `json:"after"`
	// Shortfall says why the level asked for was not reached; empty when it was.
	Shortfall string `json:"shortfall,omitempty"`
	// SourceSize and Size are the lengths of the document before and after.
	SourceSize int64 `json:"source_size"` // bytes
	Size       int64 `json:"size"`        // bytes
}
