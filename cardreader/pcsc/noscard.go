//go:build !cgo && !windows

package pcsc

import (
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
)

func native() system { return absent{} }

// absent stands for PC/SC in builds that cannot call it.
type absent struct{}

func (absent) establish() (session, error) {
	return nil, fmt.Errorf("%w: this program was built without PC/SC (CGO_ENABLED=0)", cardreader.ErrNoService)
}
