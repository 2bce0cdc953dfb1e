package desktop

import "time"

// The bounds of the service. Page-given values are cut to them or refused.
const (
	// DefaultExpiry and MaxExpiry bound the life of a request.
	DefaultExpiry = 5 * time.Minute
	MaxExpiry     = 10 * time.Minute
	// ConsentTime is how long one question stays before the person; what was
	// shown longer ago than this is not what is signed (threats L-39).
	ConsentTime = 2 * time.Minute
	// maxActive and maxActivePerOrigin bound what waits for the person (L-35).
	maxActive          = 3
	maxActivePerOrigin = 1
	// After this many refusals in a row an origin is not heard for quietTime.
	maxRefusals = 3
	quietTime   = 10 * time.Minute
	// retryBusy is what a caller is told to wait when the queue is full.
	retryBusy = 5 * time.Second
	// Finished requests stay readable for keepFinished, at most maxFinished.
	keepFinished = 10 * time.Minute
	maxFinished  = 16
	// MaxDocuments bounds a batch.
	MaxDocuments = 10_000
	// MaxBatchExpiry bounds the life of a batch, which grows with its documents.
	MaxBatchExpiry = 24 * time.Hour
	// MaxDocument bounds a document that is held in memory, in bytes.
	MaxDocument = 20 << 20
	// pollCard is the pause between looks at the readers.
	pollCard = 300 * time.Millisecond
	// maxTracked bounds how many origins' refusals are remembered.
	maxTracked = 1000
)
