package pcsc

import "time"

const (
	// connectTimeout bounds Connect: another program's transaction has no limit
	// of its own.
	connectTimeout = 10 * time.Second
	// listTimeout bounds a listing, which never waits for a card.
	listTimeout = 5 * time.Second
	// closeTimeout bounds Close, a reset of the card included.
	closeTimeout = 5 * time.Second
	// maxAbandoned is the number of calls past their deadline that may still
	// run; with more of them the machine's card service is stuck.
	maxAbandoned = 4
	// maxResets is how often a connection is made anew because other programs reset
	// the card before its transaction began.
	maxResets = 16
	// maxListings is how often a listing starts again because readers came or
	// went between its calls.
	maxListings = 3
	// maxReaders is above the 16 that pcsc-lite knows.
	maxReaders = 64
	// maxName bounds a reader's name in bytes (MAX_READERNAME, pcsclite.h).
	maxName = 128
	// maxATR is the longest answer to reset (ISO/IEC 7816-3 8.2.1), in bytes.
	maxATR = 33
	// padTimeout is how long a reader with keys waits for a PIN, in seconds.
	padTimeout = 30
	// removalTimeout is how long one look for the removal of a card waits after a
	// command or a connection failed, and removalWaits how many of them end in vain,
	// after one that does not wait. The service looks about every 400 ms, on a busy
	// machine later.
	removalTimeout = 600 * time.Millisecond
	removalWaits   = 4
	// watchTimeout is the longest wait for an event before readers are listed
	// anew. pcsc-lite up to 1.9 misses a reader plugged between two waits.
	watchTimeout = time.Second
	// retryDelay is the pause before a service that went away is tried again.
	retryDelay = time.Second
)
