package tsp

import "time"

const (
	// maxAccuracy is the largest error of a clock that is a clock, in seconds.
	maxAccuracy = 3600
	// skew is how far the clocks of server and client may be apart.
	skew = 5 * time.Minute
	// nonceBytes is the length of the nonce of a request.
	nonceBytes = 16
	// maxServers bounds the servers tried for one token.
	maxServers = 8
)
