package localapi

import "time"

// The bounds of the door (agent-protocols 7.1, threats 0.3).
const (
	maxHeader = 16 << 10 // bytes
	maxBody   = 1 << 20  // bytes of JSON
	maxDrain  = 16 << 20 // bytes read and dropped of a body that is too long
	maxToken  = 128      // bytes of a bearer token
	maxKey    = 128      // bytes of an Idempotency-Key
	maxConns  = 64

	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 60 * time.Second
	// maxWait bounds a long poll, below writeTimeout.
	maxWait = 30 * time.Second
	// preflightAge is how long a browser may keep a preflight's answer.
	preflightAge = 60 * time.Second
	// pageGrace is how long a page may be silent after it dropped a long poll.
	pageGrace = 5 * time.Second
	// cardWait is how long a request waits for a card.
	cardWait = 2 * time.Minute

	// Pairings: how long one may wait for an answer, how many may wait, and how
	// often any page may ask.
	pairingTime        = 2 * time.Minute
	maxPendingPairings = 3
	pairingsPerMinute  = 10
	maxPairingsKept    = 100
	// endTime is how long the end of the door waits for questions to be taken back.
	endTime = 5 * time.Second
	// maxKeys bounds the remembered Idempotency-Keys.
	maxKeys = 200

	// Lengths in bytes of what a page may say.
	maxName      = 256
	maxPurpose   = 256
	maxReference = 64
	// maxMark bounds the text of a mark, in characters, and maxPage where it is.
	maxMark = 200
	maxPage = 1_000_000
	// maxCountries bounds issuer_country: there are not more two-letter codes.
	maxCountries = 250
)
