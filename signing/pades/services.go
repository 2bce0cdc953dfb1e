package pades

import (
	"context"
	"crypto"
	"crypto/x509"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/tsp"
)

// Stamper makes time-stamp tokens; *tsp.Client is one.
type Stamper interface {
	Stamp(ctx context.Context, hash crypto.Hash, digest []byte) (*tsp.Token, error)
}

// Services are what the levels above B-B need besides the key.
type Services struct {
	// TimeStamps is asked for tokens; nil makes no level above B-B.
	TimeStamps Stamper
	// Fetch gets issuers, OCSP answers and CRLs; nil makes no level above B-T.
	Fetch *fetch.Client
	// Anchors end certificate paths. Without any, a path ends at a self-signed
	// certificate, which says where it leads, not that anybody trusts it.
	Anchors []*x509.Certificate
	// Candidates may be part of paths.
	Candidates []*x509.Certificate
	// Password opens an encrypted document that Extend is to read.
	Password []byte
	// Clock is the time to compare answers with; nil is time.Now.
	Clock func() time.Time
}

func (s *Services) now() time.Time {
	if s == nil || s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

// rank orders the baseline levels; 0 is none.
func rank(b signing.Baseline) int {
	return 1 + slices.Index([]signing.Baseline{
		signing.BaselineB, signing.BaselineT, signing.BaselineLT, signing.BaselineLTA,
	}, b)
}

// stampDigest is the digest that time-stamps are made over.
const stampDigest = crypto.SHA256

// tokenRoom is the room kept for a time-stamp token in a hole, in bytes. Tokens
// with their chains measure two to eight kilobytes.
const tokenRoom = 16 << 10
