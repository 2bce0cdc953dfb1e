package apdu

import "time"

// Bounds of one exchange. A card is untrusted input: what it announces is
// believed only within these.
const (
	// MaxResponse is the longest answer to one command: 65,536 data bytes and
	// the status word (ISO/IEC 7816-3 12.1.3).
	MaxResponse = 1<<16 + 2
	// MaxData bounds what a chain of GET RESPONSE commands collects, in bytes.
	MaxData = 1 << 16
	// MaxSteps bounds the GET RESPONSE commands of one exchange. 256 of them
	// carry MaxData; a few more may come back short.
	MaxSteps = 260
	// DefaultTimeout bounds every single command unless the command says more.
	DefaultTimeout = 10 * time.Second
)
