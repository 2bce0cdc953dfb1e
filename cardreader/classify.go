package cardreader

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Classify gives an error from the command layer the sentinel that a program
// decides on, and keeps the error itself reachable with errors.As: a malformed
// answer or an unexpected status word is ErrCardProtocol, a command that got no
// answer in its time is ErrCardMute. Errors that already carry a meaning, and
// those of a cancelled or expired ctx, pass unchanged. Drivers call it at their
// borders.
func Classify(ctx context.Context, err error) error {
	var refused *PINError
	var status *apdu.StatusError
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, &refused), classified(err):
		return err
	case errors.Is(err, apdu.ErrProtocol), errors.Is(err, tlv.ErrMalformed),
		errors.Is(err, tlv.ErrNotFound), errors.As(err, &status):
		return fmt.Errorf("%w: %w", ErrCardProtocol, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w in time: %w", ErrCardMute, err)
	default:
		return err
	}
}

func classified(err error) bool {
	for _, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

func sentinels() []error {
	return []error{
		ErrNoService, ErrNoReader, ErrReaderGone, ErrNoCard, ErrCardRemoved, ErrCardChanged, ErrCardReset,
		ErrCardBusy, ErrCardMute, ErrCardUnsupported, ErrCardProtocol, ErrCardUntrusted, ErrNotOffered, ErrNoCredential,
	}
}
