package brokers

import "time"

// Strikes is a counter of wrong tries.
type Strikes struct {
	Number int
	// Last is when it was added to, Before the time before that.
	Last, Before time.Time
	// Until is when it begins anew.
	Until time.Time
}
