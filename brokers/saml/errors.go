package saml

import "errors"

var (
	// ErrExpectation is a judgement that was asked for without saying what a
	// right answer looks like.
	ErrExpectation = errors.New("incomplete expectation")

	// ErrUnavailable is an identity provider that cannot be reached or does not
	// answer as it should on the level of HTTP.
	ErrUnavailable = errors.New("identity provider is unavailable")

	errNotText    = errors.New("element holds elements")
	errSigner     = errors.New("signer returned a malformed value")
	errRelayState = errors.New("relay state of more than 80 bytes")
)
