package cms

import (
	"errors"
	"fmt"
)

// Errors that decide a verdict. All errors of this package match one of them.
var (
	// ErrFormat: not a SignedData as RFC 5652 and DER demand, or attributes that
	// contradict each other.
	ErrFormat = errors.New("malformed CMS")
	// ErrLimit: larger or more numerous than this package accepts.
	ErrLimit = errors.New("CMS goes over a limit")
	// ErrNoCertificate: the message does not carry the signing certificate.
	ErrNoCertificate = errors.New("signing certificate not found")
	// ErrBinding: signing-certificate attribute and signer identifier do not name
	// one and the same certificate.
	ErrBinding = errors.New("signing certificate is not the one the signature names")
	// ErrDigest: message-digest differs from the digest of the content.
	ErrDigest = errors.New("message digest does not match")
	// ErrSignature: the signature value is wrong under the signer's key.
	ErrSignature = errors.New("signature value does not verify")
	// ErrAlgorithm: an algorithm or key that is unknown or not usable here.
	ErrAlgorithm = errors.New("algorithm not usable")
)

func formatError(what string) error { return fmt.Errorf("%w: %s", ErrFormat, what) }

func limitError(what string) error { return fmt.Errorf("%w: %s", ErrLimit, what) }
