package brokers

import "time"

// Epoch is the time between two restorings of the database from a backup. What was
// issued in an earlier one is worth nothing.
type Epoch struct {
	Number  int
	BegunAt time.Time
	// SeenAt is when a broker last worked on the database.
	SeenAt time.Time
}
