package envelope

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Local is a master key in the memory of the broker, read from a file of its
// host.
type Local struct {
	id  string
	key [chacha20poly1305.KeySize]byte
}

// ParseLocal reads 32 bytes in base64, as NewLocal writes them; white space
// around them does not count.
func ParseLocal(text []byte) (*Local, error) {
	var decoded [chacha20poly1305.KeySize + 3]byte
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) > base64.StdEncoding.EncodedLen(chacha20poly1305.KeySize) {
		return nil, errLocal()
	}
	n, err := base64.StdEncoding.Decode(decoded[:], trimmed)
	if err != nil || n != chacha20poly1305.KeySize {
		return nil, errLocal()
	}
	m := &Local{}
	copy(m.key[:], decoded[:n])
	clear(decoded[:])
	// The name is a one-way function of the key, with a prefix so that it is no
	// other use of it.
	sum := sha256.Sum256(append([]byte("eidbridge master key\x00"), m.key[:]...))
	m.id = "local:" + hex.EncodeToString(sum[:8])
	return m, nil
}

// errLocal does not repeat what it could not read.
func errLocal() error {
	return errors.New("envelope: a master key is 32 bytes in base64; make one with: openssl rand -base64 32")
}

// NewLocal makes the text of a new master key.
func NewLocal() ([]byte, error) {
	key := make([]byte, chacha20poly1305.KeySize)
	defer clear(key)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return append(base64.StdEncoding.AppendEncode(nil, key), '\n'), nil
}

// ID is a fingerprint of the key.
func (m *Local) ID() string { return m.id }

// Wrap encrypts a data key.
func (m *Local) Wrap(_ context.Context, key, bound []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(m.key[:])
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(key)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, key, bound), nil
}

// Unwrap decrypts a data key; ErrSeal if it was wrapped otherwise.
func (m *Local) Unwrap(_ context.Context, wrapped, bound []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(m.key[:])
	if err != nil {
		return nil, err
	}
	if len(wrapped) < aead.NonceSize() {
		return nil, ErrSeal
	}
	key, err := aead.Open(nil, wrapped[:aead.NonceSize()], wrapped[aead.NonceSize():], bound)
	if err != nil {
		return nil, fmt.Errorf("%w: wrapped by another master key, or changed", ErrSeal)
	}
	return key, nil
}

// String keeps the key out of prints.
func (m *Local) String() string { return m.id }

// GoString keeps the key out of %#v.
func (m *Local) GoString() string { return m.id }
