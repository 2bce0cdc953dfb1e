package brokers

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/levels"
)

// NewEventID names an authentication event: 16 bytes of a random source in
// hexadecimal.
func NewEventID(random io.Reader) (string, error) {
	id := make([]byte, 16)
	if _, err := io.ReadFull(random, id); err != nil {
		return "", fmt.Errorf("naming an event: %w", err)
	}
	return hex.EncodeToString(id), nil
}

// Ceilings are the operator's bounds for an upstream: none where most is levels.None.
func Ceilings(upstream string, most levels.Level) []levels.Ceiling {
	if most == levels.None {
		return nil
	}
	return []levels.Ceiling{{Source: "upstream:" + upstream, Max: most}}
}
