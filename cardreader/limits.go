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
)
