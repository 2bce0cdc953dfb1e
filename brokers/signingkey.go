package brokers

import "time"

// SigningKey is a key that signs tokens, as it is kept.
type SigningKey struct {
	// Number counts keys.
	Number int
	// Private is PKCS #8.
	Private []byte
	// Use is when it begins to sign.
	Use time.Time
}

// String and GoString keep the key out of prints.
func (SigningKey) String() string   { return "signing key" }
func (SigningKey) GoString() string { return "signing key" }
