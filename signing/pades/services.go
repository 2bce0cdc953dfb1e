package pades

import (
	"crypto"

	"github.com/eidbridge/eidbridge/signing"
)

// Stamper and Services are those of package signing.
type (
	Stamper  = signing.Stamper
	Services = signing.Services
)

// rank orders the baseline levels; 0 is none.
func rank(b signing.Baseline) int { return b.Rank() }

// stampDigest is the digest that time-stamps are made over.
const stampDigest = crypto.SHA256

// tokenRoom is the room kept for a time-stamp token in a hole, in bytes. Tokens
// with their chains measure two to eight kilobytes.
const tokenRoom = 16 << 10
