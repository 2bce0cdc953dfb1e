package cwa14890

import (
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
)

var (
	// ErrUntrusted: the chip did not prove that it is genuine. Its chain does
	// not lead to the root, could not be checked, or its signature is wrong. No
	// PIN may be sent.
	// It is a cardreader.ErrCardUntrusted.
	ErrUntrusted = fmt.Errorf("%w: chip is not genuine", cardreader.ErrCardUntrusted)
	// ErrGeneration: the card refused the certificate of the terminal's
	// authority (6A80), as it does when the key set is of another generation.
	// A driver tries the other one once. It is a cardreader.ErrCardProtocol.
	ErrGeneration = fmt.Errorf("%w: card does not know this generation of terminal keys", cardreader.ErrCardProtocol)
	// ErrCertificate is a card-verifiable certificate that is malformed or does
	// not verify.
	ErrCertificate = errors.New("card-verifiable certificate is not valid")
	// ErrKeySet is a set of terminal keys that contradicts itself.
	ErrKeySet = errors.New("terminal key set is not valid")
	// ErrNoPrivateKey is a terminal of which only the public part is known.
	ErrNoPrivateKey = errors.New("private key of the terminal is not configured")
	// ErrOptions is a call without something it needs.
	ErrOptions = errors.New("secure channel options are incomplete")
)
