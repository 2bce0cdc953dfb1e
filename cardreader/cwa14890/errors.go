package cwa14890

import "errors"

var (
	// ErrUntrusted: the chip did not prove that it is genuine. Its chain does
	// not lead to the root, could not be checked, or its signature is wrong. No
	// PIN may be sent.
	ErrUntrusted = errors.New("card chip is not trusted")
	// ErrGeneration: the card refused the certificate of the terminal's
	// authority (6A80), as it does when the key set is of another generation.
	// A driver tries the other one once.
	ErrGeneration = errors.New("card does not know this generation of terminal keys")
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
