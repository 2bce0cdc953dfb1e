package saml

import (
	"context"
	"time"
)

// ReplayStore remembers assertion identifiers so that each is used once.
type ReplayStore interface {
	// UseAssertionID records the identifier of an issuer's assertion. It reports
	// fresh = false if it was recorded before. The test and the record are one
	// atomic step over all instances. The entry may be forgotten after until.
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) (fresh bool, err error)
}
