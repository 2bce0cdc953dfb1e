package saml

import (
	"context"
	"time"
)

// ReplayStore remembers assertion identifiers so that each is used once.
type ReplayStore interface {
	// UseAssertionID records the identifier of an issuer's assertion. If it was
	// recorded before, the error is brokers.ErrReplayed. The test and the record
	// are one atomic step over all instances. The entry may be forgotten after
	// until.
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error
}
