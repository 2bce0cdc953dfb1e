package signing

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

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

// Now is the time of the clock.
func (s *Services) Now() time.Time {
	if s == nil || s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

// Check refuses a level that is none, or that the services cannot make. Empty is
// B-B.
func (s *Services) Check(level Baseline) error {
	switch {
	case level == "" || level == BaselineB:
		return nil
	case level.Rank() == 0:
		return Refuse(RefusedOption, "choose B-B, B-T, B-LT or B-LTA", "%q is no baseline level", level)
	case s == nil || s.TimeStamps == nil:
		return Refuse(RefusedOption, "name a time-stamping authority or choose level B-B", "level %s needs time-stamps", level)
	case level.Rank() >= BaselineLT.Rank() && s.Fetch == nil:
		return Refuse(RefusedOption, "allow asking the issuers or choose level B-T", "level %s needs revocation information", level)
	}
	return nil
}
