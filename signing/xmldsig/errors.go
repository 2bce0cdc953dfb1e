package xmldsig

import (
	"errors"
	"fmt"
)

// Errors a caller decides on; errors.Is finds them.
var (
	// ErrFormat: a ds:Signature that is not as the schema of XML Signature wants
	// it.
	ErrFormat = errors.New("malformed XML signature")
	// ErrAlgorithm: a digest or signature algorithm that is not in the list.
	ErrAlgorithm = errors.New("algorithm not accepted")
	// ErrTransform: a transform, or an order of them, that is not in the list.
	ErrTransform = errors.New("transform not accepted")
	// ErrNotFound: a reference leads to nothing. One that leads to more than one
	// element is ErrFormat: an identifier is unique (XML Schema part 2 3.3.8).
	ErrNotFound = errors.New("signed data not found")
	// ErrDigest: the data is not the signed data.
	ErrDigest = errors.New("digest does not match")
	// ErrValue: the signature value does not verify.
	ErrValue = errors.New("signature value does not match")
	// ErrLimit: more than this package takes.
	ErrLimit = errors.New("limit exceeded")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

func unaccepted(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAlgorithm, fmt.Sprintf(format, args...))
}

func untransformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTransform, fmt.Sprintf(format, args...))
}

func excess(limit int, what string) error {
	return fmt.Errorf("%w: more than %d %s", ErrLimit, limit, what)
}
