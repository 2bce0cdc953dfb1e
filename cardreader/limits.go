package cardreader

import "time"

// Bounds of work with one card. Those of a single command are in apdu.
const (
	// connectTimeout bounds the wait for another program's transaction.
	connectTimeout = 10 * time.Second
	// operationTimeout bounds what is done under one connection: reading all
	// that a card shows, or one signature. A private-key command alone may take
	// 30 seconds.
	operationTimeout = 60 * time.Second
	// maxCommands bounds the commands of one connection, so that a card that
	// hands out its files byte by byte ends by itself.
	maxCommands = 1000
	// freshFor is how long what was read from a card is good for a question to
	// its holder without a look at the card in between. Before the PIN is sent
	// the card is looked at in every case.
	freshFor = 3 * time.Second
	// RSA keys that are asked for signatures: bits of the modulus, and the least
	// public exponent.
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)
