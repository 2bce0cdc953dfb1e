package brokers

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// Hash is the SHA-256 of a code, token or cookie: the only form in which the
// store sees one. The secrets are 256 random bits, so a plain hash hides them.
type Hash [sha256.Size]byte

// HashOf hashes a secret as it appears on the wire.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// Matches compares in constant time.
func (h Hash) Matches(secret string) bool {
	other := HashOf(secret)
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}

// String is unpadded base64url.
func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// MarshalText writes unpadded base64url.
func (h Hash) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(raw) != len(h) {
		return fmt.Errorf("a hash has %d bytes in base64url", len(h))
	}
	copy(h[:], raw)
	return nil
}
