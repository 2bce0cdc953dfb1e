package brokers

import "time"

// SigningKey are the keys that sign tokens in a time, as they are kept.
type SigningKey struct {
	// Number counts them.
	Number int
	// Private is an EC key on P-256, RSA one for RS256; PKCS #8.
	Private, RSA []byte
	// Use is when they begin to sign.
	Use time.Time
}

// String and GoString keep the key out of prints.
func (SigningKey) String() string   { return "signing key" }
func (SigningKey) GoString() string { return "signing key" }
